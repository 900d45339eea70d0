package format_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/sago-worm/sago/store/format"
)

// signedNote is a checkpoint signed by a node and cosigned by a witness.
func signedNote(t testing.TB) (n format.Note, node, witness format.NoteKey) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(priv.Public())
	if err != nil {
		t.Fatal(err)
	}
	pub, seed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	node = format.NoteKey{Name: "n1", Type: format.NoteECDSA, Key: der}
	witness = format.NoteKey{Name: "w.example/1", Type: format.NoteCosignature, Key: pub}
	n.Text = format.Checkpoint{Size: 7, Entry: 9}.Text()
	digest := sha256.Sum256([]byte(n.Text))
	sig, err := ecdsa.SignASN1(rand.Reader, priv, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	cosig := binary.BigEndian.AppendUint64(nil, 1_700_000_000)
	cosig = append(cosig, ed25519.Sign(seed, []byte(format.CosignatureMessage(n.Text, 1_700_000_000)))...)
	n.Lines = []format.NoteLine{{Name: node.Name, KeyID: node.ID(), Signature: sig}, {Name: witness.Name, KeyID: witness.ID(), Signature: cosig}}
	return n, node, witness
}

func TestP43_NoteOfAnybodyElseIsRefused(t *testing.T) {
	n, node, witness := signedNote(t)
	got, err := format.ParseNote(n.String())
	if err != nil || got.String() != n.String() {
		t.Fatalf("%v, %+v", err, got)
	}
	for i, k := range []format.NoteKey{node, witness} {
		if !k.Verify(got.Text, got.Lines[i]) || k.Verify(got.Text, got.Lines[1-i]) || k.Verify(got.Text+"x\n", got.Lines[i]) {
			t.Fatalf("key %d verifies wrongly", i)
		}
		bent := got.Lines[i]
		for at := range bent.Signature {
			bent.Signature = append([]byte(nil), got.Lines[i].Signature...)
			bent.Signature[at] ^= 1
			if k.Verify(got.Text, bent) {
				t.Fatalf("key %d takes a signature bent at byte %d", i, at)
			}
		}
		back, err := format.ParseVKey(k.VKey())
		if err != nil || back.VKey() != k.VKey() || back.ID() != k.ID() {
			t.Fatalf("%v, %+v", err, back)
		}
		if _, err := format.ParseVKey(strings.Replace(k.VKey(), k.Name, k.Name+"x", 1)); !errors.Is(err, format.ErrMalformed) {
			t.Fatal("took a key under another name")
		}
	}
	// The form is the one that golang.org/x/mod knows.
	if _, err := note.Open([]byte(n.String()), note.VerifierList()); !errors.As(err, new(*note.UnverifiedNoteError)) {
		t.Fatalf("not a signed note to others: %v", err)
	}
}

func FuzzParseNote(f *testing.F) {
	n, _, _ := signedNote(f)
	f.Add(n.String())
	f.Add(n.Text)
	f.Add("a\n\nb\n\n— x AAAAAAA=\n")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := format.ParseNote(s)
		if err == nil && n.String() != s || err != nil && !errors.Is(err, format.ErrMalformed) {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

func FuzzParseVKey(f *testing.F) {
	_, node, witness := signedNote(f)
	f.Add(node.VKey())
	f.Add(witness.VKey())
	f.Fuzz(func(t *testing.T, s string) {
		k, err := format.ParseVKey(s)
		if err != nil {
			if !errors.Is(err, format.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if again, err := format.ParseVKey(k.VKey()); err != nil || again.VKey() != k.VKey() {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
