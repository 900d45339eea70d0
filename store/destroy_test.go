package store

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sago-worm/sago/store/format"
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
		w.must(n.settle(held))
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
