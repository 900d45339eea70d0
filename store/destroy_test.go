package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
	"github.com/sago-worm/sago/store/segment"
)

// TestRangesOfABatchAreThoseOfItsSlots asks for some slots of blocks in which every
// slot has ranges, or none: near to one another, far off, more than are looked up at
// once, and up to the ends of what a slot's number can be.
func TestRangesOfABatchAreThoseOfItsSlots(t *testing.T) {
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	rnd := rand.New(rand.NewPCG(3, 4))
	var all []format.Slot
	for block := range 3 {
		for i := range uint32(900) {
			all = append(all, format.Slot{Block: format.ID{0xF0, byte(block)}, Index: i})
		}
		all = append(all, format.Slot{Block: format.ID{0xF0, byte(block)}, Index: 1<<32 - 1})
	}
	for i, slot := range all {
		for chunk := range uint32(i % 4) { // of every fourth there is nothing
			h := format.ChunkHeader{Slot: slot, Chunk: chunk, Length: uint32(i + 1)}
			n.idx.Put(tRange, rangeKey(h, segment.Location{File: uint64(1 + i%2), Offset: int64(i)}), rangeValue(h))
		}
	}
	for _, every := range []int{1, 2, 5, 300} {
		held := map[format.Slot][]heldChunk{}
		for _, slot := range all {
			if rnd.IntN(every) == 0 {
				held[slot] = nil
			}
		}
		asked := len(held)
		w.must(n.settle(t.Context(), held))
		if len(held) != asked {
			t.Fatalf("every %d: %d slots where %d were asked for", every, len(held), asked)
		}
		for slot, got := range held {
			want, err := n.held(slotKey(slot))
			w.must(err)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("every %d: slot %s has %v, not %v", every, slot, got, want)
			}
		}
	}
}

// TestP38_AFileThatLostItsEndKeepsNoOtherWaiting cuts a sealed segment before its last
// chunk: what was in it has lost its key all the same, and everything else goes.
func TestP38_AFileThatLostItsEndKeepsNoOtherWaiting(t *testing.T) {
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	names := []string{"T0", "T1", "T2", "T3", "T4"}
	for _, name := range names {
		w.put(name, "PT1H")
	}
	w.began()
	w.tick(2 * hour)
	w.sweep(10)
	w.checkpoint()
	w.must(n.roll())
	held, err := n.held(nil)
	w.must(err)
	last := slices.MaxFunc(held, func(a, b heldChunk) int { return int(a.Offset - b.Offset) })
	w.must(custodian.ClearTree(n.dir))
	w.must(os.Truncate(filepath.Join(n.dir, n.segments.Name(last.File)), last.Offset+format.ChunkHeaderSize))
	bundles, blocks := n.pending(1)
	for range 2 { // asked again, it says the same
		err := n.Destroy(context.Background(), bundles, blocks)
		var refused *RefusedError
		if !errors.As(err, &refused) || !slices.Equal(refused.Slots, []format.Slot{last.Slot}) || !refused.Names(n.row("T0").Slot, last.Slot) {
			t.Fatal(err)
		}
	}
	for _, b := range bundles {
		if _, err := n.keys.Key(b.Slot); !errors.Is(err, keyring.ErrErased) {
			t.Errorf("key of %d: %v", b.Store, err)
		}
	}
	left, err := n.held(nil)
	w.must(err)
	if len(bundles) != len(names) || len(left) != 1 || left[0].Slot != last.Slot {
		t.Errorf("of %d bundles: %v", len(bundles), left)
	}
}
