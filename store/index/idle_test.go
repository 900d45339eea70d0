package index

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
)

// TestReadersSeeEveryCommit has readers look rows up while they are put, rotated and
// committed: whoever was told of a value finds it, or a later one, at once, whatever
// transaction it reads in.
func TestReadersSeeEveryCommit(t *testing.T) {
	d, _, err := Open(filepath.Join(t.TempDir(), "index.db"), Options{Tables: []Table{1}})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.RWMutex
	newest := 0
	key := func(i int) []byte { return fmt.Appendf(nil, "row-%02d", i%7) }
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.RLock()
				least := newest
				mu.RUnlock()
				if least == 0 {
					continue
				}
				var have int
				v, err := d.Get(1, key(least))
				if err == nil {
					_, err = fmt.Sscan(string(v), &have)
				}
				if err != nil || have < least {
					t.Errorf("%q where %d was put: %v", v, least, err)
					return
				}
			}
		})
	}
	for i := 1; i <= 300; i++ {
		d.Put(1, key(i), fmt.Append(nil, i))
		mu.Lock()
		newest = i
		mu.Unlock()
		if i%5 == 0 {
			if err := d.Commit(d.Rotate(Meta{Applied: uint64(i)})); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	wg.Wait()
	if err := d.Close(); err != nil { // which waits for whoever still reads
		t.Fatal(err)
	}
}
