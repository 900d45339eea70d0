package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// TestR15_ADisabledSpecialDeletionIsNeverExecuted: neither one that is asked for
// afterwards, nor one whose cooling-off had passed before.
func TestR15_ADisabledSpecialDeletionIsNeverExecuted(t *testing.T) {
	w, keys := newActWorld(t, t, 2, nil)
	w.put("A", "P5Y")
	w.put("B", "P5Y")
	w.began()
	doc := w.requested("A")
	w.agree(keys, doc)
	disable := func(actor uint64, institution uint32) Op {
		op := w.op(KindInstitution, format.InstitutionEffect{Verb: format.InstitutionNoSpecial, Number: institution})
		op.Actor, op.Institution = actor, 1
		return w.withDetail(op)
	}
	for _, other := range []uint64{officer, approver1, admin, auditor} {
		w.refuse(w.commit(disable(other, 1)), format.ReasonNotPermitted)
	}
	w.refuse(w.commit(disable(manager, 2)), format.ReasonInvalid)
	w.cool()
	w.accept(w.commit(disable(manager, 1)))
	w.refuse(w.commit(disable(manager, 1)), format.ReasonState)
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonPolicy)
	if ready, _, err := w.nodes[0].ReadyActs(0); err != nil || len(ready) != 0 {
		t.Fatalf("the leader would propose %x: %v", ready, err)
	}
	if r, _, err := w.nodes[0].Blocked(doc.Nonce); err != nil || r != format.ReasonPolicy {
		t.Fatalf("blocked by %v: %v", r, err)
	}
	w.refuse(w.commit(w.signOp(keys, approver2, doc)), format.ReasonState)
	b := w.specialDoc("B", "O-B")
	w.accept(w.commit(w.stopOp("B", "O-B", b.Nonce)))
	w.refuse(w.commit(w.proposeOp(officer, b)), format.ReasonPolicy)
	w.nodes[1].rebuild(true)
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonPolicy)
	w.equal()
	w.tick(hour)
	if s := w.special(doc); s != retention.ActLapsed {
		t.Fatalf("the request is %s", s)
	}
	w.readable("A")
	w.readable("B")
}

// cuts is how many bundles end one after the other, each cut short elsewhere; the
// last one stays.
const cuts = 32

// TestP38_SpecialDeletionAndClosingCutShortAtEveryStep stops a destruction before
// and after each step, goes on from what is on disk, and comes to the same end.
func TestP38_SpecialDeletionAndClosingCutShortAtEveryStep(t *testing.T) {
	t.Run("special deletion", func(t *testing.T) {
		w, keys := newActWorld(t, t, 1, nil)
		w.putMany(cuts)
		var docs []format.Act
		for i := range cuts {
			docs = append(docs, w.requested(fmt.Sprintf("T%02d", i)))
			w.agree(keys, docs[i])
		}
		w.cool()
		w.cutEverywhere(t, func(i int) { w.accept(w.commit(w.executeOp(docs[i].Nonce))) })
	})
	t.Run("closing", func(t *testing.T) {
		v := newTenancy(t, t, 1)
		v.putMany(cuts)
		v.began()
		v.close1()
		v.cutEverywhere(t, func(int) { v.duty(1) })
	})
}

// putMany stores bundles that a step can end one by one.
func (w *world) putMany(n int) {
	w.Helper()
	for i := range n {
		w.put(fmt.Sprintf("T%02d", i), "P5Y")
	}
}

// cutEverywhere ends bundle after bundle, and cuts each one's destruction short at
// the next of its points.
func (w *world) cutEverywhere(t *testing.T, end func(i int)) {
	t.Helper()
	for cut := range cuts - 1 {
		end(cut)
		if seen := w.cutShort(t, fmt.Sprintf("T%02d", cut), cut); seen <= cut {
			if cut < 12 {
				t.Fatalf("the destruction has only %d points to stop at", seen)
			}
			w.readable(fmt.Sprintf("T%02d", cuts-1))
			return
		}
	}
	t.Fatalf("more than %d points: the last ones were not cut at", cuts)
}

var errCut = errors.New("cut")

// cutShort stops a bundle's destruction at the point numbered cut, and answers how
// many points were met.
func (w *world) cutShort(t *testing.T, name string, cut int) (seen int) {
	t.Helper()
	n := w.nodes[0]
	w.must(n.Flush())
	secret := n.secret(name)
	w.checkpoint()
	bundles, blocks := n.pending(1)
	if len(bundles) != 1 {
		t.Fatalf("%d bundles are pending", len(bundles))
	}
	n.fault(func(string, bool) error {
		if seen++; seen > cut {
			return errCut
		}
		return nil
	})
	if err := n.Destroy(t.Context(), bundles, blocks); (err != nil) != (seen > cut) {
		t.Fatalf("cut at %d of %d: %v", cut, seen, err)
	}
	n.fault(nil)
	n.crash()
	n.destroy()
	for i := uint32(1); i <= voters; i++ {
		w.attest(i)
	}
	if left, _ := n.pending(1); len(left) != 0 || n.row(name).Erase == 0 {
		t.Fatalf("cut at %d: not erased, %d are pending", cut, len(left))
	}
	if got := n.holds(secret); len(got) != 0 {
		t.Fatalf("cut at %d: found in %v", cut, got)
	}
	if err := n.KeyWorks(n.row(name).Slot); !errors.Is(err, ErrKeyErased) {
		t.Fatalf("cut at %d: the key: %v", cut, err)
	}
	n.clean()
	return seen
}
