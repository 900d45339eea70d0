package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"github.com/sago-worm/sago/store/format"
)

// Beginning stands for records that had been erased when a backup was begun: a
// base, all leaf hashes, and the records that were carried.
type Beginning struct {
	Whole   uint64 // the first record that is whole
	Decided uint64 // sequence plus one of the PRUNE record behind the carried ones
	Entry   uint64 // log entry of the STATE record that vouches for the base
}

// The kinds of frames of a beginning, in their order.
const (
	frameBase   = 1
	frameLeaves = 2 // leaf hashes, one behind the other
	frameRecord = 3
)

// maxLeaves is how many leaf hashes one frame holds at most.
const maxLeaves = 16 << 10

// BeginningWriter writes the beginning. Its parts come in their order.
type BeginningWriter struct {
	part
	b        Beginning
	frontier format.Frontier
	leaves   []byte
}

// NewBeginning begins what stands for erased records; there are none here yet.
func (d *Dir) NewBeginning(b Beginning) (*BeginningWriter, error) {
	if d.Records() != 0 || d.beginning != nil || b.Whole == 0 {
		return nil, fmt.Errorf("%w: a beginning behind records", ErrMismatch)
	}
	p, err := d.begin(format.FileHeader{Kind: format.KindBackupBeginning, First: b.Whole, PrevGood: b.Decided})
	if err != nil {
		return nil, err
	}
	return &BeginningWriter{part: *p, b: b}, nil
}

// Base takes in a frame of the base.
func (w *BeginningWriter) Base(frame []byte) error {
	return w.add(framed([]byte{frameBase}, frame))
}

// Leaves takes in leaf hashes, one behind the other.
func (w *BeginningWriter) Leaves(hashes []byte) error {
	if len(hashes)%len(format.Digest{}) != 0 {
		return fmt.Errorf("%w: leaf hashes of %d bytes", ErrMismatch, len(hashes))
	}
	for len(hashes) > 0 {
		w.frontier.Add(format.Digest(hashes[:32]))
		w.leaves, hashes = append(w.leaves, hashes[:32]...), hashes[32:]
		if len(w.leaves) == maxLeaves*32 {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *BeginningWriter) flush() error {
	if len(w.leaves) == 0 {
		return nil
	}
	err := w.add(framed([]byte{frameLeaves}, w.leaves))
	w.leaves = w.leaves[:0]
	return err
}

// Record takes in a carried record.
func (w *BeginningWriter) Record(encoded []byte) error {
	return errors.Join(w.flush(), w.add(framed([]byte{frameRecord}, encoded)))
}

// Size is how many records the beginning stands for so far.
func (w *BeginningWriter) Size() uint64 { return w.frontier.Size() }

// Root is their root.
func (w *BeginningWriter) Root() format.Digest { return w.frontier.Root() }

// Publish gives the beginning its name, if it stands for as many records as it
// said, and the carried ones have their leaf hashes.
func (w *BeginningWriter) Publish() error {
	if err := w.flush(); err != nil {
		return err
	}
	if w.frontier.Size() != w.b.Whole {
		return fmt.Errorf("%w: %d leaf hashes for %d records", ErrMismatch, w.frontier.Size(), w.b.Whole)
	}
	if err := w.publish(beginningFile, w.b.Entry); err != nil {
		return err
	}
	w.d.beginning = &w.b
	w.d.frontier, w.d.ahead = w.frontier, true
	return nil
}

func (d *Dir) readBeginning() (*Beginning, error) {
	if _, err := os.Lstat(d.at(beginningFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	r, err := d.open(beginningFile, format.KindBackupBeginning)
	if err != nil {
		return nil, err
	}
	return &Beginning{Whole: r.head.First, Decided: r.head.PrevGood, Entry: r.head.Number}, r.f.Close()
}

// Beginning is what stands for erased records; nil where none had been erased.
func (d *Dir) Beginning() *Beginning { return d.beginning }

// frames tells each of the beginning's frames of one kind.
func (d *Dir) frames(ctx context.Context, kind byte, each func([]byte) error) (err error) {
	r, err := d.open(beginningFile, format.KindBackupBeginning)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.f.Close()) }()
	for {
		f, err := r.frame()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if f[0] == kind {
			if err := errors.Join(ctx.Err(), each(f[1:])); err != nil {
				return err
			}
		}
	}
}

func (d *Dir) leaves(ctx context.Context, each func(format.Digest) error) error {
	return d.frames(ctx, frameLeaves, func(b []byte) error {
		for ; len(b) >= 32; b = b[32:] {
			if err := each(format.Digest(b[:32])); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *Dir) carried(ctx context.Context, each func(uint64, []byte) error) error {
	return d.frames(ctx, frameRecord, func(b []byte) error {
		rec, err := format.DecodeRecord(b)
		if err != nil {
			return d.damage(beginningFile, -1, "carried record", err)
		}
		return each(rec.Sequence, b)
	})
}

// Parts answer the next frame of a beginning's base, leaf hash and carried record,
// each io.EOF behind the last; Stop ends them.
type Parts struct {
	Base   func() ([]byte, error)
	Leaf   func() (format.Digest, error)
	Record func() ([]byte, error)
	Stop   func()
}

// Parts reads the beginning as a node takes it in.
func (d *Dir) Parts(ctx context.Context) Parts {
	base, stopBase := pull(func(each func([]byte) error) error { return d.frames(ctx, frameBase, each) })
	leaf, stopLeaf := pull(func(each func(format.Digest) error) error { return d.leaves(ctx, each) })
	record, stopRecord := pull(func(each func([]byte) error) error { return d.frames(ctx, frameRecord, each) })
	return Parts{base, leaf, record, func() { stopBase(); stopLeaf(); stopRecord() }}
}

var errStopped = errors.New("stopped")

// pull turns a walk into a function that answers one after the other.
func pull[T any](walk func(each func(T) error) error) (next func() (T, error), stop func()) {
	step, stop := iter.Pull2(func(yield func(T, error) bool) {
		err := walk(func(v T) error {
			if !yield(v, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			var none T
			yield(none, err)
		}
	})
	return func() (T, error) {
		v, err, ok := step()
		if !ok {
			err = io.EOF
		}
		return v, err
	}, stop
}
