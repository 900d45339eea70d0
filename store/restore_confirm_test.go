package store

import (
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// lost is a world that was restored with a declared loss, on every node.
func lost(t *testing.T) (*world, actors) {
	t.Helper()
	w, keys := newActWorld(t, t, 2, nil)
	w.put("GOES", "PT1H")
	w.tick(1000)
	w.tick(1000)
	w.loses()
	return w, keys
}

// loses restores every node with a declared loss.
func (w *world) loses() { w.restores(true) }

// restores restores every node with an act: a declared loss, or none.
func (w *world) restores(loss bool) {
	w.Helper()
	p := format.RestoreParams{Size: w.nodes[0].Summary().Size}
	if !loss {
		p.Lost = p.Size
	}
	act := w.document(format.ActKindRestore, format.ActObject{}, p.Encode())
	w.beginRestored(format.SignedAct{Document: act.Encode()}.Encode())
}

// beginRestored restores every node with a signed act, or without one.
func (w *world) beginRestored(signed []byte) {
	w.Helper()
	for _, n := range w.nodes {
		r, err := n.BeginRestored(signed)
		w.must(err)
		w.next = r.Entry + 1
		for _, m := range r.Members {
			w.incs[m.Number-1] = m.Current
		}
	}
	w.tick(1000)
}

// TestADeclaredLossStopsExpiryUntilItIsConfirmed by two persons, one of them an
// access manager: what would extend or hold may be among what was lost.
func TestADeclaredLossStopsExpiryUntilItIsConfirmed(t *testing.T) {
	w, keys := lost(t)
	confirm := func() format.Act {
		return w.document(format.ActKindRestoreConfirm, format.ActObject{}, make([]byte, len(format.Digest{})))
	}
	size := w.nodes[0].Summary().Size
	kept := func(when string) {
		t.Helper()
		w.sweep(10)
		for _, n := range w.nodes {
			if stopped, err := n.ExpiryStopped(); err != nil || !stopped || len(n.expired(size)) != 0 {
				t.Fatalf("%s: stopped %v, expired %v: %v", when, stopped, n.expired(size), err)
			}
		}
	}
	w.tick(2 * hour)
	kept("after the deadline")

	doc := confirm()
	w.refuse(w.commit(w.proposeOp(officer, doc)), format.ReasonNotPermitted)
	more := confirm()
	more.Params = append(more.Params, 0)
	w.refuse(w.commit(w.proposeOp(admin, more)), format.ReasonInvalid)
	unled := confirm()
	w.propose(admin, unled)
	w.accept(w.commit(w.signOp(keys, approver1, unled)))
	w.accept(w.commit(w.signOp(keys, approver2, unled)))
	kept("without an access manager")
	w.accept(w.commit(w.vetoOp(keys, manager, unled)))
	w.propose(admin, doc)
	w.accept(w.commit(w.signOp(keys, manager, doc)))
	kept("with one signature")
	w.refuse(w.commit(w.signOp(keys, manager, doc)), format.ReasonSigner)
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonState)
	kept("with the same signature again")

	w.accept(w.commit(w.signOp(keys, approver1, doc)))
	w.sweep(10)
	w.nodes[1].rebuild(true)
	for _, n := range w.nodes {
		if stopped, err := n.ExpiryStopped(); err != nil || stopped || len(n.expired(size)) != 1 {
			t.Errorf("after two signatures: stopped %v, expired %v: %v", stopped, n.expired(size), err)
		}
	}
	w.refuse(w.commit(w.proposeOp(admin, confirm())), format.ReasonState)
	w.equal()
}

// TestP68_ADeclaredLossKeepsTheUseRecordKey of a closing institution, though whoever
// leads proposes its end.
func TestP68_ADeclaredLossKeepsTheUseRecordKey(t *testing.T) {
	v := newTenancy(t, t, 2)
	v.put("T1", "P1Y")
	v.began()
	v.close1()
	for !v.state(1).Swept {
		v.duty(3)
	}
	v.settle()
	v.loses()
	if v.duty(3) {
		t.Error("a closing goes on")
	}
	end := v.op(KindKey, format.KeyEffect{Verb: format.KeyUseEnd, Institution: 1, Epoch: kitEpoch, Use: v.epochSlot()})
	v.refuse(v.commit(end), format.ReasonRestored)
	for _, n := range v.nodes {
		v.must(n.foldRestoreConfirm())
	}
	if !v.duty(3) {
		t.Error("confirmed, a closing waits")
	}
	end = v.op(KindKey, format.KeyEffect{Verb: format.KeyUseEnd, Institution: 1, Epoch: kitEpoch, Use: v.epochSlot()})
	v.refuse(v.commit(end), format.ReasonState) // it was the duty
}
