package index

import (
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// readsAtOnce is how many pages Ahead waits for at the same time.
	readsAtOnce = 8
	// keysAtOnce bounds how long one read transaction lasts.
	keysAtOnce = 256
	// branchPages is more than any branch page runs over, with the longest keys.
	branchPages = 16
)

// Ahead reads the pages on which rows with these keys stand, or would, so that they are
// in memory when somebody looks a row up: who touches a page of the mapped file that is
// not holds up everybody who waits for them, one page after another. Keys ascend. It
// promises nothing, and fails silently: whoever looks the row up hears of it.
func (d *DB) Ahead(ctx context.Context, t Table, keys [][]byte) {
	if len(keys) == 0 || !d.tallies.Load().stand(t) {
		return
	}
	f, err := os.Open(d.path)
	if err != nil {
		return
	}
	defer f.Close() // opened for reading: nothing to lose
	// The pages lie anywhere, and a disk that reads megabytes beside each keeps the log waiting.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM)
	for some := range slices.Chunk(keys, keysAtOnce) {
		_ = d.view(func(tx *readTx) error { // while it is open no page of its tree is used again
			if b := tx.Bucket(bucketName(t)); b != nil && b.Root() != 0 { // or the rows are in the table's entry
				a := ahead{r: f, pageSize: int64(tx.DB().Info().PageSize)}
				a.read(ctx, []subtree{{uint64(b.Root()), some}})
			}
			return nil
		})
	}
}

// ahead reads pages of a file, which may have become another's meanwhile.
type ahead struct {
	r        io.ReaderAt
	pageSize int64
}

// subtree is a page, and the keys looked for below it.
type subtree struct {
	page uint64
	keys [][]byte
}

// read reads trees level by level.
func (a ahead) read(ctx context.Context, level []subtree) {
	for depth := 0; len(level) > 0 && depth < maxDepth; depth++ {
		below := make([][]subtree, len(level))
		var wg sync.WaitGroup
		for reader := range min(readsAtOnce, len(level)) {
			wg.Go(func() {
				for i := reader; i < len(level) && ctx.Err() == nil; i += readsAtOnce {
					below[i] = a.below(level[i])
				}
			})
		}
		wg.Wait()
		level = slices.Concat(below...)
	}
}

// below reads a page, and answers what is looked for below it.
func (a ahead) below(s subtree) (out []subtree) {
	head := make([]byte, pageHeader)
	if _, err := a.r.ReadAt(head, int64(s.page)*a.pageSize); err != nil {
		return nil
	}
	more := native.Uint32(head[12:])
	if native.Uint16(head[8:]) != flagBranch || more > branchPages {
		return nil
	}
	b := make([]byte, int64(more+1)*a.pageSize)
	if _, err := a.r.ReadAt(b, int64(s.page)*a.pageSize); err != nil {
		return nil
	}
	firsts, kids, err := branchElements(b, native.Uint16(b[10:]))
	if err != nil {
		return nil // not of this tree
	}
	for i, kid := range kids {
		n := len(s.keys)
		if i+1 < len(kids) {
			n, _ = slices.BinarySearchFunc(s.keys, firsts[i+1], bytes.Compare)
		}
		if n > 0 {
			out = append(out, subtree{kid, s.keys[:n]})
		}
		s.keys = s.keys[n:]
	}
	return out
}
