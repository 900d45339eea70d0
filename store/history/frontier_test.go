package history

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestFrontierGivesTheRoots from every size on to every later one.
func TestFrontierGivesTheRoots(t *testing.T) {
	const n = 70
	roots := referenceRoots(t, n)
	l := mustOpen(t, options(scratch(t), true))
	fill(t, l, n)
	for from := uint64(0); from <= n; from++ {
		f, err := l.Frontier(from)
		if err != nil || f.Root() != roots[from] {
			t.Fatalf("frontier at %d: %v", from, err)
		}
		for to := from; to <= n; to += 1 + from%7 {
			if err := l.Extend(t.Context(), &f, to); err != nil || f.Size() != to || f.Root() != roots[to] {
				t.Fatalf("from %d extended to %d: at %d, %v", from, to, f.Size(), err)
			}
		}
	}
	if _, err := l.Frontier(n + 1); !errors.Is(err, ErrBeyond) {
		t.Fatalf("a frontier beyond the end: %v", err)
	}
	f := Frontier{}
	if err := l.Extend(t.Context(), &f, n+1); !errors.Is(err, ErrBeyond) {
		t.Fatalf("extended beyond the end: %v", err)
	}
}

// TestP52_ExtendReadsAgain: a bit that flipped since in a record or in a stored
// hash; and an extension that was cut short goes on.
func TestP52_ExtendReadsAgain(t *testing.T) {
	const n = 70
	roots := referenceRoots(t, n)
	dir := scratch(t)
	l := mustOpen(t, options(dir, true))
	fill(t, l, n)
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	var f Frontier
	if err := l.Extend(cut, &f, n); !errors.Is(err, context.Canceled) || f.Size() != 0 {
		t.Fatalf("cut short: %v at %d", err, f.Size())
	}
	flip := func(path string, at int64) {
		t.Helper()
		b := mustReadFile(t, path)
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte{b[at] ^ 1}, at); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tree, records := filepath.Join(dir, treeName), historyPath(dir, 1)
	info, err := os.Stat(records)
	if err != nil {
		t.Fatal(err)
	}
	leaf := tlog.StoredHashIndex(0, 40) * tlog.HashSize
	for name, at := range map[string]struct {
		path   string
		offset int64
	}{"a record": {records, info.Size() - 30}, "a leaf hash": {tree, leaf + 5}} {
		flip(at.path, at.offset)
		f := Frontier{}
		wantDamage(t, l.Extend(t.Context(), &f, n))
		flip(at.path, at.offset)
		if err := l.Extend(t.Context(), &f, n); err != nil || f.Root() != roots[n] {
			t.Fatalf("%s is whole again: %v", name, err)
		}
	}
	// An inner hash: the root that is kept differs from the one that is computed.
	flip(tree, tlog.StoredHashIndex(6, 0)*tlog.HashSize)
	kept, err := l.RootAt(n)
	if err != nil {
		t.Fatal(err)
	}
	f = Frontier{}
	if err := l.Extend(t.Context(), &f, n); err != nil || f.Root() != roots[n] || kept == roots[n] {
		t.Fatalf("%v; the stored hashes give %x", err, kept)
	}
}
