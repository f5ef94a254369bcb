// A peer on Go's crypto/tls, driven by flags and reporting as one JSON object per line.
//
//	gopeer server -chain F -key F [-client-ca F [-require]] ...    echoes what it gets, connection after connection
//	gopeer client -addr A -ca F -name N [-chain F -key F] ...      sends -bytes bytes, expects them back
//
// Each connection reports either {"error": ..., "from": "peer"|"here"} or what was negotiated. Nothing but the
// standard library is used, so it builds without a network.
package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

type report map[string]any

var (
	addr        = flag.String("addr", "127.0.0.1:0", "address to listen on or to connect to")
	chain       = flag.String("chain", "", "PEM chain of our own")
	key         = flag.String("key", "", "PEM private key of our own")
	ca          = flag.String("ca", "", "PEM trust anchors for servers")
	clientCA    = flag.String("client-ca", "", "PEM trust anchors for clients; asks for a certificate")
	require     = flag.Bool("require", false, "refuse clients without a certificate")
	name        = flag.String("name", "localhost", "server name to ask for and to verify")
	oldest      = flag.String("oldest", "1.3", "1.2 or 1.3")
	newest      = flag.String("newest", "1.3", "1.2 or 1.3")
	protocols   = flag.String("alpn", "", "comma separated, in order of preference")
	groups      = flag.String("groups", "", "comma separated registry names, in order of preference")
	keylog      = flag.String("keylog", "", "file for the key log")
	size        = flag.Int("bytes", 64, "client: bytes to send and to get back")
	connections = flag.Int("connections", 1, "client: connections one after the other, with one session cache")
	noTickets   = flag.Bool("no-tickets", false, "server: no session tickets")
	patience    = flag.Duration("patience", 60*time.Second, "bound for one connection")
)

var groupCodes = map[string]tls.CurveID{
	"X25519MLKEM768": tls.X25519MLKEM768,
	"x25519":         tls.X25519,
	"secp256r1":      tls.CurveP256,
	"secp384r1":      tls.CurveP384,
	"secp521r1":      tls.CurveP521,
}

var versionCodes = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

var printing sync.Mutex

func say(r report) {
	printing.Lock()
	defer printing.Unlock()
	line, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", line)
}

func stop(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}

func must[T any](value T, err error) T {
	if err != nil {
		stop(err)
	}
	return value
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func pool(path string) *x509.CertPool {
	anchors := x509.NewCertPool()
	if !anchors.AppendCertsFromPEM(must(os.ReadFile(path))) {
		stop(fmt.Errorf("no certificate in %s", path))
	}
	return anchors
}

func configuration() *tls.Config {
	config := &tls.Config{
		MinVersion:             versionCodes[*oldest],
		MaxVersion:             versionCodes[*newest],
		NextProtos:             split(*protocols),
		ServerName:             *name,
		SessionTicketsDisabled: *noTickets,
		ClientSessionCache:     tls.NewLRUClientSessionCache(8),
	}
	for _, group := range split(*groups) {
		code, known := groupCodes[group]
		if !known {
			stop(fmt.Errorf("unknown group %s", group))
		}
		config.CurvePreferences = append(config.CurvePreferences, code)
	}
	if *chain != "" {
		config.Certificates = []tls.Certificate{must(tls.LoadX509KeyPair(*chain, *key))}
	}
	if *ca != "" {
		config.RootCAs = pool(*ca)
	}
	if *clientCA != "" {
		config.ClientCAs = pool(*clientCA)
		config.ClientAuth = tls.VerifyClientCertIfGiven
		if *require {
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	if *keylog != "" {
		config.KeyLogWriter = must(os.OpenFile(*keylog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600))
	}
	return config
}

func facts(conn *tls.Conn) report {
	state := conn.ConnectionState()
	certificates := []string{}
	for _, certificate := range state.PeerCertificates {
		digest := sha256.Sum256(certificate.Raw)
		certificates = append(certificates, hex.EncodeToString(digest[:]))
	}
	exported := must(state.ExportKeyingMaterial("EXPORTER-caesura-interop", []byte("context"), 32))
	return report{
		"version":      int(state.Version),
		"suite":        tls.CipherSuiteName(state.CipherSuite),
		"group":        int(state.CurveID),
		"alpn":         state.NegotiatedProtocol,
		"server_name":  state.ServerName,
		"resumed":      state.DidResume,
		"hello_retry":  state.HelloRetryRequest,
		"certificates": certificates,
		"exported":     hex.EncodeToString(exported),
	}
}

// failure tells an alert that came from the peer from a refusal of our own.
func failure(err error) report {
	from := "here"
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Op == "remote error" {
		from = "peer"
	}
	return report{"error": err.Error(), "from": from}
}

func serveOne(conn *tls.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(*patience))
	if err := conn.Handshake(); err != nil {
		say(failure(err))
		return
	}
	say(facts(conn))
	echoed, err := io.Copy(conn, conn)
	// io.Copy hides io.EOF, which is what close_notify is read as; a bare end of the stream is io.ErrUnexpectedEOF.
	ended := report{"echoed": echoed, "close_notify": err == nil}
	if err != nil {
		ended["error"], ended["from"] = failure(err)["error"], failure(err)["from"]
	}
	conn.CloseWrite()
	say(ended)
}

func serve(config *tls.Config) {
	listener := must(net.Listen("tcp", *addr))
	say(report{"listening": listener.Addr().(*net.TCPAddr).Port})
	for {
		go serveOne(tls.Server(must(listener.Accept()), config))
	}
}

func connectOne(config *tls.Config) report {
	raw := must(net.DialTimeout("tcp", *addr, *patience))
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(*patience))
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		return failure(err)
	}
	pattern := make([]byte, *size)
	for i := range pattern {
		pattern[i] = byte(i*131 + i>>9)
	}
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write(pattern)
		written <- err
	}()
	returned := make([]byte, *size)
	_, err := io.ReadFull(conn, returned)
	if err == nil {
		err = <-written
	}
	if err != nil { // a server that refuses our certificate says so only now: RFC 9846 section 4.4.4
		return failure(err)
	}
	found := facts(conn)
	found["echoed"] = bytes.Equal(pattern, returned)
	conn.CloseWrite()
	rest, err := io.ReadAll(conn)
	found["close_notify"] = err == nil && len(rest) == 0
	return found
}

func main() {
	if len(os.Args) < 2 || (os.Args[1] != "server" && os.Args[1] != "client") {
		stop(errors.New("usage: gopeer server|client [flags]"))
	}
	flag.CommandLine.Parse(os.Args[2:])
	config := configuration()
	if os.Args[1] == "server" {
		serve(config)
	}
	for range *connections {
		say(connectOne(config))
	}
}
