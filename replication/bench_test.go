package replication

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkPut is puts of 4 KiB by 64 clients spread over three nodes in one
// process, without the API above.
func BenchmarkPut(b *testing.B) {
	c := newBenchCluster(b)
	content := bytes.Repeat([]byte{1}, 4096)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range 64 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				if _, err := c.put(i%3, fmt.Sprintf("B%09d", n), "P5Y", content); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

func newBenchCluster(b *testing.B) *testCluster {
	b.Helper()
	c := newTestCluster(b, 3)
	c.timing.BlockSlots, c.timing.Duties, c.timing.TickBusy = 4096, 0, 0 // as in production
	c.startAll()
	return c
}
