package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/sago-worm/sago/store/format"
)

// IsLost reports whether an error says that records are missing which a known
// checkpoint covers.
func IsLost(err error) bool {
	var l *LostError
	return errors.As(err, &l)
}

// LostError names the records that a known checkpoint covers and no source has.
type LostError struct {
	From, To uint64 // To is not included
	Known    string // who knows of them
}

// Error names the range.
func (e *LostError) Error() string {
	return fmt.Sprintf("records %d to %d are lost: %s covers them, and nothing that survived holds them", e.From, e.To-1, e.Known)
}

// ErrContradict: what survived is not one history.
var ErrContradict = errors.New("what survived is not one history")

// Known is a checkpoint that a history has to reach, and who knows it.
type Known struct {
	format.Checkpoint
	By string
}

// step says which source gives which records.
type step struct {
	source   *Source
	from, to uint64
}

// Choice is the longest history that the sources make up.
type Choice struct {
	// Checkpoint is of all its records.
	Checkpoint format.Checkpoint
	// Begins is the backup whose beginning stands for erased records; nil where the
	// history has all of them.
	Begins *Dir
	steps  []step
}

// Choose puts the longest history together, hashes all of it, and holds it against
// every checkpoint that the sources and known name. A known one beyond it is a
// *LostError, beside the choice; one that it contradicts wraps ErrContradict.
func Choose(ctx context.Context, sources []*Source, known []Known) (*Choice, error) {
	c := &Choice{}
	pos, first := uint64(0), slices.IndexFunc(sources, func(s *Source) bool { return s.From == 0 })
	if first < 0 {
		first = slices.IndexFunc(sources, func(s *Source) bool { return s.Backup != nil && s.Backup.Beginning() != nil })
		if first < 0 {
			return nil, fmt.Errorf("%w: nothing that survived holds the first records", ErrDirectory)
		}
		c.Begins, pos = sources[first].Backup, sources[first].From
	}
	for {
		var best *Source
		for _, s := range sources {
			if s.From <= pos && pos < s.To && (best == nil || s.To > best.To) {
				best = s
			}
		}
		if best == nil {
			break
		}
		c.steps = append(c.steps, step{best, pos, best.To})
		pos, c.Checkpoint = best.To, best.Checkpoint
	}
	points := slices.Clone(known)
	for _, s := range sources {
		points = append(points, Known{s.Checkpoint, s.Name})
	}
	slices.SortStableFunc(points, func(a, b Known) int { return cmp.Compare(a.Size, b.Size) })
	if err := c.hash(ctx, points); err != nil {
		return c, err
	}
	if p := points[len(points)-1]; p.Size > c.Checkpoint.Size {
		return c, &LostError{c.Checkpoint.Size, p.Size, p.By}
	}
	return c, nil
}

// hash computes the root at every point that the history reaches.
func (c *Choice) hash(ctx context.Context, points []Known) error {
	var f format.Frontier
	if c.Begins != nil {
		if err := c.Begins.leaves(ctx, func(leaf format.Digest) error { f.Add(leaf); return nil }); err != nil {
			return err
		}
	}
	check := func() error {
		for len(points) > 0 && points[0].Size <= f.Size() {
			if p := points[0]; p.Size == f.Size() && p.Root != f.Root() {
				return fmt.Errorf("%w: its first %d records do not have the root that %s knows", ErrContradict, p.Size, p.By)
			}
			points = points[1:]
		}
		return nil
	}
	if err := check(); err != nil {
		return err
	}
	return c.Range(ctx, f.Size(), func(seq uint64, encoded []byte) error {
		if seq != f.Size() {
			return fmt.Errorf("%w: record %d where %d belongs", ErrContradict, seq, f.Size())
		}
		f.Add(format.LeafHash(encoded))
		return check()
	})
}

// Range tells each of the history's records from a sequence on.
func (c *Choice) Range(ctx context.Context, from uint64, each func(sequence uint64, encoded []byte) error) error {
	for _, s := range c.steps {
		if s.to <= from {
			continue
		}
		next := max(from, s.from)
		err := s.source.read(ctx, next, s.to, func(seq uint64, encoded []byte) error {
			rec, err := format.DecodeRecord(encoded)
			if err != nil || rec.Sequence != next || seq != next {
				return fmt.Errorf("%s: record %d: %w", s.source.Name, next, errors.Join(err, ErrContradict))
			}
			next++
			return each(seq, bytes.Clone(encoded))
		})
		if err == nil && next != s.to {
			err = fmt.Errorf("%s: record %d: %w", s.source.Name, next, fs.ErrNotExist)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
