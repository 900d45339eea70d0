package store

import (
	"testing"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// court is a world with an access manager and an approver.
type court struct {
	*world
	persons actors
}

func newCourt(t *testing.T, in tester, count int) *court {
	t.Helper()
	c := &court{persons: actors{manager: newKey(in), approver1: newKey(in)}}
	c.world = newWorldWith(t, in, count, func(doc *format.Ceremony) {
		for id, role := range map[uint64]access.Role{manager: access.RoleManager, approver1: access.RoleApprover} {
			doc.Persons = append(doc.Persons, format.Person{ID: id, Role: uint8(role), Institution: 1, PublicKey: public(in, c.persons[id]), Identity: format.Digest{byte(id)}})
		}
		if p := doc.Persons; p[len(p)-2].ID > p[len(p)-1].ID {
			p[len(p)-2], p[len(p)-1] = p[len(p)-1], p[len(p)-2]
		}
	})
	return c
}

// on names what a hold is on; a bundle by its transaction.
type on struct {
	scope format.HoldScope
	what  string // a transaction, a CI, or a bundle ID
}

// saying gives an operation a sealed detail.
func (c *court) saying(op Op, d format.Detail) Op {
	c.Helper()
	var err error
	op.DetailClass = format.DetailOther
	op.DetailEpoch, op.Detail, err = c.nodes[0].SealDetail(1, format.DetailOther, op.ID, d)
	c.must(err)
	return op
}

func (c *court) placeOp(what on, name string) Op {
	c.Helper()
	e := format.HoldEffect{Scope: what.scope, Basis: uint8(retention.HoldCourt), Review: base + hour}
	var err error
	e.ID, err = c.nodes[0].HoldRef(1, what.scope, name)
	c.must(err)
	op := c.about(KindHold, manager, "", nil)
	op.Part = 0
	switch what.scope {
	case format.HoldBundle:
		op.Transaction, op.Part = what.what, 1
	case format.HoldSubject:
		e.Subject, err = c.nodes[0].SubjectRef(1, what.what)
		c.must(err)
	case format.HoldDefinition:
		e.Definition = what.what
	}
	op.Body = format.EncodeEffect(e)
	return c.saying(op, format.Detail{Name: name, Basis: "order"})
}

func (c *court) place(what on, name string) Result {
	c.Helper()
	return c.commit(c.placeOp(what, name))
}

// standing finds a hold in force, or nil.
func (c *court) holdOf(what on, name string) *format.HeldRow {
	c.Helper()
	e, err := format.DecodeHoldEffect(c.placeOp(what, name).Body)
	c.must(err)
	if what.scope == format.HoldBundle {
		if b, err := c.nodes[0].Bundle(keyOfBundle(what.what)); err != nil || b != nil {
			c.must(err)
			e.Store = b.Store
		}
	}
	h, err := c.nodes[0].HoldOn(1, e)
	c.must(err)
	return h
}

// propose opens the act that releases a hold; nonce names it.
func (c *court) propose(h format.HeldRow, nonce format.ID) Result {
	c.Helper()
	p := format.Particulars{Reason: "closed"}
	doc := format.Act{
		Cluster: c.cluster, Kind: format.ActKindHoldRelease, Object: format.ActObject(h.Bundle).Encode(),
		Params: format.HoldReleaseParams{Particulars: p.Digest(), Hold: h.ID, Placed: h.Placed}.Encode(), Nonce: nonce,
		Expires: max(base, c.nodes[0].Summary().Clock.Now) + 30*24*hour,
	}
	op := c.about(KindPropose, manager, h.Bundle.Transaction, format.ProposeEffect{Document: doc.Encode()})
	op.Part = h.Bundle.Part
	return c.commit(c.saying(op, format.Detail{Reason: p.Reason}))
}

func (c *court) sign(nonce format.ID, person uint64) Result {
	c.Helper()
	a, err := c.nodes[0].Act(1, nonce)
	c.must(err)
	if a == nil {
		c.Fatalf("no act %x", nonce)
	}
	op := c.about(KindSign, person, a.Object.Transaction, format.SignEffect{Act: nonce, Person: person, Signature: sign(c, c.persons[person], a.Row.Document)})
	op.Part = a.Object.Part
	return c.commit(op)
}

// release releases a hold by an act of two persons.
func (c *court) release(what on, name string) {
	c.Helper()
	h := c.holdOf(what, name)
	if h == nil {
		c.Fatalf("no hold %s on %v", name, what)
	}
	nonce := c.id()
	c.accept(c.propose(*h, nonce))
	c.accept(c.sign(nonce, manager))
	c.accept(c.sign(nonce, approver1))
}

func (c *court) endHolds(limit uint32) {
	c.Helper()
	op := c.op(KindHoldSweep, nil)
	op.Body = key32(limit)
	c.accept(c.commit(op))
}

// putFor stores a bundle of a subject under a definition.
func (c *court) putFor(transaction, rule, ci, definition string) Result {
	c.Helper()
	op, chunks := c.storeOp(transaction, rule, content(transaction))
	e, err := format.DecodeStoreEffect(op.Body)
	c.must(err)
	e.Definition = definition
	e.Subject, err = c.nodes[0].SubjectRef(1, ci)
	c.must(err)
	op.Body = format.EncodeEffect(e)
	return c.accept(c.commit(op, chunks...))
}

func (c *court) extendOp(transaction, rule string, basis retention.BasisKind) Op {
	c.Helper()
	return c.saying(c.about(KindExtend, manager, transaction, format.ExtendEffect{Rule: rule, BasisKind: uint8(basis)}), format.Detail{Basis: "law"})
}

func (c *court) state(transaction string) retention.State {
	c.Helper()
	return c.nodes[0].Status(keyOfBundle(transaction), c.nodes[0].row(transaction))
}

// rebuilt insists that a rebuild from the history gives the same rows.
func (c *court) rebuilt() {
	c.Helper()
	before := c.equal()
	c.nodes[len(c.nodes)-1].rebuild(true)
	if after := c.equal(); after != before {
		c.Fatalf("a rebuild gives %+v where %+v stood", after, before)
	}
}
