package audit

import (
	"crypto/sha256"

	"github.com/sago-worm/sago/store/format"
)

// edge is the right edge of an RFC 6962 tree that grows: the roots of its complete
// subtrees, the largest first. Its size is logarithmic.
type edge struct {
	n     uint64
	roots []format.Digest
}

func (e *edge) add(leaf format.Digest) {
	e.roots = append(e.roots, leaf)
	for m := e.n; m&1 == 1; m >>= 1 {
		last := len(e.roots) - 1
		e.roots[last-1] = nodeHash(e.roots[last-1], e.roots[last])
		e.roots = e.roots[:last]
	}
	e.n++
}

// root is the root of the tree so far, which must not be empty.
func (e *edge) root() format.Digest {
	r := e.roots[len(e.roots)-1]
	for i := len(e.roots) - 2; i >= 0; i-- {
		r = nodeHash(e.roots[i], r)
	}
	return r
}

func nodeHash(left, right format.Digest) format.Digest {
	var b [1 + 2*hashSize]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+hashSize:], right[:])
	return sha256.Sum256(b[:])
}

// included reports whether path leads from the leaf at index to the root of a
// tree of size records (RFC 9162, 2.1.3.2).
func included(leaf format.Digest, index, size uint64, path []format.Digest, root format.Digest) bool {
	last := size - 1
	for _, p := range path {
		if last == 0 {
			return false
		}
		if index&1 == 1 || index == last {
			leaf = nodeHash(p, leaf)
			for index&1 == 0 && index != 0 {
				index, last = index>>1, last>>1
			}
		} else {
			leaf = nodeHash(leaf, p)
		}
		index, last = index>>1, last>>1
	}
	return last == 0 && leaf == root
}

// tiles checks the hash tiles of the whole tree, depth first and one of each level
// at a time: each full tile's root stands in the tile above it, and the leaves'
// root is the signed one.
type tiles struct {
	*run
	open []tile // the tile of each level that is being filled in
}

type tile struct {
	name   string
	hashes []format.Digest
}

func (v *tiles) check() error {
	var grown edge
	for n := uint64(0); widthOf(n, v.tree.Size) > 0; n++ {
		leaves, err := v.tile(0, n)
		if err != nil {
			return err
		}
		for _, h := range leaves.hashes {
			grown.add(h)
			for _, k := range v.kept {
				if k.Size == grown.n {
					k.root, k.known = grown.root(), true
				}
			}
		}
		if err := v.above(0, n, leaves); err != nil {
			return err
		}
		if err := v.step(len(leaves.hashes)); err != nil {
			return err
		}
	}
	if grown.root() != v.tree.Root {
		return failed(RootMismatch, "tile/0", "the tree of these hashes has another root than the signed one")
	}
	return nil
}

// above looks a full tile up in the level above it.
func (v *tiles) above(level int, n uint64, child tile) error {
	if len(child.hashes) < bundleWidth {
		return nil
	}
	if len(v.open) == level {
		v.open = append(v.open, tile{})
	}
	place := n % bundleWidth
	if place == 0 {
		t, err := v.tile(level+1, n/bundleWidth)
		if err != nil {
			return err
		}
		v.open[level] = t
	}
	t := v.open[level]
	var whole edge
	for _, h := range child.hashes {
		whole.add(h)
	}
	if whole.root() != t.hashes[place] {
		return failed(TileMismatch, child.name, "its root is not what %s says", t.name)
	}
	if place == bundleWidth-1 {
		return v.above(level+1, n/bundleWidth, t)
	}
	return nil
}

// tile reads hash tile n of a level.
func (r *run) tile(level int, n uint64) (tile, error) {
	width := widthOf(n, r.tree.Size>>(8*level))
	t := tile{name: tilePath("tile/"+string(rune('0'+level)), n, width)}
	b, err := r.dir.read(t.name, width*hashSize)
	if err != nil {
		return t, err
	}
	if len(b) < width*hashSize {
		return t, failed(FileShort, t.name, "%d hashes are wanted, it has %d bytes", width, len(b))
	}
	for i := range width {
		t.hashes = append(t.hashes, format.Digest(b[i*hashSize:]))
	}
	return t, nil
}
