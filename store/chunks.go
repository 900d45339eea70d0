package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/segment"
)

// Payload: sealed chunks in segment files, and the table that knows, per slot,
// every range that holds its ciphertext, committed or not, so that erasure
// misses none. Nothing of it enters a decision or a root.

// ErrChunkErased is returned for a chunk whose ciphertext was zeroed.
var ErrChunkErased = segment.ErrErased

// ErrMissing is returned for a chunk that this node does not hold.
var ErrMissing = errors.New("chunk is not here")

func rangeKey(h format.ChunkHeader, l segment.Location) []byte {
	var w format.Writer
	w.Slot(h.Slot)
	w.U32(h.Chunk)
	w.U64(l.File)
	w.I64(l.Offset)
	return w.Bytes()
}

func rangeValue(h format.ChunkHeader) []byte {
	var w format.Writer
	w.U32(h.Length)
	w.Raw(h.Digest[:])
	return w.Bytes()
}

// heldChunk is one row of the range table.
type heldChunk struct {
	format.ChunkHeader
	segment.Location
}

func decodeRange(k, v []byte) (heldChunk, error) {
	var c heldChunk
	r := format.NewReader(k)
	c.Slot = r.Slot()
	c.Chunk = r.U32()
	c.File = r.U64()
	c.Offset = r.I64()
	if err := r.Done(); err != nil {
		return c, err
	}
	r = format.NewReader(v)
	c.ChunkHeader.Length = r.U32()
	r.Raw(c.Digest[:])
	c.Location.Length = c.ChunkHeader.Length
	return c, r.Done()
}

// addRange takes in a chunk that a scan of the segments met.
func (s *Store) addRange(e segment.Entry) error {
	if e.Erased {
		return nil
	}
	s.idx.Put(tRange, rangeKey(e.ChunkHeader, e.Location), rangeValue(e.ChunkHeader))
	return nil
}

// AppendChunks makes sealed chunks durable on this node. A chunk that is here
// already, intact, is not written again, nor is one whose bundle has expired or
// whose slot is spent: its erasure would not come back for it (P34).
func (s *Store) AppendChunks(chunks []format.Chunk) error {
	s.ranges.Lock()
	defer s.ranges.Unlock()
	fresh := make([]format.Chunk, 0, len(chunks))
	for _, c := range chunks {
		if c.Erased {
			continue
		}
		if dead, err := s.idx.Get(tDeadSlot, slotKey(c.Slot)); err != nil {
			return err
		} else if dead != nil {
			continue
		}
		if _, err := s.readChunk(c.ChunkHeader); err == nil {
			continue
		} else if !errors.Is(err, ErrMissing) && !errors.Is(err, segment.ErrErased) && !isDamage(err) {
			return err
		}
		fresh = append(fresh, c)
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := s.takeRoom(fresh); err != nil {
		return err
	}
	locations, err := s.segments.Append(fresh)
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	for i, c := range fresh {
		s.idx.Put(tRange, rangeKey(c.ChunkHeader, locations[i]), rangeValue(c.ChunkHeader))
	}
	return nil
}

func isDamage(err error) bool {
	var d *format.DamageError
	return errors.As(err, &d)
}

// held lists the ranges of a slot, or of one chunk of it.
func (s *Store) held(prefix []byte) ([]heldChunk, error) {
	var out []heldChunk
	err := s.idx.Ascend(tRange, prefix, after(prefix), func(k, v []byte) (bool, error) {
		c, err := decodeRange(bytes.Clone(k), v)
		out = append(out, c)
		return true, err
	})
	return out, err
}

// heldSlots lists slots that have ranges here, those of so many ranges from a key of
// their table on, and answers where to go on, nil when there are no more.
func (s *Store) heldSlots(from []byte, limit int) (slots []format.Slot, next []byte, err error) {
	n := 0
	err = s.idx.Ascend(tRange, from, nil, func(k, _ []byte) (bool, error) {
		r := format.NewReader(k)
		slot := r.Slot()
		if len(slots) == 0 || slots[len(slots)-1] != slot {
			slots = append(slots, slot)
		}
		n++
		return n < limit, r.Err()
	})
	if n == limit {
		next = after(slotKey(slots[len(slots)-1]))
	}
	return slots, next, err
}

// readChunk reads the ciphertext that h names, from any range that has it:
// ErrMissing when none, segment.ErrErased when it was zeroed, a damage error when
// every copy here is damaged.
func (s *Store) readChunk(h format.ChunkHeader) ([]byte, error) {
	ranges, err := s.held(cat(slotKey(h.Slot), key32(h.Chunk)))
	if err != nil {
		return nil, err
	}
	last := fmt.Errorf("%w: chunk %d of slot %s", ErrMissing, h.Chunk, h.Slot)
	for _, c := range ranges {
		if c.Digest != h.Digest {
			continue
		}
		sealed, err := s.segments.Read(c.Location, c.ChunkHeader)
		if err == nil {
			return sealed, nil
		}
		last = err
	}
	return nil, last
}

// Chunk reads one sealed chunk that a log entry or a peer names by its header.
func (s *Store) Chunk(h format.ChunkHeader) (format.Chunk, error) {
	sealed, err := s.readChunk(h)
	if err != nil {
		return format.Chunk{}, err
	}
	return format.Chunk{ChunkHeader: h, Sealed: sealed}, nil
}

// Chunks lists the headers of a slot's chunks that this node knows, by chunk
// number. Two texts under one chunk number, of which at most one was committed,
// are both listed.
func (s *Store) Chunks(slot format.Slot) ([]format.ChunkHeader, error) {
	ranges, err := s.held(slotKey(slot))
	if err != nil {
		return nil, err
	}
	var out []format.ChunkHeader
	for _, c := range ranges {
		if n := len(out); n > 0 && out[n-1].Chunk == c.Chunk && out[n-1].Digest == c.Digest {
			continue
		}
		out = append(out, c.ChunkHeader)
	}
	return out, nil
}

// BundleChunks answers the headers of a bundle's chunks here, in order: those
// whose digests make up the digest that the STORE record names. ErrMissing when
// this node lacks some.
func (s *Store) BundleChunks(row *format.BundleRow) ([]format.ChunkHeader, error) {
	all, err := s.Chunks(row.Slot)
	if err != nil {
		return nil, err
	}
	return ChooseChunks(row, all)
}

// ChooseChunks picks from the known headers of a slot those that make up a
// bundle, in order.
func ChooseChunks(row *format.BundleRow, all []format.ChunkHeader) ([]format.ChunkHeader, error) {
	if uint32(len(all)) < row.Chunks {
		return nil, fmt.Errorf("%w: %d of %d chunks of slot %s", ErrMissing, len(all), row.Chunks, row.Slot)
	}
	chosen := make([]format.ChunkHeader, 0, row.Chunks)
	digests := make([]format.Digest, 0, row.Chunks)
	for _, h := range all {
		if h.Chunk == uint32(len(chosen)) && h.Chunk < row.Chunks {
			chosen = append(chosen, h)
			digests = append(digests, h.Digest)
		}
	}
	if uint32(len(chosen)) != row.Chunks || format.BundleDigest(digests) != row.Digest {
		return nil, fmt.Errorf("%w: the chunks of slot %s do not make up the bundle", ErrMissing, row.Slot)
	}
	return chosen, nil
}

// Holding reports whether every chunk of a bundle is here and intact.
func (s *Store) Holding(ctx context.Context, row *format.BundleRow) error {
	headers, err := s.BundleChunks(row)
	if err != nil {
		return err
	}
	for _, h := range headers {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := s.readChunk(h); err != nil {
			return err
		}
	}
	return nil
}
