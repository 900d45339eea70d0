package store

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/store/format"
)

// spend is a KEY operation over spent slots of one block.
func (w *world) spend(slots ...format.Slot) Op {
	e := format.KeyEffect{Verb: format.KeySpent, Block: slots[0].Block}
	for _, s := range slots {
		e.Spent = append(e.Spent, s.Index)
	}
	return w.op(KindKey, e)
}

// TestP35_I5_SpentSlotsAreDestroyedBeforeTheirBlockRetires: two puts lose a number to
// a third, a fourth is cut midway. Their keys and ciphertext go under a checkpoint,
// whatever crashes meanwhile; the bundle and the free slots stay.
func TestP35_I5_SpentSlotsAreDestroyedBeforeTheirBlockRetires(t *testing.T) {
	w := newWorld(t, t, 3)
	w.put("T0", "P1D")
	var lost []format.Slot
	var secrets [][]byte
	for range 2 {
		slot := w.slot()
		chunks, e := w.sealed(slot, content("T0"))
		e.Rule = "P1D"
		if r := w.commit(w.about(KindStore, app, "T0", e), chunks...); r.Outcome != Exists {
			t.Fatalf("%+v", r)
		}
		lost, secrets = append(lost, slot), append(secrets, chunks[0].Sealed)
	}
	cut := w.slot()
	chunks, late := w.sealed(cut, content("cut"))
	late.Rule = "P1D"
	w.accept(w.commit(w.op(KindChunk, nil), chunks...))
	lost, secrets = append(lost, cut), append(secrets, chunks[0].Sealed)
	free := w.slot()

	w.accept(w.commit(w.spend(lost...)))
	w.denied(w.about(KindStore, app, "late", late), format.ReasonSlot) // what comes later is refused
	w.silent(w.spend(lost[0]), format.ReasonSlot)
	if due := w.nodes[0].spentDue(1); len(due) != 0 {
		t.Fatal("pending before a checkpoint covers it")
	}
	if wanted, err := w.nodes[0].ErasureBacklog(); err != nil || !wanted {
		t.Fatalf("no checkpoint is asked for: %v", err)
	}
	w.checkpoint()
	for i, n := range w.nodes {
		w.must(n.Flush())
		if i == 0 {
			n.crash()
		}
		n.destroy()
		if i == 1 {
			n.crash()
			n.destroy() // again
		}
		w.attest(n.number)
	}
	for i, n := range w.nodes {
		if got := n.holds(secrets); len(got) != 0 {
			t.Fatalf("found in %v", got)
		}
		n.rebuild(i == 1)
		for _, s := range lost {
			if err := n.KeyWorks(s); !errors.Is(err, ErrKeyErased) {
				t.Fatalf("slot %s: %v", s, err)
			}
		}
		w.must(n.KeyWorks(free))
		if len(n.spentDue(n.number)) != 0 {
			t.Fatal("still pending")
		}
		n.clean()
	}
	if backlog, err := w.nodes[0].ErasureBacklog(); err != nil || backlog {
		t.Fatalf("waits still: %v", err)
	}
	w.readable("T0")
	w.equal()
}

// TestI1_ABundlesSlotIsNeverSpent: neither a record nor a warrant reaches the slot of
// a bundle, of history keys, of another node's block or of none.
func TestI1_ABundlesSlotIsNeverSpent(t *testing.T) {
	w := newWorld(t, t, 2)
	w.put("T0", "P1D")
	n := w.nodes[0]
	taken, lost := n.row("T0").Slot, w.slot()
	epoch := format.Slot{Block: w.block.ID, Index: 0}
	for _, slots := range [][]format.Slot{{taken}, {taken, lost}, {epoch}, {lost, {Block: lost.Block, Index: 64}}, {{Block: format.ID{0xEE}}}, {lost, lost}} {
		op := w.spend(slots...)
		reason := format.ReasonSlot
		if len(slots) == 2 && slots[0] == slots[1] {
			reason = format.ReasonInvalid
		}
		w.silent(op, reason)
	}
	foreign := w.spend(lost)
	foreign.Front = 2
	w.silent(foreign, format.ReasonSlot)
	w.silent(w.op(KindKey, format.KeyEffect{Verb: format.KeySpent, Block: lost.Block}), format.ReasonInvalid)
	many := format.KeyEffect{Verb: format.KeySpent, Block: lost.Block, Spent: make([]uint32, SpentLimit+1)}
	for i := range many.Spent {
		many.Spent[i] = uint32(i)
	}
	w.silent(w.op(KindKey, many), format.ReasonInvalid)

	w.accept(w.commit(w.spend(lost)))
	w.checkpoint()
	due := n.spentDue(1)
	if len(due) != 1 || !slices.Equal(due[0].Unused, []format.Slot{lost}) {
		t.Fatalf("%+v", due)
	}
	for _, bad := range []PendingBlock{
		{ID: lost.Block, Unused: []format.Slot{taken}, Decision: due[0].Decision},
		{ID: lost.Block, Unused: []format.Slot{lost, taken}, Decision: due[0].Decision},
		{ID: lost.Block, Unused: []format.Slot{w.slot()}, Decision: due[0].Decision},
		{ID: lost.Block, Unused: []format.Slot{lost}, Decision: n.row("T0").Store},
		{ID: lost.Block, Unused: []format.Slot{lost}, Decision: due[0].Decision - 1},
	} {
		w.untouched(n.Destroy(t.Context(), nil, []PendingBlock{bad}), "T0")
		w.must(n.KeyWorks(lost))
	}
	retire := w.op(KindKey, format.KeyEffect{Verb: format.KeyRetire, Block: w.block.ID})
	left := w.slot()
	w.accept(w.commit(retire))
	w.silent(w.spend(left), format.ReasonSlot) // its block's record destroys it
	w.readable("T0")
	w.equal()
}

// TestP34_SpentCiphertextThatComesLateStaysNowhere: a chunk under a dead slot is not
// taken in, and one that a node took in before it knew is a leftover of it.
func TestP34_SpentCiphertextThatComesLateStaysNowhere(t *testing.T) {
	w := newWorld(t, t, 2)
	slot := w.slot()
	chunks, _ := w.sealed(slot, content("lost"))
	w.accept(w.commit(w.spend(slot)))
	behind := w.bare(t, "behind") // its log brings the chunks first
	w.must(behind.AppendChunks(chunks))
	behind.replay()
	w.checkpoint()
	w.accept(w.commit(w.op(KindChunk, nil), chunks...))
	for _, n := range w.nodes[:2] {
		n.destroy()
		if n.destroy(); len(n.holds([][]byte{chunks[0].Sealed})) != 0 {
			t.Fatalf("%s took in what is dead", n.dir)
		}
	}
	for v := uint32(1); v <= voters; v++ {
		w.attest(v) // by an earlier incarnation of the one that is behind
	}
	if len(behind.spentDue(1)) != 0 || len(behind.holds([][]byte{chunks[0].Sealed})) == 0 {
		t.Fatal("nothing is left over: nothing is shown")
	}
	l, err := behind.Leftovers(t.Context(), 1, behind.Summary().Checkpoint.Checkpoint.Size, true, nil, 1000)
	if err != nil || len(l.Bundles) != 0 || len(l.Blocks) != 1 || !slices.Equal(l.Blocks[0].Unused, []format.Slot{slot}) {
		t.Fatalf("%+v, %v", l, err)
	}
	w.must(behind.Destroy(t.Context(), nil, l.Blocks))
	if got := behind.holds([][]byte{chunks[0].Sealed}); len(got) != 0 {
		t.Fatalf("found in %v", got)
	}
	if l, err = behind.Leftovers(t.Context(), 1, 1<<62, true, nil, 1000); err != nil || len(l.Blocks) != 0 {
		t.Fatalf("%+v, %v", l, err)
	}
}

// TestI1_I5_EachSlotEndsAsABundleOrNowhere draws puts that are stored, lost, cut and
// reported in any order, also before their STORE comes: what is stored stays readable,
// and nothing of the rest is left.
func TestI1_I5_EachSlotEndsAsABundleOrNowhere(t *testing.T) {
	fewer(t, 6)
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t, r, 2)
		defer w.close()
		var secrets [][]byte
		stored := map[string]bool{}
		for range rapid.IntRange(1, 8).Draw(r, "puts") {
			name := rapid.SampledFrom([]string{"A", "B", "C"}).Draw(r, "number")
			slot := w.slot()
			chunks, e := w.sealed(slot, content(name))
			e.Rule = "P1D"
			store, report := w.about(KindStore, app, name, e), w.spend(slot)
			took := false
			for _, step := range rapid.Permutation([]string{"store", "report"}).Draw(r, "order") {
				switch {
				case step == "report":
					w.commit(report)
				case rapid.Bool().Draw(r, "cut"):
					w.commit(w.op(KindChunk, nil), chunks...)
				default:
					took = w.commit(store, chunks...).Outcome == Accepted
				}
			}
			if stored[name] = stored[name] || took; !took {
				again := w.spend(slot)
				w.commit(again) // refused where the first report was taken
				secrets = append(secrets, chunks[0].Sealed)
			}
		}
		w.checkpoint()
		for _, n := range w.nodes {
			n.destroy()
			w.attest(n.number)
		}
		for _, n := range w.nodes {
			if got := n.holds(secrets); len(got) != 0 {
				r.Fatalf("found in %v", got)
			}
			open := 0
			w.must(n.keys.Verify(context.Background(), func(s format.Slot, err error) error {
				if err == nil && s.Index < w.used {
					open++
				}
				return nil
			}))
			if want := 3 + len(slices.DeleteFunc([]string{"A", "B", "C"}, func(name string) bool { return !stored[name] })); open != want {
				r.Fatalf("%d keys open where %d belong", open, want)
			}
			n.clean()
		}
		for name, is := range stored {
			if is {
				w.readable(name)
			}
		}
		w.equal()
	})
}
