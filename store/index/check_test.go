package index

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/sago-worm/sago/store/format"
)

// build makes an index with tables inside their entry, on one page and on
// branches, and with free pages.
func build(t *testing.T, path string) map[string]string {
	d, _ := open(t, path)
	defer d.Close()
	want := map[string]string{}
	put := func(tab Table, k, v string) {
		d.Put(tab, []byte(k), []byte(v))
		want[memoryKey(tab, []byte(k))] = v
	}
	put(1, "only", "row")
	for i := range 60 {
		put(2, fmt.Sprintf("key-%05d", i*7), fmt.Sprintf("value %d %s", i, bytes.Repeat([]byte("v"), 100)))
	}
	for i := range 9 {
		put(7, fmt.Sprintf("middle-%d", i), string(bytes.Repeat([]byte("m"), 150)))
	}
	put(7, "big", string(bytes.Repeat([]byte("b"), 5000)))
	flush(t, d, Meta{Applied: 1, Extra: []byte("first")})
	put(2, "key-00007", "changed")
	d.Delete(2, []byte("key-00014"))
	delete(want, memoryKey(2, []byte("key-00014")))
	flush(t, d, Meta{Applied: 2, Extra: []byte("second")})
	return want
}

// same compares everything that the index answers.
func same(d *DB, m Meta, want map[string]string) error {
	if m.Applied != 2 || string(m.Extra) != "second" {
		return fmt.Errorf("meta %+v", m)
	}
	n := 0
	for _, t := range testOptions.Tables {
		err := d.Ascend(t, nil, nil, func(k, v []byte) (bool, error) {
			n++
			if w, ok := want[memoryKey(t, k)]; !ok || w != string(v) {
				return false, fmt.Errorf("table %d row %q is %q", t, k, v)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	if n != len(want) {
		return fmt.Errorf("%d rows, want %d", n, len(want))
	}
	for k, v := range want {
		if got, err := d.Get(Table(k[0]), []byte(k[1:])); err != nil || string(got) != v {
			return fmt.Errorf("Get(%q) = %q, %v", k, got, err)
		}
	}
	return nil
}

// TestP45_EveryFlippedByteIsFoundOrHarmless flips each byte of a small index, one
// after another: Open says so, or every row reads as before.
func TestP45_EveryFlippedByteIsFoundOrHarmless(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	want := build(t, path)
	clean, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end, free := usedBytes(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found, harmless := 0, 0
	mask := []byte{0x01, 0x80, 0xff}
	for at := range end {
		if free[at/os.Getpagesize()] && at%97 != 0 {
			continue // nothing is there to be changed; a sample is enough
		}
		if slack(clean, at) && at%13 != 0 {
			continue
		}
		if _, err := f.WriteAt([]byte{clean[at] ^ mask[at%3]}, int64(at)); err != nil {
			t.Fatal(err)
		}
		if err := flipped(t, path, want); err != nil {
			var damage *format.DamageError
			if !errors.As(err, &damage) || damage.File != "index.db" {
				t.Fatalf("byte %d: %v", at, err)
			}
			found++
		} else {
			harmless++
		}
		if _, err := f.WriteAt(clean[at:at+1], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d bytes: %d found, %d harmless", end, found, harmless)
	if found < len(want)*100 {
		t.Fatalf("only %d found", found)
	}
}

// slack says that a byte lies in a wide run of zeros, which no field is.
func slack(b []byte, at int) bool {
	around := b[max(0, at-40):min(len(b), at+40)]
	return bytes.Equal(around, make([]byte, len(around)))
}

// flipped returns the damage that Open names; without one it insists that nothing
// reads differently.
func flipped(t *testing.T, path string, want map[string]string) error {
	if err := CheckFile(path); err != nil {
		return err
	}
	o := testOptions
	o.Probe = func(string) error { return nil } // just done
	d, m, err := Open(path, o)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := same(d, m, want); err != nil {
		t.Fatalf("not found, and reads differ: %v", err)
	}
	if err := d.VerifyAll(t.Context()); err != nil {
		t.Fatalf("CheckFile found nothing, VerifyAll: %v", err)
	}
	return nil
}

// usedBytes runs bbolt's own check and returns where its pages end and which of
// them are free.
func usedBytes(t *testing.T, path string) (end int, free map[int]bool) {
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	free = map[int]bool{}
	err = db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		for id := 0; ; id++ {
			p, err := tx.Page(id)
			if p == nil || err != nil {
				end = id * db.Info().PageSize
				return err
			}
			free[id] = p.Type == "free"
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return end, free
}

// TestCheckFileAgreesWithBbolt grows an index over many pages, deletes most of it
// and checks it after each commit.
func TestCheckFileAgreesWithBbolt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	d, _ := open(t, path)
	for round := range 6 {
		for i := range 1500 {
			k := fmt.Appendf(nil, "%08d", (i*7919+round)%20000)
			if round%3 == 2 {
				d.Delete(1, k)
				d.Delete(2, fmt.Appendf(nil, "%d-%d", round-1, i))
				continue
			}
			d.Put(1, k, bytes.Repeat([]byte{byte(i)}, i%300))
			d.Put(2, fmt.Appendf(nil, "%d-%d", round, i), []byte("ordered"))
		}
		flush(t, d, Meta{Applied: uint64(round)})
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := CheckFile(path); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		usedBytes(t, path)
		d, _ = open(t, path)
	}
	d.Close()
}

func TestCheckFileOfNoIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	for _, b := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte{0}, 40000), bytes.Repeat([]byte{0xff}, 40000)} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var damage *format.DamageError
		if _, _, err := Open(path, testOptions); !errors.As(err, &damage) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	if err := CheckFile(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// FuzzCheckPages changes a real file: the checker ends with an answer, whatever it
// reads.
func FuzzCheckPages(f *testing.F) {
	path := filepath.Join(f.TempDir(), "index.db")
	d, _ := open(f, path)
	for i := range 300 {
		d.Put(1, fmt.Appendf(nil, "%05d", i), []byte("value"))
	}
	flush(f, d, Meta{Applied: 1})
	d.Close()
	clean, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	clean = clean[:min(len(clean), 16*os.Getpagesize())]
	f.Add(uint32(4096*4+8), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint32(16), []byte("SAGO"))
	f.Fuzz(func(t *testing.T, at uint32, with []byte) {
		b := bytes.Clone(clean)
		at %= uint32(len(b))
		copy(b[at:], with)
		err := checkPages("index.db", bytes.NewReader(b), int64(len(b)))
		var damage *format.DamageError
		if err != nil && !errors.As(err, &damage) {
			t.Fatal(err)
		}
	})
}
