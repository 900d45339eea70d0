package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

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
)

// gcmNonce is the length of a GCM nonce in bytes.
const gcmNonce = 12

// DeriveKey is KBKDF (NIST SP 800-108 in counter mode, HMAC-SHA-256, 32-bit
// counter before the fixed input): one block over counter 1, label, a zero byte,
// context and the output length of 256 bits. A label must not contain a zero byte.
func DeriveKey(key [32]byte, label string, context []byte) [32]byte {
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte{0, 0, 0, 1})
	m.Write([]byte(label))
	m.Write([]byte{0})
	m.Write(context)
	m.Write([]byte{0, 0, 1, 0})
	return [32]byte(m.Sum(nil))
}

// SealChunk encrypts one chunk of a bundle under its data key, of at most
// format.MaxChunk bytes. last marks the bundle's last chunk, so that a bundle cut
// short does not open. A slot seals one bundle: the caller must not seal two
// different texts as the same chunk of the same slot.
func SealChunk(key [32]byte, cluster format.ID, slot format.Slot, chunk uint32, last bool, plain []byte) (format.Chunk, error) {
	if len(plain) > format.MaxChunk {
		return format.Chunk{}, fmt.Errorf("chunk of %d bytes", len(plain))
	}
	aead, nonce, data := chunkAEAD(key, cluster, slot, chunk, last)
	return format.NewChunk(slot, chunk, aead.Seal(nil, nonce, plain, data)), nil
}

// OpenChunk decrypts what SealChunk sealed. ErrSealed for anything else.
func OpenChunk(key [32]byte, cluster format.ID, h format.ChunkHeader, last bool, sealed []byte) ([]byte, error) {
	aead, nonce, data := chunkAEAD(key, cluster, h.Slot, h.Chunk, last)
	plain, err := aead.Open(nil, nonce, sealed, data)
	if err != nil {
		return nil, fmt.Errorf("%w: chunk %d of slot %s", ErrSealed, h.Chunk, h.Slot)
	}
	return plain, nil
}

// chunkAEAD is the STREAM construction: the nonce counts chunks and marks the last.
func chunkAEAD(key [32]byte, cluster format.ID, slot format.Slot, chunk uint32, last bool) (cipher.AEAD, []byte, []byte) {
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
	return newGCM(DeriveKey(key, labelChunk, context.Bytes())), nonce, data.Bytes()
}

// SealDetail encrypts the detail of the record with that place in that operation,
// under an institution's history key. Each place has a derived key of its own that
// seals one string, so the fixed nonce meets no second message under its key: an
// operation id is 128 random bits and an ordinal occurs once in it.
func SealDetail(institutionKey [32]byte, op format.ID, ordinal uint32, plain []byte) []byte {
	aead, place := detailAEAD(institutionKey, op, ordinal)
	return aead.Seal(nil, make([]byte, gcmNonce), plain, place)
}

// OpenDetail decrypts what SealDetail sealed. ErrSealed for anything else.
func OpenDetail(institutionKey [32]byte, op format.ID, ordinal uint32, sealed []byte) ([]byte, error) {
	aead, place := detailAEAD(institutionKey, op, ordinal)
	plain, err := aead.Open(nil, make([]byte, gcmNonce), sealed, place)
	if err != nil {
		return nil, fmt.Errorf("%w: detail %d of operation %x", ErrSealed, ordinal, op)
	}
	return plain, nil
}

func detailAEAD(key [32]byte, op format.ID, ordinal uint32) (cipher.AEAD, []byte) {
	return newGCM(DetailKey(key, op, ordinal)), detailPlace(op, ordinal)
}

func detailPlace(op format.ID, ordinal uint32) []byte {
	var place format.Writer
	place.Raw(op[:])
	place.U32(ordinal)
	return place.Bytes()
}

// DetailKey is the derived key of one detail: what opens it and no other.
func DetailKey(institutionKey [32]byte, op format.ID, ordinal uint32) [32]byte {
	return DeriveKey(institutionKey, labelDetail, detailPlace(op, ordinal))
}

// OpenDetailWith decrypts a detail by its own derived key. ErrSealed for anything
// else.
func OpenDetailWith(detailKey [32]byte, op format.ID, ordinal uint32, sealed []byte) ([]byte, error) {
	plain, err := newGCM(detailKey).Open(nil, make([]byte, gcmNonce), sealed, detailPlace(op, ordinal))
	if err != nil {
		return nil, fmt.Errorf("%w: detail %d of operation %x", ErrSealed, ordinal, op)
	}
	return plain, nil
}

// SealCarried seals the derived key of a carried record's detail under another
// history key of the institution. The key that seals is derived for that record
// and seals one string, so the nonce may be fixed.
func SealCarried(institutionKey [32]byte, sequence uint64, detailKey [32]byte) []byte {
	aead, place := carriedAEAD(institutionKey, sequence)
	return aead.Seal(nil, make([]byte, gcmNonce), detailKey[:], place)
}

// OpenCarried opens what SealCarried sealed. ErrSealed for anything else.
func OpenCarried(institutionKey [32]byte, sequence uint64, sealed []byte) (key [32]byte, err error) {
	aead, place := carriedAEAD(institutionKey, sequence)
	plain, err := aead.Open(nil, make([]byte, gcmNonce), sealed, place)
	if err != nil || len(plain) != len(key) {
		return key, fmt.Errorf("%w: carried key of record %d", ErrSealed, sequence)
	}
	copy(key[:], plain)
	clear(plain)
	return key, nil
}

func carriedAEAD(key [32]byte, sequence uint64) (cipher.AEAD, []byte) {
	place := binary.BigEndian.AppendUint64(nil, sequence)
	return newGCM(DeriveKey(key, labelCarried, place)), place
}

// Commitment binds a bundle to its fingerprint without telling it: HMAC-SHA-256
// under a key derived from the bundle's data key. Once the slot is erased nobody
// can confirm a guess by it.
func Commitment(dataKey [32]byte, fingerprint format.Digest) format.Digest {
	key := CommitmentKey(dataKey)
	defer clear(key[:])
	return mac(key, fingerprint[:])
}

// CommitmentKey is the key of a bundle's commitment: who is to approve the
// bundle's special deletion checks by it that a fingerprint is the stored one's.
// It opens nothing else.
func CommitmentKey(dataKey [32]byte) [32]byte { return DeriveKey(dataKey, labelCommitment, nil) }

// SubjectRef is how state and history name a data subject (정보주체): HMAC-SHA-256
// of the CI under the institution's subject key.
func SubjectRef(subjectKey [32]byte, ci string) format.Digest { return mac(subjectKey, []byte(ci)) }

func mac(key [32]byte, b []byte) format.Digest {
	m := hmac.New(sha256.New, key[:])
	m.Write(b)
	return format.Digest(m.Sum(nil))
}

// newGCM cannot fail: the key has a length that AES takes.
func newGCM(key [32]byte) cipher.AEAD {
	defer clear(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("keyring: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("keyring: " + err.Error())
	}
	return aead
}
