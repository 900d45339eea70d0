package format_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestSignedMessagesAreApart signs nothing twice: what is signed for one purpose
// begins as nothing that is signed for another.
func TestSignedMessagesAreApart(t *testing.T) {
	messages := map[string][]byte{
		"vote":       exampleVote(1).Message(exampleCluster),
		"join":       format.MemberEffect{Node: 3}.Message(exampleCluster),
		"attest":     exampleAttest().Message(exampleCluster),
		"act":        exampleAct().Encode(),
		"checkpoint": []byte(exampleCheckpoint().Text()),
		"state":      exampleState().Message(),
		"release":    exampleRequest().Message(),
		"recovery":   format.RecoveryKeyMessage(exampleCluster, 5, exampleHolder(5).PublicKey),
	}
	for a, x := range messages {
		for b, y := range messages {
			if a != b && bytes.HasPrefix(x, y[:9]) {
				t.Errorf("%s and %s begin alike", a, b)
			}
		}
		other := bytes.Contains(x, exampleCluster[:]) || strings.Contains(string(x), fmt.Sprintf("%x", exampleCluster[:]))
		if !other {
			t.Errorf("%s does not name its cluster", a)
		}
	}
}

// TestExampleSignatures checks the signatures of the vectors, so that another
// reader may rely on them.
func TestExampleSignatures(t *testing.T) {
	verify := func(n byte, message, signature []byte) {
		t.Helper()
		pub, err := x509.ParsePKIXPublicKey(public(n))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(message)
		if !ecdsa.VerifyASN1(pub.(*ecdsa.PublicKey), sum[:], signature) {
			t.Errorf("signature of key %#x does not verify", n)
		}
	}
	act := exampleSignedAct()
	for i, s := range act.Signatures {
		verify(byte(0x11+i), act.Document, s.Signature)
	}
	for _, s := range exampleSignedCheckpoint().Signatures {
		verify(byte(s.Node), []byte(exampleCheckpoint().Text()), s.Signature)
	}
	for _, s := range exampleState().Signatures {
		verify(byte(s.Node), exampleState().Message(), s.Signature)
	}
	for _, v := range exampleClock().Votes {
		verify(byte(v.Voter), v.Message(exampleCluster), v.Signature)
	}
	a := exampleAttest()
	verify(3, a.Message(exampleCluster), a.Signature)
}

// TestNamesAreDistinct keeps the names of actions and reasons apart: they are
// what interfaces and answers show.
func TestNamesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for n := uint16(1); n <= uint16(format.ActAttest); n++ {
		name := format.Action(n).String()
		if seen[name] || strings.HasPrefix(name, "ACTION_") {
			t.Errorf("action %d is called %s", n, name)
		}
		seen[name] = true
	}
	seen = map[string]bool{}
	for n := uint16(0); n <= uint16(format.ReasonPolicy); n++ {
		name := format.Reason(n).String()
		if seen[name] || strings.HasPrefix(name, "REASON_") {
			t.Errorf("reason %d is called %s", n, name)
		}
		seen[name] = true
	}
	if format.Action(900).String() != "ACTION_900" || format.Reason(900).String() != "REASON_900" {
		t.Error("a number without a name shows as another")
	}
}

// TestDescriptionAtTheEnd reads a description from the end of a bundle's bytes.
func TestDescriptionAtTheEnd(t *testing.T) {
	want := exampleDescription().Encode()
	d, n, err := format.DecodeDescription(append([]byte("the documents"), want...))
	if err != nil || n != len(want) || !bytes.Equal(d.Encode(), want) {
		t.Fatalf("%+v, %d, %v", d, n, err)
	}
}

// TestFaultsStick keeps the first failure of a reader, and answers zeros after it.
func TestFaultsStick(t *testing.T) {
	r := format.NewReader([]byte{0, 0, 0, 9, 1, 2, 3})
	if b := r.Blob(); b != nil || r.Err() == nil {
		t.Fatalf("%x, %v", b, r.Err())
	}
	first := r.Err()
	if r.U8() != 0 || r.Bool() || r.U16() != 0 || r.U32() != 0 || r.U64() != 0 || r.Str() != "" || r.Count(1) != 0 || !r.Slot().IsZero() {
		t.Error("something was read after a failure")
	}
	if !errors.Is(r.Done(), format.ErrMalformed) || r.Done() != first {
		t.Errorf("%v, then %v", first, r.Done())
	}
}

// TestStringsAreBounded panics rather than write a length that wraps.
func TestStringsAreBounded(t *testing.T) {
	var w format.Writer
	w.Str(strings.Repeat("x", 1<<16-1))
	defer func() {
		if recover() == nil {
			t.Error("a string of 65536 bytes was written")
		}
	}()
	w.Str(strings.Repeat("x", 1<<16))
}

// TestBundleDigest is SHA-256 over the chunks' digests in order.
func TestBundleDigest(t *testing.T) {
	a, b := digest(1), digest(2)
	want := sha256.Sum256(append(a[:], b[:]...))
	if format.BundleDigest([]format.Digest{a, b}) != want || format.BundleDigest([]format.Digest{b, a}) == want {
		t.Error("not over the digests in order")
	}
}

// TestDamageError names file, place and cause.
func TestDamageError(t *testing.T) {
	cause := errors.New("checksum")
	var err error = &format.DamageError{File: "history/00000001.his", Offset: 160, What: "record 0", Err: cause}
	if !errors.Is(err, cause) || err.Error() != "damage in history/00000001.his at 160: record 0: checksum" {
		t.Error(err)
	}
}
