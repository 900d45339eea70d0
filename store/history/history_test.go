package history

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
)

func TestRoundTrip(t *testing.T) {
	dir := scratch(t)
	l := mustOpen(t, options(dir, false))
	fill(t, l, 100)
	seq, leaf, err := l.Append(recordOf(100, 40))
	if err != nil || seq != 100 || leaf != format.LeafHash(recordOf(100, 40)) {
		t.Fatalf("append: %d, %x, %v", seq, leaf, err)
	}
	if l.Size() != 101 || l.Durable() != 100 {
		t.Fatalf("size %d, durable %d", l.Size(), l.Durable())
	}
	for i := range l.Size() { // the unsynced one too
		checkRead(t, l, i)
	}
	if _, err := l.Read(101); !errors.Is(err, ErrBeyond) {
		t.Fatalf("beyond the end: %v", err)
	}
	if _, err := l.RootAt(102); !errors.Is(err, ErrBeyond) {
		t.Fatalf("root beyond the end: %v", err)
	}
	mustClose(t, l)

	next := uint64(0)
	l, err = Open(options(dir, true), func(seq uint64, encoded []byte) error {
		if seq != next || !bytes.Equal(encoded, recordOf(seq, 40)) {
			t.Errorf("loaded %d where %d belongs", seq, next)
		}
		next++
		return nil
	})
	if err != nil || next != 101 || l.Durable() != 101 {
		t.Fatalf("loaded %d records: %v", next, err)
	}
	fill(t, l, 150)
	if err := l.Verify(context.Background(), 0, 150); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
}

func TestRootsAreThoseOfTlog(t *testing.T) {
	const n = 300
	roots := referenceRoots(t, n)
	dir := scratch(t)
	o := options(dir, false)
	o.MaxFile = 3000
	l := mustOpen(t, o)
	for seq := range uint64(n + 1) {
		if got, err := l.Root(); err != nil || got != roots[seq] {
			t.Fatalf("root at %d: %x, %v", seq, got, err)
		}
		if seq == n {
			break
		}
		if _, _, err := l.Append(recordOf(seq, 40)); err != nil {
			t.Fatal(err)
		}
		if seq%7 == 0 {
			fill(t, l, seq+1)
		}
		if size, got := l.DurableRoot(); size != l.Durable() || got != roots[size] {
			t.Fatalf("durable root at %d: %x", size, got)
		}
	}
	check := func(l *Log) {
		t.Helper()
		for size, want := range roots {
			if got, err := l.RootAt(uint64(size)); err != nil || got != want {
				t.Fatalf("root at %d: %x, %v", size, got, err)
			}
		}
	}
	check(l)
	mustClose(t, l)
	o.Clean = true
	o.OnDamage = func(d *format.DamageError) { t.Error(d) }
	l = mustOpen(t, o)
	check(l)
	if size, got := l.DurableRoot(); size != n || got != roots[n] {
		t.Fatalf("durable root at %d after a start: %x", size, got)
	}
	for _, seq := range []int64{0, 1, 150, 299} {
		p, err := tlog.ProveRecord(n, seq, l.HashReader())
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(p, n, tlog.Hash(roots[n]), seq, tlog.RecordHash(recordOf(uint64(seq), 40))); err != nil {
			t.Fatalf("proof of %d: %v", seq, err)
		}
	}
	mustClose(t, l)
	if err := os.Remove(dir + "/" + treeName); err != nil {
		t.Fatal(err)
	}
	check(mustOpen(t, o)) // rebuilt from the records
}

func TestRollsAndReadsAcrossFiles(t *testing.T) {
	dir := scratch(t)
	o := options(dir, false)
	o.MaxFile = 2000
	l := mustOpen(t, o)
	for size := uint64(1); size <= 120; size++ {
		fill(t, l, size)
	}
	last, _ := l.files.Newest()
	if last.Number < 8 || !o.Files.(*realFiles).sealed[l.files.Name(last.Number-1)] {
		t.Fatalf("newest file %d", last.Number)
	}
	for seq := range uint64(120) {
		checkRead(t, l, seq)
	}
	if _, _, err := l.Append(recordOf(120, 40)); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]uint64{{0, 121}, {5, 6}, {31, 90}, {118, 121}, {120, 121}, {7, 7}} {
		next := r[0]
		if err := l.Range(context.Background(), r[0], r[1], func(seq uint64, encoded []byte) error {
			if seq != next || !bytes.Equal(encoded, recordOf(seq, 40)) {
				t.Errorf("range %v met %d", r, seq)
			}
			next++
			return nil
		}); err != nil || next != r[1] {
			t.Fatalf("range %v ended at %d: %v", r, next, err)
		}
	}
	if err := l.Range(context.Background(), 0, 122, nil); !errors.Is(err, ErrBeyond) {
		t.Fatalf("range beyond the end: %v", err)
	}
	stop := errors.New("enough")
	if err := l.Range(context.Background(), 0, 9, func(uint64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("ended by %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Verify(ctx, 0, 100); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
}

func TestP61_ReplayComparesAndNeverAppendsTwice(t *testing.T) {
	dir := scratch(t)
	l := mustOpen(t, options(dir, false))
	fill(t, l, 40)
	if _, _, err := l.Append(recordOf(40, 40)); err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(41) {
		if err := l.Compare(seq, recordOf(seq, 40)); err != nil {
			t.Fatal(err)
		}
		if err := l.Compare(seq, recordOf(seq, 41)); !errors.Is(err, ErrDiverged) {
			t.Fatalf("other bytes at %d: %v", seq, err)
		}
	}
	for _, seq := range []uint64{0, 40, 42} {
		if _, _, err := l.Append(recordOf(seq, 40)); !errors.Is(err, ErrSequence) {
			t.Fatalf("append of %d: %v", seq, err)
		}
	}
	if _, _, err := l.Append([]byte("no record")); !errors.Is(err, format.ErrMalformed) {
		t.Fatalf("append of junk: %v", err)
	}
	if err := l.Compare(41, recordOf(41, 40)); !errors.Is(err, ErrBeyond) {
		t.Fatalf("compare beyond: %v", err)
	}
	fill(t, l, 42)
	checkRead(t, l, 41)
}

func TestTailIsBounded(t *testing.T) {
	l := mustOpen(t, options(scratch(t), false))
	for seq := range uint64(maxTail/15000 + 10) {
		if _, _, err := l.Append(recordOf(seq, 15000)); err != nil {
			t.Fatal(err)
		}
	}
	if l.Durable() == 0 || l.waiting >= maxTail {
		t.Fatalf("durable %d, %d bytes wait", l.Durable(), l.waiting)
	}
}

func TestReadersBesideTheWriter(t *testing.T) {
	o := options(scratch(t), false)
	o.MaxFile = 5000
	l := mustOpen(t, o)
	fill(t, l, 1)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				size := l.Size()
				if _, err := l.RootAt(size); err != nil {
					t.Error(err)
				}
				if got, err := l.Read(size - 1); err != nil || !bytes.Equal(got, recordOf(size-1, 40)) {
					t.Errorf("record %d: %v", size-1, err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for size := uint64(2); size < 400; size += 3 {
		fill(t, l, size)
	}
	close(done)
	wg.Wait()
}

func TestP63_ForeignFilesAreRefused(t *testing.T) {
	dir := scratch(t)
	mustClose(t, mustOpen(t, options(dir, false)))
	o := options(dir, true)
	o.Cluster[0]++
	if _, err := open(t, o); err == nil {
		t.Fatal("opened another cluster's history")
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	l := mustOpen(b, options(dir, false))
	const n = 1_000_000
	for seq := range uint64(n) {
		if _, _, err := l.Append(recordOf(seq, 170)); err != nil {
			b.Fatal(err)
		}
	}
	mustClose(b, l)
	for b.Loop() {
		l := mustOpen(b, options(dir, true))
		if l.Size() != n {
			b.Fatal(l.Size())
		}
		mustClose(b, l)
	}
}
