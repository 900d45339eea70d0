package store

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// beginning is what a peer sends in place of erased records.
type beginning struct {
	Beginning
	base, records [][]byte
	leaves        []format.Digest
}

func (n *node) sendBeginning() (b beginning, err error) {
	n.w.Helper()
	err = n.SendBeginning(context.Background(), func(h Beginning) error { b.Beginning = h; return nil },
		func(f []byte) error { b.base = append(b.base, slices.Clone(f)); return nil },
		func(d format.Digest) error { b.leaves = append(b.leaves, d); return nil },
		func(r []byte) error { b.records = append(b.records, slices.Clone(r)); return nil })
	return b, err
}

func source[T any](list []T) func() (T, error) {
	return func() (v T, err error) {
		if len(list) == 0 {
			return v, io.EOF
		}
		v, list = list[0], list[1:]
		return v, nil
	}
}

func (n *node) takeBeginning(b beginning) error {
	return n.TakeBeginning(context.Background(), b.Beginning, source(b.base), source(b.leaves), source(b.records))
}

// joining adds an empty store that copies.
func (w *world) joining(name string) *node {
	w.Helper()
	n := &node{w: w, number: 3, dir: filepath.Join(w.dir, name)}
	w.must(Create(n.dir, w.manifest(3)))
	w.must(n.tryOpen(0))
	return n
}

// copyRest copies the records behind what a node has, up to a checkpoint.
func (n *node) copyRest(from *node, c format.Checkpoint) error {
	n.w.Helper()
	n.w.must(from.History(context.Background(), n.CopiedSize(), c.Size, func(_ uint64, encoded []byte) error { return n.Copy(slices.Clone(encoded)) }))
	return n.Adopt(context.Background(), c)
}

func erased(t *testing.T) *world {
	w := lived(t, 1)
	if _, err := w.nodes[0].sendBeginning(); !errors.Is(err, ErrNothingErased) {
		t.Fatal(err)
	}
	w.prune()
	w.eraseHistory()
	w.endEpochs()
	w.destroyEpochs()
	w.put("after", "P1Y")
	return w
}

// TestACopiedNodeLosesNothing though its peer has no early records.
func TestACopiedNodeLosesNothing(t *testing.T) {
	w := erased(t)
	a := w.nodes[0]
	b, err := a.sendBeginning()
	if err != nil || len(b.records) == 0 || uint64(len(b.leaves)) != b.Whole || len(b.base) < 10 {
		t.Fatalf("%d leaves, %d records, %d rows: %v", len(b.leaves), len(b.records), len(b.base), err)
	}
	n := w.joining("joining")
	w.must(n.takeBeginning(b))
	c := w.checkpoint()
	if c.Checkpoint.Entry < b.Entry {
		t.Fatal("the checkpoint does not cover the STATE record")
	}
	w.must(n.copyRest(a, c.Checkpoint))
	w.must(n.Flush())
	w.nodes = append(w.nodes, n)
	for _, k := range w.blocks {
		w.must(n.InstallBlock(k))
	}
	n.replay()
	want := w.equal()
	n.proved()
	n.restart()
	n.rebuild(false)
	if got := w.equal(); got != want {
		t.Fatalf("%+v, %+v before", got, want)
	}
	// It goes on as the others do, also with erasing.
	w.put("more", "P1Y")
	w.years(2)
	w.prune()
	w.eraseHistory()
	w.equal()
	if left := n.transactions(); left["later"] != 0 || left["long"] == 0 {
		t.Fatal(left)
	}
	n.proved()
}

// TestI6_AForgedBeginningIsNotAdopted: every part of what a peer sends is held
// against what a majority signed.
func TestI6_AForgedBeginningIsNotAdopted(t *testing.T) {
	w := erased(t)
	a := w.nodes[0]
	good, err := a.sendBeginning()
	w.must(err)
	c := w.checkpoint()
	for name, forge := range map[string]func(b *beginning){
		"a leaf":           func(b *beginning) { b.leaves[4][0] ^= 1 },
		"a leaf of none":   func(b *beginning) { b.leaves = b.leaves[1:] },
		"too many leaves":  func(b *beginning) { b.leaves = append(b.leaves, format.Digest{}) },
		"a carried record": func(b *beginning) { b.records[1] = slices.Clone(b.records[1]); b.records[1][20] ^= 1 },
		"a record twice":   func(b *beginning) { b.records = append(b.records[:2:2], b.records[1:]...) },
		"a record less":    func(b *beginning) { b.records = append(b.records[:2:2], b.records[3:]...) },
		"a row": func(b *beginning) {
			k := len(b.base) / 2
			b.base[k] = slices.Clone(b.base[k])
			b.base[k][len(b.base[k])-1] ^= 1
		},
		"a row less":         func(b *beginning) { b.base = b.base[:len(b.base)-1] },
		"a row that is none": func(b *beginning) { b.base[3] = []byte{99} },
		"no base":            func(b *beginning) { b.base = nil },
		"another head": func(b *beginning) {
			h, err := format.DecodeBaseHead(b.base[0])
			w.must(err)
			h.Rows[0] ^= 1
			b.base[0] = h.Encode()
		},
		"an older size": func(b *beginning) { b.Whole--; b.leaves = b.leaves[:b.Whole] },
	} {
		b := good
		b.base, b.leaves, b.records = slices.Clone(good.base), slices.Clone(good.leaves), slices.Clone(good.records)
		forge(&b)
		n := w.joining("forged " + name)
		err := n.takeBeginning(b)
		if err == nil && n.CopiedSize() == a.log.Whole() {
			err = n.copyRest(a, c.Checkpoint)
		} else if err == nil {
			err = errors.New("the peer's next record is not its next")
		}
		if err == nil {
			t.Errorf("%s was adopted", name)
		}
		_ = n.Abandon() // it is thrown away
		n.Store = nil
		// Where the source alone failed, another one may be asked.
	}
	n := w.joining("again")
	short := good
	short.leaves = good.leaves[:7]
	if err := n.takeBeginning(short); err == nil || n.CopiedSize() != 0 {
		t.Fatal(err)
	}
	w.must(n.takeBeginning(good))
	w.must(n.copyRest(a, c.Checkpoint))
	w.nodes = append(w.nodes, n)
	n.replay()
	w.equal()
}
