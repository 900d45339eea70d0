package history

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// treeName is the tree file's name in the data directory: the hashes of the RFC
// 6962 tree, 32 bytes each, in the order of tlog.StoredHashIndex.
const treeName = "history.tree"

// settleEvery is how many hashes are compared with the file at once.
const settleEvery = 2048

// tree is the Merkle tree over the records. add and root are one writer's, flush and
// what Open uses another's, at a time; ReadHashes is safe beside them.
type tree struct {
	f        *os.File
	clean    bool
	onDamage func(*format.DamageError)
	claim    func(f *os.File, end int64) error // may be nil

	size  uint64        // leaves
	right [64]tlog.Hash // by level, the newest complete subtree that may become a left child

	mu      sync.RWMutex
	base    int64       // hashes in the file
	pending []tlog.Hash // those after base
}

func openTree(o Options) (*tree, error) {
	path := filepath.Join(o.Dir, treeName)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = durable.CreateExclusive(path, os.O_RDWR, 0o600)
	}
	if err != nil {
		return nil, err
	}
	return &tree{f: f, clean: o.Clean, onDamage: o.OnDamage, claim: o.Claim}, nil
}

// add appends the hashes that the leaf completes.
func (t *tree) add(leaf tlog.Hash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = append(t.pending, leaf)
	level, h := 0, leaf
	for n := t.size; n&1 == 1; n >>= 1 {
		h = tlog.NodeHash(t.right[level], h)
		t.pending = append(t.pending, h)
		level++
	}
	t.right[level] = h
	t.size++
}

// root is the root over all leaves, from memory alone: whatever becomes of the
// file, it is that of what was added.
func (t *tree) root() tlog.Hash {
	h, begun := tlog.Hash(sha256.Sum256(nil)), false
	for level := range t.right {
		switch {
		case t.size>>level&1 == 0:
		case begun:
			h = tlog.NodeHash(t.right[level], h)
		default:
			h, begun = t.right[level], true
		}
	}
	return h
}

func encodeHashes(hashes []tlog.Hash) []byte {
	b := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

// waiting is what is pending now.
func (t *tree) waiting() []tlog.Hash {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.pending
}

// flush writes the first of what is pending: all that waiting answered. It is not
// synced: what a power cut takes is computed again from the records.
func (t *tree) flush(hashes []tlog.Hash) error {
	b, at := encodeHashes(hashes), t.base*tlog.HashSize
	if t.claim != nil {
		if err := t.claim(t.f, at+int64(len(b))); err != nil {
			return err
		}
	}
	if _, err := t.f.WriteAt(b, at); err != nil {
		return err
	}
	t.flushed(len(hashes))
	return nil
}

// flushed says that the first n of what is pending are in the file.
func (t *tree) flushed(n int) {
	t.mu.Lock()
	t.base += int64(n)
	t.pending = append(t.pending[:0], t.pending[n:]...)
	t.mu.Unlock()
}

// reset empties the tree; zeros in its file are ignored.
func (t *tree) reset() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	zeros := make([]byte, settleEvery*tlog.HashSize)
	for at := int64(0); at < t.base; at += settleEvery {
		if _, err := t.f.WriteAt(zeros[:min(settleEvery, t.base-at)*tlog.HashSize], at*tlog.HashSize); err != nil {
			return err
		}
	}
	t.size, t.right, t.base, t.pending = 0, [64]tlog.Hash{}, 0, nil
	return t.f.Sync()
}

// adopt takes the first n leaf hashes from the file: those of records which may
// be gone, so that nothing else knows them. The hashes above them must follow from
// them; where one does not, one of the two is damaged, and nothing is rewritten.
func (t *tree) adopt(n uint64) error {
	err := t.follow(context.Background(), t.f, n)
	t.flushed(len(t.pending))
	return err
}

// verify checks that the hashes above the first n leaves follow from them.
func (t *tree) verify(ctx context.Context, n uint64) error {
	return new(tree).follow(ctx, t.f, n)
}

// follow adds the leaves that a file holds and compares what they give with
// the hashes beside them.
func (t *tree) follow(ctx context.Context, f *os.File, n uint64) error {
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, math.MaxInt64), readAhead)
	var index int64
	next := func() (h tlog.Hash, err error) {
		_, err = io.ReadFull(r, h[:])
		index++
		return h, err
	}
	for t.size < n {
		leaf, err := next()
		if err != nil {
			return t.damage(index-1, err)
		}
		at := len(t.pending)
		t.add(leaf)
		for _, want := range t.pending[at+1:] {
			if have, err := next(); err != nil || have != want {
				return t.damage(index-1, errors.Join(err, errors.New("not what the hashes below it give")))
			}
		}
		if len(t.pending) >= settleEvery {
			if err := ctx.Err(); err != nil {
				return err
			}
			t.flushed(len(t.pending))
		}
	}
	return nil
}

func (t *tree) damage(index int64, err error) error {
	level, n := tlog.SplitStoredHashIndex(index)
	return &format.DamageError{File: treeName, Offset: index * tlog.HashSize, What: fmt.Sprintf("hash %d of level %d", n, level), Err: err}
}

// settle compares what is pending, computed from the records, with the file, and
// writes it where the file differs.
func (t *tree) settle() error {
	want := encodeHashes(t.pending)
	have := make([]byte, len(want))
	n, err := t.f.ReadAt(have, t.base*tlog.HashSize)
	if err != nil && !errors.Is(err, io.EOF) {
		n = 0 // cannot be read: written again
	}
	if string(have[:n]) == string(want) {
		t.flushed(len(t.pending))
		return nil
	}
	t.report(want, have[:n])
	return t.flush(t.pending)
}

// report names the first hash that is in the file and not the one that belongs
// there. Zeros after an unclean stop were never written.
func (t *tree) report(want, have []byte) {
	for at := 0; at+tlog.HashSize <= len(have) && t.onDamage != nil; at += tlog.HashSize {
		h := tlog.Hash(have[at:][:tlog.HashSize])
		if h == tlog.Hash(want[at:][:tlog.HashSize]) || !t.clean && h == (tlog.Hash{}) {
			continue
		}
		index := t.base + int64(at/tlog.HashSize)
		level, n := tlog.SplitStoredHashIndex(index)
		t.onDamage(&format.DamageError{File: treeName, Offset: index * tlog.HashSize, What: fmt.Sprintf("hash %d of level %d", n, level),
			Err: errors.New("not what the records give; rewritten")})
		return
	}
}

// settleEnd settles the rest and reports whether the file has a leaf hash beyond:
// that of a record which was on disk and is not there any more. Anything less
// (zeros, a part of a hash) is left to be written over.
func (t *tree) settleEnd() (lost bool, err error) {
	if err := t.settle(); err != nil {
		return false, err
	}
	var next tlog.Hash
	_, err = t.f.ReadAt(next[:], t.base*tlog.HashSize)
	return err == nil && next != (tlog.Hash{}), nil
}

// ReadHashes returns stored hashes by tlog's indexes; it makes a tree a
// tlog.HashReader.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if k := index - t.base; k >= 0 {
			if k >= int64(len(t.pending)) {
				return nil, fmt.Errorf("%w: stored hash %d", ErrBeyond, index)
			}
			out[i] = t.pending[k]
			continue
		}
		if _, err := t.f.ReadAt(out[i][:], index*tlog.HashSize); err != nil {
			return nil, hashDamage(index, err)
		}
	}
	return out, nil
}
