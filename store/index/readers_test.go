package index

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/sago-worm/sago/store/format"
)

// TestRowIsNeverMissedOnItsWayToTheFile puts the first row of one table after another
// and commits it, while readers ask for the newest.
func TestRowIsNeverMissedOnItsWayToTheFile(t *testing.T) {
	o := testOptions
	o.Tables = nil
	for tab := Table(1); tab <= 120; tab++ {
		o.Tables = append(o.Tables, tab)
	}
	d, _, err := Open(filepath.Join(t.TempDir(), "index.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var newest atomic.Uint32
	key := []byte("key")
	see := func(tab Table) error {
		if v, err := d.Get(tab, key); string(v) != "value" || err != nil {
			return fmt.Errorf("Get in table %d: %q %w", tab, v, err)
		}
		n := 0
		err := d.Ascend(tab, nil, nil, func(_, _ []byte) (bool, error) { n++; return true, nil })
		if n != 1 || err != nil {
			return fmt.Errorf("Ascend in table %d: %d rows %w", tab, n, err)
		}
		return nil
	}
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if tab := Table(newest.Load()); tab != 0 {
					if err := see(tab); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for _, tab := range o.Tables {
		d.Put(tab, key, []byte("value"))
		newest.Store(uint32(tab))
		flush(t, d, Meta{Applied: uint64(tab)})
	}
	close(stop)
	readers.Wait()
}

// TestScansInsideAScan reads the same table in the middle of a scan of it, and puts
// and deletes what lies ahead.
func TestScansInsideAScan(t *testing.T) {
	d, _ := open(t, filepath.Join(t.TempDir(), "index.db"))
	defer d.Close()
	want := ""
	for i := range 300 {
		d.Put(1, fmt.Appendf(nil, "%03d", i), []byte("a"))
		if i == 150 {
			flush(t, d, Meta{Applied: 1})
		}
		want += fmt.Sprintf("%03d=a ", i)
	}
	d.Delete(1, []byte("007"))
	d.Put(1, []byte("007"), []byte("a")) // in memory and in the file
	v, err := d.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, scan := range []func(Table, []byte, []byte, func(k, val []byte) (bool, error)) error{d.Ascend, v.Ascend} {
		got := ""
		err := scan(1, nil, nil, func(k, val []byte) (bool, error) {
			got += fmt.Sprintf("%s=%s ", k, val)
			d.Put(1, fmt.Appendf(nil, "%s+", k), []byte("new"))
			d.Put(1, k, []byte("changed"))
			d.Delete(1, []byte("299"))
			return len(got) <= len(want), v.Ascend(1, nil, nil, func(first, _ []byte) (bool, error) {
				if string(first) != "000" {
					return false, fmt.Errorf("inner scan begins at %s", first)
				}
				return false, nil
			})
		})
		if err != nil || got != want {
			t.Fatalf("%v\n got %s\nwant %s", err, got, want)
		}
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := d.Get(1, []byte("000")); string(v) != "changed" || err != nil {
		t.Fatal(v, err)
	}
}

// TestP64_DeletingADamagedRowIsFinal as replacing one is.
func TestP64_DeletingADamagedRowIsFinal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	d, _ := open(t, path)
	defer d.Close()
	for _, k := range []string{"key-1", "key-2", "key-3"} {
		d.Put(1, []byte(k), []byte("value of "+k))
	}
	flush(t, d, Meta{Applied: 1})
	flipAll(t, path, []byte("value of key-2"))
	d.Delete(1, []byte("key-1"))
	d.Delete(1, []byte("key-2"))
	var damage *format.DamageError
	if err := d.Commit(d.Rotate(Meta{Applied: 2})); !errors.Is(err, ErrLatched) || !errors.As(err, &damage) {
		t.Fatalf("commit: %v", err)
	}
	if v, err := d.Get(1, []byte("key-3")); string(v) != "value of key-3" || err != nil {
		t.Fatal(v, err)
	}
}

// TestRowThatPassedIsNotWritten puts a row, in the middle and at the end of a table,
// and deletes it before the commit: the file has what it had.
func TestRowThatPassedIsNotWritten(t *testing.T) {
	d, _ := open(t, filepath.Join(t.TempDir(), "index.db"))
	defer d.Close()
	for i := range 1000 {
		d.Put(1, fmt.Appendf(nil, "%04d", i), bytes.Repeat([]byte("r"), 100))
	}
	flush(t, d, Meta{Applied: 1})
	stats := d.bolt.Load().Stats()
	from := stats.TxStats.GetSpill()
	for _, k := range []string{"0500-between", "0700-between", "1000-behind"} {
		d.Put(1, []byte(k), []byte("passing"))
		d.Delete(1, []byte(k))
	}
	flush(t, d, Meta{Applied: 2})
	stats = d.bolt.Load().Stats()
	// The root's page, with the meta row: the table's pages are not written again.
	if n := stats.TxStats.GetSpill() - from; n > 2 {
		t.Fatalf("%d pages spilt", n)
	}
	if err := d.VerifyAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestPagesOfAQueueAreFull where rows are put behind the last one and the first are
// deleted.
func TestPagesOfAQueueAreFull(t *testing.T) {
	d, _ := open(t, filepath.Join(t.TempDir(), "index.db"))
	defer d.Close()
	row := bytes.Repeat([]byte("r"), 100)
	for i := range 5000 {
		d.Put(1, fmt.Appendf(nil, "%05d", i), row)
		if i >= 2000 {
			d.Delete(1, fmt.Appendf(nil, "%05d", i-2000))
		}
		if i%500 == 499 {
			flush(t, d, Meta{Applied: uint64(i)})
		}
	}
	err := d.bolt.Load().View(func(tx *bolt.Tx) error {
		s := tx.Bucket(bucketName(1)).Stats()
		if s.KeyN != 2000 || s.LeafInuse*10 < s.LeafAlloc*8 {
			return fmt.Errorf("%d rows, %d bytes of %d in use", s.KeyN, s.LeafInuse, s.LeafAlloc)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPagesLeaveRoomWhereRowsComeBetween others, and are full where rows come in order
// but for a few, as those of requests that run beside one another.
func TestPagesLeaveRoomWhereRowsComeBetween(t *testing.T) {
	full := func(batches ...[]int) float64 {
		d, _ := open(t, filepath.Join(t.TempDir(), "index.db"))
		defer d.Close()
		row := bytes.Repeat([]byte("r"), 100)
		for _, b := range batches {
			for _, i := range b {
				d.Put(1, fmt.Appendf(nil, "%05d", i), row)
			}
			flush(t, d, Meta{})
		}
		var s bolt.BucketStats
		err := d.bolt.Load().View(func(tx *bolt.Tx) error { s = tx.Bucket(bucketName(1)).Stats(); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return float64(s.LeafInuse) / float64(s.LeafAlloc)
	}
	var even, odd []int
	for i := range 2000 {
		even, odd = append(even, 2*i), append(odd, 2*i+1)
	}
	behind := []int{90_000, 90_001, 90_002}
	if f := full(even, append(odd, behind...)); f > 0.7 {
		t.Errorf("%.2f full where rows come between others", f)
	}
	var batches [][]int
	for first := 0; first < 4000; first += 400 { // the first row of each comes with the next
		batch := []int{max(first-400, 0)}
		for i := first + 1; i < first+400; i++ {
			batch = append(batch, i)
		}
		batches = append(batches, batch)
	}
	if f := full(batches...); f < 0.8 {
		t.Errorf("%.2f full where rows come in order but for a few", f)
	}
}
