package index

import (
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkCommitOrdered puts and commits rows whose keys grow, 8192 a batch.
func BenchmarkCommitOrdered(b *testing.B) { benchmarkCommit(b, func(i int) int { return i }) }

// BenchmarkCommitScattered does so with keys in no order.
func BenchmarkCommitScattered(b *testing.B) {
	benchmarkCommit(b, func(i int) int { return i * 7919 % 1_000_003 })
}

func benchmarkCommit(b *testing.B, key func(int) int) {
	d, _ := open(b, filepath.Join(b.TempDir(), "index.db"))
	defer d.Close()
	for i := range b.N {
		d.Put(1, fmt.Appendf(nil, "%032d", key(i)), []byte("a row of the index, some eighty bytes long as rows of bundles."))
		if i%8192 == 8191 {
			flush(b, d, Meta{Applied: uint64(i)})
		}
	}
	flush(b, d, Meta{})
}

// BenchmarkCheckFile reads and checks one row.
func BenchmarkCheckFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "index.db")
	d, _ := open(b, path)
	defer d.Close()
	for i := range b.N {
		d.Put(1, fmt.Appendf(nil, "%032d", i), []byte("a row of the index, some eighty bytes long as rows of bundles."))
	}
	flush(b, d, Meta{})
	b.ResetTimer()
	if err := CheckFile(path); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkView opens a view over 100 000 rows, half of them in memory, and puts a
// hundred rows beside it: what a MARK that keeps one costs the writer.
func BenchmarkView(b *testing.B) {
	d, _ := open(b, filepath.Join(b.TempDir(), "index.db"))
	defer d.Close()
	row := []byte("a row of the index, some eighty bytes long as rows of bundles.")
	for i := range 100_000 {
		d.Put(1, fmt.Appendf(nil, "%032d", i), row)
		if i == 50_000 {
			flush(b, d, Meta{Applied: 1})
		}
	}
	b.ResetTimer()
	for i := range b.N {
		v, err := d.View()
		if err != nil {
			b.Fatal(err)
		}
		for j := range 100 {
			d.Put(1, fmt.Appendf(nil, "%032d", (i*100+j)*7919%100_000), row)
		}
		if err := v.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkViewWalk walks 100 000 rows of a view, half of them in memory.
func BenchmarkViewWalk(b *testing.B) {
	d, _ := open(b, filepath.Join(b.TempDir(), "index.db"))
	defer d.Close()
	for i := range 100_000 {
		d.Put(1, fmt.Appendf(nil, "%032d", i), []byte("a row of the index, some eighty bytes long as rows of bundles."))
		if i == 50_000 {
			flush(b, d, Meta{Applied: 1})
		}
	}
	v, err := d.View()
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		n := 0
		if err := v.Ascend(1, nil, nil, func(_, _ []byte) (bool, error) { n++; return true, nil }); err != nil || n != 100_000 {
			b.Fatal(n, err)
		}
	}
	b.StopTimer()
	if err := v.Close(); err != nil {
		b.Fatal(err)
	}
}
