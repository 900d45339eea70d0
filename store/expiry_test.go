package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// expired lists the transactions that EXPIRE records from a sequence on name.
func (n *node) expired(from uint64) (out []string) {
	n.w.Helper()
	for _, r := range n.records(from) {
		if r.Action == format.ActExpire {
			out = append(out, r.Transaction)
		}
	}
	return out
}

func TestExpiryTakesTheOldestFirstInBoundedBatches(t *testing.T) {
	w := newWorld(t, t, 2)
	for i, rule := range []string{"PT5H", "PT1H", "PT4H", "P1Y", "PT2H", "PT3H"} {
		w.put(fmt.Sprint(i), rule)
	}
	w.began()
	size := w.equal().size
	w.sweep(10)
	w.tick(hour - minute)
	w.sweep(10)
	w.sweep(0)
	if got := w.nodes[0].expired(size); len(got) != 0 {
		t.Fatalf("%v before any deadline", got)
	}
	w.tick(9 * hour)
	var batches []int
	for range 4 {
		before := w.equal().size
		w.sweep(2)
		batches = append(batches, len(w.nodes[0].expired(before)))
		w.nodes[1].restart()
	}
	if got := w.nodes[0].expired(size); !slices.Equal(got, []string{"1", "4", "5", "2", "0"}) || !slices.Equal(batches, []int{2, 2, 1, 0}) {
		t.Fatalf("%v in batches of %v", got, batches)
	}
	w.readable("3")
}

// hold places a hold on a bundle's row, as an operation to come will.
func (n *node) hold(transaction string, id uint64) {
	n.w.Helper()
	n.w.must(n.changeBundle(keyOfBundle(transaction), n.row(transaction).Store, func(row *format.BundleRow) error {
		r, err := retentionOf(row.Retention).PlaceHold(retention.Hold{ID: id, Owner: 1, Basis: retention.HoldCourt, Review: n.now() + retention.Instant(hour)}, n.now())
		row.Retention = retentionRow(r)
		return err
	}))
}

func TestP22_P40_OneHeldBundleKeepsNoOtherWaiting(t *testing.T) {
	const many = 60
	w := newWorldWith(t, t, 1, nil)
	for i := range many {
		w.put(fmt.Sprint(i), "PT1H")
	}
	w.began()
	n := w.nodes[0]
	n.hold("0", 1)
	// A second one stands in the expiry table all the same, as damage could leave it.
	row := *n.row("1")
	row.Retention.Holds = []format.HoldRow{{ID: 1, Owner: 1, Basis: 1, Review: 1}}
	n.idx.Put(tBundle, keyOfBundle("1").Encode(), row.Encode())
	size := n.Summary().Size
	w.tick(2 * hour)
	for range many {
		w.sweep(1)
	}
	if got := n.expired(size); len(got) != many-2 || slices.Contains(got, "0") || slices.Contains(got, "1") {
		t.Fatalf("%d of %d: %v", len(got), many-2, got)
	}
	if due, _, err := n.Due(hour); err != nil || due {
		t.Fatalf("it would be swept for ever: %v %v", due, err)
	}
	w.refuse(w.commit(w.about(KindRead, app, "0", format.ReadEffect{Request: format.ID{1}})), format.ReasonHeld)
	w.checkpoint()
	n.destroy()
	w.readable("0")
	w.readable("1")
}

func TestP27_AHoldPlacedBeforeTheSweepWins(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("0", "PT1H")
	w.put("1", "PT1H")
	w.began()
	n := w.nodes[0]
	w.tick(hour - minute)
	n.hold("0", 1)
	size := n.Summary().Size
	w.tick(hour)
	// Nothing that was planned for both before the hold takes the held one.
	w.commitAll([]Op{w.sweepOp(1), w.sweepOp(10)})
	if got := n.expired(size); !slices.Equal(got, []string{"1"}) {
		t.Fatal(got)
	}
}

// TestP24_I1_AFlippedRetentionByteNeverDeletes (I8: fail closed) flips every byte of the retention
// in a bundle's row, under a checksum that fits, as if a program had written it:
// nothing becomes deletable, and what makes no sense is locked.
func TestP24_I1_AFlippedRetentionByteNeverDeletes(t *testing.T) {
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	for _, rule := range []string{"P3Y", "2031-12-31", "PT12H", "one-time", "event:P1Y"} {
		w.put(rule, rule)
		w.began()
		good := *n.row(rule)
		encoded := good.Encode()
		bare := good
		bare.Retention = format.RetentionRow{}
		from := len(encoded) - len(bare.Encode()) // how much longer the retention makes it
		start := findRetention(t, encoded, good.Retention.Rule)
		locked := 0
		for at := start; at < start+from+len(format.RetentionRow{}.Rule); at++ {
			for bit := range 8 {
				bad := slices.Clone(encoded)
				bad[at] ^= 1 << bit
				row, err := format.DecodeBundleRow(bad)
				if err != nil {
					continue // an Apply that meets it halts
				}
				r := retentionOf(row.Retention)
				if _, err := r.Expire(retention.RecordID(row.Store), n.now()); err == nil {
					t.Fatalf("%s: byte %d bit %d made it deletable: %+v", rule, at-start, bit, row.Retention)
				}
				if r.Status(n.now()) == retention.StateLocked {
					locked++
				}
			}
		}
		if locked == 0 {
			t.Fatalf("%s: nothing was locked", rule)
		}
		// As a row of the index, with its checksum made to fit.
		bad := good
		bad.Retention.Rule = "P0"
		n.idx.Put(tBundle, keyOfBundle(rule).Encode(), bad.Encode())
		if got := n.Status(keyOfBundle(rule), n.row(rule)); got != retention.StateLocked {
			t.Fatalf("%s: %v", rule, got)
		}
		size := n.Summary().Size
		w.sweep(100)
		w.refuse(w.commit(w.about(KindRead, app, rule, format.ReadEffect{Request: format.ID{1}})), format.ReasonState)
		if got := n.expired(size); len(got) != 0 {
			t.Fatal(got)
		}
		n.idx.Put(tBundle, keyOfBundle(rule).Encode(), encoded)
		w.readable(rule)
	}
}

func findRetention(t *testing.T, encoded []byte, rule string) int {
	t.Helper()
	for i := range encoded {
		if i+len(rule) <= len(encoded) && string(encoded[i:i+len(rule)]) == rule {
			return i
		}
	}
	t.Fatalf("no %q in the row", rule)
	return 0
}

// leastKeep is how long, at least, a rule of the random test keeps after a STORE
// at clock at, said without any code of the product; -1 is for ever.
func leastKeep(rule string, at int64) int64 {
	switch rule {
	case "PT1H", "one-time:PT1H":
		return at + hour
	case "P1D":
		return at + 24*hour
	case "2026-03-02":
		return base + 36*hour // midnight in Korea
	}
	return -1
}

// checkEarly insists that no EXPIRE of the history came before its time, and that
// it named a bundle that was stored.
func (n *node) checkEarly(t tester, from uint64, rules map[uint64]string, stored, read map[uint64]int64) {
	t.Helper()
	for _, r := range n.records(from) {
		switch r.Action {
		case format.ActStore:
			e, err := format.DecodeStoreEffect(r.Effect)
			if err != nil {
				t.Fatalf("%v", err)
			}
			rules[r.Sequence], stored[r.Sequence] = e.Rule, max(r.Clock, base)
		case format.ActRead:
			e, err := format.DecodeReadEffect(r.Effect)
			if err != nil {
				t.Fatalf("%v", err)
			}
			if _, ok := read[e.Store]; !ok {
				read[e.Store] = max(r.Clock, base)
			}
		case format.ActExpire:
			e, err := format.DecodeBundleRef(r.Effect)
			if err != nil {
				t.Fatalf("%v", err)
			}
			keep := leastKeep(rules[e.Store], stored[e.Store])
			if first, ok := read[e.Store]; ok && rules[e.Store][0] == 'o' {
				keep = first + 10*minute
			}
			if rules[e.Store] == "" || keep < 0 || r.Clock < keep {
				t.Fatalf("record %d expires bundle %d (%s) at %d, before %d", r.Sequence, e.Store, rules[e.Store], r.Clock, keep)
			}
		}
	}
}
