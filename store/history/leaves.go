package history

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
)

// leavesAhead is how many stored hashes are read at once, for half as many records.
const leavesAhead = 256

// leaves are stored hashes that were read at once: who reads records one after the
// other needs their leaf hashes so. What is stored never changes.
type leaves struct {
	first  int64 // index of the first
	hashes []byte
}

// of returns a record's leaf hash, and reads on from it where it is none of those at
// hand.
func (s *leaves) of(t *tree, seq uint64) (d format.Digest, err error) {
	index := tlog.StoredHashIndex(0, int64(seq))
	if index < s.first || index >= s.first+int64(len(s.hashes)/tlog.HashSize) {
		if err := s.read(t, index); err != nil {
			return d, err
		}
	}
	copy(d[:], s.hashes[(index-s.first)*tlog.HashSize:])
	return d, nil
}

func (s *leaves) read(t *tree, index int64) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s.first, s.hashes = index, slices.Grow(s.hashes[:0], leavesAhead*tlog.HashSize)
	if k := index - t.base; k >= 0 {
		if k >= int64(len(t.pending)) {
			return fmt.Errorf("%w: stored hash %d", ErrBeyond, index)
		}
		s.hashes = append(s.hashes, t.pending[k][:]...)
		return nil
	}
	b := s.hashes[:min(leavesAhead, t.base-index)*tlog.HashSize]
	n, err := t.f.ReadAt(b, index*tlog.HashSize)
	if n < tlog.HashSize {
		return hashDamage(index, err)
	}
	s.hashes = b[:n/tlog.HashSize*tlog.HashSize]
	return nil
}

// hashDamage is what is said of a stored hash that cannot be read.
func hashDamage(index int64, err error) error {
	return &format.DamageError{File: treeName, Offset: index * tlog.HashSize, What: "stored hash", Err: err}
}

// checkLeaf compares a record read again with what the tree was built from: nothing
// else has its leaf hash, so it is the one that was checked when it was taken in.
func (l *Log) checkLeaf(known *leaves, seq uint64, encoded []byte) error {
	if have := sequenceOf(encoded); have != seq {
		return fmt.Errorf("%w: %d where %d belongs", ErrSequence, have, seq)
	}
	leaf, err := known.of(l.tree, seq)
	if err != nil {
		return err
	}
	if leaf != format.LeafHash(encoded) {
		return fmt.Errorf("%w: the record does not have its leaf hash", format.ErrMalformed)
	}
	return nil
}
