package keyring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/store/format"
)

// Export returns a block for a peer that lacks it, and the slots that are damaged
// or absent here: their keys are zero and must come from elsewhere. The caller wipes it.
func (r *Ring) Export(id format.ID) (Block, []uint32, error) {
	r.mu.RLock()
	f, err := r.file(id)
	r.mu.RUnlock()
	if err != nil {
		return Block{}, nil, err
	}
	b := Block{ID: id, Owner: f.owner, Keys: make([][32]byte, f.slots), Erased: make([]bool, f.slots)}
	var damaged []uint32
	err = r.each(id, f.slots, func(s format.Slot, key [32]byte, err error) error {
		switch {
		case err == nil:
			b.Keys[s.Index] = key
		case errors.Is(err, ErrErased):
			b.Erased[s.Index] = true
		case errors.Is(err, ErrNoBlock):
			if b.Absent == nil {
				b.Absent = make([]bool, f.slots)
			}
			b.Absent[s.Index] = true
			damaged = append(damaged, s.Index)
		default:
			damaged = append(damaged, s.Index)
		}
		return nil
	})
	return b, damaged, err
}

// Absent lists the slots of a block whose keys are not here, without opening any.
func (r *Ring) Absent(id format.ID) (out []uint32, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f, err := r.file(id)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filepath.Join(r.dir, FileName(id)))
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	for i := range f.slots {
		at := SlotOffset(i)
		if at+SlotSize <= int64(len(content)) && StateOf(i, content[at:at+SlotSize]) == SlotAbsent {
			out = append(out, i)
		}
	}
	return out, nil
}

// Repair gives a damaged or absent slot its key again, as a peer exported it. A live or an
// erased slot is refused with ErrNotDamaged. The caller must know from the
// replicated state that the slot was not erased: an erased slot that was damaged
// afterwards is erased once more, by the custodian, and never repaired.
func (r *Ring) Repair(id format.ID, index uint32, key [32]byte) error {
	defer clear(key[:])
	r.mu.RLock() // until the slot is written: what is sealed here must not be overtaken by a rotation
	defer r.mu.RUnlock()
	f, err := r.file(id)
	if err != nil {
		return err
	}
	s := format.Slot{Block: id, Index: index}
	if index >= f.slots {
		return fmt.Errorf("keyring: slot %s of a block of %d: %w", s, f.slots, ErrNoBlock)
	}
	var damage *format.DamageError
	old, err := r.readKey(s)
	clear(old[:])
	if !errors.Is(err, ErrNoBlock) && !errors.As(err, &damage) || errors.Is(err, errRoot) {
		return fmt.Errorf("keyring: slot %s: %w", s, ErrNotDamaged)
	}
	slot, err := r.seal(s, key)
	if err != nil {
		return fmt.Errorf("keyring: slot %s: %w", s, err)
	}
	if err := r.blocks.RewriteSlot(FileName(id), SlotOffset(index), slot); err != nil {
		return fmt.Errorf("keyring: slot %s: %w", s, err)
	}
	return nil
}

// RepairHeader writes a damaged header again; owner comes from a peer's Export,
// everything else is known here. A file of a wrong length stays damaged.
func (r *Ring) RepairHeader(id format.ID, owner uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.files[id]
	if !ok {
		return fmt.Errorf("keyring: block %x: %w", id, ErrNoBlock)
	}
	if f.damage == nil {
		return fmt.Errorf("keyring: header of %x: %w", id, ErrNotDamaged)
	}
	st, err := os.Stat(filepath.Join(r.dir, FileName(id)))
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	slots := (st.Size() - format.FileHeaderSize) / SlotSize
	if slots < 1 || slots > MaxSlots || st.Size() != SlotOffset(uint32(slots)) {
		return fmt.Errorf("keyring: %w", f.damage)
	}
	if err := r.blocks.RewriteHeader(FileName(id), r.header(id, uint32(slots), owner)); err != nil {
		return fmt.Errorf("keyring: header of %x: %w", id, err)
	}
	r.files[id], err = r.readHeader(id)
	return err
}

// Verify opens every slot of every block and tells fn what it found: nil for a
// live key, ErrErased, ErrNoBlock for an absent one, or a *format.DamageError. A damaged header is told once,
// as slot HeaderSlot. It ends with fn's first error or the context's.
func (r *Ring) Verify(ctx context.Context, fn func(format.Slot, error) error) error {
	for _, id := range r.Blocks() {
		fresh, err := r.readHeader(id)
		if err == nil {
			err = fresh.damage
		}
		if err != nil {
			if err := fn(format.Slot{Block: id, Index: HeaderSlot}, err); err != nil {
				return err
			}
			continue
		}
		err = r.each(id, fresh.slots, func(s format.Slot, _ [32]byte, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fn(s, err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
