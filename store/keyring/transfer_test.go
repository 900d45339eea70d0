package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

func sentBlock(t *testing.T) (Transfer, Block) {
	t.Helper()
	b, err := NewBlock(rand.Reader, 1, 5)
	if err != nil {
		t.Fatal(err)
	}
	b.Keys[1], b.Erased[1] = [32]byte{}, true
	return Transfer{Cluster: format.ID{1}, Block: b.ID, From: 1, To: 2}, b
}

func ephemeral(t *testing.T) *Ephemeral {
	t.Helper()
	e, err := NewEphemeral(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestP42_ABlockIsSealedForOneTransfer: nothing of the keys stands in what is sent, it
// opens at the other end, and neither elsewhere, nor twice, nor changed.
func TestP42_ABlockIsSealedForOneTransfer(t *testing.T) {
	way, b := sentBlock(t)
	own := ephemeral(t)
	sender, sealed, err := way.Seal(rand.Reader, own.Public(), b, map[uint32]bool{3: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range b.Keys {
		if !b.Erased[i] && bytes.Contains(sealed, k[:]) {
			t.Errorf("key %d is sent in the clear", i)
		}
	}
	for name, change := range map[string]func(*Transfer){
		"cluster": func(w *Transfer) { w.Cluster[0]++ }, "block": func(w *Transfer) { w.Block[0]++ },
		"sender": func(w *Transfer) { w.From++ }, "receiver": func(w *Transfer) { w.To++ },
	} {
		other, again := way, ephemeral(t)
		change(&other)
		point, text, err := way.Seal(rand.Reader, again.Public(), b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := other.Open(again, point, text); !errors.Is(err, ErrSealed) {
			t.Errorf("it opens for another %s: %v", name, err)
		}
	}
	if _, _, err := way.Open(ephemeral(t), sender, slices.Clone(sealed)); !errors.Is(err, ErrSealed) {
		t.Errorf("it opens with another key: %v", err)
	}
	kept := slices.Clone(sealed)
	got, missing, err := way.Open(own, sender, sealed)
	if err != nil || len(missing) != 1 || !missing[3] || got.ID != b.ID || !slices.Equal(got.Erased, b.Erased) {
		t.Fatalf("%+v %v %v", got, missing, err)
	}
	for i, k := range got.Keys {
		if want := b.Keys[i]; i != 3 && k != want || i == 3 && k != ([32]byte{}) {
			t.Errorf("key %d is another", i)
		}
	}
	if !bytes.Equal(sealed, make([]byte, len(sealed))) {
		t.Error("the opened text is left")
	}
	if _, _, err := way.Open(own, sender, kept); err == nil {
		t.Error("it opens again: the key was not wiped")
	}
}

// TestAWipedEphemeralIsGone: the standard library holds its bytes where Wipe finds them.
func TestAWipedEphemeralIsGone(t *testing.T) {
	e := ephemeral(t)
	if bytes.Equal(e.key.Bytes(), make([]byte, 32)) {
		t.Fatal("no key was drawn")
	}
	other, err := e.key.ECDH(e.key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	e.Wipe()
	if !bytes.Equal(e.key.Bytes(), make([]byte, 32)) {
		t.Error("the key's bytes are left")
	}
	if again, err := e.key.ECDH(e.key.PublicKey()); err == nil && bytes.Equal(again, other) {
		t.Error("the key works still")
	}
	(*Ephemeral)(nil).Wipe()
}

// FuzzOpenTransfer: what a peer sends never does more than fail.
func FuzzOpenTransfer(f *testing.F) {
	f.Add([]byte{4}, []byte("x"))
	f.Fuzz(func(t *testing.T, sender, sealed []byte) {
		way, _ := sentBlock(t)
		if _, _, err := way.Open(ephemeral(t), sender, slices.Clone(sealed)); err == nil {
			t.Error("made-up bytes open")
		}
	})
}

// TestTransferVector is of Python's cryptography: the private keys are 32 bytes 0x11
// (the receiver's) and 0x22.
func TestTransferVector(t *testing.T) {
	const want = "6c008d9607fd32508ca97ce03cd9d3ed8b9040701e88fe41426108aba2743dfe9be5378935ef5d8d0079de7e586345e1731316ea3d9c7c9272be1865e8417e4142012c934ae82ffd43edfe245ef5080d753ea1fa80dd809026cc80a9113ca2a2010c789478358e17b0068e03c03e9d858423ea"
	filled := func(with byte) []byte { return bytes.Repeat([]byte{with}, 32) }
	receiver, err := NewEphemeral(bytes.NewReader(filled(0x11)))
	if err != nil {
		t.Fatal(err)
	}
	b := Block{Keys: [][32]byte{[32]byte(filled(0x33)), {}, {}}, Erased: []bool{false, true, false}}
	way := Transfer{Cluster: format.ID(filled(0xc1)[:16]), Block: format.ID(filled(0xb1)[:16]), From: 1, To: 2}
	_, sealed, err := way.Seal(bytes.NewReader(filled(0x22)), receiver.Public(), b, map[uint32]bool{2: true})
	if err != nil || hex.EncodeToString(sealed) != want {
		t.Errorf("%x, %v", sealed, err)
	}
}
