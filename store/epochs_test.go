package store

import (
	"context"
	"errors"
	"testing"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// endEpochs takes every step towards the end of epochs, as the leader would, and
// answers how many keys were carried and how many epochs ended.
func (w *world) endEpochs() (carried, ended int) {
	w.Helper()
	for {
		duty, found, err := w.nodes[0].NextKeyDuty(0)
		w.must(err)
		switch {
		case !found:
			return carried, ended
		case duty.End == nil:
			e := w.nextCarry()
			w.accept(w.commit(w.op(KindCarry, e)))
			carried += len(e.Keys)
		default:
			op := w.op(KindKey, nil)
			op.Body = duty.End
			w.accept(w.commit(op))
			ended++
		}
	}
}

// nextCarry is the next CARRY, as a majority that has tried it signs it.
func (w *world) nextCarry() format.CarryEffect {
	w.Helper()
	n := w.nodes[0]
	duty, found, err := n.NextKeyDuty(0)
	w.must(err)
	if !found || duty.End != nil {
		w.Fatalf("nothing to carry: %+v", duty)
	}
	e, err := n.NextCarry(duty.Institution, duty.Epoch)
	w.must(err)
	for _, n := range w.nodes {
		w.must(n.CheckCarry(context.Background(), e))
	}
	return w.signCarry(e, 1, 2)
}

func (w *world) signCarry(e format.CarryEffect, by ...uint32) format.CarryEffect {
	w.Helper()
	e.Signatures = nil
	for _, n := range by {
		e.Signatures = append(e.Signatures, format.NodeSignature{Node: n, Incarnation: w.incs[n-1], Signature: sign(w, w.keys[n-1], e.Message(w.cluster))})
	}
	return e
}

// destroyEpochs has every node destroy the keys of ended epochs and attest it.
func (w *world) destroyEpochs() []PendingEpoch {
	w.Helper()
	w.checkpoint()
	var all []PendingEpoch
	for v := uint32(1); v <= voters; v++ {
		pending, err := w.nodes[0].PendingEpochs(v, w.nodes[0].Summary().Checkpoint.Checkpoint.Size)
		w.must(err)
		var sequences []uint64
		for _, p := range pending {
			sequences = append(sequences, p.Decision)
		}
		if v == 1 {
			for _, n := range w.nodes {
				w.must(n.DestroyEpochs(context.Background(), pending))
			}
		}
		w.accept(w.commit(w.op(KindAttest, w.attestation(v, format.AttestEffect{Keys: sequences}))))
		all = pending
	}
	return all
}

func (n *node) detail(seq uint64) (format.Detail, error) {
	n.w.Helper()
	rec, _, err := n.Record(seq)
	n.w.must(err)
	return n.OpenDetail(&rec)
}

// TestAnEpochEndsWhenNothingNeedsItsKeys: carried details open by their own keys,
// nothing opens by the old ones, also when carried a second time.
func TestAnEpochEndsWhenNothingNeedsItsKeys(t *testing.T) {
	w := lived(t, 2)
	n := w.nodes[0]
	long := n.row("long").Store
	before, err := n.detail(long)
	if err != nil || before == (format.Detail{}) {
		t.Fatal(before, err)
	}
	if carried, ended := w.endEpochs(); carried+ended != 0 {
		t.Fatalf("%d carried and %d ended before anything was pruned", carried, ended)
	}
	for round := range 3 {
		w.prune()
		w.eraseHistory()
		carried, ended := w.endEpochs()
		if (carried == 0) == (round != 1) || ended == 0 { // what the first carried under is old in the third
			t.Fatalf("round %d: %d carried, %d ended", round, carried, ended)
		}
		pending := w.destroyEpochs()
		if len(pending) != ended {
			t.Fatalf("%d of %d epochs to destroy", len(pending), ended)
		}
		w.equal()
		for _, n := range w.nodes {
			for _, p := range pending {
				for _, slot := range []format.Slot{p.Use, p.Other} {
					if _, err := n.keys.Key(slot); !errors.Is(err, ErrKeyErased) {
						t.Fatalf("key of epoch %d: %v", p.Epoch, err)
					}
				}
				if row, err := n.Epoch(1, p.Epoch); row != nil || err != nil {
					t.Fatalf("epoch %d stands: %v", p.Epoch, err)
				}
			}
			if after, err := n.detail(long); err != nil || after != before {
				t.Fatalf("round %d: %+v, %v; it was %+v", round, after, err, before)
			}
			n.proved()
			n.clean()
		}
		if left, err := n.PendingEpochs(1, 1<<62); err != nil || len(left) != 0 {
			t.Fatal(left, err)
		}
		if backlog, err := n.ErasureBacklog(); err != nil || backlog {
			t.Fatal("something is still pending", err)
		}
		if c, e := w.endEpochs(); c+e != 0 {
			t.Fatalf("%d carried, %d ended again", c, e)
		}
		want := w.equal()
		w.nodes[1].rebuild(round == 0)
		if got := w.equal(); got != want {
			t.Fatalf("%+v after a rebuild, %+v before", got, want)
		}
		w.years(3)
	}
	w.put("after", "P1Y")
}

// TestI8_AGarbledCarriedKeyKeepsTheOldOne: a node looks before it destroys.
func TestI8_AGarbledCarriedKeyKeepsTheOldOne(t *testing.T) {
	w := lived(t, 1)
	n := w.nodes[0]
	w.prune()
	w.eraseHistory()
	e := w.nextCarry()
	e.Keys[0].Sealed[3] ^= 1
	w.accept(w.commit(w.op(KindCarry, w.signCarry(e, 1, 2))))
	w.endEpochs()
	w.checkpoint()
	pending, err := n.PendingEpochs(1, n.Summary().Size)
	if err != nil || len(pending) == 0 {
		t.Fatal(pending, err)
	}
	var damage *format.DamageError
	if err := n.DestroyEpochs(context.Background(), pending); !errors.As(err, &damage) {
		t.Fatalf("destroyed: %v", err)
	}
	for _, p := range pending {
		if _, err := n.keys.Key(p.Other); err != nil {
			t.Fatal(err)
		}
	}
}

func TestI1_KeysThatAreNeededDoNotGo(t *testing.T) {
	w := lived(t, 1)
	n := w.nodes[0]
	first, err := n.Epoch(1, kitEpoch)
	if err != nil || first == nil {
		t.Fatal(err)
	}
	end := format.KeyEffect{Verb: format.KeyEpochEnd, Institution: 1, Epoch: kitEpoch, Use: first.Use, Other: first.Other}
	w.silent(w.op(KindKey, end), format.ReasonState) // records above the bound
	w.prune()
	w.silent(w.op(KindKey, end), format.ReasonState) // carried ones
	inst, err := n.Institution(1)
	w.must(err)
	newest, err := n.Epoch(1, inst.Epoch)
	w.must(err)
	w.silent(w.op(KindKey, format.KeyEffect{Verb: format.KeyEpochEnd, Institution: 1, Epoch: inst.Epoch, Use: newest.Use, Other: newest.Other}), format.ReasonState)
	w.endEpochs()
	w.silent(w.op(KindKey, end), format.ReasonState) // not twice
	w.checkpoint()
	pending, err := n.PendingEpochs(1, n.Summary().Size)
	if err != nil || len(pending) == 0 {
		t.Fatal(pending, err)
	}
	// The record that ends one epoch is no warrant for another's keys, a bundle's or
	// the subject key.
	decision, err := n.log.Read(pending[0].Decision)
	w.must(err)
	warrant := custodian.Warrant{Decision: decision, Checkpoint: format.EncodeEffect(n.Summary().Checkpoint)}
	for _, slot := range []format.Slot{newest.Use, n.row("long").Slot, inst.Subject} {
		if _, err := n.custodian.Destroy(context.Background(), warrant, custodian.Work{Unused: true, Slots: []format.Slot{slot}}); !errors.Is(err, custodian.ErrWarrant) {
			t.Errorf("slot %v: %v", slot, err)
		}
		if _, err := n.keys.Key(slot); err != nil {
			t.Error(err)
		}
	}
	// A detail under a key that long has successors is refused.
	op, _ := w.storeOp("new", "P1Y", content("new"))
	op.DetailEpoch = inst.Epoch - 4
	w.silent(op, format.ReasonStale)
}

// TestADetailUnderAKeyThatIsNotThereIsRefused: carried, it would keep every epoch
// of the institution from ending.
func TestADetailUnderAKeyThatIsNotThereIsRefused(t *testing.T) {
	w := newWorld(t, t, 1)
	for _, institution := range []uint32{1, 99} {
		op := w.about(KindDeny, app, "T1", format.DenyEffect{Verb: format.ActRead, Count: 1})
		op.Institution, op.Reason = institution, format.ReasonNotPermitted
		op.DetailClass, op.DetailEpoch, op.Detail = format.DetailOther, kitEpoch+1, []byte("sealed under nothing")
		w.silent(op, format.ReasonStale)
	}
}
