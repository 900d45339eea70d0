package store

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// specialDoc is the document of a bundle's special deletion under an order.
func (w *world) specialDoc(transaction, order string) format.Act {
	w.Helper()
	row := w.nodes[0].row(transaction)
	_, encoded, err := w.nodes[0].Record(row.Store)
	w.must(err)
	p := format.SpecialParams{Particulars: format.Digest{1}, Store: row.Store, Leaf: format.LeafHash(encoded), Order: order}
	return w.document(format.ActKindSpecialDelete, format.ActObject(keyOfBundle(transaction)), p.Encode())
}

// stopOp registers an order on a bundle; act is the request that brings it.
func (w *world) stopOp(transaction, order string, act format.ID) Op {
	return w.about(KindStop, officer, transaction, format.StopEffect{Order: order, Act: act})
}

// requested is a special deletion whose order and request are registered.
func (w *world) requested(transaction string) format.Act {
	w.Helper()
	doc := w.specialDoc(transaction, "O-"+transaction)
	w.accept(w.commit(w.stopOp(transaction, "O-"+transaction, doc.Nonce)))
	w.propose(officer, doc)
	return doc
}

// keep places or releases a hold on every node's row: what its own operations do.
func (w *world) keep(transaction string, held bool) {
	w.Helper()
	for _, n := range w.nodes {
		w.must(n.changeBundle(keyOfBundle(transaction), n.row(transaction).Store, func(row *format.BundleRow) error {
			r := retentionOf(row.Retention)
			r.Holds = nil
			if held {
				r.Holds = []retention.Hold{{ID: 7, Owner: manager, Basis: retention.HoldCourt}}
			}
			row.Retention = retentionRow(r)
			return nil
		}))
	}
}

func (w *world) special(doc format.Act) retention.ActState {
	w.Helper()
	v, err := w.nodes[0].Act(1, doc.Nonce)
	w.must(err)
	return v.State
}

// cool lets a cooling-off pass.
func (w *world) cool() { w.Helper(); w.began(); w.tick(6_000_000) }

func TestP23RefusedSpecialDeletionChangesNothing(t *testing.T) {
	w, keys := newActWorld(t, t, 1, nil)
	w.put("A", "P5Y")
	w.put("B", "P5Y")
	w.began()
	b := w.requested("B")
	before := *w.nodes[0].row("A")
	good := w.specialDoc("A", "O")
	w.refuse(w.commit(w.proposeOp(officer, good)), format.ReasonState) // no order stands on it
	w.accept(w.commit(w.stopOp("A", "O", good.Nonce)))
	w.refuse(w.commit(w.stopOp("A", "O2", format.ID{})), format.ReasonState) // one order at a time

	altered := func(change func(*format.SpecialParams)) format.Act {
		doc := w.specialDoc("A", "O")
		p, err := format.DecodeSpecialParams(doc.Params)
		w.must(err)
		change(&p)
		doc.Params = p.Encode()
		return doc
	}
	w.refuse(w.commit(w.proposeOp(officer, altered(func(p *format.SpecialParams) { p.Leaf[0] ^= 1 }))), format.ReasonInvalid)
	w.refuse(w.commit(w.proposeOp(officer, altered(func(p *format.SpecialParams) { p.Store-- }))), format.ReasonInvalid)
	w.refuse(w.commit(w.proposeOp(officer, altered(func(p *format.SpecialParams) { p.Order = "O2" }))), format.ReasonState)
	w.refuse(w.commit(w.proposeOp(app, good)), format.ReasonNotPermitted)
	w.refuse(w.commit(w.proposeOp(manager, good)), format.ReasonNotPermitted) // approves, and does not ask

	w.propose(officer, good)
	replayed := w.signOp(keys, manager, good)
	replayed.Body = format.EncodeEffect(format.SignEffect{Act: good.Nonce, Person: manager, Signature: sign(w, keys[manager], b.Encode())})
	w.refuse(w.commit(replayed), format.ReasonSignature) // of another act
	ghost := actors{nobody: newKey(t)}
	w.refuse(w.commit(w.signOp(ghost, nobody, good)), format.ReasonUnknownPrincipal)
	w.refuse(w.commit(w.signOp(keys, elsewhere, good)), format.ReasonNotPermitted)
	self := w.signOp(actors{officer: newKey(t)}, officer, good)
	w.refuse(w.commit(self), format.ReasonNotPermitted)
	w.accept(w.commit(w.signOp(keys, approver1, good)))
	w.refuse(w.commit(w.signOp(keys, twin, good)), format.ReasonSigner)      // the same key under two numbers
	w.refuse(w.commit(w.signOp(keys, approver1, good)), format.ReasonSigner) // the same person twice
	w.accept(w.commit(w.signOp(keys, approver2, good)))
	if s := w.special(good); s != retention.ActPending {
		t.Fatalf("two approvers and no access manager: %s", s)
	}
	w.cool()
	w.refuse(w.commit(w.executeOp(good.Nonce)), format.ReasonState)
	w.tick(hour)
	w.refuse(w.commit(w.signOp(keys, manager, good)), format.ReasonLapsed)
	if after := *w.nodes[0].row("A"); after.Expire != before.Expire {
		t.Fatalf("the bundle changed: %+v", after)
	}
	w.readable("A")
}

// TestTheOrderOfASpecialDeletionIsTheRegisteredOne: its document as well, where the
// stop names one.
func TestTheOrderOfASpecialDeletionIsTheRegisteredOne(t *testing.T) {
	w, _ := newActWorld(t, t, 1, nil)
	w.put("A", "P5Y")
	w.put("B", "P5Y")
	w.began()
	under := func(transaction string, document format.Digest) format.Act {
		doc := w.specialDoc(transaction, "O")
		p, err := format.DecodeSpecialParams(doc.Params)
		w.must(err)
		p.Document = document
		doc.Params = p.Encode()
		return doc
	}
	registered := format.Digest{0xD0}
	w.accept(w.commit(w.about(KindStop, officer, "A", format.StopEffect{Order: "O", Document: registered})))
	w.refuse(w.commit(w.proposeOp(officer, under("A", format.Digest{0xD1}))), format.ReasonState)
	w.refuse(w.commit(w.proposeOp(officer, under("A", format.Digest{}))), format.ReasonState)
	w.propose(officer, under("A", registered))
	w.accept(w.commit(w.stopOp("B", "O", format.ID{}))) // the stop names none
	w.propose(officer, under("B", registered))
}

func TestSpecialDeletionWaitsForItsCoolingOffAndItsVeto(t *testing.T) {
	w, keys := newActWorld(t, t, 2, nil)
	w.put("A", "P5Y")
	w.began()
	doc := w.requested("A")
	w.agree(keys, doc)
	w.refuse(w.commit(w.signOp(keys, approver2, doc)), format.ReasonState)
	w.began()
	w.tick(4_000_000)
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonState)
	forged := w.vetoOp(keys, approver2, doc)
	forged.Body = format.EncodeEffect(format.VetoEffect{Act: doc.Nonce, Person: approver2, Signature: sign(w, keys[approver2], doc.Encode())})
	w.refuse(w.commit(forged), format.ReasonSignature) // an approval is no veto
	w.accept(w.commit(w.vetoOp(keys, approver2, doc)))
	w.tick(6_000_000)
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonState)
	w.refuse(w.commit(w.signOp(keys, approver2, doc)), format.ReasonState)
	w.accept(w.commit(w.about(KindRead, officer, "A", format.ReadEffect{}))) // the order went with the veto
	w.equal()

	// An order of its own outlives a veto.
	w.accept(w.commit(w.stopOp("A", "own", format.ID{})))
	doc = w.specialDoc("A", "own")
	w.propose(officer, doc)
	w.accept(w.commit(w.vetoOp(keys, manager, doc)))
	w.refuse(w.commit(w.about(KindRead, officer, "A", format.ReadEffect{})), format.ReasonStopped)
}

// TestALiftCannotBeShortened: an order that one person registers "with" an act that
// lifts it is not lifted by taking that act back.
func TestALiftCannotBeShortened(t *testing.T) {
	w, keys := newActWorld(t, t, 1, nil)
	w.put("A", "P5Y")
	w.began()
	key := keyOfBundle("A")
	doc := w.document(format.ActKindLiftStop, format.ActObject(key), nil)
	w.accept(w.commit(w.stopOp("A", "O", doc.Nonce)))
	stop, err := w.nodes[0].Stop(key)
	w.must(err)
	doc.Params = format.LiftParams{Particulars: format.Digest{1}, Stop: stop.Sequence, Order: "O"}.Encode()
	w.propose(manager, doc)
	w.accept(w.commit(w.vetoOp(keys, manager, doc)))
	if stop, err := w.nodes[0].Stop(key); err != nil || stop == nil {
		t.Fatalf("one person lifted it: %v", err)
	}
	again := doc
	again.Nonce[15]++
	w.propose(manager, again)
	w.accept(w.commit(w.signOp(keys, manager, again)))
	w.refuse(w.commit(w.about(KindRead, officer, "A", format.ReadEffect{})), format.ReasonStopped)
	w.accept(w.commit(w.signOp(keys, approver1, again)))
	w.accept(w.commit(w.about(KindRead, officer, "A", format.ReadEffect{})))
}

func TestI1AHoldBeatsASpecialDeletion(t *testing.T) {
	w, keys := newActWorld(t, t, 2, nil)
	w.put("A", "P5Y")
	w.began()
	doc := w.specialDoc("A", "O")
	w.accept(w.commit(w.stopOp("A", "O", doc.Nonce)))
	w.keep("A", true)
	w.refuse(w.commit(w.proposeOp(officer, doc)), format.ReasonHeld)
	w.keep("A", false)
	w.propose(officer, doc)
	w.agree(keys, doc)
	w.keep("A", true) // after the approval
	w.cool()
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonHeld)
	if ready, _, err := w.nodes[0].ReadyActs(0); err != nil || len(ready) != 0 {
		t.Fatalf("the leader would propose %x: %v", ready, err)
	}
	if r, _, err := w.nodes[0].Blocked(doc.Nonce); err != nil || r != format.ReasonHeld {
		t.Fatalf("blocked by %v: %v", r, err)
	}
	w.readable("A")
	w.keep("A", false)
	w.accept(w.commit(w.executeOp(doc.Nonce)))
	if reason, _, err := w.nodes[0].Barred(keyOfBundle("A")); err != nil || reason != format.ReasonSpecialDeleted {
		t.Fatalf("barred: %v %v", reason, err)
	}
}

// TestP31EveryHolderIsNamed: a certificate names each incarnation that may have had
// the key, until it attests or its medium is recorded destroyed.
func TestP31EveryHolderIsNamed(t *testing.T) {
	w, keys := newActWorld(t, t, 2, nil)
	w.put("A", "P5Y")
	w.began()
	member := func(node uint32, inc format.ID, state format.MemberState) {
		e := format.MemberEffect{Node: node, Incarnation: inc, State: state}
		e.Signature = sign(t, w.keys[node-1], e.Message(w.cluster))
		w.accept(w.commit(w.op(KindMember, e)))
	}
	member(3, format.ID{0x31}, format.MemberJoining)
	member(3, format.ID{0x31}, format.MemberVoter)
	former := w.incs[2]
	w.incs[2] = format.ID{0x31}
	doc := w.requested("A")
	w.agree(keys, doc)
	w.cool()
	w.accept(w.commit(w.executeOp(doc.Nonce)))
	w.checkpoint()
	member(2, format.ID{0x22}, format.MemberJoining) // comes after the decision: without the key
	holders := func() (out []string) {
		all, err := w.nodes[0].Holders(w.nodes[0].row("A"))
		w.must(err)
		for _, h := range all {
			out = append(out, fmt.Sprintf("%d.%x member=%v done=%v", h.Node, h.Incarnation[:1], h.Member, h.Done()))
		}
		return out
	}
	for i := range 2 {
		w.nodes[i].destroy()
	}
	w.attest(1)
	w.attest(3)
	want := []string{"1.10 member=true done=true", "2.10 member=true done=false", "3.10 member=false done=false", "3.31 member=true done=true"}
	if got := holders(); !slices.Equal(got, want) {
		t.Fatalf("%v", got)
	}
	w.attest(2)
	medium := w.document(format.ActKindMedium, format.ActObject{}, format.MediumParams{Node: 3, Incarnation: former}.Encode())
	w.propose(admin, medium)
	w.agree(keys, medium)
	if got := holders(); slices.ContainsFunc(got, func(s string) bool { return bytes.HasSuffix([]byte(s), []byte("done=false")) }) {
		t.Fatalf("%v", got)
	}
	w.equal()
	w.nodes[1].rebuild(true)
	w.equal()
}

// TestR16StepsAreListed: the steps of stops and special deletions, and nothing
// else, are what is recorded outside.
func TestR16StepsAreListed(t *testing.T) {
	w, keys := newActWorld(t, t, 2, nil)
	for _, name := range []string{"A", "B", "C"} {
		w.put(name, "P5Y")
	}
	w.put("E", "PT1S")
	w.began()
	a := w.requested("A")
	b := w.requested("B")
	w.agree(keys, a)
	w.accept(w.commit(w.vetoOp(keys, manager, b)))
	w.cool()
	w.sweep(10)
	w.accept(w.commit(w.executeOp(a.Nonce)))
	w.checkpoint()
	for _, n := range w.nodes {
		n.destroy()
		w.attest(n.number)
	}
	steps, err := w.nodes[0].SpecialSteps(0, w.nodes[0].Summary().Size, 100)
	w.must(err)
	var got []string
	for _, s := range steps {
		got = append(got, s.Record.Action.String()+" "+s.Record.Transaction+" "+s.Order)
	}
	want := []string{"CIRCULATION_STOP A O-A", "SPECIAL_DELETE_REQUEST A O-A", "CIRCULATION_STOP B O-B", "SPECIAL_DELETE_REQUEST B O-B",
		"SPECIAL_DELETE_APPROVE A O-A", "SPECIAL_DELETE_APPROVE A O-A", "SPECIAL_DELETE_VETO B O-B", "SPECIAL_DELETE_EXECUTE A O-A", "ERASE A O-A"}
	if !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	w.equal()
	w.nodes[1].rebuild(true)
	w.equal()
}

// TestP71RandomHandsNeverDeleteAlone: whatever is called in whatever order, a bundle
// ends only after two persons of the right roles signed, its cooling-off passed and
// nobody vetoed or holds it.
func TestP71RandomHandsNeverDeleteAlone(t *testing.T) {
	fewer(t, 15)
	rapid.Check(t, func(r *rapid.T) {
		w, keys := newActWorld(t, r, 1, nil)
		defer w.close()
		w.put("A", "P5Y")
		w.began()
		doc := w.specialDoc("A", "O")
		w.commit(w.stopOp("A", "O", doc.Nonce))
		w.commit(w.proposeOp(officer, doc))
		signed, held, vetoed, whole := map[uint64]bool{}, false, false, int64(-1)
		for range rapid.IntRange(5, 25).Draw(r, "calls") {
			switch rapid.IntRange(0, 6).Draw(r, "call") {
			case 0, 1:
				who := rapid.SampledFrom([]uint64{manager, approver1, approver2, twin, elsewhere}).Draw(r, "who")
				if w.commit(w.signOp(keys, who, doc)).Outcome == Accepted {
					signed[who] = true
				}
				if signed[manager] && len(signed) >= 2 && whole < 0 {
					whole = w.now
				}
			case 2:
				if rapid.IntRange(0, 9).Draw(r, "veto") == 0 && w.commit(w.vetoOp(keys, manager, doc)).Outcome == Accepted {
					vetoed = true
				}
			case 3:
				held = !held
				w.keep("A", held)
			case 4, 5:
				w.tick(rapid.Int64Range(1000, 4_000_000).Draw(r, "pass"))
			default:
				if w.commit(w.executeOp(doc.Nonce)).Outcome != Accepted {
					continue
				}
				if vetoed || held || whole < 0 || w.now-whole < 5_000_000 || signed[approver1] && signed[twin] || signed[elsewhere] {
					r.Fatalf("executed: vetoed %v, held %v, whole at %d, now %d, signed %v", vetoed, held, whole, w.now, signed)
				}
				return
			}
		}
		if w.nodes[0].row("A").Expire != 0 {
			r.Fatalf("it ended without an execution")
		}
	})
}
