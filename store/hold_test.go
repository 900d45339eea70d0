package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

func bundleOf(transaction string) on { return on{format.HoldBundle, transaction} }

// everyScope is a hold on one bundle, on its subject and on its definition.
func everyScope(transaction string) []on {
	return []on{bundleOf(transaction), {format.HoldSubject, "CI"}, {format.HoldDefinition, mds}}
}

func (c *court) read(transaction string, hold uint64) Result {
	c.Helper()
	return c.commit(c.about(KindRead, app, transaction, format.ReadEffect{Store: hold, Request: format.ID{1}}))
}

func TestP22_P27_AHoldBeforeTheTickWins(t *testing.T) {
	for _, what := range everyScope("T0") {
		t.Run(fmt.Sprint(what.scope), func(t *testing.T) {
			c := newCourt(t, t, 2)
			n := c.nodes[0]
			for i := range 6 {
				c.put(fmt.Sprintf("T%d", i), "PT1H")
			}
			c.began()
			c.tick(hour - minute)
			size := n.Summary().Size
			c.accept(c.place(what, "A"))
			// In the middle of a batch, and in the same entry: what was planned before
			// takes nothing that is held.
			c.tick(hour)
			c.commitAll([]Op{c.sweepOp(2), c.sweepOp(100)})
			expired := n.expired(size)
			if slices.Contains(expired, "T0") || what.scope == format.HoldBundle && len(expired) != 5 || what.scope != format.HoldBundle && len(expired) != 0 {
				t.Fatalf("%v expired", expired)
			}
			if due, _, err := n.Due(0); err != nil || due {
				t.Fatalf("what is held would be swept for ever: %v %v", due, err)
			}
			if s := c.state("T0"); s != retention.StateHeld {
				t.Fatal(s)
			}
			c.checkpoint()
			n.destroy()
			if got, err := n.plain("T0"); err != nil || string(got) != string(content("T0")) {
				t.Fatalf("%q %v", got, err)
			}
			c.rebuilt()
			c.release(what, "A")
			c.endHolds(1000)
			c.sweep(100)
			if got := n.expired(size); len(got) != 6 {
				t.Fatalf("after the release %v expired", got)
			}
			c.rebuilt()
			if rows, _, err := n.Holds(1, 0, 10); err != nil || len(rows) != 0 {
				t.Fatalf("%v %v", rows, err)
			}
		})
	}
}

func TestP22_AHoldAfterTheTickIsTooLate(t *testing.T) {
	c := newCourt(t, t, 1)
	c.put("T0", "PT1H")
	c.put("T1", "PT1H")
	c.began()
	c.accept(c.place(bundleOf("T1"), "A"))
	c.tick(2 * hour)
	c.refuse(c.place(bundleOf("T0"), "A"), format.ReasonExpired)
	for _, what := range everyScope("T0")[1:] {
		c.accept(c.place(what, "A")) // keeps what is stored later, not what has expired
	}
	c.sweep(10)
	if got := c.nodes[0].expired(0); !slices.Equal(got, []string{"T0"}) {
		t.Fatal(got)
	}
	c.refuse(c.place(bundleOf("T0"), "A"), format.ReasonExpired)
	c.put("T2", "PT1H")
	c.began()
	c.tick(2 * hour)
	c.sweep(10)
	if s := c.state("T2"); s != retention.StateHeld {
		t.Fatal(s)
	}
	c.checkpoint()
	c.nodes[0].destroy()
	if _, err := c.nodes[0].plain("T0"); err == nil {
		t.Fatal("a hold that came too late kept the expired bundle")
	}
}

// TestP26_WhatAHoldKeepsASecondOneKeeps: past the deadline too, whatever the first is
// on; the first one's release takes nothing that the second is about.
func TestP26_WhatAHoldKeepsASecondOneKeeps(t *testing.T) {
	for _, first := range everyScope("T0") {
		for _, swept := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v swept %v", first, swept), func(t *testing.T) {
				c := newCourt(t, t, 2)
				c.put("T0", "PT1H")
				c.began()
				c.accept(c.place(first, "A"))
				c.tick(2 * hour)
				if swept {
					c.sweep(10)
				}
				c.accept(c.place(bundleOf("T0"), "B"))
				c.release(first, "A")
				c.endHolds(10)
				c.sweep(10)
				if s := c.state("T0"); s != retention.StateHeld || len(c.nodes[0].expired(0)) != 0 {
					t.Fatalf("%v, expired %v", s, c.nodes[0].expired(0))
				}
				c.rebuilt()
				c.release(bundleOf("T0"), "B")
				c.sweep(10)
				c.refuse(c.place(bundleOf("T0"), "C"), format.ReasonExpired)
				if got := c.nodes[0].expired(0); !slices.Equal(got, []string{"T0"}) {
					t.Fatal(got)
				}
			})
		}
	}
}

// TestP26_ReleasingOneHoldLeavesTheOthers goes over every pair of scopes under one
// name: each is a hold of its own.
func TestP26_ReleasingOneHoldLeavesTheOthers(t *testing.T) {
	c := newCourt(t, t, 2)
	c.put("T0", "PT1H")
	c.began()
	size := c.nodes[0].Summary().Size
	all := everyScope("T0")
	for _, what := range all {
		c.accept(c.place(what, "A"))
		c.refuse(c.place(what, "A"), format.ReasonConflict)
		c.accept(c.place(what, "B"))
	}
	c.tick(2 * hour)
	left := []on{}
	for _, name := range []string{"A", "B"} {
		for _, what := range all {
			c.sweep(10)
			if s := c.state("T0"); s != retention.StateHeld {
				t.Fatalf("%v before %s on %v is released", s, name, what)
			}
			c.release(what, name)
			c.endHolds(10)
			left = append(left, what)
			if c.holdOf(what, name) != nil {
				t.Fatalf("%s on %v is still there", name, what)
			}
			if rows, _, err := c.nodes[0].Holds(1, 0, 10); err != nil || len(rows) != 6-len(left) {
				t.Fatalf("%d holds after %d releases, %v", len(rows), len(left), err)
			}
		}
	}
	c.sweep(10)
	if got := c.nodes[0].expired(size); !slices.Equal(got, []string{"T0"}) {
		t.Fatal(got)
	}
	c.rebuilt()
}

func TestP26_OnlyTheNamedHoldIsReleased(t *testing.T) {
	c := newCourt(t, t, 1)
	c.put("T0", "P1D")
	c.put("T1", "P1D")
	c.began()
	c.accept(c.place(bundleOf("T0"), "A"))
	h := *c.holdOf(bundleOf("T0"), "A")
	for name, change := range map[string]func(*format.HeldRow){
		"unknown id":      func(h *format.HeldRow) { h.ID++ },
		"unknown record":  func(h *format.HeldRow) { h.Placed-- },
		"another bundle":  func(h *format.HeldRow) { h.Bundle.Transaction = "T1" },
		"the institution": func(h *format.HeldRow) { h.Bundle = format.BundleKey{Institution: 1} },
	} {
		bad := h
		change(&bad)
		if r := c.propose(bad, c.id()); r.Outcome != Refused || r.Reason != format.ReasonNotFound || !r.Recorded {
			t.Errorf("%s: %+v", name, r)
		}
	}
	first := c.id()
	c.accept(c.propose(h, first))
	c.refuse(c.propose(h, c.id()), format.ReasonState) // one act for one hold
	c.accept(c.sign(first, manager))
	c.refuse(c.sign(first, manager), format.ReasonSigner)
	if c.holdOf(bundleOf("T0"), "A") == nil {
		t.Fatal("one signature released it")
	}
	c.accept(c.sign(first, approver1))
	if c.holdOf(bundleOf("T0"), "A") != nil {
		t.Fatal("it is still there")
	}
}

func TestHoldsAreRefused(t *testing.T) {
	c := newCourt(t, t, 1)
	c.put("T0", "P1D")
	c.began()
	change := func(what on, f func(*Op, *format.HoldEffect)) Op {
		op := c.placeOp(what, "A")
		e, err := format.DecodeHoldEffect(op.Body)
		c.must(err)
		f(&op, &e)
		op.Body = format.EncodeEffect(e)
		return op
	}
	none := func(*Op, *format.HoldEffect) {}
	for name, want := range map[string]struct {
		op     Op
		reason format.Reason
	}{
		"unknown bundle":     {change(bundleOf("T9"), none), format.ReasonNotFound},
		"unknown definition": {change(on{format.HoldDefinition, "MDS9999999"}, none), format.ReasonDefinition},
		"not a manager":      {change(bundleOf("T0"), func(op *Op, _ *format.HoldEffect) { op.Actor = officer }), format.ReasonNotPermitted},
		"without a name":     {change(bundleOf("T0"), func(op *Op, _ *format.HoldEffect) { op.Detail, op.DetailClass, op.DetailEpoch = nil, 0, 0 }), format.ReasonInvalid},
		"id 0":               {change(bundleOf("T0"), func(_ *Op, e *format.HoldEffect) { e.ID = 0 }), format.ReasonInvalid},
		"id 0, wider":        {change(on{format.HoldSubject, "CI"}, func(_ *Op, e *format.HoldEffect) { e.ID = 0 }), format.ReasonInvalid},
		"no basis":           {change(bundleOf("T0"), func(_ *Op, e *format.HoldEffect) { e.Basis = 3 }), format.ReasonInvalid},
		"a forged reach":     {change(bundleOf("T0"), func(_ *Op, e *format.HoldEffect) { e.From = 3 }), format.ReasonInvalid},
		"two things":         {change(bundleOf("T0"), func(_ *Op, e *format.HoldEffect) { e.Definition = mds }), format.ReasonInvalid},
		"nothing":            {change(on{format.HoldSubject, "CI"}, func(_ *Op, e *format.HoldEffect) { e.Subject = format.Digest{} }), format.ReasonInvalid},
		"no such scope":      {change(bundleOf("T0"), func(_ *Op, e *format.HoldEffect) { e.Scope = 4 }), format.ReasonInvalid},
	} {
		if r := c.commit(want.op); r.Outcome != Refused || r.Reason != want.reason {
			t.Errorf("%s: %s %s", name, r.Reason, r.Why)
		}
	}
	for i := range retention.MaxHolds {
		c.accept(c.place(on{format.HoldSubject, "CI"}, fmt.Sprint(i)))
	}
	c.refuse(c.place(on{format.HoldSubject, "CI"}, "one more"), format.ReasonInvalid)
}

// TestAHeldBundleIsReadForTheHoldOnly reads past the deadline: without a hold's
// name, with one that is not there, with one that is.
func TestAHeldBundleIsReadForTheHoldOnly(t *testing.T) {
	for _, rule := range []string{"PT1H", "one-time:PT1H"} {
		for _, what := range everyScope("T0") {
			c := newCourt(t, t, 2)
			c.put("T0", rule)
			c.began()
			c.accept(c.place(what, "A"))
			id := c.holdOf(what, "A").ID
			c.refuse(c.read("T0", id+1), format.ReasonNotFound)
			c.tick(2 * hour)
			for range 2 { // before the sweep and after it
				c.refuse(c.read("T0", 0), format.ReasonHeld)
				c.refuse(c.read("T0", id+1), format.ReasonNotFound)
				before := c.nodes[0].row("T0").Retention
				r := c.accept(c.read("T0", id))
				rec, _, err := c.nodes[0].Record(r.Sequence)
				c.must(err)
				if e, err := format.DecodeReadEffect(rec.Effect); err != nil || e.Store != c.nodes[0].row("T0").Store {
					t.Fatalf("the READ names %+v, %v", e, err)
				}
				if after := c.nodes[0].row("T0").Retention; after.ViewReads != before.ViewReads {
					t.Fatal("it took the one-time view")
				}
				c.refuse(c.commit(c.about(KindUse, app, "T0", nil)), format.ReasonHeld)
				c.sweep(10)
			}
			c.rebuilt()
			c.release(what, "A")
			if r := c.read("T0", id); r.Outcome != Refused {
				t.Fatalf("%s by a released hold on %v: %+v", rule, what, r)
			}
		}
	}
}

// TestP40_ReleasedInBoundedSteps releases a hold that has reached many bundles.
func TestP40_ReleasedInBoundedSteps(t *testing.T) {
	const many = 7
	c := newCourt(t, t, 2)
	n := c.nodes[0]
	for i := range many {
		c.put(fmt.Sprint(i), "PT1H")
	}
	c.began()
	what := on{format.HoldDefinition, mds}
	c.accept(c.place(what, "A"))
	c.tick(2 * hour)
	for range many {
		c.sweep(1)
	}
	if due, _, err := n.Due(0); err != nil || due {
		t.Fatal(due, err)
	}
	c.release(what, "A")
	// The name is free at once, and does not keep what the first one let go.
	c.accept(c.place(what, "A"))
	steps := 0
	for ; steps < many; steps++ {
		left, err := n.HoldsToEnd()
		c.must(err)
		if !left {
			break
		}
		before := n.Summary().Size
		c.endHolds(3)
		c.nodes[1].restart()
		if did := n.Summary().Size - before; did > 3 {
			t.Fatalf("%d records in a step of 3", did)
		}
	}
	if steps != 3 {
		t.Fatalf("%d steps", steps)
	}
	c.endHolds(3) // with nothing to do
	c.rebuilt()
	c.sweep(100)
	if got := n.expired(0); len(got) != many {
		t.Fatalf("%v expired", got)
	}
}

// special proposes the special deletion (특수삭제) of a bundle under the order O1.
func (c *court) special(transaction string, nonce format.ID) Result {
	c.Helper()
	row := c.nodes[0].row(transaction)
	_, encoded, err := c.nodes[0].Record(row.Store)
	c.must(err)
	p := format.Particulars{Reason: "order"}
	doc := format.Act{
		Cluster: c.cluster, Kind: format.ActKindSpecialDelete, Object: format.ActObject(keyOfBundle(transaction)).Encode(), Nonce: nonce,
		Params:  format.SpecialParams{Particulars: p.Digest(), Store: row.Store, Leaf: format.LeafHash(encoded), Order: "O1"}.Encode(),
		Expires: c.nodes[0].Summary().Clock.Now + hour,
	}
	return c.commit(c.saying(c.about(KindPropose, officer, transaction, format.ProposeEffect{Document: doc.Encode()}), format.Detail{Reason: p.Reason}))
}

// TestP22_AHoldBeatsSpecialDeletion in every scope, before the request and before
// the last signature; one that comes after the execution undoes nothing.
func TestP22_AHoldBeatsSpecialDeletion(t *testing.T) {
	for _, what := range everyScope("T0") {
		c := newCourt(t, t, 2)
		c.put("T0", "P1Y")
		c.began()
		c.accept(c.commit(c.about(KindStop, officer, "T0", format.StopEffect{Order: "O1"})))
		c.accept(c.extend("T0", "P2Y", retention.BasisStatute)) // a stop keeps nobody from keeping it longer
		c.accept(c.place(what, "A"))
		c.refuse(c.special("T0", c.id()), format.ReasonHeld)
		c.release(what, "A")
		nonce := c.id()
		c.accept(c.special("T0", nonce))
		c.accept(c.sign(nonce, manager))
		c.accept(c.place(what, "A"))
		c.refuse(c.sign(nonce, approver1), format.ReasonHeld)
		c.checkpoint()
		c.nodes[0].destroy()
		c.readable("T0")
		c.release(what, "A")
		c.accept(c.sign(nonce, approver1))
		if r := c.place(what, "B"); (r.Outcome == Accepted) == (what.scope == format.HoldBundle) {
			t.Errorf("%+v", r)
		}
		c.checkpoint()
		for _, n := range c.nodes {
			n.destroy()
			if _, err := n.plain("T0"); err == nil {
				t.Errorf("%v: it reads after its special deletion", what)
			}
		}
		c.rebuilt()
	}
}
