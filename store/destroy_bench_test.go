package store

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
)

// BenchmarkDestroy destroys every second of small bundles that were stored one
// behind the other and expired by one sweep behind the other: as many at once as a
// node destroys, and as one sweep decides.
func BenchmarkDestroy(b *testing.B) {
	for _, atOnce := range []int{800, 100} {
		for _, apart := range []bool{false, true} {
			b.Run(fmt.Sprintf("apart=%v/%d", apart, atOnce), func(b *testing.B) { benchmarkDestroy(b, atOnce, apart) })
		}
	}
}

func benchmarkDestroy(b *testing.B, atOnce int, apart bool) {
	w := newWorld(b, b, 1)
	n, round := w.nodes[0], 0
	w.apart = apart
	n.restart()
	var used time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		due := w.manyDue(b, round, atOnce)
		round++
		before := cpuTime(b)
		b.StartTimer()
		w.must(n.Destroy(b.Context(), due, nil))
		b.StopTimer()
		used += cpuTime(b) - before
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N*atOnce)/b.Elapsed().Seconds(), "bundles/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N*atOnce), "cpu-ns/bundle")
}

// cpuTime is what this process has used of the processors.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// manyDue stores twice as many bundles as it has expired, and lists those.
func (w *world) manyDue(b *testing.B, round, due int) []PendingErasure {
	n := w.nodes[0]
	from := n.Summary().Size
	w.addBlock(2 * due)
	for first := 0; first < 2*due; first += 100 {
		var ops []Op
		var chunks []format.Chunk
		for i := first; i < first+100; i++ {
			op, c := w.storeOp(fmt.Sprintf("T%d.%d", round, i), []string{"PT1H", "P99Y"}[i%2], content("T"))
			ops, chunks = append(ops, op), append(chunks, c...)
		}
		for _, r := range w.commitAll(ops, chunks...) {
			w.accept(r)
		}
	}
	w.began()
	w.tick(2 * hour)
	for range due / 100 {
		w.sweep(100)
	}
	w.checkpoint()
	w.log = w.log[:0]
	w.must(n.roll())
	w.must(n.Flush())
	pending, _, err := n.PendingErasures(1, n.Summary().Checkpoint.Checkpoint.Size, from, 1<<30)
	w.must(err)
	slices.SortFunc(pending, func(a, b PendingErasure) int { return cmp.Compare(a.Decision, b.Decision) })
	if len(pending) != due {
		b.Fatalf("%d are due", len(pending))
	}
	return pending
}
