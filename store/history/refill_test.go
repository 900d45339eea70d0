package history

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestP48_CutEndIsToldAndWrittenOn: a file cut between records or inside one, with
// or without its hashes, is told with what is there; opened to be written on it
// takes the same records again, and has the same root.
func TestP48_CutEndIsToldAndWrittenOn(t *testing.T) {
	const n, left = 50, 30
	dir := scratch(t)
	l := mustOpen(t, options(dir, true))
	fill(t, l, left)
	info, err := os.Stat(historyPath(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, n)
	root, err := l.Root()
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	for name, c := range map[string]struct {
		extra int64
		tree  bool // cut as well
		clean bool
		lost  bool
	}{
		"between records, hashes left":        {0, false, true, true},
		"between records, hashes left, dirty": {0, false, false, true},
		"inside a record, clean":              {11, true, true, true},
		"inside a record's head, clean":       {3, true, true, true},
		"between records, all cut":            {0, true, true, false}, // only what is known elsewhere tells
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, dir)
			if err := os.Truncate(historyPath(dir, 1), info.Size()+c.extra); err != nil {
				t.Fatal(err)
			}
			for later := 2; ; later++ {
				if err := os.Remove(historyPath(dir, later)); err != nil {
					break
				}
			}
			if c.tree {
				if err := os.Truncate(filepath.Join(dir, treeName), 0); err != nil {
					t.Fatal(err)
				}
			}
			_, err := open(t, options(dir, c.clean))
			var lost *LostError
			if errors.As(err, &lost) != c.lost || c.lost && lost.Have != left {
				t.Fatalf("%v", err)
			}
			if c.lost {
				wantDamage(t, err)
				o := options(dir, c.clean)
				o.Refill = true
				l := mustOpen(t, o)
				if l.Size() != left {
					t.Fatalf("%d records", l.Size())
				}
				fill(t, l, n)
				if again, err := l.Root(); err != nil || again != root {
					t.Fatalf("another root: %v", err)
				}
				mustClose(t, l)
				checkRead(t, mustOpen(t, options(dir, true)), n-1)
			}
		})
	}
}
