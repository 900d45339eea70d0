package history

import (
	"context"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
)

// Frontier is a tree's complete subtrees from the left, largest first: its root
// follows from them, and leaves are added to them. It is what a reader keeps who
// computes roots anew from the records. The zero Frontier is the empty tree's.
type Frontier struct {
	size   uint64
	hashes []tlog.Hash // one for each bit of size, highest first
}

// Size is the number of leaves.
func (f *Frontier) Size() uint64 { return f.size }

// Root is the tree's root.
func (f *Frontier) Root() format.Digest {
	if f.size == 0 {
		h, _ := tlog.TreeHash(0, nil) // of the empty tree, which reads nothing
		return format.Digest(h)
	}
	n := len(f.hashes)
	h := f.hashes[n-1]
	for i := n - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.hashes[i], h)
	}
	return format.Digest(h)
}

func (f *Frontier) add(leaf format.Digest) {
	h := tlog.Hash(leaf)
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.hashes) - 1
		h = tlog.NodeHash(f.hashes[last], h)
		f.hashes = f.hashes[:last]
	}
	f.hashes = append(f.hashes, h)
	f.size++
}

// Frontier answers the frontier of the first size records from the stored hashes:
// to be trusted only as far as its Root is known from elsewhere.
func (l *Log) Frontier(size uint64) (Frontier, error) {
	if size > l.Size() {
		return Frontier{}, fmt.Errorf("%w: frontier at %d", ErrBeyond, size)
	}
	f := Frontier{size: size}
	var indexes []int64
	for at := uint64(0); at < size; {
		level := bits.Len64(size-at) - 1
		indexes = append(indexes, tlog.StoredHashIndex(level, int64(at>>level)))
		at += 1 << level
	}
	var err error
	f.hashes, err = l.tree.ReadHashes(indexes)
	return f, err
}

// Extend reads the durable records behind the frontier again, up to to, compares
// each with its stored leaf hash and adds it. Where ctx ends it, the frontier is as
// far as it came. What differs is a *format.DamageError.
func (l *Log) Extend(ctx context.Context, f *Frontier, to uint64) error {
	if to > l.Durable() {
		return fmt.Errorf("%w: %d of %d durable records", ErrBeyond, to, l.Durable())
	}
	if whole := min(l.Whole(), to); f.size < whole {
		// Of what was erased only the tree has the leaf hash.
		if err := l.Kept(ctx, f.size, whole, func(uint64, []byte) error { return nil }); err != nil {
			return err
		}
		for f.size < whole {
			leaf, err := l.tree.leaf(f.size)
			if err != nil {
				return err
			}
			f.add(leaf)
		}
	}
	_, err := l.scan(ctx, f.size, to, l.checkLeaf, func(_ uint64, encoded []byte) error {
		f.add(format.LeafHash(encoded))
		return nil
	})
	return err
}
