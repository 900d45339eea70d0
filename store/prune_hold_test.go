package store

import (
	"errors"
	"testing"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// TestTheRecordOfAWiderHoldGoesAfterItsRelease: kept while the hold stands and as long
// as other records behind its end, whether it was carried by then or not; a release of
// which bundles have still to be let go is no end.
func TestTheRecordOfAWiderHoldGoesAfterItsRelease(t *testing.T) {
	c := newCourt(t, t, 2)
	c.put("T0", "PT1H") // which the first hold reaches
	c.began()
	place := func(what on, name string) uint64 { c.Helper(); return c.accept(c.place(what, name)).Sequence }
	first, second := place(on{format.HoldSubject, "CI"}, "A"), place(on{format.HoldDefinition, mdsFixed}, "B")
	stands := place(on{format.HoldDefinition, mds}, "C")
	own := place(bundleOf("T0"), "D")
	c.tick(2 * hour)
	c.sweep(10)
	gone := func(sequence uint64) bool {
		c.Helper()
		_, _, err := c.nodes[0].Record(sequence)
		if err != nil && !errors.Is(err, ErrPruned) {
			t.Fatal(err)
		}
		return err != nil
	}
	c.years(4)
	c.prune()
	c.eraseHistory()
	if gone(first) || gone(second) || gone(stands) || gone(own) {
		t.Fatal("the record of a hold in place is gone")
	}
	c.release(on{format.HoldSubject, "CI"}, "A")
	c.release(on{format.HoldDefinition, mdsFixed}, "B")
	c.endHolds(10)
	short := place(on{format.HoldSubject, "CI"}, "E") // comes and goes before any PRUNE
	c.release(on{format.HoldSubject, "CI"}, "E")
	c.years(2)
	c.prune()
	c.eraseHistory()
	if gone(first) || gone(second) || gone(short) {
		t.Fatal("the record of a hold is gone before its retention has ended")
	}
	c.years(2)
	c.prune()
	c.eraseHistory()
	if !gone(first) || !gone(second) || !gone(short) || gone(stands) || gone(own) {
		t.Fatalf("released: %v %v %v, in place: %v %v", gone(first), gone(second), gone(short), gone(stands), gone(own))
	}
	if rows, err := allRows(c.nodes[0].Machine, tHoldEnd, func(v []byte) (retention.Instant, error) { return 0, nil }); err != nil || len(rows) != 0 {
		t.Fatalf("%d rows are left of holds that ended: %v", len(rows), err)
	}
	if s := c.state("T0"); s != retention.StateHeld {
		t.Fatal(s)
	}
	c.rebuilt()
}
