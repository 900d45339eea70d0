package format

import (
	"crypto/sha256"
	"fmt"
)

// ActKind says what an act does. The numbers are in files and under signatures.
type ActKind uint16

// The kinds of acts (결재 행위). Each is a document that persons sign with their
// own keys; only acts may shorten, weaken, reveal or re-key.
const (
	ActKindCeremony       ActKind = 1
	ActKindSpecialDelete  ActKind = 2
	ActKindClose          ActKind = 3
	ActKindHoldRelease    ActKind = 4
	ActKindResync         ActKind = 5
	ActKindPolicy         ActKind = 6
	ActKindMember         ActKind = 7
	ActKindBreakGlass     ActKind = 8
	ActKindGrant          ActKind = 9
	ActKindRestore        ActKind = 10
	ActKindLostMajority   ActKind = 11
	ActKindKeyArchive     ActKind = 12
	ActKindMedium         ActKind = 13
	ActKindLiftStop       ActKind = 14
	ActKindRestoreConfirm ActKind = 15
)

var actKindNames = map[ActKind]string{
	ActKindCeremony: "ceremony", ActKindSpecialDelete: "special-delete", ActKindClose: "close", ActKindHoldRelease: "hold-release",
	ActKindResync: "clock-resync", ActKindPolicy: "policy", ActKindMember: "member", ActKindBreakGlass: "break-glass", ActKindGrant: "grant",
	ActKindRestore: "restore", ActKindLostMajority: "lost-majority", ActKindKeyArchive: "key-archive", ActKindMedium: "medium",
	ActKindLiftStop: "lift-stop", ActKindRestoreConfirm: "restore-confirm",
}

// String is the kind's name, as interfaces show it.
func (k ActKind) String() string {
	if n, ok := actKindNames[k]; ok {
		return n
	}
	return fmt.Sprintf("act-kind-%d", uint16(k))
}

// ActKindNamed reports whether a kind of act has this name.
func ActKindNamed(name string) bool {
	for _, n := range actKindNames {
		if n == name {
			return true
		}
	}
	return false
}

// Act is the canonical document of an act.
type Act struct {
	Cluster ID
	Kind    ActKind
	Object  []byte // what it is about; empty for the ceremony
	Params  []byte // canonical, by kind
	Nonce   ID
	// Expires is on the quorum clock, microseconds; 0 for the ceremony, which
	// comes before any clock.
	Expires int64
}

// Encode returns the canonical bytes of a.
func (a Act) Encode() []byte {
	var w Writer
	w.Raw([]byte("sago act v1\n"))
	w.Raw(a.Cluster[:])
	w.U16(uint16(a.Kind))
	w.Blob(a.Object)
	w.Blob(a.Params)
	w.Raw(a.Nonce[:])
	w.I64(a.Expires)
	return w.Bytes()
}

// Digest is the SHA-256 of the canonical document: what people compare and what
// every signature is over.
func (a Act) Digest() Digest { return sha256.Sum256(a.Encode()) }

// DecodeAct reads what Encode wrote.
func DecodeAct(b []byte) (Act, error) { return decodeEffect(b, readAct) }

func readAct(r *Reader) (a Act) {
	var prefix [12]byte
	r.Raw(prefix[:])
	if r.err == nil && string(prefix[:]) != "sago act v1\n" {
		r.fail("act prefix")
	}
	r.Raw(a.Cluster[:])
	a.Kind = ActKind(r.U16())
	a.Object = r.Blob()
	a.Params = r.Blob()
	r.Raw(a.Nonce[:])
	a.Expires = r.I64()
	return a
}

// ActSignature is one person's signature over an act's canonical document.
type ActSignature struct {
	Person    uint64
	Signature []byte // ECDSA P-256 over SHA-256 of the document, ASN.1
}

// SignedAct is an act with its signatures, ascending by person, nobody twice.
type SignedAct struct {
	Document   []byte // canonical Act
	Signatures []ActSignature
}

// Encode returns the canonical bytes of s.
func (s SignedAct) Encode() []byte {
	var w Writer
	w.Blob(s.Document)
	w.U32(uint32(len(s.Signatures)))
	for _, g := range s.Signatures {
		w.U64(g.Person)
		w.Blob(g.Signature)
	}
	return w.Bytes()
}

// DecodeSignedAct reads what Encode wrote.
func DecodeSignedAct(b []byte) (SignedAct, error) {
	return decodeEffect(b, func(r *Reader) (s SignedAct) {
		s.Document = r.Blob()
		s.Signatures = list(r, 12, func(r *Reader) ActSignature { return ActSignature{r.U64(), r.Blob()} })
		ascending(r, "signatures", s.Signatures, func(g ActSignature) uint64 { return g.Person })
		return s
	})
}
