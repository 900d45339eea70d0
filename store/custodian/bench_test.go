package custodian

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// benchBytes is what each bundle of the benchmark has on the disk.
const benchBytes = 700

// BenchmarkDestroy destroys every second of small bundles that lie one behind the
// other: by the custodian, and, in turns with it, as the disk alone takes the same
// writes and the least syncs.
func BenchmarkDestroy(b *testing.B) {
	for _, atOnce := range []int{800, 100} {
		b.Run(strconv.Itoa(atOnce), func(b *testing.B) {
			h, raw := newBenchHouse(b, atOnce), newBenchHouse(b, atOnce)
			if err := ClearTree(raw.dir); err != nil {
				b.Fatal(err)
			}
			var here, disk time.Duration
			for i := range b.N {
				orders := h.orders(b, i)
				begun := time.Now()
				if _, err := h.DestroyAll(b.Context(), orders); err != nil {
					b.Fatal(err)
				}
				between := time.Now()
				if err := raw.overwrite(i); err != nil {
					b.Fatal(err)
				}
				here, disk = here+between.Sub(begun), disk+time.Since(between)
			}
			b.ReportMetric(float64(b.N*atOnce)/here.Seconds(), "custodian/s")
			b.ReportMetric(float64(b.N*atOnce)/disk.Seconds(), "disk/s")
		})
	}
}

// benchHouse is one segment and a key block for each round.
type benchHouse struct {
	*Local
	atOnce int // bundles of a round that go; as many stay
	dir    string
	blocks []keyring.Block
}

func newBenchHouse(b *testing.B, atOnce int) *benchHouse {
	h := &benchHouse{atOnce: atOnce, dir: b.TempDir()}
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
	content := make([]byte, 2*atOnce*benchBytes)
	if _, err := f.Write(content[:format.FileHeaderSize]); err != nil {
		b.Fatal(err)
	}
	for range b.N {
		if _, err := rand.Read(content); err != nil {
			b.Fatal(err)
		}
		block, err := keyring.NewBlock(rand.Reader, 1, 2*atOnce)
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

func (h *benchHouse) span(round, k int) Range {
	return Range{File: segmentOne, Offset: format.FileHeaderSize + int64(2*(round*h.atOnce+k))*benchBytes, Length: benchBytes}
}

func (h *benchHouse) orders(b *testing.B, round int) []Order {
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
	orders := make([]Order, h.atOnce)
	for k := range orders {
		permit, err := r.Expire(retention.RecordID(k), r.End())
		if err != nil {
			b.Fatal(err)
		}
		orders[k] = Order{Warrant{Permit: permit}, Work{Bundle: uint64(k), Slots: []format.Slot{{Block: h.blocks[round].ID, Index: uint32(2 * k)}}, Ranges: []Range{h.span(round, k)}}}
	}
	return orders
}

// overwrite zeroes what a round's orders name, as plainly as the disk takes it: its
// key slots and its ranges, with a sync of the data and one of the file for each.
func (h *benchHouse) overwrite(round int) error {
	slots := func(k int) int64 { return keyring.SlotOffset(uint32(2 * k)) }
	if err := h.zero(keyring.FileName(h.blocks[round].ID), keyring.SlotSize, slots); err != nil {
		return err
	}
	return h.zero(segmentOne, benchBytes, func(k int) int64 { return h.span(round, k).Offset })
}

func (h *benchHouse) zero(name string, size int, at func(k int) int64) error {
	f, err := os.OpenFile(filepath.Join(h.dir, name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	zeros := make([]byte, size)
	for k := range h.atOnce {
		if _, err := f.WriteAt(zeros, at(k)); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(unix.Fdatasync(int(f.Fd())), f.Sync(), f.Close())
}
