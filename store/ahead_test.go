package store

import (
	"fmt"
	"testing"
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
	if read(); string(a.behind) < second || a.middle != nil {
		t.Fatal("it waits for what is over")
	}
	w.put("more", "PT1H")
	w.began()
	w.tick(2 * hour)
	if last := string(a.behind); read() <= last {
		t.Fatal("it does not begin again")
	}
}
