package store

import (
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// sameAnswer compares what a repeated operation is told.
func sameAnswer(a, b Result) bool {
	return a.Outcome == b.Outcome && a.Reason == b.Reason && a.Sequence == b.Sequence && a.Leaf == b.Leaf && a.Clock == b.Clock &&
		a.Recorded == b.Recorded && a.Entry == b.Entry
}

// repeat commits an operation again and insists on the first answer and no effect.
func (w *world) repeat(op Op, first Result) {
	w.Helper()
	before := w.equal()
	if again := w.commit(op); !sameAnswer(first, again) {
		w.Fatalf("first %+v, then %+v", first, again)
	}
	if after := w.equal(); after != before {
		w.Fatalf("a repeated operation changed %+v into %+v", before, after)
	}
}

func TestP61_AnOperationIsDoneOnce(t *testing.T) {
	w := newWorld(t, t, 2)
	store, chunks := w.storeOp("T1", "P1D", content("T1"))
	stored := w.accept(w.commit(store, chunks...))
	read := w.about(KindRead, app, "T1", format.ReadEffect{Request: format.ID{1}})
	readResult := w.accept(w.commit(read))
	denied := w.about(KindRead, app, "T2", format.ReadEffect{Request: format.ID{1}})
	deniedResult := w.commit(denied)
	w.refuse(deniedResult, format.ReasonNotFound)

	check := func() {
		t.Helper()
		w.repeat(store, stored)
		w.repeat(read, readResult)
		w.repeat(denied, deniedResult)
	}
	check()
	for _, n := range w.nodes {
		n.restart()
	}
	check()
	w.nodes[1].rebuild(true)
	check()
	w.nodes[0].crash()
	check()

	w.skip(Window - (w.next - stored.Entry)) // the last entry at which it is remembered
	w.repeat(store, stored)
	before := w.equal()
	for _, op := range []Op{store, read, denied} {
		w.refuse(w.commit(op), format.ReasonStale)
	}
	if after := w.equal(); after != before {
		t.Fatal("a stale operation left something")
	}
	w.nodes[1].rebuild(false)
	w.refuse(w.commit(store), format.ReasonStale)
}

func TestWindowIsCountedFromWhereAnOperationWasBuilt(t *testing.T) {
	w := newWorld(t, t, 1)
	built := w.next - 1
	w.skip(Window - 1)
	op := w.about(KindList, auditor, "", format.ListEffect{Kind: format.ListHistory})
	op.Transaction, op.BuiltAt = "", built
	w.accept(w.commit(op)) // exactly Window entries later
	op.ID = w.id()
	w.refuse(w.commit(op), format.ReasonStale)
	op.ID, op.BuiltAt = w.id(), w.next // it could be repeated behind the window of its id
	w.refuse(w.commit(op), format.ReasonInvalid)
}

func TestOneEntryCannotDoAnOperationTwice(t *testing.T) {
	w := newWorld(t, t, 1)
	op, chunks := w.storeOp("T1", "P1D", content("T1"))
	size := w.equal().size
	r := w.commitAll([]Op{op, op}, chunks...)
	if !sameAnswer(r[0], r[1]) || r[0].Outcome != Accepted || w.equal().size != size+1 {
		t.Fatalf("%+v, %+v, %d records", r[0], r[1], w.equal().size-size)
	}
}

func TestATakenNumberAnswersWhatTookIt(t *testing.T) {
	w := newWorld(t, t, 2)
	first := w.put("T1", "P1D")
	before := w.equal()
	op, chunks := w.storeOp("T1", "P2D", content("other"))
	r := w.commit(op, chunks...)
	if r.Outcome != Exists || r.Recorded || r.Bundle == nil || r.Bundle.Store != first.Sequence || r.Bundle.Retention.Rule != "P1D" {
		t.Fatalf("%+v", r)
	}
	if w.equal() != before {
		t.Fatal("it left something")
	}
	w.readable("T1")
}

func TestRebuildForgetsWhatNoEntryMayAskFor(t *testing.T) {
	w := newWorld(t, t, 1)
	for range 4 {
		w.tick(1000)
		w.skip(Window)
	}
	w.tick(1000)
	w.nodes[0].rebuild(true)
	if n := len(w.nodes[0].window.known); n > 2 {
		t.Fatalf("%d operations remembered", n)
	}
}
