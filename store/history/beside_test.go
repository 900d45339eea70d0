package history

import (
	"sync"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestAppendGoesOnBesideSync appends, syncs and reads at once: every size that is
// said to be durable has the root of its records, and another start finds them all.
func TestAppendGoesOnBesideSync(t *testing.T) {
	const n = 3000
	dir := scratch(t)
	o := options(dir, false)
	o.MaxFile = 64 << 10
	l := mustOpen(t, o)
	done := make(chan struct{})
	var wg sync.WaitGroup
	roots := map[uint64]format.Digest{}
	wg.Go(func() {
		for ended := false; !ended; {
			select {
			case <-done:
				ended = true
			default:
			}
			if err := l.Sync(); err != nil {
				t.Error(err)
				return
			}
			size, root := l.DurableRoot()
			roots[size] = root
		}
	})
	for range 2 {
		wg.Go(func() {
			for i := uint64(0); l.Size() < n; i++ {
				if size := l.Size(); size > 0 {
					checkRead(t, l, size-1)
					checkRead(t, l, i%size)
				}
			}
		})
	}
	for seq := range uint64(n) {
		if _, _, err := l.Append(recordOf(seq, 40)); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
	if l.Durable() != n {
		t.Fatalf("durable %d of %d", l.Durable(), n)
	}
	for size, root := range roots {
		if want, err := l.RootAt(size); err != nil || want != root {
			t.Errorf("durable root at %d: %x where %x belongs (%v)", size, root, want, err)
		}
	}
	mustClose(t, l)
	l = mustOpen(t, options(dir, true))
	if l.Size() != n {
		t.Fatalf("another start finds %d of %d", l.Size(), n)
	}
	if err := l.Verify(t.Context(), 0, n); err != nil {
		t.Fatal(err)
	}
}
