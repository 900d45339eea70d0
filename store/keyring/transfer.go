package keyring

import (
	"crypto/ecdh"
	"fmt"
	"io"
	"reflect"

	"github.com/sago-worm/sago/store/format"
)

// A key block goes from one node to another inside TLS, whose buffers and those of
// gRPC nobody can wipe. So it is sealed once more, from key to key, under keys of that
// one transfer which both ends wipe: what stays in a buffer opens nothing.

const labelTransfer = "sago block transfer v1"

// transferSlot is how many bytes stand for one slot before they are sealed: a byte
// and the key, or zeros.
const transferSlot = 1 + 32

// What the byte says of a slot.
const (
	transferMissing = 0 // damaged there
	transferKey     = 1
	transferErased  = 2
)

// Ephemeral is one end's key of one transfer: ECDH on P-256.
type Ephemeral struct{ key *ecdh.PrivateKey }

// NewEphemeral draws a key. random is crypto/rand.Reader outside tests.
func NewEphemeral(random io.Reader) (*Ephemeral, error) {
	defer burnStack()
	scalar := make([]byte, 32)
	defer clear(scalar)
	for {
		if _, err := io.ReadFull(random, scalar); err != nil {
			return nil, fmt.Errorf("key of a transfer: randomness: %w", err)
		}
		if key, err := ecdh.P256().NewPrivateKey(scalar); err == nil { // not one of 2^32
			return &Ephemeral{key}, nil
		}
	}
}

// Public is what the other end needs: an uncompressed point, 65 bytes.
func (e *Ephemeral) Public() []byte { return e.key.PublicKey().Bytes() }

// ECDH is the secret shared with another key's owner, who finds the same. The caller
// wipes it.
func (e *Ephemeral) ECDH(other *ecdh.PublicKey) ([]byte, error) {
	defer burnStack()
	return e.key.ECDH(other)
}

// Wipe zeroes the private key. nil is nothing.
func (e *Ephemeral) Wipe() {
	if e == nil {
		return
	}
	v := reflect.ValueOf(e.key).Elem()
	wipeBytes(v.FieldByName("privateKey"))
	if inner := v.FieldByName("fips"); inner.Kind() == reflect.Pointer && !inner.IsNil() {
		wipeBytes(inner.Elem().FieldByName("d"))
	}
	burnStack()
}

// wipeBytes zeroes bytes in place that a value of the standard library holds.
func wipeBytes(v reflect.Value) {
	if v.IsValid() && v.Kind() == reflect.Slice {
		clear(v.Bytes())
	}
}

// Transfer is where a block comes from and where it goes: what is sealed for one
// opens as no other.
type Transfer struct {
	Cluster, Block format.ID
	From, To       uint32 // member numbers
}

// Seal seals a block for the receiver's public key and answers the sender's. Slots
// named in damaged are sent as missing. The error says that the key is no point.
func (t Transfer) Seal(random io.Reader, receiver []byte, b Block, damaged map[uint32]bool) (sender, sealed []byte, err error) {
	own, err := NewEphemeral(random)
	if err != nil {
		return nil, nil, err
	}
	defer own.Wipe()
	aead, context, err := t.aead(own, receiver, receiver, own.Public())
	if err != nil {
		return nil, nil, err
	}
	defer aead.wipe()
	plain := make([]byte, len(b.Keys)*transferSlot, len(b.Keys)*transferSlot+aead.Overhead())
	for i := range b.Keys {
		slot := plain[i*transferSlot:][:transferSlot]
		switch {
		case b.Erased[i]:
			slot[0] = transferErased
		case !damaged[uint32(i)]:
			slot[0] = transferKey
			copy(slot[1:], b.Keys[i][:])
		}
	}
	return own.Public(), aead.Seal(plain[:0], make([]byte, gcmNonce), plain, context), nil // in place
}

// Open opens what was sealed for own, which is wiped, and overwrites sealed. missing
// are the slots that were damaged at the sender. ErrSealed for what was not sealed so.
func (t Transfer) Open(own *Ephemeral, sender, sealed []byte) (b Block, missing map[uint32]bool, err error) {
	defer own.Wipe()
	b = Block{ID: t.Block}
	aead, context, err := t.aead(own, sender, own.Public(), sender)
	if err != nil {
		return b, nil, err
	}
	defer aead.wipe()
	defer clear(sealed)
	plain, err := aead.Open(sealed[:0], make([]byte, gcmNonce), sealed, context)
	slots := len(plain) / transferSlot
	if err != nil || slots == 0 || slots > MaxSlots || len(plain)%transferSlot != 0 {
		return b, nil, fmt.Errorf("%w: key block %x from node %d", ErrSealed, t.Block[:4], t.From)
	}
	b.Keys, b.Erased, missing = make([][32]byte, slots), make([]bool, slots), map[uint32]bool{}
	for i := range b.Keys {
		slot := plain[i*transferSlot:][:transferSlot]
		switch slot[0] {
		case transferKey:
			copy(b.Keys[i][:], slot[1:])
		case transferErased:
			b.Erased[i] = true
		default:
			missing[uint32(i)] = true
		}
	}
	return b, missing, nil
}

// aead is under a key that both ends derive and that seals one block: the nonce may
// be zeros.
func (t Transfer) aead(own *Ephemeral, other, receiver, sender []byte) (gcm, []byte, error) {
	defer burnStack()
	public, err := ecdh.P256().NewPublicKey(other)
	if err != nil {
		return gcm{}, nil, fmt.Errorf("key of a transfer: %w", err)
	}
	shared, err := own.key.ECDH(public)
	if err != nil {
		return gcm{}, nil, fmt.Errorf("key of a transfer: %w", err)
	}
	defer clear(shared)
	var w format.Writer
	w.Raw([]byte(labelTransfer))
	w.Raw(t.Cluster[:])
	w.Raw(t.Block[:])
	w.U32(t.From)
	w.U32(t.To)
	w.Raw(receiver)
	w.Raw(sender)
	var secret [32]byte
	defer clear(secret[:])
	copy(secret[:], shared)
	key := DeriveKey(secret, labelTransfer, w.Bytes()[len(labelTransfer):])
	defer clear(key[:])
	return newGCM(&key), w.Bytes(), nil
}
