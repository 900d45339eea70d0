package history

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestLeafHashesReadAtOnce are those of each record, in the file or not yet, in
// whatever order they are asked for.
func TestLeafHashesReadAtOnce(t *testing.T) {
	l := mustOpen(t, options(scratch(t), true))
	fill(t, l, 1000)
	for seq := l.Size(); seq < 1050; seq++ {
		if _, _, err := l.Append(recordOf(seq, 40)); err != nil {
			t.Fatal(err)
		}
	}
	var known leaves
	rnd := rand.New(rand.NewPCG(1, 2))
	for i, seq := 0, uint64(0); i < 5000; i++ {
		if seq++; rnd.IntN(50) == 0 || seq >= l.Size() {
			seq = rnd.Uint64N(l.Size())
		}
		if got, err := known.of(l.tree, seq); err != nil || got != format.LeafHash(recordOf(seq, 40)) {
			t.Fatalf("record %d: %x, %v", seq, got, err)
		}
	}
	if _, err := known.of(l.tree, l.Size()); !errors.Is(err, ErrBeyond) {
		t.Fatal(err)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if got, err := known.of(l.tree, 1049); err != nil || got != format.LeafHash(recordOf(1049, 40)) {
		t.Fatalf("once synced: %x, %v", got, err)
	}
}

// TestAnotherRecordIsDamageWhoeverReadsOn puts a good record with a good checksum in
// another's place: whoever meets it between others, whose leaf hashes were read with
// its own, is not given it.
func TestAnotherRecordIsDamageWhoeverReadsOn(t *testing.T) {
	dir := scratch(t)
	l := mustOpen(t, options(dir, true))
	fill(t, l, 600)
	other := format.Record{Sequence: 500, Clock: 500_000, Action: format.ActUse, Actor: 8, Transaction: "T1", Detail: make([]byte, 40)}
	b := mustReadFile(t, historyPath(dir, 1))
	is, becomes := appendFrame(nil, recordOf(500, 40)), appendFrame(nil, other.Encode())
	if bytes.Count(b, is) != 1 || len(is) != len(becomes) {
		t.Fatal("the record is not where it belongs")
	}
	mustWriteFile(t, historyPath(dir, 1), bytes.Replace(b, is, becomes, 1))
	for seq := uint64(480); seq < 520; seq++ {
		if seq != 500 {
			checkRead(t, l, seq)
			continue
		}
		if _, err := l.Read(seq); err == nil {
			t.Fatal("another record was read")
		}
		wantDamage(t, l.Compare(seq, other.Encode()))
	}
	wantDamage(t, l.Verify(t.Context(), 0, 600))
	var f Frontier
	if wantDamage(t, l.Extend(t.Context(), &f, 600)); f.Size() != 500 {
		t.Fatalf("extended up to %d", f.Size())
	}
}
