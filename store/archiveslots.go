package store

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// What of the keys leaves in a key archive, and comes back from one.

// InstitutionSlots are the slots of institutions' keys: of each subject key, and of
// the history keys of each epoch. An archive holds those that were there before its
// BACKUP record.
func (m *Machine) InstitutionSlots() (out []format.Slot, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	rows, err := allRows(m, tInstitution, format.DecodeInstitutionRow)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		out = append(out, row.Subject)
	}
	epochs, err := allRows(m, tEpoch, format.DecodeEpochRow)
	for _, row := range epochs {
		out = append(out, row.Use, row.Other)
	}
	named := out[:0]
	for _, slot := range out {
		if !slot.IsZero() {
			named = append(named, slot)
		}
	}
	return named, err
}

// BundleSlots tells each of the slots of bundles that were stored by the records
// [from, to) and have not ended, with its STORE record.
func (s *Store) BundleSlots(ctx context.Context, from, to uint64, each func(store uint64, slot format.Slot) error) error {
	return s.Kept(ctx, from, to, func(sequence uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		if err != nil || rec.Action != format.ActStore {
			return err
		}
		row, err := s.Bundle(format.BundleKey{Institution: rec.Institution, Transaction: rec.Transaction, Part: rec.Part})
		if err != nil || row == nil || row.Store != sequence || row.Expire != 0 {
			return err
		}
		return each(sequence, row.Slot)
	})
}

// SlotKey answers the key in a slot of this node's: ErrKeyErased, ErrKeyMissing, or
// a *format.DamageError. The caller wipes it.
func (s *Store) SlotKey(slot format.Slot) ([32]byte, error) { return s.keys.Key(slot) }

// ErrArchivesDiffer refuses key archives of which one at least is false.
var ErrArchivesDiffer = errors.New("two key archives give different keys for one slot")

// Returned says what a key archive gave back.
type Returned struct {
	Blocks       int    // key blocks that were installed
	Keys, Absent uint64 // in these: keys that are here, and live ones that no archive holds
}

// filling is a block that is put together.
type filling struct {
	keyring.Block
	row *format.BlockRow
}

// lacks is how many slots under which something was sealed have no key.
func (f *filling) lacks() (n uint64) {
	for i, absent := range f.Absent {
		if absent && f.row.IsUsed(uint32(i)) {
			n++
		}
	}
	return n
}

// TakeKeys installs key blocks made of keys from archives, which give tells one by
// one: those of slots that the state knows to live. A block that is here already
// stays as it is; one of which no key comes is left for a peer to give, unless
// there is none in it to be had. ErrArchivesDiffer where two keys come for one slot.
func (s *Store) TakeKeys(give func(take func(format.Slot, [32]byte) error) error) (out Returned, err error) {
	blocks := map[format.ID]*filling{}
	defer func() {
		for _, b := range blocks {
			b.Wipe()
		}
	}()
	err = give(func(slot format.Slot, key [32]byte) error {
		defer clear(key[:])
		b, err := s.blockFor(blocks, slot)
		if b == nil || err != nil {
			return err
		}
		switch given := &b.Keys[slot.Index]; {
		case b.Absent[slot.Index]:
			out.Keys++
		case subtle.ConstantTimeCompare(given[:], key[:]) != 1:
			return fmt.Errorf("%w: block %x, slot %d", ErrArchivesDiffer, slot.Block[:], slot.Index)
		}
		b.Keys[slot.Index], b.Absent[slot.Index] = key, false
		return nil
	})
	if err != nil {
		return out, err
	}
	ids, err := s.BlockIDs()
	if err != nil {
		return out, err
	}
	for _, id := range ids {
		b := blocks[id]
		if s.keys.Has(id) {
			continue
		}
		if b == nil {
			if b, err = s.emptyBlock(id); err != nil {
				return out, err
			}
			if b.lacks() > 0 {
				continue
			}
		}
		out.Absent += b.lacks()
		if err := s.InstallBlock(b.Block); err != nil {
			return out, err
		}
		out.Blocks++
	}
	return out, nil
}

// blockFor is the block that a live slot's key belongs to, as it is put together;
// nil where the key is of no use.
func (s *Store) blockFor(blocks map[format.ID]*filling, slot format.Slot) (*filling, error) {
	lives, err := s.SlotLives(slot)
	if err != nil || !lives || s.keys.Has(slot.Block) {
		return nil, err
	}
	b := blocks[slot.Block]
	if b == nil {
		if b, err = s.emptyBlock(slot.Block); err != nil {
			return nil, err
		}
		blocks[slot.Block] = b
	}
	if !b.row.IsUsed(slot.Index) {
		return nil, nil
	}
	return b, nil
}

// AbsentSlots lists the live slots of a block that is here whose keys are not.
func (s *Store) AbsentSlots(id format.ID) (out []format.Slot, err error) {
	absent, err := s.keys.Absent(id)
	if err != nil {
		return nil, err
	}
	for _, i := range absent {
		slot := format.Slot{Block: id, Index: i}
		lives, err := s.SlotLives(slot)
		if err != nil {
			return nil, err
		}
		if lives {
			out = append(out, slot)
		}
	}
	return out, nil
}

// HeldBlocks lists the key blocks that are here.
func (s *Store) HeldBlocks() []format.ID { return s.keys.Blocks() }

// emptyBlock is an announced block in which no key is known.
func (s *Store) emptyBlock(id format.ID) (*filling, error) {
	row, err := s.Block(id)
	if err != nil {
		return nil, err
	}
	b := keyring.Block{ID: id, Owner: row.Owner, Keys: make([][32]byte, row.Slots), Erased: make([]bool, row.Slots), Absent: make([]bool, row.Slots)}
	for i := range b.Absent { // InstallBlock erases what is dead
		if b.Absent[i], err = s.SlotLives(format.Slot{Block: id, Index: uint32(i)}); err != nil {
			return nil, err
		}
	}
	return &filling{b, row}, nil
}
