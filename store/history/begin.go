package history

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
)

// Leaves tells each the leaf hashes of the first size records.
func (l *Log) Leaves(ctx context.Context, size uint64, each func(format.Digest) error) error {
	var known leaves
	for seq := range size {
		leaf, err := known.of(l.tree, seq)
		if err == nil && seq%settleEvery == 0 {
			err = ctx.Err()
		}
		if err == nil {
			err = each(leaf)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Begin begins an empty history in the middle: with the leaf hashes of the records
// before first, and those of the records that are carried. leaf and record answer
// the next one, io.EOF behind the last. A source that fails leaves the history
// empty; any other failure is the disk's, and final. It is the writer's.
func (l *Log) Begin(ctx context.Context, first, decided uint64, leaf func() (format.Digest, error), record func() ([]byte, error)) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if l.Size() != 0 || l.Whole() != 0 || first == 0 {
		return fmt.Errorf("%w: a history that has records begins at record %d", ErrSequence, first)
	}
	count, err := l.beginWith(ctx, first, decided, leaf, record)
	if err != nil {
		return errors.Join(err, l.tree.reset())
	}
	l.mu.Lock()
	l.size, l.durable = first, first
	l.mu.Unlock()
	if err := errors.Join(l.takeCarried(1, count), l.files.Skip(first)); err != nil {
		return l.latch(err)
	}
	return nil
}

func (l *Log) beginWith(ctx context.Context, first, decided uint64, leaf func() (format.Digest, error), record func() ([]byte, error)) (count uint64, err error) {
	for n := range first {
		h, err := leaf()
		if err != nil {
			return 0, fmt.Errorf("leaf hash %d: %w", n, err)
		}
		if l.tree.add(tlog.Hash(h)); n%settleEvery == 0 || n+1 == first {
			if err := errors.Join(ctx.Err(), l.tree.flush(l.tree.waiting())); err != nil {
				return 0, err
			}
		}
	}
	if _, err := leaf(); !errors.Is(err, io.EOF) {
		return 0, errors.Join(err, fmt.Errorf("%w: more than %d leaf hashes", ErrSequence, first))
	}
	if err := l.tree.f.Sync(); err != nil {
		return 0, err
	}
	return count, l.o.Place(carriedName(1), func(w io.Writer) error {
		h := format.FileHeader{Kind: format.KindCarried, Cluster: l.o.Cluster, Incarnation: l.o.Incarnation, Number: 1, First: first, PrevGood: decided}
		if _, err := w.Write(h.Encode()); err != nil {
			return err
		}
		var known leaves
		for next := uint64(0); ; count++ {
			encoded, err := record()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			seq := sequenceOf(encoded)
			if seq < next || seq >= first {
				return fmt.Errorf("%w: carried record %d", ErrSequence, seq)
			}
			next = seq + 1
			_, err = checkRecord(encoded, seq)
			if err = errors.Join(err, l.checkLeaf(&known, seq, encoded)); err != nil {
				return fmt.Errorf("carried record %d: %w", seq, err)
			}
			if _, err := w.Write(appendFrame(nil, encoded)); err != nil {
				return err
			}
		}
	})
}
