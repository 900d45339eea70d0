package store

import (
	"slices"
	"testing"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// TestI1SpecialDeletionEndsForGood: what was asked for before goes no further either.
func TestI1SpecialDeletionEndsForGood(t *testing.T) {
	w, keys := newActWorld(t, t, 1, nil)
	w.put("A", "P5Y")
	w.put("B", "P5Y")
	w.began()
	for _, transaction := range []string{"A", "B"} {
		w.accept(w.commit(w.about(KindStop, officer, transaction, format.StopEffect{Order: "1"})))
	}
	signed, late := w.specialDoc("A", "1"), w.specialDoc("B", "1")
	w.propose(officer, signed)
	w.agree(keys, signed)
	none := w.op(KindInstitution, format.InstitutionEffect{Verb: format.InstitutionNoSpecial, Number: 1})
	none.Actor, none.Institution = manager, 1
	w.accept(w.commit(w.withDetail(none)))
	w.began()
	w.tick(6_000_000)
	w.refuse(w.commit(w.executeOp(signed.Nonce)), format.ReasonPolicy)
	w.refuse(w.commit(w.proposeOp(officer, late)), format.ReasonPolicy)
	if row := w.nodes[0].row("A"); row.Expire != 0 {
		t.Fatal("specially deleted although its institution had ended that")
	}
}

// TestI1NothingLeavesWhileHoldsMayBeLost: a restore with a declared loss stops both
// early exits as it stops expiry.
func TestI1NothingLeavesWhileHoldsMayBeLost(t *testing.T) {
	w, keys := newActWorld(t, t, 1, nil)
	w.put("A", "P5Y")
	w.began()
	w.accept(w.commit(w.about(KindStop, officer, "A", format.StopEffect{Order: "1"})))
	doc := w.specialDoc("A", "1")
	w.propose(officer, doc)
	w.agree(keys, doc)
	w.began()
	w.tick(6_000_000)
	w.must(w.nodes[0].set(tMeta, []byte(metaRestored), key64(1)))
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonRestored)
	w.must(w.nodes[0].changeTenant(1, func(row *format.TenantRow) { row.State, row.Close = format.TenantClosing, 1 }))
	if kind, _, err := w.nodes[0].CloseDuty(10); err != nil || kind != 0 {
		t.Fatalf("a closing wants kind %d: %v", kind, err)
	}
	op := w.op(KindCloseSweep, nil)
	op.Body = key32(10)
	w.accept(w.commit(op))
	if row := w.nodes[0].row("A"); row.Expire != 0 {
		t.Fatal("a bundle went whose hold a restore may have lost")
	}
	w.must(w.nodes[0].set(tMeta, []byte(metaRestored), nil))
	op.ID = w.id()
	w.accept(w.commit(op))
	if row := w.nodes[0].row("A"); row.Expire == 0 {
		t.Fatal("the closing did not go on")
	}
}

// TestI1WhoAskedApprovesUnderNoOtherNumber: one person is one, as asker too.
func TestI1WhoAskedApprovesUnderNoOtherNumber(t *testing.T) {
	w, keys := newActWorld(t, t, 1, func(c *format.Ceremony) {
		key := slices.IndexFunc(c.Persons, func(p format.Person) bool { return p.ID == approver1 })
		asks := slices.IndexFunc(c.Persons, func(p format.Person) bool { return p.ID == officer })
		c.Persons[asks].PublicKey = c.Persons[key].PublicKey
	})
	w.put("A", "P5Y")
	w.began()
	w.accept(w.commit(w.about(KindStop, officer, "A", format.StopEffect{Order: "1"})))
	doc := w.specialDoc("A", "1")
	w.propose(officer, doc)
	w.refuse(w.commit(w.signOp(keys, approver1, doc)), format.ReasonSigner)
	w.accept(w.commit(w.signOp(keys, approver2, doc)))
}

// TestI10NobodyLocksTheOthersOut: one manager makes the policy stronger, not beyond
// what the persons there are can take back.
func TestI10NobodyLocksTheOthersOut(t *testing.T) {
	w, keys := newActWorld(t, t, 1, nil)
	w.refuse(w.commit(w.proposeOp(manager, w.policyDoc(func(p *format.Policy) { p.Approvals = 4 }))), format.ReasonPolicy)
	three := w.policyDoc(func(p *format.Policy) { p.Approvals = 3 })
	w.propose(manager, three)
	w.accept(w.commit(w.signOp(keys, manager, three)))
}

// TestNoActGrowsBeyondItsRecord: many who sign without an access manager among
// them halt nobody.
func TestNoActGrowsBeyondItsRecord(t *testing.T) {
	const first = 100
	w, keys := newActWorld(t, t, 1, nil)
	doc := w.policyDoc(func(p *format.Policy) { p.Slack = 2 * hour })
	w.propose(manager, doc)
	for i := range uint64(maxSignatures) {
		id := first + i
		keys[id] = newKey(t)
		w.must(w.nodes[0].putPerson(format.Person{ID: id, Role: uint8(access.RoleApprover), Institution: 1, PublicKey: public(t, keys[id]), Identity: format.Digest{0xF0, byte(i)}}))
		w.accept(w.commit(w.signOp(keys, id, doc)))
	}
	w.refuse(w.commit(w.signOp(keys, approver1, doc)), format.ReasonSigner)
	if v, err := w.nodes[0].Act(1, doc.Nonce); err != nil || v.State != retention.ActPending {
		t.Fatalf("%+v: %v", v, err)
	}
}

// TestI5KeysWaitForNoNodeThatLeft: keys and blocks that only a removed node has not
// attested are done with.
func TestI5KeysWaitForNoNodeThatLeft(t *testing.T) {
	w, keys := newActWorld(t, t, 2, nil)
	spent := w.slot()
	w.accept(w.commit(w.op(KindKey, format.KeyEffect{Verb: format.KeySpent, Block: spent.Block, Spent: []uint32{spent.Index}})))
	w.accept(w.commit(w.op(KindKey, format.KeyEffect{Verb: format.KeyRetire, Block: spent.Block})))
	w.checkpoint()
	due := w.nodes[0].spentDue(1)
	if len(due) != 1 {
		t.Fatalf("%d wait", len(due))
	}
	for _, n := range []uint32{1, 2} {
		w.accept(w.commit(w.op(KindAttest, w.attestation(n, format.AttestEffect{Keys: []uint64{due[0].Decision}, Blocks: []format.ID{spent.Block}}))))
	}
	retired := func() bool {
		stands, err := w.nodes[0].anyRow(tRetire, nil)
		w.must(err)
		return stands
	}
	if !retired() {
		t.Fatal("no retired block waits for node 3")
	}
	if row, err := w.nodes[0].spent(due[0].Decision); err != nil || row == nil {
		t.Fatalf("nothing waits for node 3: %v", err)
	}
	remove := w.document(format.ActKindMember, format.ActObject{}, format.MemberParams{Remove: true, Node: format.CeremonyNode{Number: 3}}.Encode())
	w.propose(admin, remove)
	w.agree(keys, remove)
	if row, err := w.nodes[0].spent(due[0].Decision); err != nil || row != nil {
		t.Fatalf("it waits for a node that left: %v", err)
	}
	if retired() {
		t.Fatal("a retired block waits for a node that left")
	}
	w.equal()
	w.nodes[1].rebuild(true)
	w.equal()
}
