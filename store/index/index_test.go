package index

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/store/format"
)

var testOptions = Options{Cluster: format.ID{1}, Incarnation: format.ID{2}, Tables: []Table{1, 2, 7}}

func open(t interface{ Fatal(...any) }, path string) (*DB, Meta) {
	d, m, err := Open(path, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	return d, m
}

func flush(t interface{ Fatal(...any) }, d *DB, m Meta) {
	if err := d.Commit(d.Rotate(m)); err != nil {
		t.Fatal(err)
	}
}

// model is the index as a map would have it.
type model map[string]string

func (m model) table(t Table, b bounds) (out [][2]string) {
	for k, v := range m {
		if Table(k[0]) == t && b.holds([]byte(k[1:])) {
			out = append(out, [2]string{k[1:], v})
		}
	}
	slices.SortFunc(out, func(x, y [2]string) int { return strings.Compare(x[0], y[0]) })
	return out
}

func collect(t *rapid.T, d *DB, tab Table, b bounds) (out [][2]string) {
	err := d.Ascend(tab, b.from, b.to, func(k, v []byte) (bool, error) {
		again, err := d.Get(tab, k)
		if err != nil || !bytes.Equal(again, v) {
			t.Fatalf("Get(%x) inside the scan: %x, %v", k, again, err)
		}
		out = append(out, [2]string{string(k), string(v)})
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestModel compares the index with a map over random puts, deletes, rotations,
// commits, reopenings and scans.
func TestModel(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		path := filepath.Join(dir, fmt.Sprintf("%d.db", run))
		d, _ := open(t, path)
		defer func() { d.Close(); os.Remove(path) }()
		now, saved, rotated := model{}, model{}, model(nil)
		var batch *Batch
		var applied uint64
		clone := func(m model) model {
			out := model{}
			for k, v := range m {
				out[k] = v
			}
			return out
		}
		key := rapid.Custom(func(t *rapid.T) []byte {
			return []byte{rapid.ByteRange(1, 12).Draw(t, "k0"), rapid.ByteRange(0, 6).Draw(t, "k1")}
		})
		table := rapid.SampledFrom(testOptions.Tables)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				tab, k, v := table.Draw(t, "t"), key.Draw(t, "k"), rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "v")
				d.Put(tab, k, v)
				now[memoryKey(tab, k)] = string(v)
			},
			"delete": func(t *rapid.T) {
				tab, k := table.Draw(t, "t"), key.Draw(t, "k")
				d.Delete(tab, k)
				delete(now, memoryKey(tab, k))
			},
			"get": func(t *rapid.T) {
				tab, k := table.Draw(t, "t"), key.Draw(t, "k")
				got, err := d.Get(tab, k)
				want, ok := now[memoryKey(tab, k)]
				if err != nil || ok != (got != nil) || string(got) != want {
					t.Fatalf("Get(%d,%x) = %x, %v; want %x, %v", tab, k, got, err, want, ok)
				}
			},
			"scan": func(t *rapid.T) {
				tab, b := table.Draw(t, "t"), bounds{}
				if rapid.Bool().Draw(t, "bounded") {
					b.from, b.to = key.Draw(t, "from"), key.Draw(t, "to")
				}
				if got, want := collect(t, d, tab, b), now.table(tab, b); !slices.Equal(got, want) {
					t.Fatalf("scan %+v:\n got %q\nwant %q", b, got, want)
				}
			},
			"rotate": func(t *rapid.T) {
				applied++
				b := d.Rotate(Meta{Applied: applied, Extra: []byte("x")})
				if (b == nil) != (batch != nil) {
					t.Fatalf("Rotate with a batch under way %v answered %v", batch != nil, b)
				}
				if b == nil {
					applied--
				} else {
					batch, rotated = b, clone(now)
				}
			},
			"commit": func(t *rapid.T) {
				if err := d.Commit(batch); err != nil {
					t.Fatal(err)
				}
				if batch != nil {
					batch, saved = nil, rotated
				}
			},
			"reopen": func(t *rapid.T) {
				if err := d.VerifyAll(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				var m Meta
				d, m = open(t, path)
				if batch != nil {
					applied, batch = applied-1, nil
				}
				now = clone(saved)
				if m.Applied != applied {
					t.Fatalf("reopened at %d, want %d", m.Applied, applied)
				}
			},
		})
	})
}

// TestP61_CommitKeepsRowsAndMetaTogether kills the process, as far as the file can
// see, before and after a commit: rows and applied index move together.
func TestP61_CommitKeepsRowsAndMetaTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	d, _ := open(t, path)
	want := Meta{Applied: 5, Term: 2, History: 9, StateHash: format.Digest{3}, Extra: []byte("extra")}
	want.Segment.File, want.Segment.Offset = 4, 160
	d.Put(1, []byte("a"), []byte("old"))
	flush(t, d, want)
	d.Put(1, []byte("a"), []byte("new"))
	d.Put(2, []byte("b"), nil)
	b := d.Rotate(Meta{Applied: 6})
	if d.Pending() != 2 {
		t.Fatalf("pending %d", d.Pending())
	}
	before := crashCopy(t, path)
	if err := d.Commit(b); err != nil || d.Pending() != 0 {
		t.Fatal(err, d.Pending())
	}
	after := crashCopy(t, path)
	d.Close()

	old, m := open(t, before)
	defer old.Close()
	if v, err := old.Get(1, []byte("a")); string(v) != "old" || err != nil || m.Applied != 5 || string(m.Extra) != "extra" || m.Segment != want.Segment || m.StateHash != want.StateHash {
		t.Fatalf("before: %q %v %+v", v, err, m)
	}
	now, m := open(t, after)
	defer now.Close()
	v, err := now.Get(2, []byte("b"))
	if v == nil || err != nil || m.Applied != 6 {
		t.Fatalf("after: %v %v %+v", v, err, m)
	}
}

func crashCopy(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "index.db")
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestForeignFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	d, _ := open(t, path)
	flush(t, d, Meta{Applied: 1})
	d.Close()
	for name, change := range map[string]func(*Options){
		"cluster":     func(o *Options) { o.Cluster = format.ID{9} },
		"incarnation": func(o *Options) { o.Incarnation = format.ID{9} },
	} {
		o := testOptions
		change(&o)
		if _, _, err := Open(path, o); !errors.Is(err, ErrForeign) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	o := testOptions
	o.Tables = []Table{1, 2}
	if _, _, err := Open(path, o); !errors.Is(err, ErrTables) {
		t.Errorf("other tables: %v", err)
	}
	o = testOptions
	o.Probe = func(string) error { return errors.New("child says no") }
	if _, _, err := Open(path, o); err == nil {
		t.Error("the probe's word was not heard")
	}
}

// TestP64_FailedCommitIsFinal damages a row under the open index: the commit that
// replaces it fails and no later one is acknowledged.
func TestP64_FailedCommitIsFinal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	d, _ := open(t, path)
	defer d.Close()
	d.Put(1, []byte("key-of-the-row"), []byte("value-of-the-row"))
	flush(t, d, Meta{Applied: 1})
	flipAll(t, path, []byte("value-of-the-row"))

	var damage *format.DamageError
	if v, err := d.Get(1, []byte("key-of-the-row")); v != nil || !errors.As(err, &damage) {
		t.Fatalf("read %q, %v", v, err)
	}
	if err := d.VerifyAll(t.Context()); !errors.As(err, &damage) {
		t.Fatalf("verify: %v", err)
	}
	d.Put(1, []byte("key-of-the-row"), []byte("other"))
	if err := d.Commit(d.Rotate(Meta{Applied: 2})); !errors.Is(err, ErrLatched) || !errors.As(err, &damage) {
		t.Fatalf("commit: %v", err)
	}
	if err := d.Commit(&Batch{rows: &rows{}}); !errors.Is(err, ErrLatched) {
		t.Fatalf("second commit: %v", err)
	}
}

// flipAll changes the first byte of every occurrence of what in the file.
func flipAll(t *testing.T, path string, what []byte) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], what)
		if i < 0 {
			return
		}
		at += i
		if _, err := f.WriteAt([]byte{b[at] ^ 1}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReadersBesideTheWriter reads rows that never change while others are put,
// rotated and committed.
func TestReadersBesideTheWriter(t *testing.T) {
	d, _ := open(t, filepath.Join(t.TempDir(), "index.db"))
	defer d.Close()
	for i := range 100 {
		d.Put(1, fmt.Appendf(nil, "fixed-%03d", i), []byte("here"))
	}
	flush(t, d, Meta{})
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if v, err := d.Get(1, fmt.Appendf(nil, "fixed-%03d", n%100)); string(v) != "here" || err != nil {
					t.Errorf("Get: %q %v", v, err)
					return
				}
				seen := 0
				err := d.Ascend(1, []byte("fixed"), []byte("fixee"), func(_, _ []byte) (bool, error) { seen++; return true, nil })
				if seen != 100 || err != nil {
					t.Errorf("Ascend: %d %v", seen, err)
					return
				}
			}
		})
	}
	for i := range 30 {
		for j := range 50 {
			d.Put(1, fmt.Appendf(nil, "other-%d-%d", i, j), bytes.Repeat([]byte{1}, 200))
			d.Put(1, fmt.Appendf(nil, "fixed-%03d", j), []byte("here"))
		}
		flush(t, d, Meta{Applied: uint64(i)})
	}
	close(stop)
	readers.Wait()
	if err := d.VerifyAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}
