package replication

import (
	"context"
	"errors"
	"testing"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// TestAnArchiveAsksForABlockOnce: of a block whose slots are absent here each peer
// is asked once, whatever number of them is wanted, and no further than need be.
func TestAnArchiveAsksForABlockOnce(t *testing.T) {
	first, second := format.ID{1}, format.ID{2}
	asked := map[string]int{}
	missing := errors.New("absent here")
	s := &keySource{
		local: func(slot format.Slot) ([32]byte, error) {
			if slot.Index == 9 {
				return [32]byte{}, store.ErrKeyErased
			}
			return [32]byte{}, missing
		},
		others: func() []format.MemberRow { return []format.MemberRow{{Name: "a"}, {Name: "b"}, {Name: "c"}} },
		ask: func(_ context.Context, m format.MemberRow, id format.ID) (store.KeyBlock, map[uint32]bool, error) {
			asked[m.Name+string(rune('0'+id[0]))]++
			b := store.KeyBlock{ID: id, Keys: make([][32]byte, 4), Erased: make([]bool, 4)}
			for i := range b.Keys {
				b.Keys[i] = [32]byte{id[0], m.Name[0], byte(i)}
			}
			switch m.Name {
			case "a":
				return b, map[uint32]bool{1: true, 3: true}, nil
			case "b":
				return store.KeyBlock{}, nil, errors.New("away")
			}
			return b, map[uint32]bool{3: true}, nil
		},
		fits: func(slot format.Slot, key [32]byte) bool { return slot.Index != 2 || key[1] != 'a' }, // a lies
	}
	for range 3 {
		for index, from := range map[uint32]byte{0: 'a', 1: 'c', 2: 'c'} {
			key, err := s.key(t.Context(), format.Slot{Block: first, Index: index})
			if err != nil || key[0] != 1 || key[1] != from || key[2] != byte(index) {
				t.Fatal(index, key, err)
			}
		}
		if _, err := s.key(t.Context(), format.Slot{Block: first, Index: 3}); !errors.Is(err, missing) {
			t.Fatal(err)
		}
		if _, err := s.key(t.Context(), format.Slot{Block: first, Index: 9}); !errors.Is(err, store.ErrKeyErased) {
			t.Fatal(err)
		}
		if _, err := s.key(t.Context(), format.Slot{Block: second, Index: 0}); err != nil {
			t.Fatal(err)
		}
	}
	for who, times := range map[string]int{"a1": 1, "b1": 1, "c1": 1, "a2": 1, "b2": 0, "c2": 0} {
		if asked[who] != times {
			t.Errorf("%s was asked %d times", who, asked[who])
		}
	}
	kept := s.blocks[first].parts[0].Keys
	s.wipe()
	if kept[0] != [32]byte{} {
		t.Error("a key outlives its archive")
	}
	for i := range maxAskedBlocks + 1 {
		_ = s.block(format.ID{3, byte(i)})
	}
	if len(s.blocks) > maxAskedBlocks {
		t.Errorf("%d blocks in memory", len(s.blocks))
	}
}
