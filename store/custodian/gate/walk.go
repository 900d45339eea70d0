package gate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/sago-worm/sago/store/format"
)

// spot is where a walk ended: its last record, and the tape that stands behind it,
// nil for none. The orders of one judgement name records one behind the other: each
// is found by reading on, in a file that is open already.
type spot struct {
	mark
	t *tape
}

// rest ends the use of open files until the next judgement: by then they may have
// been replaced, or grown.
func (h *history) rest() error {
	var errs []error
	for i := range h.spots {
		errs = append(errs, h.spots[i].close())
	}
	return errors.Join(errs...)
}

func (s *spot) close() error {
	if s.t == nil {
		return nil
	}
	err := s.t.f.Close()
	s.t = nil
	return err
}

// walk reads records from one on that is not erased, in order, until fn answers
// false; within a carried file it passes over what is gone.
func (h *history) walk(ctx context.Context, from uint64, fn func(seq uint64, encoded []byte) (bool, error)) error {
	m, s := h.before(from)
	for p := m.place; p.file < len(h.list); p = (place{file: p.file + 1}) {
		on, err := h.walkFile(ctx, p, from, s, fn)
		if err != nil || !on {
			return err
		}
	}
	return nil
}

// walkFile is walk in one file, from a place in it on: with the tape of s, where that
// is the place of its record and the walk begins behind it.
func (h *history) walkFile(ctx context.Context, p place, from uint64, s *spot, fn func(seq uint64, encoded []byte) (bool, error)) (on bool, err error) {
	if p.off == 0 {
		p.off = format.FileHeaderSize
	}
	if p.file > h.at.file || p.file == h.at.file && p.off >= h.at.off {
		return false, nil
	}
	t := s.t
	if t != nil && s.place == p && s.seq < from {
		s.t = nil // another walk, within this one, does not find it
	} else if t, err = openTape(h.list[p.file], p.off); err != nil {
		return false, err
	}
	var last mark
	defer func() {
		if err != nil || on {
			err = errors.Join(err, t.f.Close())
			return
		}
		err = s.close()
		s.mark, s.t = last, t
	}()
	for n := 0; p.file < h.at.file || t.off < h.at.off; n++ {
		at := t.off
		encoded, err := t.next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("%w: %s at %d: %w", ErrRefused, h.list[p.file].path, at, err)
		}
		seq := sequenceOf(encoded)
		if seq < from {
			continue
		}
		if n%markEvery == 0 {
			if err := ctx.Err(); err != nil {
				return false, err
			}
		}
		last = mark{seq: seq, place: place{p.file, at}}
		if more, err := fn(seq, encoded); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// before is the nearest place at or before a record, and the spot to keep where a
// walk from there ends: the one that is near before it, else the earliest.
func (h *history) before(seq uint64) (m mark, s *spot) {
	m = mark{place: place{off: format.FileHeaderSize}}
	i, found := slices.BinarySearchFunc(h.marks, seq, func(m mark, seq uint64) int { return cmp.Compare(m.seq, seq) })
	if found {
		i++
	}
	if i > 0 {
		m = h.marks[i-1]
	}
	s = &h.spots[0]
	near := func(s *spot) bool { return s.seq > 0 && s.seq <= seq && seq-s.seq < markEvery }
	for k := range h.spots {
		if o := &h.spots[k]; near(o) && (!near(s) || o.seq > s.seq) || !near(o) && !near(s) && o.seq < s.seq {
			s = o
		}
	}
	if near(s) && s.seq > m.seq {
		m = s.mark
	}
	return m, s
}

// record reads one record.
func (h *history) record(ctx context.Context, want uint64) ([]byte, error) {
	if want >= h.tree.size {
		return nil, refuse("there are %d records, and no record %d", h.tree.size, want)
	}
	var found []byte
	err := h.walk(ctx, want, func(seq uint64, encoded []byte) (bool, error) {
		if seq == want {
			found = slices.Clone(encoded)
		}
		return false, nil
	})
	if err == nil && found == nil {
		err = refuse("record %d was erased", want)
	}
	return found, err
}
