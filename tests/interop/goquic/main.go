// A QUIC peer for Caesura's tests: Go's x/net/quic and crypto/tls, as an echo server or a client that checks its echo.
// goquicpeer server|client OPTIONS, in JSON.
//
// It reports in JSON, one object a line: {"listening": port} first by the server, then what each connection agreed on,
// or {"error": "..."}.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/net/quic"
)

var options struct {
	Chain, Key string // of a server, PEM files
	Retry      bool   // have clients prove their address
	CA         string // whom a client trusts, a PEM file
	ALPN       string
	Ports      []int // a client's connections, one after the other
	Streams    int   // of each connection, all at once
	Bytes      int   // sent on each
}

var output sync.Mutex

func report(fields map[string]any) {
	output.Lock()
	defer output.Unlock()
	json.NewEncoder(os.Stdout).Encode(fields)
}

func fail(err error) {
	report(map[string]any{"error": err.Error()})
	os.Exit(1)
}

func agreed(conn *quic.Conn) {
	state := conn.ConnectionState()
	report(map[string]any{"alpn": state.NegotiatedProtocol, "group": int(state.CurveID), "resumed": state.DidResume})
}

// echo sends a stream back as it comes.
func echo(stream *quic.Stream) {
	defer stream.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := stream.Read(buffer)
		if n > 0 {
			if _, err := stream.Write(buffer[:n]); err != nil {
				return
			}
			stream.Flush()
		}
		if err != nil {
			return
		}
	}
}

func serve(ctx context.Context) {
	pair, err := tls.LoadX509KeyPair(options.Chain, options.Key)
	if err != nil {
		fail(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{options.ALPN}, MinVersion: tls.VersionTLS13}
	endpoint, err := quic.Listen("udp", "127.0.0.1:0", &quic.Config{TLSConfig: config, RequireAddressValidation: options.Retry})
	if err != nil {
		fail(err)
	}
	report(map[string]any{"listening": endpoint.LocalAddr().Port()})
	for {
		conn, err := endpoint.Accept(ctx)
		if err != nil {
			fail(err)
		}
		agreed(conn)
		go func() {
			for {
				stream, err := conn.AcceptStream(ctx)
				if err != nil {
					return
				}
				go echo(stream)
			}
		}()
	}
}

// tickets tells when it has been given one.
type tickets struct {
	tls.ClientSessionCache
	arrived chan struct{}
}

func (t *tickets) Put(key string, state *tls.ClientSessionState) {
	t.ClientSessionCache.Put(key, state)
	if state != nil {
		select {
		case t.arrived <- struct{}{}:
		default:
		}
	}
}

// exchange sends data, and wants it back.
func exchange(ctx context.Context, conn *quic.Conn, data []byte) error {
	stream, err := conn.NewStream(ctx)
	if err != nil {
		return err
	}
	go func() {
		stream.Write(data)
		stream.CloseWrite()
	}()
	got, err := io.ReadAll(stream)
	if err == nil && !bytes.Equal(got, data) {
		err = fmt.Errorf("%d bytes came back, not what was sent", len(got))
	}
	return err
}

func connect(ctx context.Context) error {
	roots := x509.NewCertPool()
	trusted, err := os.ReadFile(options.CA)
	if err != nil {
		return err
	}
	roots.AppendCertsFromPEM(trusted)
	cache := &tickets{tls.NewLRUClientSessionCache(8), make(chan struct{}, 1)}
	config := &tls.Config{
		RootCAs: roots, ServerName: "localhost", NextProtos: []string{options.ALPN}, MinVersion: tls.VersionTLS13, ClientSessionCache: cache,
	}
	endpoint, err := quic.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		return err
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), options.Bytes/16+1)[:options.Bytes]
	for number, port := range options.Ports {
		if number > 0 {
			select {
			case <-cache.arrived:
			case <-time.After(5 * time.Second):
				return fmt.Errorf("no ticket came")
			}
		}
		conn, err := endpoint.Dial(ctx, "udp", fmt.Sprintf("127.0.0.1:%d", port), &quic.Config{TLSConfig: config})
		if err != nil {
			return err
		}
		results := make(chan error, options.Streams)
		for range options.Streams {
			go func() { results <- exchange(ctx, conn, data) }()
		}
		for range options.Streams {
			if err := <-results; err != nil {
				return err
			}
		}
		agreed(conn)
		conn.Close()
	}
	return nil
}

func main() {
	role := os.Args[1]
	if err := json.Unmarshal([]byte(os.Args[2]), &options); err != nil {
		fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if role == "server" {
		serve(ctx)
	} else if err := connect(ctx); err != nil {
		fail(err)
	}
}
