package store

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// rewrite has a test change a file of a node that is stopped meanwhile.
func (n *node) rewrite(name string, change func([]byte) []byte) {
	n.w.Helper()
	n.w.must(n.Close())
	n.w.must(custodian.ClearTree(n.dir))
	path := filepath.Join(n.dir, name)
	raw, err := os.ReadFile(path)
	n.w.must(err)
	n.w.must(os.WriteFile(path, change(raw), 0o600))
}

// TestI1_AForgedBaseIsNotBelieved: rows, count and digest fit each other, and a
// deadline is earlier; the history vouches for another base.
func TestI1_AForgedBaseIsNotBelieved(t *testing.T) {
	w := lived(t, 1)
	n := w.nodes[0]
	w.prune()
	w.eraseHistory()
	numbers, err := n.baseNumbers()
	w.must(err)
	name := baseName(numbers[len(numbers)-1])
	b, err := n.openBase(numbers[len(numbers)-1])
	w.must(err)
	db, _, err := index.Open(filepath.Join(t.TempDir(), "forged.db"), index.Options{Tables: allTables()})
	w.must(err)
	var frames bytes.Buffer
	for f, err := b.next(); err == nil; f, err = b.next() {
		r, err := format.DecodeBaseRow(f)
		w.must(err)
		if index.Table(r.Table) == tBundle && bytes.Equal(r.Key, keyOfBundle("long").Encode()) {
			row, err := format.DecodeBundleRow(r.Value)
			w.must(err)
			row.Retention.Deadline -= 5 * 365 * day
			r.Value = row.Encode()
		}
		db.Put(index.Table(r.Table), r.Key, r.Value)
		w.must(writeBaseFrame(&frames, r.Encode()))
	}
	w.must(b.f.Close())
	view, err := db.View()
	w.must(err)
	d, err := (&StateView{view: view}).Digest(context.Background())
	w.must(err)
	w.must(view.Close())
	w.must(db.Close())
	n.rewrite(name, func(raw []byte) []byte {
		out := bytes.NewBuffer(slices.Clone(raw[:format.FileHeaderSize]))
		w.must(writeBaseFrame(out, format.BaseHead{Mark: b.head.Mark, Rows: d.Digest, Count: d.Count}.Encode()))
		return append(out.Bytes(), frames.Bytes()...)
	})
	w.must(os.Remove(filepath.Join(n.dir, indexFile)))
	if err := n.tryOpen(1); err == nil {
		n.replay()
		t.Fatalf("opened; the deadline is %d", n.row("long").Retention.Deadline)
	}
}
