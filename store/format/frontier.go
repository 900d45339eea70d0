package format

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Frontier is a tree's complete subtrees from the left, largest first: its root
// follows from them, and leaves are added to them. It is what a reader keeps who
// computes roots anew from the records. The zero Frontier is the empty tree's.
type Frontier struct {
	size   uint64
	hashes []tlog.Hash // one for each bit of size, highest first
}

// NewFrontier is that of size leaves, from the hashes of its subtrees, which
// FrontierHashes names.
func NewFrontier(size uint64, hashes []tlog.Hash) Frontier { return Frontier{size, hashes} }

// FrontierHashes are the stored hashes (tlog.StoredHashIndex) of the frontier of
// size leaves.
func FrontierHashes(size uint64) []int64 {
	var indexes []int64
	for at := uint64(0); at < size; {
		level := bits.Len64(size-at) - 1
		indexes = append(indexes, tlog.StoredHashIndex(level, int64(at>>level)))
		at += 1 << level
	}
	return indexes
}

// Size is the number of leaves.
func (f *Frontier) Size() uint64 { return f.size }

// Root is the tree's root.
func (f *Frontier) Root() Digest {
	if f.size == 0 {
		h, _ := tlog.TreeHash(0, nil) // of the empty tree, which reads nothing
		return Digest(h)
	}
	n := len(f.hashes)
	h := f.hashes[n-1]
	for i := n - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.hashes[i], h)
	}
	return Digest(h)
}

// Add appends a leaf.
func (f *Frontier) Add(leaf Digest) {
	h := tlog.Hash(leaf)
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.hashes) - 1
		h = tlog.NodeHash(f.hashes[last], h)
		f.hashes = f.hashes[:last]
	}
	f.hashes = append(f.hashes, h)
	f.size++
}

// Clone is a copy that is added to apart.
func (f *Frontier) Clone() Frontier {
	return Frontier{f.size, append([]tlog.Hash(nil), f.hashes...)}
}

// Encode returns the canonical bytes of f.
func (f Frontier) Encode() []byte {
	var w Writer
	w.U64(f.size)
	for _, h := range f.hashes {
		w.Raw(h[:])
	}
	return w.Bytes()
}

// DecodeFrontier reads what Encode wrote.
func DecodeFrontier(b []byte) (Frontier, error) {
	r := NewReader(b)
	f := Frontier{size: r.U64()}
	n := bits.OnesCount64(f.size)
	if r.Err() == nil && (f.size > 1<<62 || len(b) != 8+n*tlog.HashSize) {
		return f, fmt.Errorf("%w: frontier of %d leaves", ErrMalformed, f.size)
	}
	for range n {
		var h tlog.Hash
		r.Raw(h[:])
		f.hashes = append(f.hashes, h)
	}
	return f, r.Done()
}
