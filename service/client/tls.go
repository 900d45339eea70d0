package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
)

// tlsConfig accepts exactly the servers whose certificate one of the cluster's
// authorities issued for server authentication.
//
// It checks neither host names nor dates. Names: the authority is the cluster's
// own and issues server certificates to its nodes alone, so the chain is the
// proof, and an address may change without new certificates. Dates: they could
// only be judged by this host's wall clock, which anybody may set; a node whose
// time has gone is taken out of the cluster, not left to lapse.
func tlsConfig(c Context) *tls.Config {
	roots := x509.NewCertPool()
	for _, a := range c.Authorities {
		roots.AddCert(undated(a))
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{c.Certificate},
		// The library's own check knows names and dates only. VerifyConnection
		// takes its place and runs on every connection, resumed ones included.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return verifyServer(roots, s.PeerCertificates) },
	}
}

func verifyServer(roots *x509.CertPool, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w: it shows no certificate", ErrUntrusted)
	}
	leaf := chain[0]
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		return fmt.Errorf("%w: its certificate is not for servers", ErrUntrusted)
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(undated(c))
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: between,
		CurrentTime:   leaf.NotBefore, // within the leaf's own dates; all above it is undated
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return nil
}

// undated is a copy that is valid at every instant. Signatures are checked over
// the certificate's bytes, which stay.
func undated(c *x509.Certificate) *x509.Certificate {
	d := *c
	d.NotBefore = time.Time{}
	d.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	return &d
}

// watched remembers why a handshake with one endpoint failed: gRPC reports
// every failed connection as merely unavailable.
type watched struct {
	credentials.TransportCredentials
	refusals *refusals
}

type refusals struct {
	mu   sync.Mutex
	last error
}

func (r *refusals) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = err
}

func (r *refusals) get() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// ClientHandshake implements credentials.TransportCredentials.
func (w watched) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := w.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		w.refusals.note(err)
		return nil, nil, err
	}
	return alertConn{conn, w.refusals}, info, nil
}

// Clone implements credentials.TransportCredentials.
func (w watched) Clone() credentials.TransportCredentials {
	return watched{w.TransportCredentials.Clone(), w.refusals}
}

// alertConn sees the alert by which a server refuses the caller's certificate:
// in TLS 1.3 it comes after the client's side of the handshake is done.
type alertConn struct {
	net.Conn
	refusals *refusals
}

func (c alertConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.refusals.note(err)
	}
	return n, err
}

// Write looks for the alert when the server has closed before it could be read.
func (c alertConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && c.SetReadDeadline(time.Now().Add(alertWithin)) == nil {
		_, _ = c.Read(make([]byte, 1)) // nothing else comes on a connection that is gone
	}
	return n, err
}

// alertWithin bounds the look for an alert that has arrived already.
const alertWithin = time.Second

// note keeps err when it is about who the server or the caller is.
func (r *refusals) note(err error) {
	var op *net.OpError
	switch {
	case errors.Is(err, ErrUntrusted):
		r.set(err)
	case errors.As(err, &op) && op.Op == "remote error":
		r.set(&Error{
			Reason: "CERTIFICATE_REFUSED", Code: codes.Unauthenticated,
			Message: "the server refused the caller's certificate: " + op.Err.Error(),
		})
	}
}
