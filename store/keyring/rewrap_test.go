package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

var nextRoot = RootKey{9}

// damageSlot makes a slot fail its checksum.
func damageSlot(t *testing.T, files plainFiles, s format.Slot) {
	t.Helper()
	if err := files.write(FileName(s.Block), SlotOffset(s.Index), bytes.Repeat([]byte{0xdd}, SlotSize)); err != nil {
		t.Fatal(err)
	}
}

// checkKeys insists on each slot of a block: its key, erased, or damaged.
func checkKeys(t *testing.T, r *Ring, b Block, erased, damaged uint32) {
	t.Helper()
	for i, want := range b.Keys {
		got, err := r.Key(format.Slot{Block: b.ID, Index: uint32(i)})
		var damage *format.DamageError
		switch {
		case uint32(i) == erased && errors.Is(err, ErrErased), uint32(i) == damaged && errors.As(err, &damage):
		case uint32(i) == erased, uint32(i) == damaged, err != nil, got != want:
			t.Fatalf("slot %d: %v", i, err)
		}
	}
}

func TestP36_RotationMovesLiveSlotsAndNothingElse(t *testing.T) {
	r, files := newRing(t)
	b := newBlock(t, r, 6)
	slot := func(i uint32) format.Slot { return format.Slot{Block: b.ID, Index: i} }
	erase(t, files, slot(1))
	damageSlot(t, files, slot(2))
	before, err := os.ReadFile(filepath.Join(files.dir, FileName(b.ID)))
	if err != nil {
		t.Fatal(err)
	}
	old := r.RootID()
	if err := r.Rotate(nextRoot); err != nil {
		t.Fatal(err)
	}
	if err := r.Rotate(RootKey{10}); !errors.Is(err, ErrRotating) {
		t.Fatalf("a second rotation at once: %v", err)
	}
	checkKeys(t, r, b, 1, 2)   // still under the old key
	later := newBlock(t, r, 2) // sealed under the new one
	for _, again := range []string{"first", "again"} {
		found, err := r.Rewrap(t.Context())
		if err != nil || found.Live != 4+2 || found.Erased != 1 || fmt.Sprint(found.Damaged) != fmt.Sprint([]format.Slot{slot(2)}) {
			t.Fatal(again, found, err)
		}
	}
	if err := r.Forget(); err != nil {
		t.Fatal(err)
	}
	if !r.RootIs(nextRoot) || r.RootIs(testRoot) || r.RootID() == old {
		t.Fatal("not the new root key")
	}
	checkKeys(t, r, b, 1, 2)
	checkKeys(t, r, later, 99, 99)
	after, err := os.ReadFile(filepath.Join(files.dir, FileName(b.ID)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before[:format.FileHeaderSize], after[:format.FileHeaderSize]) {
		t.Fatal("another header")
	}
	// Old copies open nothing with the new key, the new file nothing with the old.
	for i := range uint32(6) {
		was, is := before[SlotOffset(i):][:SlotSize], after[SlotOffset(i):][:SlotSize]
		if StateOf(i, was) != SlotLive {
			if !bytes.Equal(was, is) {
				t.Fatalf("slot %d was touched", i)
			}
			continue
		}
		if _, err := openSlot(&nextRoot, testCluster, slot(i), was); err == nil {
			t.Fatalf("the new root key opens the old copy of slot %d", i)
		}
		if _, err := openSlot(&testRoot, testCluster, slot(i), is); err == nil {
			t.Fatalf("the old root key opens the new slot %d", i)
		}
	}
	if err := r.Repair(b.ID, 2, b.Keys[2]); err != nil {
		t.Fatal(err)
	}
	checkKeys(t, r, b, 1, 99)
}

// TestRotationMovesABlockWhoseHeaderIsDamaged: the header can be mended later, the
// keys could not.
func TestRotationMovesABlockWhoseHeaderIsDamaged(t *testing.T) {
	r, files := newRing(t)
	b := newBlock(t, r, 3)
	if err := files.write(FileName(b.ID), 9, []byte{0xff, 0xfe}); err != nil {
		t.Fatal(err)
	}
	r = reopen(t, files)
	if err := r.Rotate(nextRoot); err != nil {
		t.Fatal(err)
	}
	if found, err := r.Rewrap(t.Context()); err != nil || found.Live != 3 {
		t.Fatal(found, err)
	}
	if err := errors.Join(r.Forget(), r.RepairHeader(b.ID, b.Owner)); err != nil {
		t.Fatal(err)
	}
	checkKeys(t, r, b, 99, 99)
}

// TestRotationIsSafeUnderUse reads, verifies, installs and exports while the
// blocks are sealed again.
func TestRotationIsSafeUnderUse(t *testing.T) {
	r, _ := newRing(t)
	var blocks []Block
	for range 8 {
		blocks = append(blocks, newBlock(t, r, 16))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for k := range 3 {
		wg.Go(func() {
			for i := k; ctx.Err() == nil; i++ {
				b := blocks[i%len(blocks)]
				s := format.Slot{Block: b.ID, Index: uint32(i % 16)}
				if key, err := r.Key(s); err != nil || key != b.Keys[s.Index] {
					t.Errorf("%s: %v", s, err)
				}
				if out, damaged, err := r.Export(b.ID); err != nil || len(damaged) > 0 || out.Keys[3] != b.Keys[3] {
					t.Errorf("export: %v %v", damaged, err)
				}
			}
		})
	}
	for n := range 5 {
		if err := r.Rotate(RootKey{20, byte(n)}); err != nil {
			t.Fatal(err)
		}
		blocks := newBlock(t, r, 4)
		if _, err := r.Rewrap(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.Forget(); err != nil {
			t.Fatal(err)
		}
		checkKeys(t, r, blocks, 99, 99)
	}
	cancel()
	wg.Wait()
	for _, b := range blocks {
		checkKeys(t, r, b, 99, 99)
	}
}

func TestSameKeysRefusesWhatChanged(t *testing.T) {
	r, files := newRing(t)
	b := newBlock(t, r, 4)
	content, err := os.ReadFile(filepath.Join(files.dir, FileName(b.ID)))
	if err != nil {
		t.Fatal(err)
	}
	rewrapped := func(from *RootKey) []byte {
		fresh, _, err := RewrapContent(content, testCluster, b.ID, from, &nextRoot)
		if err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	fresh := rewrapped(&testRoot)
	if err := SameKeys(content, fresh, testCluster, b.ID, &testRoot, &nextRoot); err != nil {
		t.Fatal(err)
	}
	if rewrapped(&RootKey{99}) != nil {
		t.Fatal("another root key changed something")
	}
	other, err := sealSlot(bytes.NewReader(make([]byte, 64)), &nextRoot, testCluster, format.Slot{Block: b.ID, Index: 2}, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func([]byte) []byte{
		"header":      func(c []byte) []byte { c[20] ^= 1; return c },
		"another key": func(c []byte) []byte { copy(c[SlotOffset(2):], other); return c },
		"erased":      func(c []byte) []byte { copy(c[SlotOffset(2):], ErasedSlot()); return c },
		"damaged":     func(c []byte) []byte { c[SlotOffset(1)+9] ^= 1; return c },
		"shorter":     func(c []byte) []byte { return c[:len(c)-1] },
	} {
		if err := SameKeys(content, change(bytes.Clone(fresh)), testCluster, b.ID, &testRoot, &nextRoot); err == nil {
			t.Errorf("%s is taken for the same keys", what)
		}
	}
}

func TestClosedRingHoldsNoKey(t *testing.T) {
	r, _ := newRing(t)
	b := newBlock(t, r, 2)
	page := r.root.page
	if !bytes.Equal(page[:32], testRoot[:]) {
		t.Fatal("the root key is not in its page")
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	s := format.Slot{Block: b.ID}
	if _, err := r.Key(s); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := r.Rotate(nextRoot); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := r.Rewrap(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := r.Install(Block{ID: format.ID{1}, Keys: make([][32]byte, 1), Erased: make([]bool, 1)}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestP42_SchedulesAreWiped looks at what AES keeps of a key.
func TestP42_SchedulesAreWiped(t *testing.T) {
	key := [32]byte{1, 2, 3}
	g := newGCM(&key)
	sealed := g.Seal(nil, make([]byte, gcmNonce), []byte("text"), nil)
	g.wipe()
	defer func() { _ = recover() }() // a wiped cipher may refuse by panicking
	if opened, err := g.Open(nil, make([]byte, gcmNonce), sealed, nil); err == nil {
		t.Fatalf("a wiped cipher opened %q", opened)
	}
}
