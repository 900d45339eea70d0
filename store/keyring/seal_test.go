package keyring

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

func counting() (k [32]byte) {
	for i := range k {
		k[i] = byte(i)
	}
	return k
}

// The value is OpenSSL 3.0's: openssl kdf -keylen 32 -kdfopt mac:HMAC
// -kdfopt digest:SHA256 -kdfopt hexkey:000102..1f -kdfopt "salt:sago detail v1"
// -kdfopt "info:context of the vector" -kdfopt mode:counter KBKDF
func TestDeriveKeyVector(t *testing.T) {
	got := DeriveKey(counting(), "sago detail v1", []byte("context of the vector"))
	if h := hex.EncodeToString(got[:]); h != "adad5d83ecc76daa5b8d37d5d9654ea72aff8d1cc9909641a94e5e6aaf6b26f9" {
		t.Fatal(h)
	}
}

// TestSealVectors pins the bytes; the values were computed with Python's
// cryptography and hmac from docs/formats/key-block.md.
func TestSealVectors(t *testing.T) {
	key, slot := counting(), format.Slot{Block: format.ID{0xb1}, Index: 5}
	c, err := SealChunk(key, format.ID{0xc1}, slot, 7, true, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	commitment := Commitment(key, format.Digest{1})
	subject := SubjectRef(key, "CI1")
	for name, v := range map[string][2]string{
		"chunk":      {hex.EncodeToString(c.Sealed), vectorChunk},
		"detail":     {hex.EncodeToString(SealDetail(key, format.ID{0x0b}, 2, []byte("who"))), vectorDetail},
		"carried":    {hex.EncodeToString(SealCarried(key, 41, DetailKey(key, format.ID{0x0b}, 2))), vectorCarried},
		"commitment": {hex.EncodeToString(commitment[:]), vectorCommitment},
		"subject":    {hex.EncodeToString(subject[:]), vectorSubject},
	} {
		if v[0] != v[1] {
			t.Errorf("%s is %s, want %s", name, v[0], v[1])
		}
	}
}

func TestChunkOpensOnlyInItsPlace(t *testing.T) {
	key, cluster, slot := counting(), format.ID{1}, format.Slot{Block: format.ID{2}, Index: 3}
	plain := []byte("건강보험자격득실확인서")
	c, err := SealChunk(key, cluster, slot, 4, false, plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenChunk(key, cluster, c.ChunkHeader, false, c.Sealed); err != nil || !bytes.Equal(got, plain) {
		t.Fatal(err)
	}
	h := c.ChunkHeader
	h.Chunk++
	moved := c.ChunkHeader
	moved.Slot.Index++
	for name, try := range map[string]func() ([]byte, error){
		"as the last":   func() ([]byte, error) { return OpenChunk(key, cluster, c.ChunkHeader, true, c.Sealed) },
		"other chunk":   func() ([]byte, error) { return OpenChunk(key, cluster, h, false, c.Sealed) },
		"other slot":    func() ([]byte, error) { return OpenChunk(key, cluster, moved, false, c.Sealed) },
		"other cluster": func() ([]byte, error) { return OpenChunk(key, format.ID{9}, c.ChunkHeader, false, c.Sealed) },
		"other key":     func() ([]byte, error) { return OpenChunk([32]byte{}, cluster, c.ChunkHeader, false, c.Sealed) },
		"no bytes":      func() ([]byte, error) { return OpenChunk(key, cluster, c.ChunkHeader, false, nil) },
	} {
		if got, err := try(); !errors.Is(err, ErrSealed) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := SealChunk(key, cluster, slot, 0, true, make([]byte, format.MaxChunk+1)); err == nil {
		t.Error("a chunk over the limit was sealed")
	}
}

func TestDetailOpensOnlyInItsPlace(t *testing.T) {
	key, op := counting(), format.ID{4}
	sealed := SealDetail(key, op, 1, []byte("김아무개"))
	if got, err := OpenDetail(key, op, 1, sealed); err != nil || string(got) != "김아무개" {
		t.Fatal(err)
	}
	for _, try := range []struct {
		key [32]byte
		op  format.ID
		n   uint32
	}{{key, op, 2}, {key, format.ID{5}, 1}, {[32]byte{}, op, 1}} {
		if _, err := OpenDetail(try.key, try.op, try.n, sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("%v: %v", try, err)
		}
	}
}

// ExampleSealChunk seals a small bundle and opens it again.
func ExampleSealChunk() {
	dataKey, cluster, slot := [32]byte{1}, format.ID{2}, format.Slot{Index: 3}
	c, _ := SealChunk(dataKey, cluster, slot, 0, true, []byte("<문서/>"))
	plain, err := OpenChunk(dataKey, cluster, c.ChunkHeader, true, c.Sealed)
	fmt.Println(string(plain), err)
	// Output: <문서/> <nil>
}

func TestCarriedKeyOpensOneDetailInItsPlace(t *testing.T) {
	key, other := counting(), [32]byte{9}
	op := format.ID{0x0b}
	sealed := SealDetail(key, op, 2, []byte("who"))
	carried := SealCarried(other, 41, DetailKey(key, op, 2))
	own, err := OpenCarried(other, 41, carried)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := OpenDetailWith(own, op, 2, sealed); err != nil || string(plain) != "who" {
		t.Fatalf("%q, %v", plain, err)
	}
	if _, err := OpenDetailWith(own, op, 3, sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("another place: %v", err)
	}
	for name, open := range map[string]func() error{
		"another record": func() error { _, err := OpenCarried(other, 42, carried); return err },
		"another key":    func() error { _, err := OpenCarried(key, 41, carried); return err },
		"cut short":      func() error { _, err := OpenCarried(other, 41, carried[:20]); return err },
		"nothing":        func() error { _, err := OpenCarried(other, 41, nil); return err },
	} {
		if err := open(); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
