package index

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// pagesRead notes which pages are read.
type pagesRead struct {
	io.ReaderAt
	mu  sync.Mutex
	ids map[uint64]bool
}

func (p *pagesRead) ReadAt(b []byte, at int64) (int, error) {
	p.mu.Lock()
	p.ids[uint64(at)/uint64(os.Getpagesize())] = true
	p.mu.Unlock()
	return p.ReaderAt.ReadAt(b, at)
}

// noisy changes one byte of what it reads, now and then.
type noisy struct {
	io.ReaderAt
	mu  sync.Mutex
	rnd *rand.Rand
}

func (n *noisy) ReadAt(b []byte, at int64) (int, error) {
	done, err := n.ReaderAt.ReadAt(b, at)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rnd.IntN(4) == 0 {
		b[n.rnd.IntN(len(b))] ^= 1 << n.rnd.IntN(8)
	}
	return done, err
}

// leavesOf answers the page on which each row of a table stands, and the table's root.
func leavesOf(t *testing.T, path string, tab Table) (leaves map[string]uint64, root uint64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	c := &checker{file: "index.db", r: f}
	top, _, err := c.metas(st.Size())
	if err != nil {
		t.Fatal(err)
	}
	leaves = map[string]uint64{}
	if err := c.tree(top, nil, nil, 0, func(_ uint64, _ uint32, name, value []byte) error {
		if name[0] != byte(tab) {
			return nil
		}
		root = native.Uint64(value)
		return c.tree(root, nil, nil, 0, func(page uint64, _ uint32, key, _ []byte) error {
			leaves[string(key)] = page
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	return leaves, root
}

func TestAheadReadsThePagesOfTheKeysAndNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	d, _ := open(t, path)
	defer d.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 30_000 {
		d.Put(1, fmt.Appendf(nil, "row %06d", rnd.IntN(1_000_000)), make([]byte, 20+i%100))
	}
	flush(t, d, Meta{Applied: 1})
	leaves, root := leavesOf(t, path, 1)
	all := make([][]byte, 0, len(leaves))
	for k := range leaves {
		all = append(all, []byte(k))
	}
	slices.SortFunc(all, bytes.Compare)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	isLeaf := map[uint64]bool{}
	for _, page := range leaves {
		isLeaf[page] = true
	}
	for _, share := range []float64{0.0001, 0.01, 0.5, 1} {
		want, some := map[uint64]bool{}, [][]byte(nil)
		for _, k := range all {
			if rnd.Float64() < share || len(some) == 0 {
				some = append(some, k)
				want[leaves[string(k)]] = true
			}
		}
		r := &pagesRead{ReaderAt: f, ids: map[uint64]bool{}}
		ahead{r, int64(os.Getpagesize())}.read(t.Context(), []subtree{{root, some}})
		got := map[uint64]bool{}
		for id := range r.ids {
			if isLeaf[id] {
				got[id] = true
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d of %d leaves read for %d rows, want %d", len(got), len(isLeaf), len(some), len(want))
		}
		for seed := range uint64(20) { // another file's pages by now
			ahead{&noisy{ReaderAt: f, rnd: rand.New(rand.NewPCG(seed, 3))}, int64(os.Getpagesize())}.read(t.Context(), []subtree{{root, some}})
		}
	}
}
