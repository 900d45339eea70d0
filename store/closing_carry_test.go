package store

import (
	"context"
	"errors"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestR26_CarriedUseRecordsOpenNoMoreAfterAClosing: also where their own keys were
// carried; the other details open, and older epochs go on to end.
func TestR26_CarriedUseRecordsOpenNoMoreAfterAClosing(t *testing.T) {
	if *apart {
		t.Skip("the closing is feigned, which a custodian apart does not believe")
	}
	var use Result
	w := livedWith(t, 2, func(w *world) {
		op := w.about(KindUse, app, "long", nil)
		op.DetailClass = format.DetailUse
		var err error
		op.DetailEpoch, op.Detail, err = w.nodes[0].SealDetail(1, format.DetailUse, op.ID, format.Detail{Purpose: "p"})
		w.must(err)
		use = w.accept(w.commit(op))
	})
	n := w.nodes[0]
	long := n.row("long").Store
	carried := 0
	for carried == 0 {
		w.prune()
		w.eraseHistory()
		carried, _ = w.endEpochs()
		w.destroyEpochs()
		w.years(1)
	}
	if d, err := n.detail(use.Sequence); err != nil || d.Purpose != "p" {
		t.Fatal(d, err)
	}
	for _, n := range w.nodes { // as at the end of a closing's sweeps
		w.must(n.changeTenant(1, func(row *format.TenantRow) { row.State, row.Close, row.Swept = format.TenantClosing, 1, true }))
	}
	for {
		kind, body, err := n.CloseDuty(10)
		w.must(err)
		if kind != KindKey {
			break
		}
		op := w.op(kind, nil)
		op.Body = body
		w.accept(w.commit(op))
	}
	w.destroyEpochs()
	check := func() {
		t.Helper()
		for _, n := range w.nodes {
			if d, err := n.detail(use.Sequence); !errors.Is(err, ErrKeyErased) {
				t.Fatal("a carried use record opens:", d, err)
			}
			if d, err := n.detail(long); err != nil || d.Basis != "law" {
				t.Fatal("another detail does not:", d, err)
			}
		}
		w.equal()
	}
	check()
	for range 3 {
		w.years(1)
		w.prune()
		w.eraseHistory()
		w.endEpochs()
		w.destroyEpochs()
		check()
	}
	for _, n := range w.nodes {
		pending, err := n.PendingEpochs(n.number, 1<<62)
		if err != nil || len(pending) != 0 {
			t.Fatal(pending, err)
		}
		v, err := n.Verify(context.Background())
		if err != nil || len(v.Damage) != 0 {
			t.Fatal(v.Damage, err)
		}
	}
}
