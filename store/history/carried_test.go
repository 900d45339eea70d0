package history

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
)

// small is a log of small files, so that a few records fill several.
func small(dir string, clean bool) Options {
	o := options(dir, clean)
	o.MaxFile = 2000
	return o
}

// fillFiles appends records up to size, synced one by one, so that files roll.
func fillFiles(t *testing.T, l *Log, size uint64) {
	t.Helper()
	for seq := l.Size(); seq < size; seq++ {
		fill(t, l, seq+1)
	}
}

// tens keeps every tenth record.
func tens(seq uint64) (bool, error) { return seq%10 == 0, nil }

func mustCarry(t *testing.T, l *Log, bound uint64, keep func(uint64) (bool, error)) {
	t.Helper()
	if l.InNewest(bound) {
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Carry(context.Background(), bound, bound+1, keep); err != nil {
		t.Fatal(err)
	}
}

// removeLeftovers does what the custodian does under a warrant.
func removeLeftovers(t *testing.T, l *Log, dir string) int {
	t.Helper()
	list, err := l.Leftovers()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if err := os.Remove(filepath.Join(dir, f.Name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Forget(); err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// checkKept insists that exactly the records that want names are here, that they
// are what was written and prove into the tree.
func checkKept(t *testing.T, l *Log, size uint64, want func(uint64) bool) {
	t.Helper()
	root, err := l.RootAt(size)
	if err != nil {
		t.Fatal(err)
	}
	var kept, whole uint64
	for seq := range size {
		b, err := l.Read(seq)
		if want(seq) {
			kept++
			if err != nil || !bytes.Equal(b, recordOf(seq, 40)) {
				t.Fatalf("record %d: %v", seq, err)
			}
			p, err := tlog.ProveRecord(int64(size), int64(seq), l.HashReader())
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(p, int64(size), tlog.Hash(root), int64(seq), tlog.Hash(format.LeafHash(b))); err != nil {
				t.Fatal(err)
			}
			continue
		}
		whole = seq + 1
		if !errors.Is(err, ErrPruned) {
			t.Fatalf("record %d: %d bytes, %v", seq, len(b), err)
		}
	}
	if l.Minimum() != whole {
		t.Fatalf("minimum %d where %d belongs", l.Minimum(), whole)
	}
	var found uint64
	err = l.Kept(context.Background(), 0, size, func(seq uint64, b []byte) error {
		if !want(seq) || !bytes.Equal(b, recordOf(seq, 40)) {
			t.Fatalf("kept record %d", seq)
		}
		found++
		return nil
	})
	if err != nil || found != kept {
		t.Fatalf("%d of %d records kept: %v", found, kept, err)
	}
	nothing := func(uint64, []byte) error { return nil }
	if err := l.Range(context.Background(), whole, size, nothing); err != nil {
		t.Fatal(err)
	}
	if err := l.Range(context.Background(), 0, size, nothing); whole > 0 && !errors.Is(err, ErrPruned) {
		t.Fatalf("a range over erased records: %v", err)
	}
	if err := l.Verify(context.Background(), 0, size); err != nil {
		t.Fatal(err)
	}
}

func TestCarriedRecordsStayAndTheOthersAreGone(t *testing.T) {
	dir := scratch(t)
	l := mustOpen(t, small(dir, false))
	fillFiles(t, l, 100)
	roots := referenceRoots(t, 140)
	if root, err := l.RootAt(100); err != nil || root != roots[100] {
		t.Fatal(root, err)
	}
	want := func(seq uint64) bool { return seq >= 45 || seq%10 == 0 }
	mustCarry(t, l, 45, tens)
	checkKept(t, l, 100, want)
	if n := removeLeftovers(t, l, dir); n < 3 {
		t.Fatalf("%d files left over", n)
	}
	checkKept(t, l, 100, want)
	fillFiles(t, l, 120)
	checkKept(t, l, 120, want)
	for _, clean := range []bool{true, false} {
		if clean {
			mustClose(t, l)
		} else {
			kill(t, l)
		}
		l = mustOpen(t, small(dir, clean))
		checkKept(t, l, 120, want)
	}
	// Later the bound lies in the newest file, and a carried record's time has come.
	mustCarry(t, l, 118, func(seq uint64) (bool, error) { return seq%10 == 0 && seq != 20, nil })
	want = func(seq uint64) bool { return seq >= 118 || seq%10 == 0 && seq != 20 }
	removeLeftovers(t, l, dir)
	fillFiles(t, l, 140)
	checkKept(t, l, 140, want)
	if root, err := l.RootAt(140); err != nil || root != roots[140] {
		t.Fatal(root, err)
	}
	mustClose(t, l)
	l = mustOpen(t, small(dir, true))
	checkKept(t, l, 140, want)
	if list, err := l.Leftovers(); err != nil || len(list) != 0 {
		t.Fatal(list, err)
	}
}

// TestP65_CarryingCutShortLosesNothing stops after the carried file is in place
// and at each later step: the next start reads the same records, and knows what
// is left to destroy.
func TestP65_CarryingCutShortLosesNothing(t *testing.T) {
	want := func(seq uint64) bool { return seq >= 60 || seq%10 == 0 }
	for _, step := range []string{"placed", "zeroed", "removed one"} {
		dir := scratch(t)
		l := mustOpen(t, small(dir, false))
		fillFiles(t, l, 100)
		mustCarry(t, l, 30, tens)
		mustCarry(t, l, 60, tens)
		list, err := l.Leftovers()
		if err != nil || len(list) < 4 {
			t.Fatal(list, err)
		}
		for i, f := range list {
			path := filepath.Join(dir, f.Name)
			if step != "placed" {
				b := mustReadFile(t, path)
				clear(b[format.FileHeaderSize:])
				mustWriteFile(t, path, b)
			}
			if step == "removed one" && i == 0 {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		kill(t, l)
		l = mustOpen(t, small(dir, false))
		checkKept(t, l, 100, want)
		removeLeftovers(t, l, dir)
		checkKept(t, l, 100, want)
		mustClose(t, l)
		checkKept(t, mustOpen(t, small(dir, true)), 100, want)
	}
}

func TestAFailedPlacementChangesNothing(t *testing.T) {
	dir := scratch(t)
	l := mustOpen(t, small(dir, false))
	fillFiles(t, l, 50)
	failed := errors.New("failed")
	if err := l.Carry(context.Background(), 20, 21, func(uint64) (bool, error) { return false, failed }); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	checkKept(t, l, 50, func(uint64) bool { return true })
	if err := l.Carry(context.Background(), 50, 51, tens); err == nil {
		t.Fatal("carried past the file that is being written")
	}
}

// TestP52_DamageBelowTheBoundIsNamed flips bytes of the carried file and of the
// tree's hashes that nothing else knows.
func TestP52_DamageBelowTheBoundIsNamed(t *testing.T) {
	dir := scratch(t)
	l := mustOpen(t, small(dir, false))
	fillFiles(t, l, 60)
	mustCarry(t, l, 40, tens)
	removeLeftovers(t, l, dir)
	mustClose(t, l)
	files := map[string]int{carriedName(1): 1, treeName: int(tlog.StoredHashCount(40) * tlog.HashSize)}
	for name, limit := range files {
		good := mustReadFile(t, filepath.Join(dir, name))
		if limit == 1 {
			limit = len(good)
		}
		for at := 0; at < limit; at += 7 {
			bad := bytes.Clone(good)
			bad[at] ^= 0x10
			copied := copyDir(t, dir)
			mustWriteFile(t, filepath.Join(copied, name), bad)
			l, err := Open(small(copied, true), nil)
			if err == nil {
				t.Errorf("%s, byte %d: not found", name, at)
				mustClose(t, l)
				continue
			}
			if d := wantDamage(t, err); d.File != name {
				t.Errorf("%s, byte %d: %v", name, at, err)
			}
			if got := mustReadFile(t, filepath.Join(copied, name)); !bytes.Equal(got, bad) {
				t.Errorf("%s, byte %d: rewritten", name, at)
			}
		}
	}
}

func TestFilesMissingWithoutACarriedFileAreDamage(t *testing.T) {
	dir := scratch(t)
	l := mustOpen(t, small(dir, false))
	fillFiles(t, l, 60)
	mustClose(t, l)
	if err := os.Remove(historyPath(dir, 1)); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, small(dir, true))
	wantDamage(t, err)
}

func TestReadersBesideCarrying(t *testing.T) {
	dir := scratch(t)
	l := mustOpen(t, small(dir, false))
	fillFiles(t, l, 400)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for seq := uint64(0); seq < 400; seq += 10 {
					if b, err := l.Read(seq); err != nil || !bytes.Equal(b, recordOf(seq, 40)) {
						t.Errorf("record %d: %v", seq, err)
						return
					}
				}
				if err := l.Kept(context.Background(), 0, 400, func(uint64, []byte) error { return nil }); err != nil {
					t.Error(err)
					return
				}
				if err := l.Range(context.Background(), 350, 400, func(uint64, []byte) error { return nil }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for bound := uint64(50); bound <= 350; bound += 50 {
		mustCarry(t, l, bound, tens)
		removeLeftovers(t, l, dir)
	}
	close(stop)
	wg.Wait()
}

// TestAWrongPlaceIsNotBelieved: the file of places is derived.
func TestAWrongPlaceIsNotBelieved(t *testing.T) {
	dir := scratch(t)
	l := mustOpen(t, options(dir, false))
	fill(t, l, placesAtOnce*placeEvery+200)
	b := mustReadFile(t, filepath.Join(dir, placesName))
	if len(b) < placesAtOnce*placeSize {
		t.Fatalf("%d bytes of places", len(b))
	}
	for at := 16 + 7; at < len(b); at += placeSize {
		b[at] ^= 0x55
	}
	mustWriteFile(t, filepath.Join(dir, placesName), b)
	for seq := uint64(0); seq < l.Size(); seq += 997 {
		if got, err := l.Read(seq); err != nil || !bytes.Equal(got, recordOf(seq, 40)) {
			t.Fatalf("record %d: %v", seq, err)
		}
	}
}
