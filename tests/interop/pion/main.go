// A peer on pion/dtls 2, driven by one JSON object and reporting as one per line.
//
//	pionpeer server PORT OPTIONS    serves one association after the other, and echoes
//	pionpeer client PORT OPTIONS    connects, sends a greeting, and echoes
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/pion/dtls/v2"
)

type options struct {
	Chain    string `json:"chain"`
	Key      string `json:"key"`
	CA       string `json:"ca"`
	Ask      bool   `json:"ask"` // a server: for a client's certificate
	PSK      string `json:"psk"`
	Identity string `json:"identity"`
	Suite    uint16 `json:"suite"`
	SRTP     uint16 `json:"srtp"`
	MTU      int    `json:"mtu"`
}

func say(report map[string]any) {
	line, err := json.Marshal(report)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", line)
}

func must[T any](value T, err error) T {
	if err != nil {
		say(map[string]any{"error": err.Error()})
		os.Exit(1)
	}
	return value
}

func pool(file string) *x509.CertPool {
	found := x509.NewCertPool()
	found.AppendCertsFromPEM(must(os.ReadFile(file)))
	return found
}

// A client sends no server_name: pion 2 does not read the empty one that a server answers with (RFC 6066 section 3).
func config(given options) *dtls.Config {
	made := &dtls.Config{
		ExtendedMasterSecret: dtls.RequireExtendedMasterSecret,
		MTU:                  given.MTU,
		ConnectContextMaker: func() (context.Context, func()) {
			return context.WithTimeout(context.Background(), 20*time.Second)
		},
	}
	if given.Chain != "" {
		made.Certificates = []tls.Certificate{must(tls.LoadX509KeyPair(given.Chain, given.Key))}
	}
	if given.CA != "" {
		made.RootCAs = pool(given.CA)
		made.ClientCAs = made.RootCAs
	}
	if given.Ask {
		made.ClientAuth = dtls.RequireAndVerifyClientCert
	}
	if given.PSK != "" {
		key := must(hex.DecodeString(given.PSK))
		made.PSK = func([]byte) ([]byte, error) { return key, nil }
		made.PSKIdentityHint = []byte(given.Identity)
	}
	if given.Suite != 0 {
		made.CipherSuites = []dtls.CipherSuiteID{dtls.CipherSuiteID(given.Suite)}
	}
	if given.SRTP != 0 {
		made.SRTPProtectionProfiles = []dtls.SRTPProtectionProfile{dtls.SRTPProtectionProfile(given.SRTP)}
	}
	return made
}

func serve(conn *dtls.Conn, greeting string) {
	defer conn.Close()
	state := conn.ConnectionState()
	profile, _ := conn.SelectedSRTPProtectionProfile()
	exported, _ := state.ExportKeyingMaterial("EXPORTER-caesura-interop", nil, 32)
	say(map[string]any{
		"connected": true, "certificates": len(state.PeerCertificates), "identity": string(state.IdentityHint),
		"srtp": uint16(profile), "exported": hex.EncodeToString(exported),
	})
	if greeting != "" {
		must(conn.Write([]byte(greeting)))
	}
	buffer := make([]byte, 65536)
	for {
		size, err := conn.Read(buffer)
		if err != nil {
			say(map[string]any{"closed": err.Error()})
			return
		}
		say(map[string]any{"heard": string(buffer[:size])})
		must(conn.Write(buffer[:size]))
	}
}

func main() {
	var given options
	port := must(strconv.Atoi(os.Args[2]))
	must(0, json.Unmarshal([]byte(os.Args[3]), &given))
	addr := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	if os.Args[1] == "client" {
		serve(must(dtls.Dial("udp", addr, config(given))), "from pion\n")
		return
	}
	listener := must(dtls.Listen("udp", addr, config(given)))
	say(map[string]any{"listening": true})
	for {
		conn, err := listener.Accept()
		if err != nil {
			say(map[string]any{"error": err.Error()})
			continue
		}
		go serve(conn.(*dtls.Conn), "")
	}
}
