package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

func TestSlotsAreNamedOnceAndByTheirOwner(t *testing.T) {
	w := newWorld(t, t, 2)
	w.put("T0", "P1D")
	used := w.nodes[0].row("T0").Slot
	put := func(front uint32, slot format.Slot, from format.Slot) Op {
		_, e := w.sealed(from, content("T9"))
		e.Rule, e.Slot = "P1D", slot
		op := w.about(KindStore, app, "T9", e)
		op.Front = front
		return op
	}
	fresh := w.slot()
	w.denied(put(1, used, used), format.ReasonSlot)
	w.denied(put(2, fresh, fresh), format.ReasonSlot)
	w.denied(put(1, format.Slot{Block: format.ID{0xEE}}, fresh), format.ReasonSlot)
	w.denied(put(1, format.Slot{Block: w.block.ID, Index: 64}, fresh), format.ReasonSlot)
	w.denied(put(1, w.nodes[0].row("T0").Slot, fresh), format.ReasonSlot)

	keyOp := func(front uint32, e format.KeyEffect) Op {
		op := w.op(KindKey, e)
		op.Front = front
		return op
	}
	w.silent(keyOp(2, format.KeyEffect{Verb: format.KeyAnnounce, Block: format.ID{9}, Owner: 1, Slots: 8}), format.ReasonSlot)
	w.silent(keyOp(1, format.KeyEffect{Verb: format.KeyAnnounce, Block: w.block.ID, Owner: 1, Slots: 8}), format.ReasonSlot)
	w.silent(keyOp(1, format.KeyEffect{Verb: format.KeyAnnounce, Block: format.ID{9}, Owner: 1, Slots: 1<<16 + 1}), format.ReasonSlot)
	w.silent(keyOp(2, format.KeyEffect{Verb: format.KeyRetire, Block: w.block.ID}), format.ReasonSlot)
	epoch := format.KeyEffect{Verb: format.KeyEpoch, Institution: 1, Epoch: kitEpoch + 1, Use: fresh, Other: fresh}
	w.silent(keyOp(1, epoch), format.ReasonSlot)
	epoch.Other = used
	w.silent(keyOp(1, epoch), format.ReasonSlot)
	epoch.Other, epoch.Epoch = w.slot(), kitEpoch
	w.silent(keyOp(1, epoch), format.ReasonState)
	epoch.Epoch, epoch.Subject = kitEpoch+1, w.slot()
	w.silent(keyOp(1, epoch), format.ReasonState) // the subject key is never replaced
	epoch.Institution = 77
	w.silent(keyOp(1, epoch), format.ReasonNotFound)
	w.readable("T0")
}

func TestP35_ARetiredBlocksUnusedSlotsAndRangesAreDestroyed(t *testing.T) {
	w := newWorld(t, t, 2)
	w.put("T0", "P1D")
	slot := w.slot() // its chunks came, its STORE never did
	chunks, e := w.sealed(slot, content("lost"))
	for _, n := range w.nodes {
		w.must(n.AppendChunks(chunks))
	}
	retire := w.op(KindKey, format.KeyEffect{Verb: format.KeyRetire, Block: w.block.ID})
	w.accept(w.commit(retire))
	e.Rule = "P1D"
	w.denied(w.about(KindStore, app, "late", e), format.ReasonSlot)
	again := retire
	again.ID = w.id()
	w.silent(again, format.ReasonSlot)
	if _, blocks := w.nodes[0].pending(1); len(blocks) != 0 {
		t.Fatal("pending before a checkpoint covers it")
	}
	w.checkpoint()
	n := w.nodes[0]
	_, blocks := n.pending(1)
	if len(blocks) != 1 {
		t.Fatal(blocks)
	}
	bad := blocks[0]
	bad.Unused = append(slices.Clone(bad.Unused), n.row("T0").Slot)
	w.untouched(n.Destroy(t.Context(), nil, []PendingBlock{bad}), "T0")
	bad = blocks[0]
	bad.Decision = n.row("T0").Store
	w.untouched(n.Destroy(t.Context(), nil, []PendingBlock{bad}), "T0")

	for i, n := range w.nodes {
		n.destroy()
		if i == 0 {
			n.crash()
		}
		if got := n.holds([][]byte{chunks[0].Sealed}); len(got) != 0 {
			t.Fatalf("found in %v", got)
		}
		if err := n.KeyWorks(slot); !errors.Is(err, ErrKeyErased) {
			t.Fatal(err)
		}
		n.clean()
	}
	for v := uint32(1); v <= voters; v++ {
		w.attest(v)
	}
	if _, blocks := n.pending(1); len(blocks) != 0 {
		t.Fatal("still pending")
	}
	w.readable("T0")
	w.equal()
}

func TestP30_P41_AReceivedBlockBringsNoDeadKeyBack(t *testing.T) {
	w := dueWorld(t, 1)
	n := w.nodes[0]
	dead, lives := n.row("T0").Slot, n.row("T1").Slot
	w.checkpoint()
	n.destroy()
	w.must(n.Close())
	w.must(custodian.ClearTree(n.dir))
	w.must(os.Remove(filepath.Join(n.dir, keyring.FileName(dead.Block))))
	w.must(n.tryOpen(1))
	old := w.block // a copy with every key in it
	old.Keys, old.Erased = slices.Clone(old.Keys), slices.Clone(old.Erased)
	w.must(n.InstallBlock(old))
	if err := n.KeyWorks(dead); !errors.Is(err, ErrKeyErased) {
		t.Fatal(err)
	}
	w.must(n.KeyWorks(lives))
	if err := n.RepairKey(dead, w.block.Keys[dead.Index]); !errors.Is(err, ErrKeyErased) {
		t.Fatal(err)
	}
}

// TestP38_P45_ADestructionUnderWayIsNoDamage verifies between the writes of zeros,
// which is what a verification meets that a destruction overtakes.
func TestP38_P45_ADestructionUnderWayIsNoDamage(t *testing.T) {
	w := dueWorld(t, 1)
	n := w.nodes[0]
	unused := w.slot() // its chunks came, its STORE never did
	chunks, _ := w.sealed(unused, content("refused"))
	w.must(n.AppendChunks(chunks))
	due := n.row("T0").Slot
	w.accept(w.commit(w.op(KindKey, format.KeyEffect{Verb: format.KeyRetire, Block: w.block.ID})))
	w.checkpoint()
	seen := 0
	n.fault(func(step string, done bool) error {
		if step != "zero ranges" || done {
			return nil
		}
		seen++
		for _, slot := range []format.Slot{due, unused} {
			held, err := n.held(slotKey(slot))
			w.must(err)
			n.halfZero(held[0])
		}
		n.clean()
		return nil
	})
	n.destroy()
	if seen != 1 {
		t.Fatalf("%d files were zeroed", seen)
	}
	n.fault(nil)
	n.clean()
	held, err := n.held(slotKey(n.row("T1").Slot))
	w.must(err)
	w.must(custodian.ClearTree(n.dir))
	n.halfZero(held[0])
	if v, err := n.Verify(t.Context()); err != nil || len(v.Damage) == 0 {
		t.Fatalf("half of a live chunk is zero: %v, %v", v.Damage, err)
	}
}

// halfZero zeroes the first half of a chunk's ciphertext.
func (n *node) halfZero(c heldChunk) {
	n.w.Helper()
	f, err := os.OpenFile(filepath.Join(n.dir, n.segments.Name(c.File)), os.O_WRONLY, 0)
	n.w.must(err)
	_, err = f.WriteAt(make([]byte, c.Location.Length/2), c.Offset+format.ChunkHeaderSize)
	n.w.must(errors.Join(err, f.Close()))
}

// TestAKeyFitsItsSlotAlone: another's key opens nothing under a slot, and where there
// is nothing to try it on nobody can tell.
func TestAKeyFitsItsSlotAlone(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("T0", "P1Y")
	w.put("T1", "P1Y")
	n := w.nodes[0]
	own, err := n.SlotKey(n.row("T0").Slot)
	w.must(err)
	other, err := n.SlotKey(n.row("T1").Slot)
	w.must(err)
	unused := w.slot()
	if !n.KeyFits(n.row("T0").Slot, own) || n.KeyFits(n.row("T0").Slot, other) || !n.KeyFits(unused, other) {
		t.Fatal("a key fits what it does not open, or not what it does")
	}
}
