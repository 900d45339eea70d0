package history

import (
	"context"
	"sync"
	"testing"
)

// TestReadersBesideCarryingMany: the next carried file is read back, and notes its
// places, while the one before is read.
func TestReadersBesideCarryingMany(t *testing.T) {
	dir := scratch(t)
	l := mustOpen(t, options(dir, true))
	const n = 3 * placesAtOnce * placeEvery
	for seq := range uint64(n + 100) {
		if _, _, err := l.Append(recordOf(seq, 40+int(seq%41))); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	mustCarry(t, l, n, func(uint64) (bool, error) { return true, nil })
	ctx := context.Background()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var once sync.Once
	wg.Go(func() {
		for from := uint64(0); ; from = (from + 30011) % n {
			select {
			case <-stop:
				return
			default:
			}
			from -= from % 30 // which all keep
			if err := l.Kept(ctx, from, from+1, func(uint64, []byte) error { return nil }); err != nil {
				once.Do(func() { t.Errorf("from %d: %v", from, err) })
			}
		}
	})
	for i := range 4 {
		mustCarry(t, l, n+uint64(i), func(seq uint64) (bool, error) { return seq%30 == 0 || seq%29 != uint64(i), nil })
	}
	close(stop)
	wg.Wait()
}
