package service

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// pki is a throw-away authority and the people it issued certificates to.
type pki struct {
	ca       *x509.Certificate
	caKey    *ecdsa.PrivateKey
	server   tls.Certificate
	enrolled []person
	byName   map[string]person
}

// person has a certificate, and is enrolled or not.
type person struct {
	format.Person
	key  *ecdsa.PrivateKey
	cert tls.Certificate
}

var (
	always  = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	forever = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

func newPKI(t *testing.T) pki {
	t.Helper()
	p := pki{byName: map[string]person{}}
	p.ca, p.caKey = newAuthority(t, "Test CA")
	serverKey, _ := newKey(t)
	p.server = p.issue(t, serverKey, &x509.Certificate{
		Subject: pkix.Name{CommonName: "n1"}, NotBefore: always, NotAfter: forever, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	for i, e := range []struct {
		name        string
		role        access.Role
		institution uint32
	}{
		{"app", access.RoleApplication, 1}, {"officer", access.RoleOfficer, 1}, {"manager", access.RoleManager, 1},
		{"approver", access.RoleApprover, 1}, {"head", access.RoleHead, 1}, {"admin", access.RoleAdmin, 1},
		{"auditor", access.RoleAuditor, 1}, {"contractor", access.RoleContractor, 1},
		{"app2", access.RoleApplication, 2}, {"officer2", access.RoleOfficer, 2}, {"auditor2", access.RoleAuditor, 2},
		{"app3", access.RoleApplication, 3}, {"auditor0", access.RoleAuditor, 0}, {"admin0", access.RoleAdmin, 0},
	} {
		one := p.person(t, e.name)
		one.Person.ID, one.Person.Role, one.Person.Institution = uint64(i+1), uint8(e.role), e.institution
		p.enrolled = append(p.enrolled, one)
		p.byName[e.name] = one
	}
	p.byName["stranger"] = p.person(t, "stranger")
	return p
}

func newAuthority(t *testing.T, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, _ := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: always, NotAfter: forever,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert, key
}

func (p pki) issue(t *testing.T, key *ecdsa.PrivateKey, template *x509.Certificate) tls.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(2)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, p.ca, key.Public(), p.caKey)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func clientTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: name + " 김", OrganizationalUnit: []string{"Pension"}, Organization: []string{"Demo"}},
		NotBefore:   always,
		NotAfter:    forever,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, EmailAddresses: []string{name + "@demo.example"},
	}
}

func (p pki) person(t *testing.T, name string) person {
	t.Helper()
	key, public := newKey(t)
	one := person{key: key, cert: p.issue(t, key, clientTemplate(name))}
	one.Person.PublicKey = public
	one.Person.Identity = access.Identity(one.cert.Leaf.RawIssuer, one.cert.Leaf.RawSubject)
	return one
}
