package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// markRows takes a MARK that keeps a view on every node, and answers the views.
func (w *world) markRows() []*StateView {
	w.Helper()
	op := w.op(KindMark, nil)
	op.Body = MarkRows()
	w.accept(w.commit(op))
	var out []*StateView
	for _, n := range w.nodes {
		v := n.TakeView()
		if v == nil {
			w.Fatalf("no view kept")
		}
		out = append(out, v)
	}
	return out
}

func (w *world) digestOf(v *StateView) StateDigest {
	w.Helper()
	d, err := v.Digest(context.Background())
	w.must(err)
	w.must(v.Close())
	return d
}

// digests insists that every node's rows have one digest, and answers it.
func (w *world) digests() (format.Checkpoint, StateDigest) {
	w.Helper()
	views := w.markRows()
	first := w.digestOf(views[0])
	for i, v := range views[1:] {
		if d := w.digestOf(v); d.RowsDigest != first.RowsDigest {
			w.Fatalf("node %d has %+v, the first %+v", i+2, d, first)
		}
	}
	return views[0].Mark, first
}

func (w *world) stateOf(c format.Checkpoint, d StateDigest, by ...uint32) format.StateEffect {
	e := format.StateEffect{Mark: c, Rows: d.Digest, Count: d.Count}
	for _, n := range by {
		e.Signatures = append(e.Signatures, format.NodeSignature{Node: n, Incarnation: w.incs[n-1], Signature: sign(w, w.keys[n-1], e.Message())})
	}
	return e
}

// TestStateDigestDependsOnRowsAlone: not on when rows went to the file, on a
// restart or on a rebuild; and a view stays what it was.
func TestStateDigestDependsOnRowsAlone(t *testing.T) {
	w := newWorld(t, t, 3)
	random := rand.New(rand.NewPCG(1, 2))
	var held []*StateView
	for i := range 30 {
		w.put(fmt.Sprintf("T%d", i), "P5Y")
		w.must(w.nodes[0].Flush())
		if random.IntN(4) == 0 {
			w.must(w.nodes[2].Flush())
		}
		if i == 15 {
			held = w.markRows()
		}
	}
	w.began()
	_, first := w.digests()
	for _, v := range held[1:] {
		if w.digestOf(v).RowsDigest == first.RowsDigest {
			t.Fatal("another state has the same digest")
		}
	}
	for _, n := range w.nodes[1:] {
		w.must(n.Flush())
	}
	old := w.digestOf(held[0])
	w.nodes[1].rebuild(true)
	w.nodes[2].restart()
	_, again := w.digests()
	if again.RowsDigest != first.RowsDigest {
		t.Fatalf("the digest is %+v after rebuild and restart, %+v before", again, first)
	}
	if old.Count >= first.Count || len(first.Tables) < 8 {
		t.Fatalf("%d rows in the middle, %d at the end in %d tables", old.Count, first.Count, len(first.Tables))
	}
}

// TestRowsAreThoseOfTheDigest walks what the digest is over.
func TestRowsAreThoseOfTheDigest(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("T0", "P5Y")
	v := w.markRows()[0]
	n, last := uint64(0), []byte(nil)
	w.must(v.Rows(t.Context(), func(table uint8, key, _ []byte) error {
		at := append([]byte{table}, key...)
		if bytes.Compare(at, last) <= 0 {
			return fmt.Errorf("row %x behind %x", at, last)
		}
		last, n = at, n+1
		return nil
	}))
	if s := w.nodes[0].Summary(); v.Mark.Size != s.Size || v.Mark.State != s.State || v.Mark.Entry != s.Applied {
		t.Fatalf("the view is of %+v, the machine at %+v", v.Mark, s)
	}
	if d := w.digestOf(v); d.Count != n {
		t.Fatalf("%d rows walked, %d digested", n, d.Count)
	}
}

// TestStateRecord: only what a majority signed, newer than the last, and kept.
func TestStateRecord(t *testing.T) {
	w := newWorld(t, t, 2)
	w.put("T0", "P5Y")
	c, d := w.digests()
	if _, ok := w.nodes[0].StateRecord(); ok || !w.nodes[0].Changed() {
		t.Fatal("a STATE record before the first")
	}
	w.refuse(w.commit(w.op(KindState, w.stateOf(c, d, 1))), format.ReasonSignature)
	forged := w.stateOf(c, d, 1, 2)
	forged.Rows[0] ^= 1
	w.refuse(w.commit(w.op(KindState, forged)), format.ReasonSignature)
	good := w.stateOf(c, d, 1, 2)
	w.accept(w.commit(w.op(KindState, good)))
	w.refuse(w.commit(w.op(KindState, good)), format.ReasonState)
	if w.nodes[0].Changed() || !w.nodes[0].Uncovered() {
		t.Fatal("a STATE record wants a checkpoint and no other STATE record")
	}
	w.tick(1000)
	w.checkpoint()
	if w.nodes[0].Changed() {
		t.Fatal("clock and checkpoint count as changes")
	}
	w.nodes[0].restart()
	w.nodes[1].rebuild(true)
	for _, n := range w.nodes {
		if e, ok := n.StateRecord(); !ok || e.Rows != d.Digest || e.Mark != c {
			t.Fatalf("the newest STATE record is %+v", e)
		}
	}
	w.put("T1", "P5Y")
	if !w.nodes[0].Changed() {
		t.Fatal("a new bundle is no change")
	}
	later := w.mark()
	later.Root[0] ^= 1

	bad := w.op(KindState, w.stateOf(later, d, 1, 2))
	if _, err := w.nodes[0].Apply(Entry{Index: w.next, Ops: []Op{bad}}); !errors.Is(err, ErrDiverged) {
		t.Fatalf("a majority with another history: %v", err)
	}
}

// TestRebuiltRowsAreHeldAgainstTheMajority: rows altered at rest, with fitting
// checksums, are made again from the history; a history that gives others is
// found.
func TestRebuiltRowsAreHeldAgainstTheMajority(t *testing.T) {
	w := newWorld(t, t, 2)
	for i := range 10 {
		w.put(fmt.Sprintf("T%d", i), "P5Y")
	}
	w.began()
	row := *w.nodes[1].row("T3")
	row.Retention.Deadline -= 1000
	key := keyOfBundle("T3").Encode()
	w.nodes[1].idx.Put(tBundle, key, row.Encode())
	w.must(w.nodes[1].Flush())
	views := w.markRows()
	c := views[0].Mark
	cuts, err := views[1].Cuts(t.Context(), uint8(tBundle), nil, nil, 4)
	w.must(err)
	mine, err := views[1].Ranges(t.Context(), uint8(tBundle), nil, nil, cuts)
	w.must(err)
	theirs, err := views[0].Ranges(t.Context(), uint8(tBundle), nil, nil, cuts)
	w.must(err)
	differ := 0
	for i := range mine {
		if mine[i] != theirs[i] {
			differ++
		}
	}
	if len(cuts) != 3 || differ != 1 {
		t.Fatalf("%d of %d ranges differ", differ, len(mine))
	}
	right, wrong := w.digestOf(views[0]), w.digestOf(views[1])
	if right.RowsDigest == wrong.RowsDigest {
		t.Fatal("an altered row has the same digest")
	}
	e := w.stateOf(c, right, 1, 2)
	w.accept(w.commit(w.op(KindState, e)))
	w.must(w.nodes[1].RebuildRows(t.Context(), e))
	if s := w.nodes[1].Summary(); s.Size != c.Size || s.State != c.State {
		t.Fatalf("stands at %d, not at %d", s.Size, c.Size)
	}
	w.must(w.nodes[1].Adopt(t.Context(), w.nodes[0].marked(w)))
	w.equal()
	bad := e
	bad.Rows = wrong.Digest
	if err := w.nodes[1].RebuildRows(t.Context(), bad); !errors.Is(err, ErrRowsDiffer) {
		t.Fatalf("rows that are not the majority's: %v", err)
	}
	w.must(w.nodes[1].Abandon()) // a kill here
	w.nodes[1].open(1)
	w.equal()
}

// marked is where the node stands, as a checkpoint.
func (n *node) marked(w *world) format.Checkpoint {
	s := n.Summary()
	root, err := n.RootAt(s.Size)
	w.must(err)
	return format.Checkpoint{Cluster: w.cluster, Size: s.Size, Root: root, Entry: s.Applied, State: s.State}
}
