package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
	"github.com/sago-worm/sago/store/keyring"
	"github.com/sago-worm/sago/store/segment"
)

// Verification is what a check of all of a node's files found.
type Verification struct {
	Size               uint64 // history records
	Root               format.Digest
	Chunks, Keys, Rows uint64
	Damage             []Finding
}

// Finding is one thing that is not what was written.
type Finding struct {
	format.DamageError
	// Slot is what payload or key damage is about; zero for others.
	Slot format.Slot
	Kind format.DamageKind
}

// Verify reads everything that this node could use again: history against the
// newest checkpoint, every row, every key slot, every chunk.
func (s *Store) Verify(ctx context.Context) (Verification, error) {
	v := Verification{Size: s.Summary().Size}
	var err error
	if v.Root, err = s.RootAt(v.Size); err != nil {
		return v, err
	}
	found := func(err error, kind format.DamageKind, slot format.Slot) error {
		var d *format.DamageError
		if errors.As(err, &d) {
			v.Damage = append(v.Damage, Finding{DamageError: *d, Kind: kind, Slot: slot})
			return nil
		}
		return err
	}
	if err := found(s.verifyHistory(ctx), format.DamageHistory, format.Slot{}); err != nil {
		return v, err
	}
	if err := s.Flush(); err != nil {
		return v, err
	}
	if err := found(s.idx.VerifyAll(ctx), format.DamageIndex, format.Slot{}); err != nil {
		return v, err
	}
	if err := s.verifyKeys(ctx, &v, found); err != nil {
		return v, err
	}
	return v, s.verifyPayload(ctx, &v, found)
}

type finder func(err error, kind format.DamageKind, slot format.Slot) error

func (s *Store) verifyHistory(ctx context.Context) error {
	if err := s.log.Verify(ctx, 0, s.log.Durable()); err != nil {
		return err
	}
	if err := s.VerifyCarried(ctx); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.holdAgainstCheckpoint()
}

// VerifyCarried finds a record that was cut out of the carried file, a
// *format.DamageError: a file with one less is whole in itself, and only the rows
// know that it was not erased at the end of its retention.
func (s *Store) VerifyCarried(ctx context.Context) error {
	whole := s.log.Whole()
	if whole == 0 {
		return nil
	}
	if m, bound := s.log.Minimum(), s.Pruned().Bound; m > bound {
		return &format.DamageError{File: "history", Offset: -1, What: fmt.Sprintf("record %d", m-1), Err: errors.New("a record that nothing erased is missing")}
	}
	return s.idx.Ascend(tCarried, nil, key64(whole), func(k, _ []byte) (bool, error) {
		r := format.NewReader(k)
		seq := r.U64()
		if err := errors.Join(r.Done(), ctx.Err()); err != nil {
			return false, err
		}
		_, err := s.log.Read(seq)
		if !errors.Is(err, history.ErrPruned) {
			return true, err
		}
		if row, rerr := s.idx.Get(tCarried, key64(seq)); row == nil {
			return true, rerr // dropped while this looks
		}
		return false, &format.DamageError{File: "history", Offset: -1, What: fmt.Sprintf("record %d", seq), Err: errors.New("a carried record is missing")}
	})
}

func (s *Store) verifyKeys(ctx context.Context, v *Verification, found finder) error {
	return s.keys.Verify(ctx, func(slot format.Slot, err error) error {
		v.Keys++
		if err == nil {
			return nil
		}
		if slot.Index == keyring.HeaderSlot {
			return found(err, format.DamageKey, slot)
		}
		if errors.Is(err, keyring.ErrNoBlock) {
			return nil // restored without it: like a block that is not here
		}
		lives, lerr := s.SlotLives(slot)
		if lerr != nil {
			return lerr
		}
		if errors.Is(err, keyring.ErrErased) && lives {
			err = &format.DamageError{File: keyring.FileName(slot.Block), Offset: keyring.SlotOffset(slot.Index), What: "key slot " + slot.String(),
				Err: errors.New("erased though nothing decided it")}
		}
		if !lives {
			return nil // whatever stands there is to be destroyed, or has been
		}
		return found(err, format.DamageKey, slot)
	})
}

// verifyPayload reads every range, and checks that every live bundle is whole.
func (s *Store) verifyPayload(ctx context.Context, v *Verification, found finder) error {
	held, err := s.held(nil)
	if err != nil {
		return err
	}
	for _, c := range held {
		if err := ctx.Err(); err != nil {
			return err
		}
		v.Chunks++
		if err := s.verifyRange(c, found); err != nil {
			return err
		}
	}
	return s.EachLive(ctx, func(row *format.BundleRow) error {
		v.Rows++
		if _, err := s.BundleChunks(row); err != nil {
			if lives, lerr := s.SlotLives(row.Slot); lerr != nil || !lives {
				return lerr // its end was decided meanwhile
			}
			d := &format.DamageError{File: "segments", Offset: -1, What: fmt.Sprintf("payload of the bundle stored by record %d", row.Store), Err: err}
			return found(d, format.DamagePayload, row.Slot)
		}
		return nil
	})
}

// verifyRange reads one range. Whether its slot lives is asked after the read: a
// range is zeroed only once the slot is dead, so that what is read in the middle
// of its destruction is not taken for damage.
func (s *Store) verifyRange(c heldChunk, found finder) error {
	_, err := s.segments.Read(c.Location, c.ChunkHeader)
	if err == nil {
		return nil
	}
	if lives, lerr := s.SlotLives(c.Slot); lerr != nil || !lives {
		return lerr // whatever stands there is to be destroyed, or has been
	}
	if errors.Is(err, segment.ErrErased) {
		err = &format.DamageError{File: s.segments.Name(c.File), Offset: c.Offset, What: "chunk of slot " + c.Slot.String(), Err: err}
	}
	// A damaged range stays until it is due, and is erased with the others; a
	// good copy of the same chunk behind it has mended the damage.
	if _, again := s.readChunk(c.ChunkHeader); again == nil {
		return nil
	}
	return found(err, format.DamagePayload, c.Slot)
}

// EachLive tells each of every bundle that has not ended.
func (s *Store) EachLive(ctx context.Context, each func(*format.BundleRow) error) error {
	var keys [][]byte
	if err := s.idx.Ascend(tBundle, nil, nil, func(k, _ []byte) (bool, error) {
		keys = append(keys, bytes.Clone(k))
		return true, ctx.Err()
	}); err != nil {
		return err
	}
	for _, raw := range keys {
		key, err := format.DecodeBundleKey(raw)
		if err != nil {
			return err
		}
		row, err := s.Bundle(key)
		if err != nil {
			return err
		}
		if row == nil || row.Expire != 0 {
			continue
		}
		if err := each(row); err != nil {
			return err
		}
	}
	return nil
}

// Wanting lists what this node lacks of the live state: announced blocks it does
// not have, and live bundles whose chunks are not all here.
func (s *Store) Wanting(ctx context.Context) (blocks []format.ID, bundles []format.BundleRow, err error) {
	ids, err := s.BlockIDs()
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		if !s.keys.Has(id) {
			blocks = append(blocks, id)
		}
	}
	err = s.eachUnpaid(ctx, func(row *format.BundleRow) { bundles = append(bundles, *row) })
	return blocks, bundles, err
}

// eachUnpaid tells each of every live bundle whose chunks are not all here.
func (s *Store) eachUnpaid(ctx context.Context, each func(*format.BundleRow)) error {
	return s.EachLive(ctx, func(row *format.BundleRow) error {
		_, err := s.BundleChunks(row)
		if errors.Is(err, ErrMissing) {
			each(row)
			return nil
		}
		return err
	})
}

// Frontier is what roots are computed from anew, out of the records themselves.
type Frontier = history.Frontier

// Frontier answers the frontier of the first size records, from stored hashes.
func (m *Machine) Frontier(size uint64) (Frontier, error) { return m.log.Frontier(size) }

// Extend reads the durable records behind the frontier again, up to to, compares
// each with its leaf hash and adds it.
func (m *Machine) Extend(ctx context.Context, f *Frontier, to uint64) error {
	return m.log.Extend(ctx, f, to)
}
