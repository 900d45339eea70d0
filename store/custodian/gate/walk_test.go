package gate

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
)

// TestRecordsAreFoundInAnyOrder reads a carried file with gaps and two whole ones as
// judgements do: along several lines at once, the same record again, and far off.
func TestRecordsAreFoundInAnyOrder(t *testing.T) {
	w := newWorld(t)
	for len(w.records) < 6*markEvery {
		w.add(format.Record{Action: format.ActRead, Actor: uint64(len(w.records))}, nil)
	}
	const first, second = 1500, 4000
	kept := [][]byte{}
	gone := func(seq uint64) bool { return seq > 2 && seq < first && seq%3 == 0 }
	for seq, r := range w.records[:first] {
		if !gone(uint64(seq)) {
			kept = append(kept, r)
		}
	}
	w.file(1, "car", format.FileHeader{Kind: format.KindCarried, First: first}, kept...)
	w.file(2, "his", format.FileHeader{Kind: format.KindHistory, First: first}, w.records[first:second]...)
	good := int64(format.FileHeaderSize)
	for _, r := range w.records[first:second] {
		good += int64(8 + len(r))
	}
	w.file(3, "his", format.FileHeader{Kind: format.KindHistory, First: second, PrevGood: uint64(good)}, w.records[second:]...)
	leaves := make([]byte, 2*len(w.records)*tlog.HashSize)
	for seq, r := range w.records {
		leaf := format.LeafHash(r)
		copy(leaves[tlog.StoredHashIndex(0, int64(seq))*tlog.HashSize:], leaf[:])
	}
	h, err := w.gate.read(t.Context(), bytes.NewReader(leaves))
	w.must(err)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	lines := []uint64{0, 1000, 3500, 5000}
	for i := range 4000 {
		at := rnd.IntN(len(lines))
		switch rnd.IntN(20) {
		case 0:
			lines[at] = rnd.Uint64N(uint64(len(w.records)))
		case 1: // the same again
		default:
			lines[at] = (lines[at] + 1 + rnd.Uint64N(3)) % uint64(len(w.records))
		}
		want := lines[at]
		got, err := h.record(t.Context(), want)
		if gone(want) && err == nil || !gone(want) && (err != nil || !bytes.Equal(got, w.records[want])) {
			t.Fatalf("seed %d, step %d: record %d: %d bytes, %v", seed, i, want, len(got), err)
		}
		if rnd.IntN(100) == 0 {
			w.must(h.rest())
		}
	}
	w.must(h.rest())
}

// TestNoFileStaysOpenBehindAJudgement, admitted or refused: what is read may be
// destroyed next, or replaced.
func TestNoFileStaysOpenBehindAJudgement(t *testing.T) {
	w := newWorld(t)
	store := w.store("PT1H")
	for range 3 {
		w.tick(day)
	}
	w.wants("due", true, w.ask(w.expire(store), w.checkpoint(1, 2)))
	w.wants("another's slot", false, w.askFor(format.Slot{}, w.expire(store), w.checkpoint(1, 2)))
	w.wants("unsigned", false, w.ask(w.expire(store), w.checkpoint(1)))
	for i := range w.gate.h.spots {
		if w.gate.h.spots[i].t != nil {
			t.Errorf("spot %d has its file open", i)
		}
	}
	if w.gate.h.spots[0].seq == 0 {
		t.Error("nothing was read")
	}
}
