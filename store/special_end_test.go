package store

import (
	"errors"
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
	if r, err := w.nodes[0].Blocked(doc.Nonce); err != nil || r != format.ReasonPolicy {
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

// TestP38_SpecialDeletionAndClosingCutShortAtEveryStep stops a destruction before
// and after each step, goes on from what is on disk, and comes to the same end.
func TestP38_SpecialDeletionAndClosingCutShortAtEveryStep(t *testing.T) {
	for name, decided := range map[string]func(*testing.T) *world{
		"special deletion": func(t *testing.T) *world {
			w, keys := newActWorld(t, t, 1, nil)
			w.put("T0", "P5Y")
			w.put("T1", "P5Y")
			doc := w.requested("T0")
			w.agree(keys, doc)
			w.cool()
			w.accept(w.commit(w.executeOp(doc.Nonce)))
			return w
		},
		"closing": func(t *testing.T) *world {
			v := newTenancy(t, t, 1)
			v.put("T0", "P5Y")
			v.put("T1", "P5Y")
			v.began()
			v.hold("T1", true) // it stays
			v.close1()
			for v.duty(3) {
			}
			return v.world
		},
	} {
		t.Run(name, func(t *testing.T) {
			steps := 0
			for cut := 0; ; cut++ {
				seen := cutShort(t, decided(t), cut)
				if seen <= cut {
					break
				}
				steps++
			}
			if steps < 12 {
				t.Fatalf("the destruction has only %d points to stop at", steps)
			}
		})
	}
}

var errCut = errors.New("cut")

// cutShort stops the destruction of T0 at the point numbered cut, and answers how
// many points were met.
func cutShort(t *testing.T, w *world, cut int) (seen int) {
	t.Helper()
	n := w.nodes[0]
	w.must(n.Flush())
	secret := n.secret("T0")
	w.checkpoint()
	bundles, blocks := n.pending(1)
	if len(bundles) != 1 {
		t.Fatalf("%d bundles are pending", len(bundles))
	}
	n.fault(func(step string, done bool) error {
		if seen++; seen > cut {
			return errCut
		}
		return nil
	})
	err := n.Destroy(t.Context(), bundles, blocks)
	if (err != nil) != (seen > cut) {
		t.Fatalf("cut at %d of %d: %v", cut, seen, err)
	}
	n.fault(nil)
	n.crash()
	n.destroy()
	for i := uint32(1); i <= voters; i++ {
		w.attest(i)
	}
	if row := n.row("T0"); row.Erase == 0 {
		t.Fatalf("cut at %d: not erased: %+v", cut, row)
	}
	if left, _ := n.pending(1); len(left) != 0 {
		t.Fatalf("cut at %d: %d are pending", cut, len(left))
	}
	if got := n.holds(secret); len(got) != 0 {
		t.Fatalf("cut at %d: found in %v", cut, got)
	}
	if err := n.KeyWorks(n.row("T0").Slot); !errors.Is(err, ErrKeyErased) {
		t.Fatalf("cut at %d: the key: %v", cut, err)
	}
	n.clean()
	w.readable("T1")
	w.close()
	return seen
}
