package store

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// keysOf are the keys that an archive of all records of this node would hold.
func (n *node) keysOf() map[format.Slot][32]byte {
	n.w.Helper()
	out := map[format.Slot][32]byte{}
	take := func(slot format.Slot) error {
		key, err := n.SlotKey(slot)
		out[slot] = key
		return err
	}
	slots, err := n.InstitutionSlots()
	n.w.must(err)
	for _, slot := range slots {
		n.w.must(take(slot))
	}
	n.w.must(n.BundleSlots(context.Background(), 0, n.Summary().Size, func(_ uint64, slot format.Slot) error { return take(slot) }))
	return out
}

// TestP36_TakeKeysFillsWhatLives: of keys from an archive a restored node takes those
// that its history says live, and no other; a live one that did not come is absent,
// which is no damage; a slot that nothing was sealed under is not said to be erased.
func TestP36_TakeKeysFillsWhatLives(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("STAYS", "P5Y")
	w.put("LATER", "P5Y")
	w.put("GOES", "PT1H")
	w.began()
	a := w.nodes[0]
	keys := a.keysOf()
	stays, later, goes := a.row("STAYS").Slot, a.row("LATER").Slot, a.row("GOES").Slot
	if len(keys) < 5 || keys[goes] == [32]byte{} {
		t.Fatalf("%d keys", len(keys))
	}
	if n := 0; a.BundleSlots(context.Background(), a.row("GOES").Store, a.Summary().Size, func(uint64, format.Slot) error { n++; return nil }) != nil || n != 1 {
		t.Errorf("%d slots since GOES", n)
	}
	w.tick(2 * hour)
	w.accept(w.sweep(10))
	c := w.checkpoint().Checkpoint
	if after := a.keysOf(); after[goes] != [32]byte{} || after[stays] != keys[stays] {
		t.Error("what has expired goes into an archive")
	}
	b := w.bare(t, "restored")
	w.must(a.History(context.Background(), 0, c.Size, func(_ uint64, encoded []byte) error { return b.Copy(bytes.Clone(encoded)) }))
	w.must(b.Adopt(context.Background(), c))
	_, err := b.BeginRestored(nil)
	w.must(err)
	for _, slot := range []format.Slot{stays, later} {
		headers, err := a.Chunks(slot)
		w.must(err)
		for _, h := range headers {
			chunk, err := a.Chunk(h)
			w.must(err)
			w.must(b.AppendChunks([]format.Chunk{chunk}))
		}
	}
	delete(keys, later)
	keys[format.Slot{Block: format.ID{0xff}, Index: 3}] = [32]byte{1} // of another history
	keys[format.Slot{Block: stays.Block, Index: 1 << 20}] = [32]byte{2}
	_, err = b.TakeKeys(func(take func(format.Slot, [32]byte) error) error {
		return errors.Join(take(stays, keys[stays]), take(stays, keys[stays]), take(stays, [32]byte{3}))
	})
	if !errors.Is(err, ErrArchivesDiffer) || b.keys.Has(stays.Block) {
		t.Fatalf("archives that differ: %v", err)
	}
	for i := range 2 {
		got, err := b.TakeKeys(func(take func(format.Slot, [32]byte) error) error {
			for slot, key := range keys {
				if err := take(slot, key); err != nil {
					return err
				}
			}
			return nil
		})
		want := Returned{Blocks: len(w.blocks), Keys: uint64(len(keys) - 3), Absent: 1}
		if i > 0 {
			want = Returned{}
		}
		if err != nil || got != want {
			t.Fatalf("%+v, want %+v: %v", got, want, err)
		}
	}
	if got, err := b.plain("STAYS"); err != nil || !bytes.Equal(got, content("STAYS")) {
		t.Errorf("STAYS: %v", err)
	}
	if _, err := b.plain("LATER"); !errors.Is(err, ErrKeyMissing) {
		t.Errorf("LATER: %v", err)
	}
	if _, err := b.SlotKey(goes); !errors.Is(err, ErrKeyErased) {
		t.Errorf("GOES: %v", err)
	}
	unused := format.Slot{Block: stays.Block, Index: stays.Index + 10}
	if _, err := b.SlotKey(unused); !errors.Is(err, ErrKeyMissing) {
		t.Errorf("a slot that nobody used: %v", err)
	}
	v, err := b.Verify(context.Background())
	if err != nil || len(v.Damage) != 0 {
		t.Errorf("%v, %v", v.Damage, err)
	}
	key, err := a.SlotKey(later)
	w.must(err)
	w.must(b.RepairKey(later, key))
	if got, err := b.plain("LATER"); err != nil || !bytes.Equal(got, content("LATER")) {
		t.Errorf("LATER once its key came: %v", err)
	}
}
