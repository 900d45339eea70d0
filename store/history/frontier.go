package history

import (
	"context"
	"fmt"

	"github.com/sago-worm/sago/store/format"
)

// Frontier is what roots are computed from anew.
type Frontier = format.Frontier

// Frontier answers the frontier of the first size records from the stored hashes:
// to be trusted only as far as its Root is known from elsewhere.
func (l *Log) Frontier(size uint64) (Frontier, error) {
	if size > l.Size() {
		return Frontier{}, fmt.Errorf("%w: frontier at %d", ErrBeyond, size)
	}
	hashes, err := l.tree.ReadHashes(format.FrontierHashes(size))
	return format.NewFrontier(size, hashes), err
}

// Extend reads the durable records behind the frontier again, up to to, compares
// each with its stored leaf hash and adds it. Where ctx ends it, the frontier is as
// far as it came. What differs is a *format.DamageError.
func (l *Log) Extend(ctx context.Context, f *Frontier, to uint64) error {
	if to > l.Durable() {
		return fmt.Errorf("%w: %d of %d durable records", ErrBeyond, to, l.Durable())
	}
	if whole := min(l.Whole(), to); f.Size() < whole {
		// Of what was erased only the tree has the leaf hash.
		if err := l.Kept(ctx, f.Size(), whole, func(uint64, []byte) error { return nil }); err != nil {
			return err
		}
		var known leaves
		for f.Size() < whole {
			leaf, err := known.of(l.tree, f.Size())
			if err != nil {
				return err
			}
			f.Add(leaf)
		}
	}
	_, err := l.scan(ctx, f.Size(), to, l.checkLeaf, func(_ uint64, encoded []byte) error {
		f.Add(format.LeafHash(encoded))
		return nil
	})
	return err
}
