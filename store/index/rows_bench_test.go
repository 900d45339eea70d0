package index

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
)

// benchRow is about as long as the row of a bundle.
var benchRow = []byte("a row of the index, some eighty bytes long as rows of bundles.")

func benchKey(i int) []byte { return fmt.Appendf(nil, "%032d", i) }

// filled opens an index with rows of table 1 in its file.
func filled(b *testing.B, n int) *DB {
	d, _ := open(b, filepath.Join(b.TempDir(), "index.db"))
	b.Cleanup(func() { d.Close() })
	for i := range n {
		d.Put(1, benchKey(i), benchRow)
	}
	flush(b, d, Meta{Applied: 1})
	return d
}

// processor starts the clock, and its answer reports the processor's time per
// operation, of all threads: a commit's own time is mostly the disk's.
func processor(b *testing.B) func() {
	spent := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	b.ReportAllocs()
	b.ResetTimer()
	from := spent()
	return func() {
		b.StopTimer()
		b.ReportMetric(float64(spent()-from)/float64(b.N), "cpu-ns/op")
	}
}

// changes runs each for every operation and commits 8192 at a time.
func changes(b *testing.B, d *DB, each func(i int)) {
	done := processor(b)
	for i := range b.N {
		each(i)
		if i%8192 == 8191 {
			flush(b, d, Meta{Applied: uint64(i)})
		}
	}
	flush(b, d, Meta{})
	done()
}

// BenchmarkCommitDeletes deletes rows of the file in the order of their keys.
func BenchmarkCommitDeletes(b *testing.B) {
	d := filled(b, b.N)
	changes(b, d, func(i int) { d.Delete(1, benchKey(i)) })
}

// BenchmarkCommitUpdates replaces rows of the file in the order of their keys.
func BenchmarkCommitUpdates(b *testing.B) {
	d := filled(b, b.N)
	changes(b, d, func(i int) { d.Put(1, benchKey(i), benchRow[1:]) })
}

// BenchmarkCommitScatteredUpdates replaces rows of the file in no order.
func BenchmarkCommitScatteredUpdates(b *testing.B) {
	d := filled(b, 100_003)
	changes(b, d, func(i int) { d.Put(1, benchKey(i*7919%100_003), benchRow[1:]) })
}

// BenchmarkCommitPassing puts rows that are deleted before they are committed.
func BenchmarkCommitPassing(b *testing.B) {
	d := filled(b, 100_000)
	changes(b, d, func(i int) {
		d.Put(1, benchKey(i%100_000*2), benchRow)
		d.Delete(1, benchKey(i%100_000*2))
	})
}

// BenchmarkCommitQueue puts a row behind the last and deletes the first.
func BenchmarkCommitQueue(b *testing.B) {
	d := filled(b, 20_000)
	changes(b, d, func(i int) {
		d.Put(1, benchKey(20_000+i), benchRow)
		d.Delete(1, benchKey(i))
	})
}

func benchmarkGet(b *testing.B, d *DB, t Table, key func(i int) []byte, found bool) {
	done := processor(b)
	for i := range b.N {
		if v, err := d.Get(t, key(i)); err != nil || (v != nil) != found {
			b.Fatal(v, err)
		}
	}
	done()
}

// mixed has 100 000 rows in the file and 10 000 in memory.
func mixed(b *testing.B) *DB {
	d := filled(b, 100_000)
	for i := range 10_000 {
		d.Put(1, benchKey(100_000+i), benchRow)
	}
	return d
}

// BenchmarkGetMemory reads rows that are in memory.
func BenchmarkGetMemory(b *testing.B) {
	keys := make([][]byte, 10_000)
	for i := range keys {
		keys[i] = benchKey(100_000 + i)
	}
	benchmarkGet(b, mixed(b), 1, func(i int) []byte { return keys[i*7919%10_000] }, true)
}

// BenchmarkGetFile reads rows that are in the file.
func BenchmarkGetFile(b *testing.B) {
	keys := make([][]byte, 100_000)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	benchmarkGet(b, mixed(b), 1, func(i int) []byte { return keys[i*7919%100_000] }, true)
}

// BenchmarkGetNone asks a table without rows.
func BenchmarkGetNone(b *testing.B) {
	key := benchKey(7)
	benchmarkGet(b, mixed(b), 2, func(int) []byte { return key }, false)
}

func benchmarkAscend(b *testing.B, d *DB, t Table, from []byte, want int) {
	done := processor(b)
	for range b.N {
		n := 0
		err := d.Ascend(t, from, nil, func(_, _ []byte) (bool, error) { n++; return false, nil })
		if err != nil || n != want {
			b.Fatal(n, err)
		}
	}
	done()
}

// BenchmarkAscendOneMemory asks for the first row from a key whose next is in memory.
func BenchmarkAscendOneMemory(b *testing.B) {
	benchmarkAscend(b, mixed(b), 1, benchKey(100_500), 1)
}

// BenchmarkAscendOneFile asks for the first row from a key whose next is in the file.
func BenchmarkAscendOneFile(b *testing.B) { benchmarkAscend(b, mixed(b), 1, benchKey(500), 1) }

// BenchmarkAscendNone asks a table without rows.
func BenchmarkAscendNone(b *testing.B) { benchmarkAscend(b, mixed(b), 2, nil, 0) }

// BenchmarkAscendOneAndPut asks for one row and puts one: what a decision does.
func BenchmarkAscendOneAndPut(b *testing.B) {
	d := mixed(b)
	keys := make([][]byte, 10_000)
	for i := range keys {
		keys[i] = benchKey(100_000 + i)
	}
	done := processor(b)
	for i := range b.N {
		n := 0
		err := d.Ascend(1, keys[500], nil, func(_, _ []byte) (bool, error) { n++; return false, nil })
		if err != nil || n != 1 {
			b.Fatal(n, err)
		}
		d.Put(1, keys[i*7919%10_000], benchRow)
	}
	done()
}

// BenchmarkPut replaces rows in memory.
func BenchmarkPut(b *testing.B) {
	d := mixed(b)
	keys := make([][]byte, 10_000)
	for i := range keys {
		keys[i] = benchKey(100_000 + i)
	}
	done := processor(b)
	for i := range b.N {
		d.Put(1, keys[i*7919%10_000], benchRow)
	}
	done()
}
