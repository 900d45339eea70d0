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
