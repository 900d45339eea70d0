// Package keyring keeps the data keys of bundles and institutions in key blocks:
// files of 64-byte slots, each key sealed under this node's root key, so that a
// key can be destroyed by overwriting its slot.
//
// What it guarantees: a slot is live, erased or damaged and never taken for
// another of the three; a key that is answered is the one that was installed in
// that slot of that block of that cluster; an erased slot stays erased, whatever
// is installed or repaired later. It holds no key between calls: Key reads the
// file each time. It never writes a file itself: the custodian creates blocks,
// mends slots and alone erases them. seal.go holds the appliance's cryptography.
package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sago-worm/sago/store/format"
)

var (
	// ErrNoBlock is returned for a block that this node does not have, and for a key
	// that it was restored without.
	ErrNoBlock = errors.New("no such key block")
	// ErrErased is returned for a key that was destroyed.
	ErrErased = errors.New("key was erased")
	// ErrConflict is returned by Install for a block that is here with other keys.
	ErrConflict = errors.New("key block differs from the installed one")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("key ring is closed")
	// ErrNotDamaged is returned by repairs of what is live or erased.
	ErrNotDamaged = errors.New("key slot is not damaged")
)

// RootKey seals every slot of one node. Each node has its own.
type RootKey [32]byte

// Block is a key block in the clear, as a node makes it and sends it to its peers
// over mTLS. Where Erased or Absent is set the key is zero.
type Block struct {
	ID     format.ID
	Owner  uint32 // member number of the node that uses the slots
	Keys   [][32]byte
	Erased []bool // as long as Keys
	Absent []bool // nil, or as long: the key may exist and is not known
}

// absent reports whether the key of a slot is not known; one that is erased is.
func (b *Block) absent(i int) bool { return b.Absent != nil && b.Absent[i] && !b.Erased[i] }

// NewBlock makes a block of random keys. rand is crypto/rand.Reader outside tests.
func NewBlock(rand io.Reader, owner uint32, slots int) (Block, error) {
	if slots < 1 || slots > MaxSlots {
		return Block{}, fmt.Errorf("key block of %d slots", slots)
	}
	b := Block{Owner: owner, Keys: make([][32]byte, slots), Erased: make([]bool, slots)}
	if _, err := io.ReadFull(rand, b.ID[:]); err != nil {
		return Block{}, fmt.Errorf("key block: randomness: %w", err)
	}
	for i := range b.Keys {
		if _, err := io.ReadFull(rand, b.Keys[i][:]); err != nil {
			return Block{}, fmt.Errorf("key block: randomness: %w", err)
		}
	}
	return b, nil
}

// Wipe zeroes the block's keys.
func (b *Block) Wipe() { clear(b.Keys) }

// Blocks writes key-block files; the custodian fulfils it. Names are relative to
// the data directory.
type Blocks interface {
	// CreateBlock makes a whole file that did not exist, durably and immutable.
	CreateBlock(name string, content []byte) error
	// RewriteSlot replaces the slot at offset. It MUST refuse, with an error, where
	// the present bytes are an erased or a live slot.
	RewriteSlot(name string, offset int64, slot []byte) error
	// RewriteHeader replaces a file's header. It MUST refuse where the present one
	// verifies.
	RewriteHeader(name string, header []byte) error
	// RewrapBlock replaces a block's file by one in which every key that is sealed
	// under from is sealed under to, durably, and destroys the file before it. It
	// MUST leave every key openable by one of the two, whatever fails.
	RewrapBlock(name string, cluster format.ID, from, to RootKey) (Rewrapped, error)
}

// Ring is a node's key blocks. Its methods may be called from any goroutine.
type Ring struct {
	dir     string
	cluster format.ID
	blocks  Blocks

	// mu guards what follows, and is held while a block's file is read or
	// replaced.
	mu     sync.RWMutex
	root   *secret // nil after Close
	former *secret // during a rotation: what was sealed before it opens with this
	files  map[format.ID]blockFile
}

// blockFile is what is known of a block without its slots.
type blockFile struct {
	slots  uint32
	owner  uint32
	damage error // of the header; then nothing in the file is used
}

// Open lists the key blocks under dir (the data directory) and verifies their
// headers. A damaged header does not stop it: the block's keys answer the damage
// until RepairHeader. A block of another cluster does. Close wipes the root key.
func Open(dir string, root RootKey, cluster format.ID, blocks Blocks) (*Ring, error) {
	defer clear(root[:])
	held, err := newSecret(&root)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	r := &Ring{dir: dir, root: held, cluster: cluster, blocks: blocks, files: map[format.ID]blockFile{}}
	if err := r.list(); err != nil {
		return nil, errors.Join(fmt.Errorf("keyring: %w", err), r.Close())
	}
	return r, nil
}

func (r *Ring) list() error {
	list, err := os.ReadDir(filepath.Join(r.dir, "keys"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range list {
		id, ok := blockName(e.Name())
		if !ok {
			continue
		}
		if r.files[id], err = r.readHeader(id); err != nil {
			return err
		}
	}
	return nil
}

func blockName(name string) (id format.ID, ok bool) {
	h, ok := strings.CutSuffix(name, ".kb")
	b, err := hex.DecodeString(h)
	if !ok || err != nil || len(b) != len(id) || h != strings.ToLower(h) {
		return id, false
	}
	return format.ID(b), true
}

func (r *Ring) readHeader(id format.ID) (blockFile, error) {
	name := FileName(id)
	f, err := os.Open(filepath.Join(r.dir, name))
	if err != nil {
		return blockFile{}, err
	}
	defer f.Close() // opened for reading: nothing to lose
	st, err := f.Stat()
	if err != nil {
		return blockFile{}, err
	}
	b := make([]byte, format.FileHeaderSize)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return blockFile{damage: headerDamage(id, err)}, nil
	}
	h, err := format.DecodeFileHeader(format.KindKeyBlock, b)
	if err != nil {
		return blockFile{damage: headerDamage(id, err)}, nil
	}
	if h.Cluster != r.cluster {
		return blockFile{}, fmt.Errorf("%s belongs to cluster %x, not %x", name, h.Cluster, r.cluster)
	}
	if h.Object != id || h.First < 1 || h.First > MaxSlots || st.Size() != SlotOffset(uint32(h.First)) {
		return blockFile{damage: headerDamage(id, fmt.Errorf("block %x of %d slots in a file of %d bytes", h.Object, h.First, st.Size()))}, nil
	}
	return blockFile{slots: uint32(h.First), owner: h.Owner}, nil
}

func headerDamage(id format.ID, err error) error {
	return &format.DamageError{File: FileName(id), Offset: 0, What: "key block header", Err: err}
}

// Has reports whether this node has the block, damaged or not.
func (r *Ring) Has(id format.ID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.files[id]
	return ok
}

// Blocks returns the ids of all blocks, in order.
func (r *Ring) Blocks() []format.ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids := make([]format.ID, 0, len(r.files))
	for id := range r.files {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b format.ID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

// Install keeps a block, each key sealed under this node's root key; durable when
// it returns nil. Slots marked erased are written erased, absent ones absent. Installing a block that
// is here already changes nothing: it is nil if no slot holds another key (a slot
// erased or damaged here stays so), ErrConflict otherwise.
func (r *Ring) Install(b Block) error {
	if len(b.Keys) < 1 || len(b.Keys) > MaxSlots || len(b.Erased) != len(b.Keys) || b.Absent != nil && len(b.Absent) != len(b.Keys) {
		return fmt.Errorf("keyring: block %x of %d keys", b.ID, len(b.Keys))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.root == nil {
		return fmt.Errorf("keyring: block %x: %w", b.ID, ErrClosed)
	}
	if _, ok := r.files[b.ID]; ok {
		return r.compare(b)
	}
	content := r.header(b.ID, uint32(len(b.Keys)), b.Owner)
	for i, key := range b.Keys {
		slot := ErasedSlot()
		if b.absent(i) {
			slot = AbsentSlot()
		} else if !b.Erased[i] {
			var err error
			if slot, err = r.seal(format.Slot{Block: b.ID, Index: uint32(i)}, key); err != nil {
				return fmt.Errorf("keyring: block %x: %w", b.ID, err)
			}
		}
		content = append(content, slot...)
	}
	if err := r.blocks.CreateBlock(FileName(b.ID), content); err != nil {
		return fmt.Errorf("keyring: block %x: %w", b.ID, err)
	}
	r.files[b.ID] = blockFile{slots: uint32(len(b.Keys)), owner: b.Owner}
	return nil
}

func (r *Ring) header(id format.ID, slots, owner uint32) []byte {
	return format.FileHeader{Kind: format.KindKeyBlock, Cluster: r.cluster, Object: id, First: uint64(slots), Owner: owner}.Encode()
}

// seal seals a key under the present root key. The caller holds mu.
func (r *Ring) seal(s format.Slot, key [32]byte) ([]byte, error) {
	defer clear(key[:])
	if r.root == nil {
		return nil, ErrClosed
	}
	return sealSlot(rand.Reader, r.root.key(), r.cluster, s, key)
}

// compare says whether an installed block holds no other key than b. The caller
// holds mu.
func (r *Ring) compare(b Block) error {
	f := r.files[b.ID]
	if f.damage != nil {
		return fmt.Errorf("keyring: %w", f.damage)
	}
	if int(f.slots) != len(b.Keys) || f.owner != b.Owner {
		return fmt.Errorf("keyring: block %x: %w", b.ID, ErrConflict)
	}
	slots, err := r.readAll(b.ID, f.slots)
	defer clear(slots)
	for i, s := range slots {
		if s.err == nil && !b.Erased[i] && !b.absent(i) && s.key != b.Keys[i] {
			return fmt.Errorf("keyring: slot %s: %w", format.Slot{Block: b.ID, Index: uint32(i)}, ErrConflict)
		}
	}
	return err
}

// Key returns the key in a slot. ErrNoBlock, ErrErased, or a *format.DamageError
// that names the slot; never another key. The caller wipes it after use.
func (r *Ring) Key(s format.Slot) ([32]byte, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.readKey(s)
}

// readKey is Key; the caller holds mu.
func (r *Ring) readKey(s format.Slot) ([32]byte, error) {
	f, err := r.file(s.Block)
	if err != nil {
		return [32]byte{}, err
	}
	if s.Index >= f.slots {
		return [32]byte{}, fmt.Errorf("keyring: slot %s of a block of %d: %w", s, f.slots, ErrNoBlock)
	}
	file, err := os.Open(filepath.Join(r.dir, FileName(s.Block)))
	if err != nil {
		return [32]byte{}, fmt.Errorf("keyring: %w", err)
	}
	defer file.Close() // opened for reading: nothing to lose
	return r.readSlot(file, s)
}

// file is what is known of a block that can be used. The caller holds mu.
func (r *Ring) file(id format.ID) (blockFile, error) {
	f, ok := r.files[id]
	if !ok {
		return f, fmt.Errorf("keyring: block %x: %w", id, ErrNoBlock)
	}
	if f.damage != nil {
		return f, fmt.Errorf("keyring: %w", f.damage)
	}
	return f, nil
}

func (r *Ring) readSlot(file io.ReaderAt, s format.Slot) ([32]byte, error) {
	damage := func(err error) error {
		return &format.DamageError{File: FileName(s.Block), Offset: SlotOffset(s.Index), What: "key slot " + s.String(), Err: err}
	}
	b := make([]byte, SlotSize)
	if _, err := file.ReadAt(b, SlotOffset(s.Index)); err != nil {
		return [32]byte{}, damage(err)
	}
	switch StateOf(s.Index, b) {
	case SlotErased:
		return [32]byte{}, fmt.Errorf("keyring: slot %s: %w", s, ErrErased)
	case SlotAbsent:
		return [32]byte{}, fmt.Errorf("keyring: slot %s: restored without it: %w", s, ErrNoBlock)
	case SlotDamaged:
		return [32]byte{}, damage(errors.New("checksum"))
	}
	if r.root == nil {
		return [32]byte{}, fmt.Errorf("keyring: slot %s: %w", s, ErrClosed)
	}
	key, err := openSlot(r.root.key(), r.cluster, s, b)
	if err != nil && r.former != nil {
		key, err = openSlot(r.former.key(), r.cluster, s, b)
	}
	if err != nil {
		return key, damage(err)
	}
	return key, nil
}

// slotRead is one slot that readAll read.
type slotRead struct {
	key [32]byte
	err error
}

// readAll reads all slots of a block; the caller holds mu, and clears them.
func (r *Ring) readAll(id format.ID, slots uint32) ([]slotRead, error) {
	content, err := os.ReadFile(filepath.Join(r.dir, FileName(id)))
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	all, from := make([]slotRead, slots), bytes.NewReader(content)
	for i := range slots {
		all[i].key, all[i].err = r.readSlot(from, format.Slot{Block: id, Index: i})
	}
	return all, nil
}

// each tells fn every slot of a block; mu is free while fn runs.
func (r *Ring) each(id format.ID, slots uint32, fn func(s format.Slot, key [32]byte, err error) error) error {
	r.mu.RLock()
	all, err := r.readAll(id, slots)
	r.mu.RUnlock()
	if err != nil {
		return err
	}
	defer clear(all)
	for i, s := range all {
		if err := fn(format.Slot{Block: id, Index: uint32(i)}, s.key, s.err); err != nil {
			return err
		}
	}
	return nil
}
