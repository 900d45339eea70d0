package store

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestAheadGoesOnAsSweepsDo: it reads a little, and more once they have come to the
// middle of it.
func TestAheadGoesOnAsSweepsDo(t *testing.T) {
	w := newWorld(t, t, 1)
	for i := range 10 {
		w.put(fmt.Sprint(i), "PT1H")
	}
	w.began()
	n := w.nodes[0]
	if err := n.Flush(); err != nil {
		t.Fatal(err)
	}
	a := n.Ahead()
	a.atOnce = 4
	read := func() (behind string) {
		t.Helper()
		if err := a.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		return string(a.behind)
	}
	if read() != "" || a.middle != nil {
		t.Fatal("it reads what is not due")
	}
	w.tick(2 * hour)
	first := read()
	if first == "" || read() != first {
		t.Fatal("it reads on without sweeps")
	}
	w.sweep(2)
	if read() != first {
		t.Fatal("it reads on before a sweep has taken the middle")
	}
	w.sweep(1)
	second := read()
	if second <= first {
		t.Fatal("it does not read on")
	}
	w.sweep(3) // 6 of 10: the middle of the second four is the seventh
	if read() != second {
		t.Fatal("it reads on too early")
	}
	w.sweep(4)
	if read(); a.middle != nil {
		t.Fatal("it waits for what is over")
	}
	w.put("more", "PT1H")
	w.began()
	w.tick(2 * hour)
	if last := string(a.behind); read() <= last {
		t.Fatal("it does not begin again")
	}
}

// reads is how many calls this process has made that read a file.
func reads(t *testing.T) (n int) {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(raw), "syscr:")
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAheadReadsTheFile: each of the three calls reads at least the pages that so many
// rows take.
func TestAheadReadsTheFile(t *testing.T) {
	w := newWorld(t, t, 1)
	for i := range 400 {
		w.put(fmt.Sprint(i), "PT1H")
	}
	w.began()
	n := w.nodes[0]
	w.tick(2 * hour)
	atLeast := func(what string, pages int, ahead func() error) {
		t.Helper()
		w.must(n.Flush())
		before := reads(t)
		w.must(ahead())
		if got := reads(t) - before; got < pages {
			t.Errorf("%s: %d reads", what, got)
		}
	}
	atLeast("sweep", 20, func() error { return n.Ahead().Read(t.Context()) })
	w.sweep(400)
	w.checkpoint()
	size := n.Summary().Checkpoint.Checkpoint.Size
	atLeast("erasures", 20, func() error { return n.ErasuresAhead(t.Context(), size, 0, 400) })
	bundles, _, err := n.PendingErasures(1, size, 0, 400)
	w.must(err)
	var slots []format.Slot
	for _, b := range bundles {
		slots = append(slots, b.Slot)
	}
	slices.SortFunc(slots, compareSlots)
	atLeast("slots", 5, func() error { n.slotsAhead(t.Context(), slots); return nil })
}
