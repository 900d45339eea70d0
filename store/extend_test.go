package store

import (
	"fmt"
	"testing"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

func (c *court) extend(transaction, rule string, basis retention.BasisKind) Result {
	c.Helper()
	return c.commit(c.extendOp(transaction, rule, basis))
}

func (c *court) event(transaction string, at int64) Result {
	c.Helper()
	return c.commit(c.about(KindEvent, app, transaction, format.EventEffect{At: at}))
}

func TestAnExtensionOnlyLengthens(t *testing.T) {
	c := newCourt(t, t, 2)
	for _, name := range []string{"T0", "gone", "held"} {
		c.put(name, "PT2H")
	}
	c.putFor("fixed", "P1D", "CI", mdsFixed)
	c.put("once", "one-time:PT2H")
	c.put("event", "event:PT2H")
	c.refuse(c.extend("T0", "PT4H", retention.BasisStatute), format.ReasonClock)
	c.began()
	end := c.nodes[0].row("T0").Retention.Deadline
	for name, want := range map[string]struct {
		transaction, rule string
		basis             retention.BasisKind
		reason            format.Reason
	}{
		"as long":            {"T0", "PT2H", retention.BasisStatute, format.ReasonBadRule},
		"shorter":            {"T0", "PT1H", retention.BasisStatute, format.ReasonBadRule},
		"no rule":            {"T0", "soon", retention.BasisStatute, format.ReasonBadRule},
		"beyond the policy":  {"T0", "P101Y", retention.BasisStatute, format.ReasonBadRule},
		"without an end":     {"T0", "one-time", retention.BasisStatute, format.ReasonBadRule},
		"another kind":       {"once", "PT4H", retention.BasisStatute, format.ReasonBadRule},
		"no basis":           {"T0", "PT4H", 9, format.ReasonBasis},
		"a lesser basis":     {"T0", "PT4H", retention.BasisSubject, format.ReasonBasis},
		"not the definition": {"fixed", "P2D", retention.BasisDefinition, format.ReasonBasis},
		"nothing stored":     {"T9", "PT4H", retention.BasisStatute, format.ReasonNotFound},
	} {
		if r := c.extend(want.transaction, want.rule, want.basis); r.Outcome != Refused || r.Reason != want.reason {
			t.Errorf("%s: %s %s", name, r.Reason, r.Why)
		}
	}
	op := c.extendOp("T0", "PT4H", retention.BasisStatute)
	op.Detail, op.DetailClass, op.DetailEpoch = nil, 0, 0
	c.refuse(c.commit(op), format.ReasonBasis)
	op = c.extendOp("T0", "PT4H", retention.BasisStatute)
	op.Actor = app
	c.refuse(c.commit(op), format.ReasonNotPermitted)

	r := c.accept(c.extend("T0", "PT4H", retention.BasisStatute))
	if got := c.nodes[0].row("T0").Retention.Deadline; got != end+2*hour || r.Bundle.Retention.Deadline != got {
		t.Fatalf("%d after %d", got, end)
	}
	c.accept(c.extend("once", "one-time:PT4H", retention.BasisStatute))
	c.accept(c.place(bundleOf("held"), "A"))
	c.tick(2*hour + minute)
	c.refuse(c.extend("gone", "PT4H", retention.BasisStatute), format.ReasonExpired)
	c.refuse(c.extend("held", "PT4H", retention.BasisStatute), format.ReasonExpired)
	c.sweep(10)
	if got := c.nodes[0].expired(0); len(got) != 1 || got[0] != "gone" {
		t.Fatal(got)
	}
	c.refuse(c.extend("gone", "PT4H", retention.BasisStatute), format.ReasonExpired)
	c.accept(c.read("once", 0))
	c.refuse(c.extend("once", "one-time:PT9H", retention.BasisStatute), format.ReasonOneTimeUsed)
	c.rebuilt()
}

// TestAnExtensionBeforeTheStart counts from where the old period does, and binds at
// least as long meanwhile.
func TestAnExtensionBeforeTheStart(t *testing.T) {
	c := newCourt(t, t, 2)
	c.began()
	c.put("T0", "PT2H")
	c.put("day", "2026-03-02")
	c.accept(c.extend("T0", "PT3H", retention.BasisStatute))
	c.accept(c.extend("day", "P1Y", retention.BasisStatute))
	for _, name := range []string{"T0", "day"} {
		if s := c.state(name); s != retention.StateUnset {
			t.Fatalf("%s is %v", name, s)
		}
	}
	at := c.now
	c.began()
	if got := c.nodes[0].row("T0").Retention; got.Deadline < base+at+3*hour || len(got.Prior) != 0 {
		t.Fatalf("%+v", got)
	}
	c.rebuilt()
	c.tick(3*hour - minute)
	c.sweep(10)
	c.tick(2 * minute)
	c.sweep(10)
	if got := c.nodes[0].expired(0); len(got) != 1 || got[0] != "T0" {
		t.Fatal(got)
	}
}

func TestAnEventIsSetOnceAndEndsNothingEarly(t *testing.T) {
	c := newCourt(t, t, 2)
	for _, name := range []string{"past", "ahead", "never"} {
		c.put(name, "event:PT2H")
	}
	c.put("T0", "PT9H")
	c.refuse(c.event("past", base), format.ReasonClock)
	c.began()
	c.refuse(c.event("T0", base), format.ReasonBadRule)
	c.refuse(c.event("T9", base), format.ReasonNotFound)
	c.refuse(c.event("past", 0), format.ReasonInvalid)
	c.refuse(c.event("past", base+25*hour), format.ReasonInvalid)
	before := base + c.now
	c.accept(c.event("past", base-1000*hour))
	c.accept(c.event("ahead", base+5*hour))
	c.refuse(c.event("past", base), format.ReasonState)
	c.began()
	if got := c.nodes[0].row("past").Retention; got.Deadline < before+2*hour {
		t.Fatalf("an event in the past counts from then: %+v", got)
	}
	if got := c.nodes[0].row("ahead").Retention; got.Deadline != base+7*hour {
		t.Fatalf("%+v", got)
	}
	c.rebuilt()
	c.tick(2*hour + minute)
	c.sweep(10)
	c.tick(5 * hour)
	c.sweep(10)
	c.tick(1000 * hour)
	c.sweep(10)
	if got := c.nodes[0].expired(0); fmt.Sprint(got) != "[past ahead T0]" {
		t.Fatal(got)
	}
}

// TestOneTimeViewEndToEnd (1회성 열람): the first read binds the reader and the
// request; three repeats within ten minutes; everybody else is refused from then
// on; then it is erased. Unread it ends at its limit.
func TestOneTimeViewEndToEnd(t *testing.T) {
	c := newCourt(t, t, 2)
	c.put("T0", "one-time")
	c.put("limit", "one-time:PT2H")
	c.began()
	read := func(actor uint64, request byte) Result {
		return c.commit(c.about(KindRead, actor, "T0", format.ReadEffect{Request: format.ID{request}}))
	}
	c.refuse(read(app, 0), format.ReasonInvalid)
	c.accept(read(app, 1))
	c.refuse(read(officer, 1), format.ReasonOneTimeUsed)
	c.refuse(read(app, 2), format.ReasonOneTimeUsed)
	c.rebuilt() // the view is in the history alone
	c.tick(minute)
	c.accept(read(app, 1))
	c.tick(8 * minute)
	c.accept(read(app, 1))
	c.accept(read(app, 1))
	c.refuse(read(app, 1), format.ReasonOneTimeUsed)
	c.sweep(10)
	if got := c.nodes[0].expired(0); len(got) != 0 {
		t.Fatalf("%v within the grace", got)
	}
	c.tick(12 * minute)
	c.refuse(read(app, 1), format.ReasonExpired)
	c.sweep(10)
	c.checkpoint()
	for _, n := range c.nodes {
		n.destroy()
		if _, err := n.plain("T0"); err == nil {
			t.Fatal("it reads after its end")
		}
	}
	c.readable("limit")
	c.tick(2 * hour)
	c.sweep(10)
	if got := c.nodes[0].expired(0); fmt.Sprint(got) != "[T0 limit]" {
		t.Fatal(got)
	}
	c.rebuilt()
}
