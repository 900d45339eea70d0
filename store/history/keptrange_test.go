package history

import (
	"context"
	"path/filepath"
	"testing"
)

// TestKeptReadsNoFartherThanAsked: what is behind the range costs nothing, and its
// damage is nobody's who did not ask for it.
func TestKeptReadsNoFartherThanAsked(t *testing.T) {
	dir := scratch(t)
	l := mustOpen(t, options(dir, true))
	fill(t, l, 300)
	mustCarry(t, l, 250, tens)
	path := filepath.Join(dir, carriedName(1))
	b := mustReadFile(t, path)
	b[len(b)-1] ^= 1
	mustWriteFile(t, path, b)
	met := 0
	count := func(uint64, []byte) error { met++; return nil }
	if err := l.Kept(context.Background(), 100, 121, count); err != nil || met != 3 {
		t.Fatalf("%d records, %v", met, err)
	}
	wantDamage(t, l.Kept(context.Background(), 100, 300, count))
}
