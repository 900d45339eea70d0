package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"github.com/sago-worm/sago/store/format"
)

// This file is the cryptography of suite 1: AES-256-GCM, SHA-256, HMAC-SHA-256
// and KBKDF, all from the standard library. docs/formats/key-block.md states each
// construction. The module is not KCMVP-validated (KCMVP 검증필 암호모듈이 아님).

// ErrSealed is returned when a ciphertext does not open: another key, another
// place, or other bytes than were sealed.
var ErrSealed = errors.New("ciphertext does not open")

// Labels of derived keys and associated data. A label is never used twice.
const (
	labelSlot       = "sago slot v1"
	labelChunk      = "sago chunk v1"
	labelDetail     = "sago detail v1"
	labelCommitment = "sago commitment v1"
	labelCarried    = "sago carried key v1"
	labelRootID     = "sago root key id v1"
)

// gcmNonce is the length of a GCM nonce in bytes.
const gcmNonce = 12

// DeriveKey is KBKDF (NIST SP 800-108 in counter mode, HMAC-SHA-256, 32-bit
// counter before the fixed input): one block over counter 1, label, a zero byte,
// context and the output length of 256 bits. A label must not contain a zero byte.
func DeriveKey(key [32]byte, label string, context []byte) [32]byte {
	defer clear(key[:])
	return mac(&key, []byte{0, 0, 0, 1}, []byte(label), []byte{0}, context, []byte{0, 0, 1, 0})
}

// SealChunk encrypts one chunk of a bundle under its data key, of at most
// format.MaxChunk bytes. last marks the bundle's last chunk, so that a bundle cut
// short does not open. A slot seals one bundle: the caller must not seal two
// different texts as the same chunk of the same slot.
func SealChunk(key [32]byte, cluster format.ID, slot format.Slot, chunk uint32, last bool, plain []byte) (format.Chunk, error) {
	defer clear(key[:])
	if len(plain) > format.MaxChunk {
		return format.Chunk{}, fmt.Errorf("chunk of %d bytes", len(plain))
	}
	aead, nonce, data := chunkAEAD(key, cluster, slot, chunk, last)
	defer aead.wipe()
	return format.NewChunk(slot, chunk, aead.Seal(nil, nonce, plain, data)), nil
}

// OpenChunk decrypts what SealChunk sealed. ErrSealed for anything else.
func OpenChunk(key [32]byte, cluster format.ID, h format.ChunkHeader, last bool, sealed []byte) ([]byte, error) {
	defer clear(key[:])
	aead, nonce, data := chunkAEAD(key, cluster, h.Slot, h.Chunk, last)
	defer aead.wipe()
	plain, err := aead.Open(nil, nonce, sealed, data)
	if err != nil {
		return nil, fmt.Errorf("%w: chunk %d of slot %s", ErrSealed, h.Chunk, h.Slot)
	}
	return plain, nil
}

// chunkAEAD is the STREAM construction: the nonce counts chunks and marks the last.
func chunkAEAD(key [32]byte, cluster format.ID, slot format.Slot, chunk uint32, last bool) (gcm, []byte, []byte) {
	defer clear(key[:])
	var context format.Writer
	context.Raw(cluster[:])
	context.Slot(slot)
	var data format.Writer
	data.Raw([]byte(labelChunk))
	data.Raw(context.Bytes())
	data.U32(chunk)
	nonce := make([]byte, gcmNonce)
	binary.BigEndian.PutUint32(nonce[4:], chunk)
	if last {
		nonce[8] = 1
	}
	chunkKey := DeriveKey(key, labelChunk, context.Bytes())
	defer clear(chunkKey[:])
	return newGCM(&chunkKey), nonce, data.Bytes()
}

// SealDetail encrypts the detail of the record with that place in that operation,
// under an institution's history key. Each place has a derived key of its own that
// seals one string, so the fixed nonce meets no second message under its key: an
// operation id is 128 random bits and an ordinal occurs once in it.
func SealDetail(institutionKey [32]byte, op format.ID, ordinal uint32, plain []byte) []byte {
	defer clear(institutionKey[:])
	aead, place := detailAEAD(institutionKey, op, ordinal)
	defer aead.wipe()
	return aead.Seal(nil, make([]byte, gcmNonce), plain, place)
}

// OpenDetail decrypts what SealDetail sealed. ErrSealed for anything else.
func OpenDetail(institutionKey [32]byte, op format.ID, ordinal uint32, sealed []byte) ([]byte, error) {
	defer clear(institutionKey[:])
	aead, place := detailAEAD(institutionKey, op, ordinal)
	defer aead.wipe()
	plain, err := aead.Open(nil, make([]byte, gcmNonce), sealed, place)
	if err != nil {
		return nil, fmt.Errorf("%w: detail %d of operation %x", ErrSealed, ordinal, op)
	}
	return plain, nil
}

func detailAEAD(key [32]byte, op format.ID, ordinal uint32) (gcm, []byte) {
	defer clear(key[:])
	own := DetailKey(key, op, ordinal)
	defer clear(own[:])
	return newGCM(&own), detailPlace(op, ordinal)
}

func detailPlace(op format.ID, ordinal uint32) []byte {
	var place format.Writer
	place.Raw(op[:])
	place.U32(ordinal)
	return place.Bytes()
}

// DetailKey is the derived key of one detail: what opens it and no other.
func DetailKey(institutionKey [32]byte, op format.ID, ordinal uint32) [32]byte {
	defer clear(institutionKey[:])
	return DeriveKey(institutionKey, labelDetail, detailPlace(op, ordinal))
}

// OpenDetailWith decrypts a detail by its own derived key. ErrSealed for anything
// else.
func OpenDetailWith(detailKey [32]byte, op format.ID, ordinal uint32, sealed []byte) ([]byte, error) {
	defer clear(detailKey[:])
	aead := newGCM(&detailKey)
	defer aead.wipe()
	plain, err := aead.Open(nil, make([]byte, gcmNonce), sealed, detailPlace(op, ordinal))
	if err != nil {
		return nil, fmt.Errorf("%w: detail %d of operation %x", ErrSealed, ordinal, op)
	}
	return plain, nil
}

// SealCarried seals the derived key of a carried record's detail under another
// history key of the institution. The key that seals is derived for that record
// and seals one string, so the nonce may be fixed.
func SealCarried(institutionKey [32]byte, sequence uint64, detailKey [32]byte) []byte {
	defer clear(institutionKey[:])
	defer clear(detailKey[:])
	aead, place := carriedAEAD(institutionKey, sequence)
	defer aead.wipe()
	return aead.Seal(nil, make([]byte, gcmNonce), detailKey[:], place)
}

// OpenCarried opens what SealCarried sealed. ErrSealed for anything else.
func OpenCarried(institutionKey [32]byte, sequence uint64, sealed []byte) (key [32]byte, err error) {
	defer clear(institutionKey[:])
	aead, place := carriedAEAD(institutionKey, sequence)
	defer aead.wipe()
	plain, err := aead.Open(nil, make([]byte, gcmNonce), sealed, place)
	if err != nil || len(plain) != len(key) {
		return key, fmt.Errorf("%w: carried key of record %d", ErrSealed, sequence)
	}
	copy(key[:], plain)
	clear(plain)
	return key, nil
}

func carriedAEAD(key [32]byte, sequence uint64) (gcm, []byte) {
	defer clear(key[:])
	place := binary.BigEndian.AppendUint64(nil, sequence)
	own := DeriveKey(key, labelCarried, place)
	defer clear(own[:])
	return newGCM(&own), place
}

// Commitment binds a bundle to its fingerprint without telling it: HMAC-SHA-256
// under a key derived from the bundle's data key. Once the slot is erased nobody
// can confirm a guess by it.
func Commitment(dataKey [32]byte, fingerprint format.Digest) format.Digest {
	defer burnStack()
	defer clear(dataKey[:])
	key := DeriveKey(dataKey, labelCommitment, nil)
	defer clear(key[:])
	return mac(&key, fingerprint[:])
}

// CommitmentKey is the key of a bundle's commitment: who is to approve the
// bundle's special deletion checks by it that a fingerprint is the stored one's.
// It opens nothing else.
func CommitmentKey(dataKey [32]byte) [32]byte {
	defer burnStack()
	defer clear(dataKey[:])
	return DeriveKey(dataKey, labelCommitment, nil)
}

// SubjectRef is how state and history name a data subject (정보주체): HMAC-SHA-256
// of the CI under the institution's subject key.
func SubjectRef(subjectKey [32]byte, ci string) format.Digest {
	defer burnStack()
	defer clear(subjectKey[:])
	return mac(&subjectKey, []byte(ci))
}

// HoldRef is how state and history name a legal hold (보존 조치), whose name may name
// people: HMAC-SHA-256 under the institution's subject key over "sago hold v1\n",
// the scope and the name. One name on a bundle, a subject and a definition is three
// holds.
func HoldRef(subjectKey [32]byte, scope format.HoldScope, name string) format.Digest {
	defer burnStack()
	defer clear(subjectKey[:])
	return mac(&subjectKey, []byte("sago hold v1\n"), []byte{byte(scope)}, []byte(name))
}

// mac is HMAC-SHA-256 (FIPS 198-1) of the parts in a row. It is not crypto/hmac's,
// which leaves the padded key behind in memory where nobody can wipe it.
func mac(key *[32]byte, parts ...[]byte) [32]byte {
	inner := padded(key, 0x36, parts...)
	defer clear(inner[:])
	return padded(key, 0x5c, inner[:])
}

// padded is SHA-256 of the key, filled up to a block and changed by pad, and the
// parts.
func padded(key *[32]byte, pad byte, parts ...[]byte) [32]byte {
	block := make([]byte, sha256.BlockSize)
	defer clear(block)
	for i := range block {
		if block[i] = pad; i < len(key) {
			block[i] ^= key[i]
		}
	}
	h := sha256.New()
	defer wipe(h)
	h.Write(block)
	for _, p := range parts {
		h.Write(p)
	}
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}

// gcm is AES-256-GCM under one key. Whoever made it wipes it: the key's schedule
// begins with the key itself, and freed memory keeps it until it is used again.
type gcm struct {
	cipher.AEAD
	block cipher.Block
}

// newGCM cannot fail: the key has a length that AES takes.
func newGCM(key *[32]byte) gcm {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("keyring: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("keyring: " + err.Error())
	}
	return gcm{aead, block}
}

// wipe zeroes both schedules. Nothing can be sealed or opened afterwards.
func (g gcm) wipe() {
	wipe(g.AEAD)
	wipe(g.block)
	burnStack()
}

// burnStack overwrites the stack that calls before this one used and left: the
// standard library keeps copies of sums and keys there.
//
//go:noinline
func burnStack() {
	var used [8 << 10]byte
	keep(&used)
}

// keep makes the compiler believe that the bytes are wanted.
//
//go:noinline
func keep(*[8 << 10]byte) {}

// wipe zeroes what a cipher or a hash of the standard library holds, which has no
// call for it.
func wipe(held any) {
	if v := reflect.ValueOf(held); v.Kind() == reflect.Pointer {
		v.Elem().SetZero()
	}
}

// SealNth encrypts string n of those that a key was made for and that no other key
// seals: n is the nonce, and never comes twice under one key.
func SealNth(key [32]byte, n uint64, data, plain []byte) []byte {
	defer clear(key[:])
	aead := newGCM(&key)
	defer aead.wipe()
	return aead.Seal(nil, nthNonce(n), plain, data)
}

// OpenNth decrypts what SealNth sealed. ErrSealed for anything else.
func OpenNth(key [32]byte, n uint64, data, sealed []byte) ([]byte, error) {
	defer clear(key[:])
	aead := newGCM(&key)
	defer aead.wipe()
	plain, err := aead.Open(nil, nthNonce(n), sealed, data)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

func nthNonce(n uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, gcmNonce-8, gcmNonce), n)
}
