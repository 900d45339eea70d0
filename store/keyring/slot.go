package keyring

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/sago-worm/sago/store/format"
)

// The bytes here are drawn in docs/formats/key-block.md.

// SlotSize is the length of a slot in a key-block file, in bytes.
const SlotSize = 64

// MaxSlots is the greatest number of slots in one block.
const MaxSlots = 1 << 16

// HeaderSlot is the index by which Verify and Export name a block's header.
const HeaderSlot = ^uint32(0)

// erasedText fills an erased slot. It is 64 bytes.
const erasedText = "ERASED\nThe key that stood here was destroyed; nothing opens it.\n"

// absentText fills the slot of a key that no key archive gave back. It is 64 bytes.
const absentText = "ABSENT\nRestored without this key: no archive at hand holds it..\n"

// AbsentSlot returns the bytes of a slot whose key may exist elsewhere and is not
// here: a running node asks its peers for it, and has Repair fill it.
func AbsentSlot() []byte { return []byte(absentText) }

// ErasedSlot returns the bytes of an erased slot.
func ErasedSlot() []byte { return []byte(erasedText) }

// SlotOffset is the place of a slot in its file, in bytes.
func SlotOffset(index uint32) int64 { return format.FileHeaderSize + int64(index)*SlotSize }

// FileName is a block's file, relative to the data directory.
func FileName(block format.ID) string { return "keys/" + hex.EncodeToString(block[:]) + ".kb" }

// SlotState says what a slot's bytes are: things that are never confused.
type SlotState uint8

// The states of a slot.
const (
	SlotDamaged SlotState = iota
	SlotLive
	SlotErased
	SlotAbsent
)

// StateOf tells a slot's state from its SlotSize bytes, without a key.
func StateOf(index uint32, b []byte) SlotState {
	switch {
	case len(b) != SlotSize:
		return SlotDamaged
	case string(b) == erasedText:
		return SlotErased
	case string(b) == absentText:
		return SlotAbsent
	case binary.BigEndian.Uint32(b[SlotSize-4:]) == slotChecksum(index, b):
		return SlotLive
	}
	return SlotDamaged
}

func slotChecksum(index uint32, b []byte) uint32 {
	var w format.Writer
	w.U32(index)
	w.Raw(b[:SlotSize-4])
	return format.Checksum(w.Bytes())
}

// errRoot says that a slot is whole and still does not open: another root key, or
// bytes that somebody made to fit.
var errRoot = errors.New("sealed key does not open under this node's root key")

// IsForeign reports whether an error speaks of such a slot.
func IsForeign(err error) bool { return errors.Is(err, errRoot) }

// sealSlot seals key for one slot. Nonces are random: under one root key at most
// 2^32 keys may be sealed (SP 800-38D), which is far beyond a node's life.
func sealSlot(rand io.Reader, root *RootKey, cluster format.ID, s format.Slot, key [32]byte) ([]byte, error) {
	defer clear(key[:])
	b := make([]byte, gcmNonce, SlotSize)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, fmt.Errorf("randomness: %w", err)
	}
	aead := newGCM((*[32]byte)(root))
	defer aead.wipe()
	b = aead.Seal(b, b[:gcmNonce], key[:], slotData(cluster, s))
	return binary.BigEndian.AppendUint32(b, slotChecksum(s.Index, b[:SlotSize])), nil
}

// openSlot is the other way; b must be in state SlotLive.
func openSlot(root *RootKey, cluster format.ID, s format.Slot, b []byte) (key [32]byte, err error) {
	aead := newGCM((*[32]byte)(root))
	defer aead.wipe()
	plain, err := aead.Open(nil, b[:gcmNonce], b[gcmNonce:SlotSize-4], slotData(cluster, s))
	if err != nil {
		return key, errRoot
	}
	defer clear(plain)
	return [32]byte(plain), nil
}

func slotData(cluster format.ID, s format.Slot) []byte {
	var w format.Writer
	w.Raw([]byte(labelSlot))
	w.Raw(cluster[:])
	w.Slot(s)
	return w.Bytes()
}
