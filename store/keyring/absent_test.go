package keyring

import (
	"context"
	"errors"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestAbsentKeys: a slot whose key is not known is neither erased nor damaged, and
// takes its key once it comes; being installed again changes nothing.
func TestAbsentKeys(t *testing.T) {
	if len(AbsentSlot()) != SlotSize || StateOf(0, AbsentSlot()) != SlotAbsent {
		t.Fatal(len(AbsentSlot()))
	}
	r, _ := newRing(t)
	b := newBlock(t, r, 3) // draws an id; its file is another ring's
	part := Block{ID: format.ID{7}, Owner: b.Owner, Keys: [][32]byte{b.Keys[0], {}, {}}, Erased: []bool{false, false, true}, Absent: []bool{false, true, true}}
	for range 2 {
		if err := r.Install(part); err != nil {
			t.Fatal(err)
		}
	}
	at := func(i uint32) format.Slot { return format.Slot{Block: part.ID, Index: i} }
	if key, err := r.Key(at(0)); err != nil || key != b.Keys[0] {
		t.Error(err)
	}
	if _, err := r.Key(at(1)); !errors.Is(err, ErrNoBlock) {
		t.Errorf("absent: %v", err)
	}
	if _, err := r.Key(at(2)); !errors.Is(err, ErrErased) {
		t.Errorf("erased and absent: %v", err)
	}
	out, damaged, err := r.Export(part.ID)
	if err != nil || len(damaged) != 1 || damaged[0] != 1 || !out.Absent[1] || out.Absent[0] || !out.Erased[2] {
		t.Errorf("exported %v, %v, %v", out.Absent, damaged, err)
	}
	if err := r.Rotate(RootKey{9}); err != nil {
		t.Fatal(err)
	}
	found, err := r.Rewrap(context.Background())
	if err != nil || len(found.Damaged) != 0 {
		t.Errorf("rewrapping calls it damage: %v, %v", found.Damaged, err)
	}
	if err := r.Repair(part.ID, 1, b.Keys[1]); err != nil {
		t.Fatal(err)
	}
	if key, err := r.Key(at(1)); err != nil || key != b.Keys[1] {
		t.Error(err)
	}
	if err := r.Repair(part.ID, 1, b.Keys[2]); !errors.Is(err, ErrNotDamaged) {
		t.Errorf("a live key was replaced: %v", err)
	}
}
