package index

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
)

const (
	// readsAtOnce is how many pages Ahead waits for at the same time.
	readsAtOnce = 8
	// branchPages is more than any branch page runs over, with the longest keys.
	branchPages = 16
)

// Ahead reads the pages on which rows with these keys stand, or would, so that they are
// in memory when somebody looks a row up: who touches a page of the mapped file that is
// not holds up everybody who waits for them, one page after another, and Ahead nobody.
// Keys ascend. It promises nothing; an error is the file system's or the context's.
func (d *DB) Ahead(ctx context.Context, t Table, keys [][]byte) error {
	if len(keys) == 0 || !d.tallies.Load().stand(t) {
		return nil
	}
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()                        // opened for reading: nothing to lose
	return d.view(func(tx *readTx) error { // while it is open no page of its tree is used again
		b := tx.Bucket(bucketName(t))
		if b == nil || b.Root() == 0 {
			return nil // rows in the table's entry
		}
		a := ahead{r: f, pageSize: int64(tx.DB().Info().PageSize)}
		return a.read(ctx, []subtree{{uint64(b.Root()), keys}})
	})
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
func (a ahead) read(ctx context.Context, level []subtree) error {
	for depth := 0; len(level) > 0 && depth < maxDepth; depth++ {
		below, errs := make([][]subtree, len(level)), make([]error, readsAtOnce)
		var wg sync.WaitGroup
		for reader := range min(readsAtOnce, len(level)) {
			wg.Go(func() {
				for i := reader; i < len(level) && errs[reader] == nil; i += readsAtOnce {
					if errs[reader] = ctx.Err(); errs[reader] == nil {
						below[i], errs[reader] = a.below(level[i])
					}
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		level = slices.Concat(below...)
	}
	return nil
}

// below reads a page, and answers what is looked for below it.
func (a ahead) below(s subtree) (out []subtree, err error) {
	head := make([]byte, pageHeader)
	if _, err := a.r.ReadAt(head, int64(s.page)*a.pageSize); err != nil {
		return nil, err
	}
	more := native.Uint32(head[12:])
	if native.Uint16(head[8:]) != flagBranch || more > branchPages {
		return nil, nil
	}
	b := make([]byte, int64(more+1)*a.pageSize)
	if _, err := a.r.ReadAt(b, int64(s.page)*a.pageSize); err != nil {
		return nil, err
	}
	firsts, kids, err := branchElements(b, native.Uint16(b[10:]))
	if err != nil {
		return nil, nil // not of this tree
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
	return out, nil
}
