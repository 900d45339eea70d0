package backup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sago-worm/sago/store/format"
)

// A history file holds the frontier of all records before its first, then the
// records, each in a frame.

// HistoryWriter writes the next history file.
type HistoryWriter struct {
	part
	frontier format.Frontier
	first    uint64
}

// NewHistory begins the history file behind what is here.
func (d *Dir) NewHistory() (*HistoryWriter, error) {
	f, err := d.Frontier()
	if err != nil {
		return nil, err
	}
	p, err := d.begin(format.FileHeader{Kind: format.KindBackupHistory, First: d.Records()})
	if err != nil {
		return nil, err
	}
	w := &HistoryWriter{part: *p, frontier: f.Clone(), first: d.Records()}
	return w, w.add(framed(f.Encode()))
}

// Add takes the next record in. The error wraps ErrMismatch for any other.
func (w *HistoryWriter) Add(encoded []byte) error {
	rec, err := format.DecodeRecord(encoded)
	if err != nil {
		return fmt.Errorf("%w: record %d: %w", ErrMismatch, w.frontier.Size(), err)
	}
	if rec.Sequence != w.frontier.Size() {
		return fmt.Errorf("%w: record %d where %d belongs", ErrMismatch, rec.Sequence, w.frontier.Size())
	}
	w.frontier.Add(format.LeafHash(encoded))
	return w.add(framed(encoded))
}

// Size and Root are those of all records up to here: the caller holds them against
// what a majority signed before it publishes.
func (w *HistoryWriter) Size() uint64 { return w.frontier.Size() }

// Root is the root over the first Size records.
func (w *HistoryWriter) Root() format.Digest { return w.frontier.Root() }

// Publish gives the file its name; one without a record gets none.
func (w *HistoryWriter) Publish() error {
	s := span{w.first, w.frontier.Size()}
	if s.first == s.end {
		return w.Drop()
	}
	if err := w.publish(s.name(historyDir, historyExt), s.end); err != nil {
		return err
	}
	w.d.history = append(w.d.history, s)
	w.d.frontier, w.d.ahead = w.frontier, true
	return nil
}

// Frontier is that of all records that are here, as far as the newest file says
// it of those before its own: its root is to be held against a signed one.
func (d *Dir) Frontier() (f format.Frontier, err error) {
	if d.ahead {
		return d.frontier, nil
	}
	if n := len(d.history); n > 0 {
		err = d.readFile(context.Background(), d.history[n-1], func(g format.Frontier) { f = g.Clone() }, func(_ uint64, encoded []byte) error {
			f.Add(format.LeafHash(encoded))
			return nil
		})
	} else if d.beginning != nil {
		err = d.leaves(context.Background(), func(leaf format.Digest) error { f.Add(leaf); return nil })
	}
	if err == nil {
		d.frontier, d.ahead = f, true
	}
	return f, err
}

// readFile tells each of the records of one file.
func (d *Dir) readFile(ctx context.Context, s span, before func(format.Frontier), each func(uint64, []byte) error) (err error) {
	r, err := d.open(s.name(historyDir, historyExt), format.KindBackupHistory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.f.Close()) }()
	first, err := r.frame()
	if err != nil {
		return r.damage("frontier", err)
	}
	f, err := format.DecodeFrontier(first)
	if err == nil && (r.head.First != s.first || r.head.Number != s.end || f.Size() != s.first) {
		err = fmt.Errorf("the file says records %d to %d behind %d", r.head.First, r.head.Number, f.Size())
	}
	if err != nil {
		return r.damage("frontier", err)
	}
	before(f)
	seq := s.first
	for ; ; seq++ {
		encoded, err := r.frame()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		rec, err := format.DecodeRecord(encoded)
		if err == nil && rec.Sequence != seq {
			err = fmt.Errorf("it is record %d", rec.Sequence)
		}
		if err != nil {
			return r.damage(fmt.Sprintf("record %d", seq), err)
		}
		if err := errors.Join(ctx.Err(), each(seq, encoded)); err != nil {
			return err
		}
	}
	if seq != s.end {
		return r.damage(fmt.Sprintf("record %d", seq), io.ErrUnexpectedEOF)
	}
	return nil
}

// Range tells each of the records [from, to), from Whole on; the bytes are valid
// during the call.
func (d *Dir) Range(ctx context.Context, from, to uint64, each func(sequence uint64, encoded []byte) error) error {
	for _, s := range d.history {
		if s.end <= from || s.first >= to {
			continue
		}
		err := d.readFile(ctx, s, func(format.Frontier) {}, func(seq uint64, encoded []byte) error {
			if seq < from || seq >= to {
				return nil
			}
			return each(seq, encoded)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Kept is Range over what is here: of the records before Whole, those that the
// beginning carries.
func (d *Dir) Kept(ctx context.Context, from, to uint64, each func(sequence uint64, encoded []byte) error) error {
	if from < d.Whole() {
		if err := d.carried(ctx, func(seq uint64, encoded []byte) error {
			if seq < from || seq >= to {
				return nil
			}
			return each(seq, encoded)
		}); err != nil {
			return err
		}
	}
	return d.Range(ctx, max(from, d.Whole()), to, each)
}
