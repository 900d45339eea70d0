package replication

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/keyring"
)

const (
	diskPayload = 700 // bytes of a bundle of rateSize in its segment
	diskRecord  = 200 // bytes of its ERASE record in the history
	diskBundles = 100_000
	diskPage    = 4096
)

// diskAlone is what erasure is to the disk: the files it writes to and nothing else, no
// lookup, no judgement, no signature, no index.
type diskAlone struct {
	t                           *testing.T
	keys, payload, history, log *os.File
	next                        int
}

func newDiskAlone(t *testing.T) *diskAlone {
	t.Helper()
	dir, rnd := t.TempDir(), rand.NewChaCha8([32]byte{1})
	file := func(name string, size int) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		content := make([]byte, size)
		rnd.Read(content)
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		return f
	}
	return &diskAlone{t: t, keys: file("keys", 2*diskBundles*keyring.SlotSize), payload: file("payload", 2*diskBundles*diskPayload),
		history: file("history", 0), log: file("log", 4*diskPage)}
}

// rate is how many erasures a second it takes, so many between two pairs of syncs:
// every second key slot and payload is overwritten. With entries the ERASE records are
// appended too, and so many go to the log, each with the two syncs of bbolt. All comes
// one after the other, from pages in memory.
func (d *diskAlone) rate(atOnce, entries int) float64 {
	d.t.Helper()
	begun, done := time.Now(), 0
	for time.Since(begun) < 2*time.Second {
		err := d.overwrite(atOnce)
		if err == nil && entries > 0 {
			err = synced(d.history, func() error { _, err := d.history.Write(make([]byte, atOnce*diskRecord)); return err })
		}
		for range entries {
			err = errors.Join(err,
				synced(d.log, func() error { _, err := d.log.WriteAt(make([]byte, 2*diskPage), 2*diskPage); return err }),
				synced(d.log, func() error { _, err := d.log.WriteAt(make([]byte, diskPage), 0); return err }))
		}
		if err != nil {
			d.t.Fatal(err)
		}
		done += atOnce
	}
	return float64(done) / time.Since(begun).Seconds()
}

func (d *diskAlone) overwrite(atOnce int) error {
	each := func(f *os.File, size int) error {
		return synced(f, func() error {
			zeros := make([]byte, size)
			for k := range atOnce {
				if _, err := f.WriteAt(zeros, int64(2*((d.next+k)%diskBundles)*size)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	defer func() { d.next += atOnce }()
	return errors.Join(each(d.keys, keyring.SlotSize), each(d.payload, diskPayload))
}

func synced(f *os.File, write func() error) error {
	if err := write(); err != nil {
		return err
	}
	return unix.Fdatasync(int(f.Fd()))
}
