package gate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// history is what has been read of the history so far: its tree, the pinned keys,
// and what decisions are judged by. Everything in it follows from the files.
type history struct {
	dir      string
	ceremony format.Digest

	list        []source
	incarnation format.ID
	at          place // of the next record
	tree        tree
	marks       []mark
	spots       [3]spot // where walks ended last: decisions, what they are about, and what touched that

	members  *members // nil before the ceremony
	begun    int64    // the ceremony's time, microseconds
	accepted *acceptedMark
	pair     clockPair
	used     usedSlots
	epochs   epochs
	oneTime  map[format.BundleKey]bool     // bundles of one-time rules
	touched  map[format.BundleKey][]uint64 // records that changed a bundle's retention
	prunes   []pruned

	live bitmap         // STORE records whose bundle nothing has ended
	open map[uint32]int // how many, of each institution

	persons   map[uint64]access.Signer // of the ceremony
	officers  map[uint64]access.Signer // of institutions registered since
	closings  map[uint64]uint32        // the institution, by the sequence of its act's record
	proposers map[format.Digest]uint64 // by the SHA-256 of the document
	stops     map[format.BundleKey][]stopped
	holds     map[uint64]placedHold // by the sequence of the record
	heldBy    map[holdOn][]uint64   // those sequences, by what they are on
	needs     []need                // ascending
	noSpecial map[uint32]uint64     // the record that ended special deletion, by institution
	losses    []loss
	released  map[uint64]int64 // wider holds that were released, by that sequence: the clock then
}

// place is where a record stands: a file of the list and an offset in it.
type place struct {
	file int
	off  int64
}

// mark is a place that reading can begin at.
type mark struct {
	seq uint64
	place
	right []tlog.Hash // of the tree before it, unless it is in a carried file
	whole bool        // it is not
}

// markEvery is how many records lie between two marks.
const markEvery = 1024

func newHistory(dir string, ceremony format.Digest) *history {
	return &history{dir: dir, ceremony: ceremony, used: usedSlots{}, epochs: epochs{}, oneTime: map[format.BundleKey]bool{}, touched: map[format.BundleKey][]uint64{},
		open: map[uint32]int{}, officers: map[uint64]access.Signer{}, closings: map[uint64]uint32{},
		persons: map[uint64]access.Signer{}, proposers: map[format.Digest]uint64{}, stops: map[format.BundleKey][]stopped{}, holds: map[uint64]placedHold{}, heldBy: map[holdOn][]uint64{}, noSpecial: map[uint32]uint64{}, released: map[uint64]int64{}}
}

// tree is the right edge of an RFC 6962 tree.
type tree struct {
	size  uint64
	right []tlog.Hash // one for each bit of size that is set, the greatest subtree first
}

func (t *tree) add(leaf tlog.Hash) {
	for n := t.size; n&1 == 1; n >>= 1 {
		k := len(t.right) - 1
		leaf = tlog.NodeHash(t.right[k], leaf)
		t.right = t.right[:k]
	}
	t.right = append(t.right, leaf)
	t.size++
}

func (t *tree) root() format.Digest {
	k := len(t.right)
	if k == 0 {
		return sha256.Sum256(nil)
	}
	h := t.right[k-1]
	for i := k - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.right[i], h)
	}
	return format.Digest(h)
}

// catchUp reads what the files hold beyond what was read.
func (h *history) catchUp(ctx context.Context, leaves io.ReaderAt) error {
	list, who, err := sources(h.dir)
	if err != nil {
		return err
	}
	if !h.continues(list, who) {
		*h = *newHistory(h.dir, h.ceremony)
	}
	h.list, h.incarnation = list, who.Incarnation
	for h.at.file < len(list) {
		if h.at.off == 0 {
			h.at.off = format.FileHeaderSize
		}
		if err := h.readFile(ctx, leaves); err != nil {
			return err
		}
		s := list[h.at.file]
		if s.carried {
			if err := h.fill(leaves, s.first); err != nil {
				return err
			}
		} else if s.good < 0 {
			return nil // more will be written there
		} else if h.at.off != s.good {
			return refuse("%s is not whole up to %d", s.path, s.good)
		}
		h.at = place{file: h.at.file + 1}
	}
	return nil
}

// continues says whether the files are those that were read, and more.
func (h *history) continues(list []source, who format.FileHeader) bool {
	if len(h.list) == 0 {
		return true
	}
	if h.incarnation != who.Incarnation || len(list) < len(h.list) {
		return false
	}
	for i, s := range h.list {
		now := list[i]
		if now.path != s.path || now.first != s.first || now.carried != s.carried || s.good >= 0 && now.good != s.good {
			return false
		}
		if i == h.at.file && now.good >= 0 && now.good < h.at.off {
			return false // what was read there does not count any more
		}
	}
	return true
}

// readFile reads the rest of the present file.
func (h *history) readFile(ctx context.Context, leaves io.ReaderAt) (err error) {
	s := h.list[h.at.file]
	t, err := openTape(s, h.at.off)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.f.Close()) }()
	for {
		encoded, err := t.next()
		if err != nil {
			if ended(err) {
				return nil
			}
			return err
		}
		seq := sequenceOf(encoded)
		if s.carried {
			if seq < h.tree.size || seq >= s.first {
				return refuse("record %d stands out of order in %s", seq, s.path)
			}
			if err := h.fill(leaves, seq); err != nil {
				return err
			}
		}
		if seq != h.tree.size {
			return refuse("record %d stands where %d belongs", seq, h.tree.size)
		}
		if len(h.marks) == 0 || seq >= h.marks[len(h.marks)-1].seq+markEvery || h.marks[len(h.marks)-1].file != h.at.file {
			h.mark(seq, s.carried)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := h.take(ctx, encoded); err != nil {
			return fmt.Errorf("record %d: %w", seq, err)
		}
		h.tree.add(tlog.Hash(format.LeafHash(encoded)))
		h.at.off = t.off
	}
}

func (h *history) mark(seq uint64, carried bool) {
	m := mark{seq: seq, place: h.at, whole: !carried}
	if m.whole {
		m.right = slices.Clone(h.tree.right)
	}
	h.marks = append(h.marks, m)
}

// fill adds the leaf hashes, up to a record, of records that were erased. Whoever
// answers them: a root that a majority signed says whether they are the ones.
func (h *history) fill(leaves io.ReaderAt, to uint64) error {
	for h.tree.size < to {
		if leaves == nil {
			return refuse("record %d was erased and nobody says its leaf hash", h.tree.size)
		}
		var leaf tlog.Hash
		if _, err := leaves.ReadAt(leaf[:], tlog.StoredHashIndex(0, int64(h.tree.size))*tlog.HashSize); err != nil {
			return fmt.Errorf("%w: leaf hash %d: %w", ErrRefused, h.tree.size, err)
		}
		h.tree.add(leaf)
	}
	return nil
}

// rootAt computes the root over the first size records: from the nearest mark on,
// from the records themselves.
func (h *history) rootAt(ctx context.Context, size uint64) (format.Digest, error) {
	if size > h.tree.size {
		return format.Digest{}, refuse("there are %d records, not %d", h.tree.size, size)
	}
	if size == h.tree.size {
		return h.tree.root(), nil
	}
	i := len(h.marks) - 1
	for i >= 0 && (h.marks[i].seq > size || !h.marks[i].whole) {
		i--
	}
	if i < 0 {
		return format.Digest{}, refuse("of the first %d records some were erased", size)
	}
	m := h.marks[i]
	t := tree{size: m.seq, right: slices.Clone(m.right)}
	if bits.OnesCount64(t.size) != len(t.right) {
		return format.Digest{}, fmt.Errorf("a mark of %d records with %d hashes", t.size, len(t.right))
	}
	err := h.walk(ctx, m.seq, func(seq uint64, encoded []byte) (bool, error) {
		if seq < size {
			t.add(tlog.Hash(format.LeafHash(encoded)))
		}
		return seq+1 < size, nil
	})
	if err == nil && t.size != size {
		err = refuse("records below %d are not there", size)
	}
	return t.root(), err
}
