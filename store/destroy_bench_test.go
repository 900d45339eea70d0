package store

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

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
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		due := w.manyDue(b, round, atOnce)
		round++
		b.StartTimer()
		w.must(n.Destroy(b.Context(), due, nil))
	}
	b.ReportMetric(float64(b.N*atOnce)/b.Elapsed().Seconds(), "bundles/s")
}

// manyDue stores twice as many bundles as it has expired, and lists those.
func (w *world) manyDue(b *testing.B, round, due int) []PendingErasure {
	n := w.nodes[0]
	w.addBlock(2 * due)
	for from := 0; from < 2*due; from += 100 {
		var ops []Op
		var chunks []format.Chunk
		for i := from; i < from+100; i++ {
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
	pending, _, err := n.PendingErasures(1, n.Summary().Checkpoint.Checkpoint.Size, 0, 1<<30)
	w.must(err)
	slices.SortFunc(pending, func(a, b PendingErasure) int { return cmp.Compare(a.Decision, b.Decision) })
	if len(pending) < due {
		b.Fatalf("%d are due", len(pending))
	}
	return pending[len(pending)-due:]
}
