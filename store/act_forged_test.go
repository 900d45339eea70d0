package store

import (
	"fmt"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestI1_ForgedEntriesExecuteNoAct gives entries to Apply as root on a leading node
// would write them, past all that a service or a proposer refuses, on nodes that a
// restore with declared loss left waiting: acts in anybody's name, with signatures
// that are forged, of others, of another act, or missing. The same act by those who
// may goes through.
func TestI1_ForgedEntriesExecuteNoAct(t *testing.T) {
	w, keys := lost(t)
	gone := w.nodes[0].members[3].Gone
	if len(gone) == 0 {
		t.Fatal("no incarnation left")
	}
	medium := format.MediumParams{Node: 3, Incarnation: gone[0]}.Encode()
	blank := make([]byte, len(format.Digest{}))
	node := format.MemberParams{Node: format.CeremonyNode{Number: 4, Name: "node4", Incarnation: w.id(), PublicKey: public(t, newKey(t))}}.Encode()
	l := forger{world: w, keys: keys}
	l.learn()
	before := l.facts()
	opened := map[format.ActKind]format.Act{}
	for _, c := range []struct {
		kind   format.ActKind
		params []byte
		opens  bool // proposing it is possible
	}{
		{format.ActKindMedium, medium, true},
		{format.ActKindRestoreConfirm, blank, true},
		{format.ActKindMember, node, true},
		{format.ActKindRestore, format.RestoreParams{Size: 1}.Encode(), false},
		{format.ActKindRestore, blank, false},
		{format.ActKindKeyArchive, blank, false},
		{format.ActKindLostMajority, blank, false},
	} {
		doc := w.document(c.kind, format.ActObject{}, c.params)
		l.forge(doc) // that nobody proposed
		for _, nobody := range []uint64{app, officer, elsewhere, 999} {
			l.refused(fmt.Sprintf("%v proposed by %d", c.kind, nobody), w.proposeOp(nobody, doc))
		}
		if r := w.commit(w.proposeOp(admin, doc)); (r.Outcome == Accepted) != c.opens {
			t.Errorf("%v: %v %s", c.kind, r.Outcome, r.Why)
		}
		opened[c.kind] = doc
		l.forge(doc)
		if after := l.facts(); after != before {
			t.Fatalf("%v:\n%s\nwas\n%s", c.kind, after, before)
		}
	}
	w.equal()
	for _, kind := range []format.ActKind{format.ActKindMedium, format.ActKindRestoreConfirm} {
		w.agree(keys, opened[kind])
		after := l.facts()
		if after == before {
			t.Errorf("%v by those who may changed nothing: nothing was tried", kind)
		}
		before = after
	}
}

// forger brings what an attacker has: the nodes' keys, a key of its own, and
// genuine signatures over an act that was executed.
type forger struct {
	*world
	keys actors
	old  map[uint64][]byte
}

// learn has the persons execute an act, and keeps their signatures.
func (l *forger) learn() {
	l.Helper()
	doc := l.policyDoc(func(p *format.Policy) { p.Slack /= 2 })
	l.propose(manager, doc)
	l.old = map[uint64][]byte{}
	for _, p := range []uint64{manager, approver1} {
		l.old[p] = sign(l, l.keys[p], doc.Encode())
	}
	l.accept(l.commit(l.signOp(l.keys, manager, doc)))
}

func (l *forger) refused(what string, op Op) {
	l.Helper()
	if r := l.commit(op); r.Outcome != Refused {
		l.Fatalf("%s: %+v", what, r)
	}
}

// forge brings signatures over an act, and its execution.
func (l *forger) forge(doc format.Act) {
	l.Helper()
	own := sign(l, newKey(l), doc.Encode())
	bring := func(what string, actor, person uint64, signature []byte) {
		op := l.op(KindSign, format.SignEffect{Act: doc.Nonce, Person: person, Signature: signature})
		op.Actor, op.Institution = actor, 1
		l.refused(fmt.Sprintf("%v: %s, as %d", doc.Kind, what, person), op)
		op.ID, op.Actor, op.Institution = l.id(), 0, 0
		l.refused(fmt.Sprintf("%v: %s, as %d, by the cluster itself", doc.Kind, what, person), op)
	}
	for _, person := range []uint64{manager, approver1} {
		bring("no signature", person, person, nil)
		bring("the attacker's signature", person, person, own)
		bring("another act's signature", person, person, l.old[person])
		bring("the other's signature", person, person, l.old[manager+approver1-person])
		bring("a veto's signature", person, person, sign(l, l.keys[person], format.VetoMessage(doc.Encode())))
		bring("brought by another", manager+approver1-person, person, own)
	}
	bring("nobody's signature", 999, 999, own)
	l.refused(doc.Kind.String()+": executed", l.executeOp(doc.Nonce))
	as := l.executeOp(doc.Nonce)
	as.Actor, as.Institution = manager, 1
	l.refused(doc.Kind.String()+": executed as the manager", as)
}

// facts is all that such acts change.
func (l *forger) facts() (out string) {
	l.Helper()
	m := l.nodes[0].Machine
	add := func(what any, err error) {
		l.must(err)
		out += fmt.Sprintf("%+v\n", what)
	}
	for _, n := range m.numbers() {
		add(m.members[n], nil)
	}
	add(m.policy, nil)
	add(m.expiryStopped())
	l.must(m.idx.Ascend(tMedium, nil, nil, func(k, v []byte) (bool, error) {
		add(fmt.Sprintf("medium %x %x", k, v), nil)
		return true, nil
	}))
	return out
}
