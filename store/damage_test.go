package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// damagedWorld is a closed store with two bundles under a checkpoint.
func damagedWorld(t *testing.T) (*world, *node) {
	t.Helper()
	w := newWorld(t, t, 1)
	w.put("T0", "P1Y")
	w.put("T1", "P1Y")
	w.began()
	w.checkpoint()
	return w, w.nodes[0]
}

// spoil flips one byte of a file of a node that is not running.
func (n *node) spoil(name string, at int64) {
	n.w.Helper()
	n.w.must(custodian.ClearTree(n.dir))
	f, err := os.OpenFile(filepath.Join(n.dir, name), os.O_RDWR, 0)
	n.w.must(err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	n.w.must(err)
	b[0] ^= 0x01
	_, err = f.WriteAt(b, at)
	n.w.must(errors.Join(err, f.Close()))
}

// spread answers places all over a file of n bytes, the first and last included.
func spread(n int64, places int64) (out []int64) {
	for i := range places {
		out = append(out, i*(n-1)/(places-1))
	}
	return out
}

func (n *node) fileSize(name string) int64 {
	n.w.Helper()
	st, err := os.Stat(filepath.Join(n.dir, name))
	n.w.must(err)
	return st.Size()
}

func (n *node) only(room string) string {
	n.w.Helper()
	list, err := os.ReadDir(filepath.Join(n.dir, room))
	n.w.must(err)
	return room + "/" + list[0].Name()
}

// named insists that a damage report names the file.
func named(t *testing.T, d *format.DamageError, file string) {
	t.Helper()
	if !strings.HasPrefix(file, d.File) {
		t.Fatalf("damage of %s is reported in %q: %v", file, d.File, d)
	}
}

func TestP45_AFlippedPayloadByteIsNamedAndNeverServed(t *testing.T) {
	w, n := damagedWorld(t)
	headers, err := n.BundleChunks(n.row("T0"))
	w.must(err)
	held, err := n.held(slotKey(headers[0].Slot))
	w.must(err)
	file := n.segments.Name(held[0].File)
	for _, clean := range []bool{true, false} {
		for _, at := range spread(int64(headers[0].Length), 5) {
			place := held[0].Offset + format.ChunkHeaderSize + at
			w.must(n.Close())
			if !clean {
				w.must(os.Remove(filepath.Join(n.dir, cleanFile)))
			}
			n.spoil(file, place)
			n.open(1)
			_, err := n.plain("T0")
			var d *format.DamageError
			if !errors.As(err, &d) {
				t.Fatalf("read answered %v", err)
			}
			named(t, d, file)
			v, err := n.Verify(t.Context())
			if err != nil || len(v.Damage) != 1 || v.Damage[0].Kind != format.DamagePayload || v.Damage[0].Slot != headers[0].Slot {
				t.Fatalf("%v, %v", v.Damage, err)
			}
			w.readable("T1")
			w.must(n.Close())
			n.spoil(file, place) // back
			n.open(1)
			w.readable("T0")
		}
	}
}

func TestP45_P30_AFlippedKeyByteIsNamedAndMended(t *testing.T) {
	w, n := damagedWorld(t)
	slot := n.row("T0").Slot
	file := keyring.FileName(slot.Block)
	for _, at := range spread(keyring.SlotSize, 5) {
		w.must(n.Close())
		n.spoil(file, keyring.SlotOffset(slot.Index)+at)
		n.open(1)
		_, err := n.plain("T0")
		var d *format.DamageError
		if !errors.As(err, &d) {
			t.Fatalf("read answered %v", err)
		}
		named(t, d, file)
		v, err := n.Verify(t.Context())
		if err != nil || len(v.Damage) != 1 || v.Damage[0].Kind != format.DamageKey || v.Damage[0].Slot != slot {
			t.Fatalf("%v, %v", v.Damage, err)
		}
		w.readable("T1")
		w.must(n.RepairKey(slot, w.block.Keys[slot.Index]))
		if err := n.RepairKey(slot, w.block.Keys[slot.Index]); err == nil {
			t.Fatal("a live key was written over")
		}
		w.readable("T0")
		n.clean()
	}
}

func TestP45_AKeyErasedByNobodysDecisionIsDamage(t *testing.T) {
	w, n := damagedWorld(t)
	slot := n.row("T0").Slot
	w.must(n.Close())
	w.must(custodian.ClearTree(n.dir))
	f, err := os.OpenFile(filepath.Join(n.dir, keyring.FileName(slot.Block)), os.O_RDWR, 0)
	w.must(err)
	_, err = f.WriteAt(keyring.ErasedSlot(), keyring.SlotOffset(slot.Index))
	w.must(errors.Join(err, f.Close()))
	n.open(1)
	v, err := n.Verify(t.Context())
	if err != nil || len(v.Damage) != 1 || v.Damage[0].Slot != slot || v.Damage[0].Kind != format.DamageKey {
		t.Fatalf("%v, %v", v.Damage, err)
	}
}

func TestP45_AFlippedHistoryByteIsRefusedAtOpen(t *testing.T) {
	w, n := damagedWorld(t)
	file := n.only("history")
	before := n.standing()
	w.must(n.Close())
	n.Store = nil
	for _, at := range spread(n.fileSize(file), 12) {
		n.spoil(file, at)
		err := n.tryOpen(1)
		var d *format.DamageError
		if !errors.As(err, &d) {
			t.Fatalf("byte %d: open answered %v", at, err)
		}
		named(t, d, file)
		if _, err := os.Stat(filepath.Join(n.dir, cleanFile)); err != nil {
			w.must(os.WriteFile(filepath.Join(n.dir, cleanFile), nil, 0o600)) // the stop was clean
		}
		n.spoil(file, at) // back
	}
	n.open(1)
	if n.standing() != before {
		t.Fatal("it stands elsewhere")
	}
}

// TestP46_AHistoryReplacedWholeIsRefused puts in the history that
// the same cluster would have had with one other record: its checksums and its tree
// fit, the majority's signature does not.
func TestP46_AHistoryReplacedWholeIsRefused(t *testing.T) {
	w, n := damagedWorld(t)
	other := &node{w: w, number: 1, dir: filepath.Join(w.dir, "other")}
	w.must(Create(other.dir, w.manifest(1)))
	w.must(other.tryOpen(1))
	w.nodes = append(w.nodes, other)
	for _, e := range w.log {
		for i := range e.Ops {
			if e.Ops[i].Kind == KindStore && e.Ops[i].Transaction == "T1" {
				e.Ops = []Op{e.Ops[i]}
				e.Ops[0].FrontEarliest = 1 // another record
			}
		}
		if e.Index >= w.log[len(w.log)-2].Index {
			break // without the checkpoint, which it could not take
		}
		other.apply(e)
	}
	for range 5 { // at least as long as the true one
		w.next++
		other.apply(logged{Entry: Entry{Index: w.next, Ops: []Op{w.op(KindEnrol, format.EnrolEffect{Person: app})}}})
	}
	w.must(other.Close())
	other.Store = nil
	w.must(n.Close())
	n.Store = nil
	w.nodes = w.nodes[:1]
	w.must(custodian.ClearTree(w.dir))
	w.must(os.RemoveAll(filepath.Join(n.dir, "history")))
	w.must(os.Rename(filepath.Join(other.dir, "history"), filepath.Join(n.dir, "history")))
	w.must(os.Rename(filepath.Join(other.dir, "history.tree"), filepath.Join(n.dir, "history.tree")))
	var d *format.DamageError
	if err := n.tryOpen(1); !errors.As(err, &d) {
		t.Fatalf("open answered %v", err)
	}
	named(t, d, "history")
	if !strings.Contains(d.What, "root") {
		t.Fatalf("found by something else: %v", d)
	}
}

func TestP45_ADamagedIndexIsBuiltAgain(t *testing.T) {
	w, n := damagedWorld(t)
	w.sweep(1)
	w.must(n.Flush())
	before := n.standing()
	found := 0
	size := n.fileSize(indexFile)
	for _, at := range spread(min(size, 200<<10), 25) {
		w.must(n.Close())
		n.damages = nil
		n.spoil(indexFile, at)
		n.open(1)
		for _, d := range n.damages {
			named(t, d, indexFile)
			found++
		}
		if got := n.standing(); got != before {
			t.Fatalf("byte %d: %+v, was %+v", at, got, before)
		}
		w.readable("T0")
		n.clean()
	}
	if found == 0 {
		t.Fatal("no flip was found: none met a page in use")
	}
	for name, content := range map[string][]byte{"empty": {}, "short": []byte("x"), "noise": make([]byte, 64<<10)} {
		w.must(n.Close())
		n.damages = nil
		w.must(os.WriteFile(filepath.Join(n.dir, indexFile), content, 0o600))
		n.open(1)
		if got := n.standing(); got != before {
			t.Fatalf("%s: %+v, was %+v", name, got, before)
		}
	}
}

func TestP56_AHistoryThatIsShorterThanTheIndexIsDamage(t *testing.T) {
	w, n := damagedWorld(t)
	early := filepath.Join(w.dir, "early")
	w.must(n.Flush())
	w.must(os.CopyFS(early, os.DirFS(filepath.Join(n.dir, "history"))))
	tree, err := os.ReadFile(filepath.Join(n.dir, "history.tree"))
	w.must(err)
	w.put("T2", "P1D")
	w.must(n.Close())
	n.Store = nil
	w.must(custodian.ClearTree(n.dir))
	w.must(os.RemoveAll(filepath.Join(n.dir, "history")))
	w.must(os.Rename(early, filepath.Join(n.dir, "history")))
	w.must(os.WriteFile(filepath.Join(n.dir, "history.tree"), tree, 0o600))
	var d *format.DamageError
	if err := n.tryOpen(1); !errors.As(err, &d) {
		t.Fatalf("open answered %v", err)
	}
	named(t, d, "history")
}

func TestReadingBackAtEverySize(t *testing.T) {
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	for _, size := range []int{0, 1, format.MaxChunk - 60, format.MaxChunk - 4, format.MaxChunk - 1, format.MaxChunk, format.MaxChunk + 1, 2*format.MaxChunk + 17} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i>>8) ^ byte(i)
		}
		name := "S" + strings.Repeat("x", len(w.log)%100)
		op, chunks := w.storeOp(name, "P1D", want)
		w.accept(w.commit(op, chunks...))
		got, err := n.plain(name)
		if err != nil || string(got) != string(want) {
			t.Fatalf("%d bytes: read %d, %v", size, len(got), err)
		}
	}
	n.clean()
}

func TestListsStayInsideTheInstitution(t *testing.T) {
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	for _, name := range []string{"A", "B", "C"} {
		w.put(name, "P1D")
	}
	page, cursor, err := n.Bundles(1, Filter{}, nil, 2)
	if err != nil || len(page) != 2 || len(cursor) == 0 {
		t.Fatal(page, err)
	}
	if page, _, err = n.Bundles(1, Filter{}, cursor, 2); err != nil || len(page) != 1 || page[0].Key.Transaction != "C" {
		t.Fatal(page, err)
	}
	if page, _, err = n.Bundles(2, Filter{}, cursor, 10); err != nil || len(page) != 0 {
		t.Fatalf("another institution's cursor shows %v, %v", page, err)
	}
}

func TestP45_P30_PayloadZeroedByNobodysDecisionIsWrittenAgain(t *testing.T) {
	w, n := damagedWorld(t)
	var chunks []format.Chunk
	for _, e := range w.log {
		if len(e.Ops) == 1 && e.Ops[0].Transaction == "T0" {
			chunks = e.chunks
		}
	}
	held, err := n.held(slotKey(chunks[0].Slot))
	w.must(err)
	w.must(n.roll())
	w.must(custodian.ClearTree(n.dir))
	f, err := os.OpenFile(filepath.Join(n.dir, n.segments.Name(held[0].File)), os.O_RDWR, 0)
	w.must(err)
	_, err = f.WriteAt(make([]byte, held[0].Location.Length), held[0].Offset+format.ChunkHeaderSize)
	w.must(errors.Join(err, f.Close()))
	v, err := n.Verify(t.Context())
	if err != nil || len(v.Damage) != 1 || v.Damage[0].Kind != format.DamagePayload || v.Damage[0].Slot != chunks[0].Slot {
		t.Fatalf("%v, %v", v.Damage, err)
	}
	w.must(n.AppendChunks(chunks)) // a peer's copy
	w.readable("T0")
}

// TestP35_P45_ADamagedRangeIsErasedAllTheSame builds the index again over payload
// that is damaged, or that a destruction has left half zero.
func TestP35_P45_ADamagedRangeIsErasedAllTheSame(t *testing.T) {
	w := dueWorld(t, 1)
	n := w.nodes[0]
	w.checkpoint()
	secrets := n.secret("T0")
	held, err := n.held(slotKey(n.row("T0").Slot))
	w.must(err)
	w.must(n.roll())
	w.must(custodian.ClearTree(n.dir))
	n.halfZero(held[0])
	n.rebuild(true)
	n.clean()
	n.destroy()
	if got := n.holds(secrets); len(got) != 0 {
		t.Fatalf("found in %v", got)
	}
	n.clean()
	w.readable("T1")
}
