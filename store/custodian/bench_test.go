package custodian

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// Of the bundles of the benchmark every second one goes, so many at a time, of so
// many bytes each on the disk.
const (
	benchAtOnce = 800
	benchBytes  = 700
)

// BenchmarkDestroy destroys every second of small bundles that lie one behind the
// other: by the custodian, and as the disk alone takes the same writes and syncs.
func BenchmarkDestroy(b *testing.B) {
	b.Run("custodian", func(b *testing.B) {
		h := newBenchHouse(b)
		b.ResetTimer()
		for i := range b.N {
			if _, err := h.DestroyAll(b.Context(), h.orders(b, i)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*benchAtOnce)/b.Elapsed().Seconds(), "bundles/s")
	})
	b.Run("disk", func(b *testing.B) {
		h := newBenchHouse(b)
		if err := ClearTree(h.dir); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		for i := range b.N {
			if err := h.overwrite(keyring.FileName(h.blocks[i].ID), keyring.SlotSize, func(k int) int64 { return keyring.SlotOffset(uint32(2 * k)) }, false); err != nil {
				b.Fatal(err)
			}
			if err := h.overwrite(segmentOne, benchBytes, func(k int) int64 { return benchRange(i, k).Offset }, true); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*benchAtOnce)/b.Elapsed().Seconds(), "bundles/s")
	})
}

// benchHouse is one segment and a key block for each round.
type benchHouse struct {
	*Local
	dir    string
	blocks []keyring.Block
}

func newBenchHouse(b *testing.B) benchHouse {
	h := benchHouse{dir: b.TempDir()}
	var err error
	if h.Local, err = NewLocal(h.dir, Options{Judge: yes{}}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := ClearTree(h.dir); err != nil {
			b.Error(err)
		}
	})
	ring, err := keyring.Open(h.dir, keyring.RootKey{1}, format.ID{2}, h.Local)
	if err != nil {
		b.Fatal(err)
	}
	f, err := h.Create(segmentOne)
	if err != nil {
		b.Fatal(err)
	}
	content := make([]byte, 2*benchAtOnce*benchBytes)
	if _, err := f.Write(content[:format.FileHeaderSize]); err != nil {
		b.Fatal(err)
	}
	for range b.N {
		if _, err := rand.Read(content); err != nil {
			b.Fatal(err)
		}
		block, err := keyring.NewBlock(rand.Reader, 1, 2*benchAtOnce)
		if err == nil {
			_, err = f.Write(content)
		}
		if err = errors.Join(err, ring.Install(block)); err != nil {
			b.Fatal(err)
		}
		h.blocks = append(h.blocks, block)
	}
	if err := errors.Join(f.Sync(), f.Close(), h.Seal(segmentOne)); err != nil {
		b.Fatal(err)
	}
	return h
}

func benchRange(round, k int) Range {
	return Range{File: segmentOne, Offset: format.FileHeaderSize + int64(2*(round*benchAtOnce+k))*benchBytes, Length: benchBytes}
}

func (h *benchHouse) orders(b *testing.B, round int) []Order {
	b.StopTimer()
	defer b.StartTimer()
	rule, err := retention.ParseRule("PT1H")
	if err != nil {
		b.Fatal(err)
	}
	r, err := retention.New(rule, retention.BasisStatute, retention.DefaultBounds(), 1)
	if err == nil {
		r, err = r.Started(1)
	}
	if err != nil {
		b.Fatal(err)
	}
	orders := make([]Order, benchAtOnce)
	for k := range orders {
		permit, err := r.Expire(retention.RecordID(k), r.End())
		if err != nil {
			b.Fatal(err)
		}
		orders[k] = Order{Warrant{Permit: permit}, Work{Bundle: uint64(k), Slots: []format.Slot{{Block: h.blocks[round].ID, Index: uint32(2 * k)}}, Ranges: []Range{benchRange(round, k)}}}
	}
	return orders
}

// overwrite zeroes stretches of a file, syncs, and punches what it can.
func (h *benchHouse) overwrite(name string, size int, at func(k int) int64, punch bool) error {
	f, err := os.OpenFile(filepath.Join(h.dir, name), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	zeros := make([]byte, size)
	for k := range benchAtOnce {
		if _, err := f.WriteAt(zeros, at(k)); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return errors.Join(err, f.Close())
	}
	for k := 0; punch && k < benchAtOnce; k++ {
		if !holdsBlock(at(k), int64(size), 4096) {
			continue
		}
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at(k), int64(size)); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}
