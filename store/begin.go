package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// A node that joins gets, in place of records that were erased, what stands for
// them: a base, all leaf hashes, and the carried records.

// Beginning says what a node has of a history whose first records are gone.
type Beginning struct {
	Whole   uint64 // the first record of a file that is whole
	Decided uint64 // sequence plus one of the PRUNE record behind the carried file
	// Entry is the log entry of the STATE record that vouches for the base: a
	// checkpoint at or behind it covers that record.
	Entry uint64
}

// ErrNothingErased says that a history has all of its records.
var ErrNothingErased = errors.New("no record of the history was erased")

// SendBeginning tells head what this node has, then base each frame of the newest
// base, leaf each leaf hash before Whole, and record each carried record, in that
// order. Nothing is erased meanwhile. ErrNothingErased when there is no need.
func (s *Store) SendBeginning(ctx context.Context, head func(Beginning) error, base func([]byte) error, leaf func(format.Digest) error, record func([]byte) error) error {
	s.erasing.Lock()
	defer s.erasing.Unlock()
	b := Beginning{Whole: s.log.Whole(), Decided: s.log.Decided()}
	if b.Whole == 0 {
		return ErrNothingErased
	}
	numbers, err := s.baseNumbers()
	if err != nil || len(numbers) == 0 {
		return errors.Join(err, ErrMissing)
	}
	r, err := s.openBase(numbers[len(numbers)-1])
	if err != nil {
		return err
	}
	defer r.f.Close()
	if b.Entry, err = s.vouched(ctx, r.head, s.Summary().Size); err != nil {
		return err
	}
	if err := errors.Join(head(b), base(r.head.Encode())); err != nil {
		return err
	}
	for frame, err := r.next(); !errors.Is(err, io.EOF); frame, err = r.next() {
		if err = errors.Join(err, ctx.Err()); err == nil {
			err = base(frame)
		}
		if err != nil {
			return err
		}
	}
	if err := s.log.Leaves(ctx, b.Whole, leaf); err != nil {
		return err
	}
	return s.log.Kept(ctx, 0, b.Whole, func(_ uint64, encoded []byte) error { return record(encoded) })
}

// vouched answers the log entry of the STATE record, among the first size records,
// in which a majority signed what a base says of itself.
func (m *Machine) vouched(ctx context.Context, h format.BaseHead, size uint64) (uint64, error) {
	entry := uint64(0)
	if h.Mark.Size > size {
		return 0, fmt.Errorf("a base of %d records where there are %d", h.Mark.Size, size)
	}
	err := m.log.Range(ctx, h.Mark.Size, size, func(_ uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		if err != nil || rec.Action != format.ActState {
			return err
		}
		e, err := format.DecodeStateEffect(rec.Effect)
		if err != nil {
			return err
		}
		if e.Mark != h.Mark {
			return nil
		}
		if e.Rows != h.Rows || e.Count != h.Count {
			return ErrRowsDiffer
		}
		entry = rec.Entry
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return 0, err
	}
	if entry == 0 {
		return 0, fmt.Errorf("no majority signed the base at entry %d", h.Mark.Entry)
	}
	return entry, nil
}

// TakeBeginning takes in what a peer's SendBeginning tells, behind its head; each
// function answers the next of its kind, io.EOF behind the last. The history must
// be empty. What it is worth is found out by Adopt: leaf hashes and carried records
// by the root that a majority signed, the base by the STATE record below it. After
// an error that is not the disk's nothing was taken in.
func (s *Store) TakeBeginning(ctx context.Context, b Beginning, base func() ([]byte, error), leaf func() (format.Digest, error), record func() ([]byte, error)) error {
	numbers, err := s.baseNumbers()
	if err != nil {
		return err
	}
	number := uint64(1)
	if n := len(numbers); n > 0 {
		number = numbers[n-1] + 1
	}
	err = s.custodian.Place(baseName(number), func(w io.Writer) error {
		for first := true; ; first = false {
			frame, err := base()
			if errors.Is(err, io.EOF) && !first {
				return nil
			}
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			if first {
				h, err := format.DecodeBaseHead(frame)
				if err != nil {
					return err
				}
				own := format.FileHeader{Kind: format.KindBase, Cluster: s.manifest.Cluster, Incarnation: s.manifest.Incarnation, Number: number, First: h.Mark.Size}
				if _, err := w.Write(own.Encode()); err != nil {
					return err
				}
			}
			if err := writeBaseFrame(w, frame); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	return s.log.Begin(ctx, b.Whole, b.Decided, leaf, record)
}

// adoptRows follows the copied records up to size. A history without its first
// records begins with its base, which a record below size has to vouch for.
func (s *Store) adoptRows(ctx context.Context, size uint64) error {
	if s.next >= s.log.Whole() {
		return s.rebuild(ctx, s.next, size)
	}
	b, err := s.newestBase()
	if err != nil {
		return err
	}
	if b == nil {
		return fmt.Errorf("%w: base", ErrMissing)
	}
	if _, err := s.vouched(ctx, b.head, size); err != nil {
		return err
	}
	var meta index.Meta
	pos := s.segments.Position()
	meta.Segment.File, meta.Segment.Offset = pos.File, pos.Offset
	if err := s.idx.Clear(allTables()[:lastLogical], meta); err != nil {
		return err
	}
	if err := s.replay(ctx, size, meta); err != nil {
		return err
	}
	// Of the carried records none was held back.
	return s.idx.Ascend(tCarried, nil, key64(s.log.Whole()), func(k, _ []byte) (bool, error) {
		r := format.NewReader(k)
		_, err := s.log.Read(r.U64())
		return true, errors.Join(err, r.Done(), ctx.Err())
	})
}
