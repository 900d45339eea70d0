package client_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

func answering() *node {
	return &node{show: func(*sagov1.ShowRequest) (*sagov1.ShowResponse, error) {
		return &sagov1.ShowResponse{Bundle: &sagov1.Bundle{State: "active"}}, nil
	}}
}

// TestP44_ServerIdentity is what a client makes of servers that are not what they
// should be, and of dates, which do not bind: some lie centuries apart.
func TestP44_ServerIdentity(t *testing.T) {
	ours, foreign := newAuthority(t, always), newAuthority(t, always)
	old := newAuthority(t, lapsed)
	for _, c := range []struct {
		name   string
		pinned *authority
		cert   tls.Certificate
		want   error
	}{
		{"a node", ours, ours.server(), nil},
		{"a certificate that has lapsed", ours, ours.issue("n", lapsed, x509.ExtKeyUsageServerAuth), nil},
		{"a certificate from the future", ours, ours.issue("n", distant, x509.ExtKeyUsageServerAuth), nil},
		{"an authority that lapsed before the certificate began", old, old.issue("n", distant, x509.ExtKeyUsageServerAuth), nil},
		{"another authority of the same name", ours, foreign.server(), client.ErrUntrusted},
		{"a client's certificate", ours, ours.client(), client.ErrUntrusted},
		{"a certificate for nothing in particular", ours, ours.issue("n", always), client.ErrUntrusted},
		{"a certificate for any use", ours, ours.issue("n", always, x509.ExtKeyUsageAny), client.ErrUntrusted},
	} {
		t.Run(c.name, func(t *testing.T) {
			clients := newAuthority(t, always)
			cl := openContext(t, client.Context{
				Endpoints:   []string{answering().serve(t, c.cert, clients.cert)},
				Authorities: []*x509.Certificate{c.pinned.cert}, Certificate: clients.client(),
			})
			_, err := cl.Show(t.Context(), &sagov1.ShowRequest{Transaction: "T"})
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if c.want != nil && client.ReasonOf(err) != "UNTRUSTED_SERVER" {
				t.Errorf("reason %s", client.ReasonOf(err))
			}
		})
	}
}

func TestTheServerRefusesTheCallersCertificate(t *testing.T) {
	ours, foreign := newAuthority(t, always), newAuthority(t, always)
	cl := openContext(t, client.Context{
		Endpoints:   []string{answering().serve(t, ours.server(), ours.cert)},
		Authorities: []*x509.Certificate{ours.cert}, Certificate: foreign.client(),
	})
	_, err := cl.Show(t.Context(), &sagov1.ShowRequest{Transaction: "T"})
	var e *client.Error
	if !errors.As(err, &e) || e.Reason != "CERTIFICATE_REFUSED" || e.Code != codes.Unauthenticated {
		t.Errorf("%v", err)
	}
}

func TestAForeignServerDoesNotHideTheNextNode(t *testing.T) {
	ours, foreign := newAuthority(t, always), newAuthority(t, always)
	cl := openContext(t, client.Context{
		Endpoints:   []string{answering().serve(t, foreign.server(), ours.cert), answering().serve(t, ours.server(), ours.cert)},
		Authorities: []*x509.Certificate{ours.cert}, Certificate: ours.client(),
	})
	if _, err := cl.Show(t.Context(), &sagov1.ShowRequest{Transaction: "T"}); err != nil {
		t.Error(err)
	}
}
