package service

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// caller is who makes a call: the certificate, and once it is known, the
// principal that enrolled under it.
type caller struct {
	access.Principal
	identity format.Digest
	// The following go into sealed details only.
	subject, issuer, origin   string
	name, department, contact string // as far as the certificate says
}

// detail is what every record says of its caller.
func (c *caller) detail() format.Detail {
	return format.Detail{Subject: c.subject, Issuer: c.issuer, Origin: c.origin}
}

type callerKey struct{}

// callerOf is the caller that the interceptor found.
func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	if c == nil {
		return &caller{} // nobody: access denies it everything
	}
	return c
}

// certificateOf is the certificate that the TLS handshake verified.
func certificateOf(ctx context.Context) (*x509.Certificate, string, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, "", unknownPrincipal("the call has no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.PeerCertificates) == 0 {
		return nil, "", unknownPrincipal("the connection shows no certificate")
	}
	origin, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		origin = p.Addr.String()
	}
	return info.State.PeerCertificates[0], origin, nil
}

// newCaller reads what a certificate says.
func newCaller(cert *x509.Certificate, origin string) *caller {
	c := &caller{
		identity: access.Identity(cert.RawIssuer, cert.RawSubject),
		subject:  clip(cert.Subject.String(), maxName), issuer: clip(cert.Issuer.String(), maxName), origin: origin,
		name:       clip(cert.Subject.CommonName, maxField),
		department: clip(strings.Join(cert.Subject.OrganizationalUnit, ", "), maxField),
	}
	if len(cert.EmailAddresses) > 0 {
		c.contact = clip(cert.EmailAddresses[0], maxField)
	}
	return c
}

// clip cuts a text to at most n bytes of valid UTF-8.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	for len(s) > n {
		_, last := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-last]
	}
	return s
}

// person finds who enrolled under the caller's identity, or nobody. Of a node
// without state the ceremony's persons may ask what leaves no record.
func (s *Server) person(c *caller, unrecorded bool) (*format.Person, error) {
	st := s.node.Store()
	if st.Summary().Begun {
		p, err := st.PersonByIdentity(c.identity)
		if err != nil {
			return nil, fmt.Errorf("principal: %w", err)
		}
		return p, nil
	}
	for i := range s.cfg.Founders {
		if unrecorded && s.cfg.Founders[i].Identity == c.identity {
			return &s.cfg.Founders[i], nil
		}
	}
	return nil, refusal(format.ReasonNotReady, "this node has no state yet: the ceremony has not taken place, or it is joining")
}

// enrolled looks up who enrolled under the caller's identity. Their key must be
// the certificate's: an authority that issues the same name to another key makes
// no second one of them.
func (s *Server) enrolled(c *caller, cert *x509.Certificate, unrecorded bool) error {
	p, err := s.person(c, unrecorded)
	if err != nil {
		return err
	}
	if p == nil {
		return unknownPrincipal("nobody is enrolled under this certificate's subject and issuer")
	}
	if !bytes.Equal(p.PublicKey, cert.RawSubjectPublicKeyInfo) {
		return unknownPrincipal("the certificate's key is not the enrolled one")
	}
	c.Principal = access.Principal{ID: p.ID, Role: access.Role(p.Role), Institution: p.Institution}
	return nil
}
