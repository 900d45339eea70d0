package access_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/sago-worm/sago/access"
)

type person struct {
	access.Signatory
	key *ecdsa.PrivateKey
}

func newPerson(t *testing.T, id uint64, c elliptic.Curve) person {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return person{access.Signatory{ID: id, PublicKey: pkix(t, key.Public()), Identity: [32]byte{byte(id)}}, key}
}

func pkix(t *testing.T, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (p person) sign(t *testing.T, document []byte) access.Signature {
	t.Helper()
	d := sha256.Sum256(document)
	sig, err := ecdsa.SignASN1(rand.Reader, p.key, d[:])
	if err != nil {
		t.Fatal(err)
	}
	return access.Signature{Person: p.ID, Signature: sig}
}

func TestVerifyAct(t *testing.T) {
	document := []byte("sago act v1\n...")
	p, other := newPerson(t, 1, elliptic.P256()), newPerson(t, 2, elliptic.P256())
	p384 := newPerson(t, 3, elliptic.P384())
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sig := p.sign(t, document).Signature
	for _, c := range []struct {
		name     string
		document []byte
		sig, key []byte
		want     error
	}{
		{"good", document, sig, p.PublicKey, nil},
		{"other document", []byte("sago act v2\n..."), sig, p.PublicKey, access.ErrSignature},
		{"other key", document, sig, other.PublicKey, access.ErrSignature},
		{"no signature", document, nil, p.PublicKey, access.ErrSignature},
		{"bytes after the signature", document, append(append([]byte{}, sig...), 0), p.PublicKey, access.ErrSignature},
		{"no key", document, sig, nil, access.ErrKey},
		{"other curve", document, p384.sign(t, document).Signature, p384.PublicKey, access.ErrKey},
		{"other algorithm", document, sig, pkix(t, ed), access.ErrKey},
	} {
		if err := access.VerifyAct(c.document, c.sig, c.key); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		wrongKey := errors.Is(c.want, access.ErrKey)
		if err := access.CheckKey(c.key); errors.Is(err, access.ErrKey) != wrongKey || !wrongKey && err != nil {
			t.Errorf("%s: the key itself: %v", c.name, err)
		}
	}
}

func TestCheckCeremonySignatures(t *testing.T) {
	document := []byte("ceremony")
	a, b, stranger := newPerson(t, 1, elliptic.P256()), newPerson(t, 2, elliptic.P256()), newPerson(t, 3, elliptic.P256())
	twin := person{access.Signatory{ID: 4, PublicKey: a.PublicKey, Identity: [32]byte{4}}, a.key}
	again := newPerson(t, 5, elliptic.P256())
	again.Identity = a.Identity
	listed := []access.Signatory{a.Signatory, b.Signatory, twin.Signatory, again.Signatory}
	sigs := func(ps ...person) (s []access.Signature) {
		for _, p := range ps {
			s = append(s, p.sign(t, document))
		}
		return s
	}
	forged := sigs(a, b)
	forged[1].Signature = forged[0].Signature
	for _, c := range []struct {
		name       string
		production bool
		listed     []access.Signatory
		signatures []access.Signature
		want       error
	}{
		{"two in production", true, listed, sigs(a, b), nil},
		{"one in development", false, listed, sigs(b), nil},
		{"one in production", true, listed, sigs(a), access.ErrTooFew},
		{"none in development", false, listed, nil, access.ErrTooFew},
		{"one person twice", true, listed, sigs(a, a), access.ErrSignerTwice},
		{"one key under two numbers", true, listed, sigs(a, twin), access.ErrSignerTwice},
		{"one name under two numbers", true, listed, sigs(a, again), access.ErrSignerTwice},
		{"a stranger beside two", true, listed, sigs(a, b, stranger), access.ErrUnknownSigner},
		{"a forged second", true, listed, forged, access.ErrSignature},
		{"a number listed twice", false, append(listed, a.Signatory), sigs(a), access.ErrUnknownSigner},
		{"nobody listed", false, nil, sigs(a), access.ErrUnknownSigner},
	} {
		err := access.CheckCeremonySignatures(document, c.production, c.listed, c.signatures)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestIdentity(t *testing.T) {
	if access.Identity([]byte("ab"), []byte("c")) == access.Identity([]byte("a"), []byte("bc")) {
		t.Error("issuer and subject run into each other")
	}
	// printf '\0\0\0\2abc' | sha256sum
	want := sha256.Sum256([]byte("\x00\x00\x00\x02abc"))
	if access.Identity([]byte("ab"), []byte("c")) != want {
		t.Error("not the documented encoding")
	}
}
