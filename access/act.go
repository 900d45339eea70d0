package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
)

// What is wrong with an act (결재 행위). Errors of this package about signatures
// wrap one of them.
var (
	ErrKey           = errors.New("not an ECDSA P-256 public key")
	ErrSignature     = errors.New("signature does not verify")
	ErrUnknownSigner = errors.New("signed by somebody the document does not list")
	ErrSignerTwice   = errors.New("one person signed twice")
	ErrTooFew        = errors.New("too few persons signed")
)

// VerifyAct checks one person's signature (ECDSA P-256 over SHA-256 of the
// document, ASN.1 DER) by the public key (PKIX DER). It returns an error that
// wraps [ErrKey] or [ErrSignature].
func VerifyAct(document, sig, publicKeyPKIX []byte) error {
	key, err := parseKey(publicKeyPKIX)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(document)
	if !ecdsa.VerifyASN1(key, digest[:], sig) {
		return ErrSignature
	}
	return nil
}

// CheckKey refuses what is not an ECDSA P-256 public key (PKIX DER): nothing could
// ever be signed with it. The error wraps [ErrKey].
func CheckKey(publicKeyPKIX []byte) error {
	_, err := parseKey(publicKeyPKIX)
	return err
}

func parseKey(pkix []byte) (*ecdsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(pkix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: %T", ErrKey, parsed)
	}
	return key, nil
}

// Signatory is a person that a document lists as one who may sign.
type Signatory struct {
	ID        uint64
	PublicKey []byte   // ECDSA P-256, PKIX DER
	Identity  [32]byte // see [Identity]
}

// Signature is one person's signature over a document.
type Signature struct {
	Person    uint64
	Signature []byte
}

// The persons who must sign a ceremony.
const (
	ceremonyProduction  = 2
	ceremonyDevelopment = 1
)

// CheckCeremonySignatures says whether enough of the persons that the ceremony
// itself lists signed it: two when it founds a production cluster, one when it
// founds a development cluster. A production ceremony's two must differ in
// number, key and distinguished name. Every signature must verify: one that is
// foreign or wrong spoils the whole.
func CheckCeremonySignatures(document []byte, production bool, listed []Signatory, signatures []Signature) error {
	signed := make([]Signatory, 0, len(signatures))
	for _, s := range signatures {
		who, err := find(listed, s.Person)
		if err != nil {
			return err
		}
		for _, earlier := range signed {
			if same(earlier, who) {
				return fmt.Errorf("%w: persons %d and %d", ErrSignerTwice, earlier.ID, who.ID)
			}
		}
		if err := VerifyAct(document, s.Signature, who.PublicKey); err != nil {
			return fmt.Errorf("person %d: %w", s.Person, err)
		}
		signed = append(signed, who)
	}
	needed := ceremonyDevelopment
	if production {
		needed = ceremonyProduction
	}
	if len(signed) < needed {
		return fmt.Errorf("%w: %d of %d", ErrTooFew, len(signed), needed)
	}
	return nil
}

// find returns the one person with this number; a list that holds it twice is
// no proof of anything.
func find(listed []Signatory, id uint64) (Signatory, error) {
	var found Signatory
	n := 0
	for _, l := range listed {
		if l.ID == id {
			found, n = l, n+1
		}
	}
	if n != 1 || id == 0 {
		return Signatory{}, fmt.Errorf("%w: person %d", ErrUnknownSigner, id)
	}
	return found, nil
}

func same(a, b Signatory) bool {
	return a.ID == b.ID || a.Identity == b.Identity || bytes.Equal(a.PublicKey, b.PublicKey)
}
