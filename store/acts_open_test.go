package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// again is the same request sent once more: another nonce and other particulars.
func (w *world) again(doc format.Act) format.Act {
	next := w.document(doc.Kind, format.ActObject{}, append([]byte{}, doc.Params...))
	next.Object = doc.Object
	next.Params[0] ^= 0xFF
	return next
}

// sameIsOpen insists that a proposal is refused because an act for the same is open.
func (w *world) sameIsOpen(op Op, open format.Act) {
	w.Helper()
	r := w.commit(op)
	w.refuse(r, format.ReasonState)
	if id := fmt.Sprintf("%x", open.Nonce); !strings.Contains(r.Why, id) {
		w.Fatalf("%q does not name act %s", r.Why, id)
	}
}

// TestI1OneActForOneAim: what was vetoed is not open under another id.
func TestI1OneActForOneAim(t *testing.T) {
	w, keys := newActWorld(t, t, 2, nil)
	w.put("A", "P5Y")
	w.put("B", "P5Y")
	w.began()
	doc := w.requested("A")
	w.sameIsOpen(w.proposeOp(officer, w.again(doc)), doc)
	w.requested("B") // another bundle's
	w.agree(keys, doc)
	w.sameIsOpen(w.proposeOp(officer, w.again(doc)), doc) // signed is open still
	w.accept(w.commit(w.vetoOp(keys, manager, doc)))
	doc = w.again(doc)
	w.accept(w.commit(w.stopOp("A", "O-A", doc.Nonce)))
	w.propose(officer, doc) // once that one is ended

	lift := w.document(format.ActKindLiftStop, format.ActObject(keyOfBundle("A")), nil)
	stop, err := w.nodes[0].Stop(keyOfBundle("A"))
	w.must(err)
	lift.Params = format.LiftParams{Stop: stop.Sequence, Order: "O-A"}.Encode()
	w.propose(manager, lift) // it does something else
	w.sameIsOpen(w.proposeOp(manager, w.again(lift)), lift)

	policy := w.policyDoc(func(p *format.Policy) { p.Slack = 2 * hour })
	w.propose(manager, policy)
	w.sameIsOpen(w.proposeOp(manager, w.again(policy)), policy)
	w.propose(manager, w.policyDoc(func(p *format.Policy) { p.Slack = 3 * hour }))

	node := format.CeremonyNode{Number: 4, Name: "n4", Incarnation: format.ID{0x44}, PublicKey: public(t, newKey(t))}
	member := w.document(format.ActKindMember, format.ActObject{}, format.MemberParams{Node: node}.Encode())
	w.propose(admin, member)
	w.sameIsOpen(w.proposeOp(admin, w.again(member)), member)

	resync := func() format.Act {
		far := w.now + 400*24*hour
		w.now += minute
		votes := []format.SignedVote{w.vote(1, far), w.vote(2, far)}
		return w.document(format.ActKindResync, format.ActObject{}, format.ResyncParams{Votes: votes}.Encode())
	}
	first := resync()
	w.propose(admin, first)
	w.sameIsOpen(w.proposeOp(admin, resync()), first) // by other votes

	w.tick(hour + minute)
	if v, err := w.nodes[0].Act(1, policy.Nonce); err != nil || v.State != retention.ActLapsed {
		t.Fatalf("%+v: %v", v, err)
	}
	w.propose(manager, w.again(policy))
	w.equal()
	w.nodes[1].rebuild(true)
	w.equal()
}

// TestAHoldIsReleasedByOneAct: each hold by its own.
func TestAHoldIsReleasedByOneAct(t *testing.T) {
	c := newCourt(t, t, 1)
	c.began()
	c.putFor("A", "P5Y", "ci", mds)
	c.accept(c.place(on{format.HoldBundle, "A"}, "one"))
	c.accept(c.place(on{format.HoldBundle, "A"}, "two"))
	first := c.id()
	c.accept(c.propose(*c.holdOf(on{format.HoldBundle, "A"}, "one"), first))
	c.refuse(c.propose(*c.holdOf(on{format.HoldBundle, "A"}, "one"), c.id()), format.ReasonState)
	c.accept(c.propose(*c.holdOf(on{format.HoldBundle, "A"}, "two"), c.id()))
}

// TestOpenActsAreBounded: an institution's persons fill no other's room, and an act
// that ended gives its place back.
func TestOpenActsAreBounded(t *testing.T) {
	w, keys := newActWorld(t, t, 1, nil)
	last := w.policyDoc(func(p *format.Policy) { p.Slack = 2 * hour })
	w.propose(manager, last)
	fill := func(from uint32, count int) {
		for i := range count {
			nonce := format.ID{0xF1, byte(from), byte(i >> 8), byte(i)}
			w.must(w.nodes[0].set(tActOpen, nonce[:], format.OpenActRow{Aim: format.Digest(cat(nonce[:], nonce[:])), From: from, Due: 1 << 62}.Encode()))
		}
	}
	fill(1, maxOpenActs-2)
	fill(2, maxOpenActs)
	another := w.policyDoc(func(p *format.Policy) { p.Slack = 3 * hour })
	w.propose(manager, another)
	w.refuse(w.commit(w.proposeOp(manager, w.policyDoc(func(p *format.Policy) { p.Slack = 4 * hour }))), format.ReasonState)
	w.accept(w.commit(w.vetoOp(keys, manager, another)))
	w.propose(manager, w.policyDoc(func(p *format.Policy) { p.Slack = 4 * hour }))
}

// TestATickReadsOnlyActsThatAreDue: the acts of the others are not even there.
func TestATickReadsOnlyActsThatAreDue(t *testing.T) {
	w, keys := newActWorld(t, t, 1, nil)
	w.put("A", "P5Y")
	w.began()
	doc := w.requested("A")
	due := func() int64 {
		row, err := lookup(w.nodes[0].Machine, tActOpen, doc.Nonce[:], format.DecodeOpenActRow)
		w.must(err)
		return row.Due
	}
	if due() != doc.Expires {
		t.Fatalf("unsigned, due at %d", due())
	}
	hidden, err := w.nodes[0].idx.Get(tAct, doc.Nonce[:])
	w.must(err)
	w.must(w.nodes[0].set(tAct, doc.Nonce[:], nil))
	w.began()
	w.must(w.nodes[0].set(tAct, doc.Nonce[:], hidden))
	w.agree(keys, doc)
	if due() != 0 {
		t.Fatalf("signed, due at %d", due())
	}
	w.began()
	v, err := w.nodes[0].Act(1, doc.Nonce)
	w.must(err)
	if v.State != retention.ActCooling || due() != v.Row.CoolingEnd {
		t.Fatalf("%s until %d, due at %d", v.State, v.Row.CoolingEnd, due())
	}
}
