package custodian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// state is what a destruction may have changed: erased slots and records.
func (h *house) state(t *testing.T) string {
	t.Helper()
	return fmt.Sprint(h.slotStates(t), erased(t, h.dir, segmentOne, 0), erased(t, h.dir, segmentTwo, 1))
}

const (
	untouched = "[] [] []"
	finished  = "[1 3] [1 4] [0]"
)

func TestDestroyErasesItsOwnAndNothingElse(t *testing.T) {
	h := newHouse(t, t.TempDir())
	done, err := h.Destroy(t.Context(), warrantFor(t, 7), h.work())
	if err != nil || done.Slots != 2 || done.Ranges != 3 || done.Bytes != 3*recordSize || len(done.Absent) != 0 {
		t.Fatal(done, err)
	}
	if got := h.state(t); got != finished {
		t.Fatal(got)
	}
	again, err := h.Destroy(t.Context(), warrantFor(t, 7), h.work())
	if err != nil || again.Slots != 2 || h.state(t) != finished {
		t.Fatal(again, err)
	}
}

func TestRoot_DestroySetsFlagsAgain(t *testing.T) {
	h := newHouse(t, t.TempDir())
	needFlags(t, h.Local)
	if _, err := h.Destroy(t.Context(), warrantFor(t, 7), h.work()); err != nil {
		t.Fatal(err)
	}
	h.flagsAreBack(t)
}

func (h *house) flagsAreBack(t *testing.T) {
	t.Helper()
	for name, want := range map[string]uint32{
		segmentOne: flagAppend | flagImmutable, segmentTwo: flagAppend | flagImmutable, keyring.FileName(h.block.ID): flagImmutable,
	} {
		if got := fileFlags(t, filepath.Join(h.dir, name)); got != want {
			t.Errorf("%s: flags %#x, want %#x", name, got, want)
		}
	}
}

// TestP25_NoGoodWarrantNothingTouched also covers P38: what is refused starts
// nothing.
func TestP25_NoGoodWarrantNothingTouched(t *testing.T) {
	h := newHouse(t, t.TempDir())
	h.hook = func(step string, _ bool) error { t.Errorf("step %q", step); return nil }
	good := warrantFor(t, 7)
	outside := func(change func(*Range)) Work {
		w := h.work()
		change(&w.Ranges[2])
		return w
	}
	for _, c := range []struct {
		name  string
		judge Judge
		w     Warrant
		work  Work
		want  error
	}{
		{"zero permit", yes{}, Warrant{}, h.work(), ErrWarrant},
		{"permit for another", yes{}, warrantFor(t, 8), h.work(), ErrWarrant},
		{"no judge", nil, good, h.work(), ErrWarrant},
		{"judge refuses", no{}, good, h.work(), errNo},
		{"over the file header", yes{}, good, outside(func(r *Range) { r.Offset = 100 }), ErrRange},
		{"over the end", yes{}, good, outside(func(r *Range) { r.Length = 1 << 40 }), ErrRange},
		{"overflowing", yes{}, good, outside(func(r *Range) { r.Offset = 1<<63 - 2 }), ErrRange},
		{"nothing", yes{}, good, outside(func(r *Range) { r.Length = 0 }), ErrRange},
		{"negative", yes{}, good, outside(func(r *Range) { r.Length = -1 }), ErrRange},
		{"index", yes{}, good, outside(func(r *Range) { r.File = "index.db" }), ErrName},
		{"key block as a range", yes{}, good, outside(func(r *Range) { r.File = keyring.FileName(h.block.ID) }), ErrName},
	} {
		h.judge = c.judge
		if _, err := h.Destroy(t.Context(), c.w, c.work); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	h.judge = yes{}
	other := h.work()
	other.Bundle = 8
	if _, err := h.DestroyAll(t.Context(), []Order{{good, h.work()}, {good, other}}); !errors.Is(err, ErrWarrant) {
		t.Errorf("one bad order of two: %v", err)
	}
	if got := h.state(t); got != untouched {
		t.Fatal(got)
	}
}

// TestKeyGoesFirstInAnActiveSegment asks for a range in a file that is not sealed:
// the key is gone at once, the range after the seal.
func TestKeyGoesFirstInAnActiveSegment(t *testing.T) {
	h := newHouse(t, t.TempDir())
	const active = "segments/00000003.seg"
	writeSegment(t, h.Local, active, 2)
	work := Work{Bundle: 7, Slots: h.work().Slots, Ranges: []Range{rangeOf(active, 3)}}
	if _, err := h.Destroy(t.Context(), warrantFor(t, 7), work); !errors.Is(err, ErrNotSealed) {
		t.Fatal(err)
	}
	if got := fmt.Sprint(h.slotStates(t), erased(t, h.dir, active, 2)); got != "[1 3] []" {
		t.Fatal(got)
	}
	if err := h.Seal(active); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Destroy(t.Context(), warrantFor(t, 7), work); err != nil {
		t.Fatal(err)
	}
	if got := erased(t, h.dir, active, 2); fmt.Sprint(got) != "[3]" {
		t.Fatal(got)
	}
}

type crash struct{ at int }

// TestP38_CrashAtEveryStep stops before and after each step of a destruction, once
// as a crash and once as a failing call. At each point the key went first; after a
// restart the same order completes, flags included.
func TestP38_CrashAtEveryStep(t *testing.T) {
	for _, mode := range []string{"crash", "error"} {
		for at := 0; ; at++ {
			h := newHouse(t, t.TempDir())
			name, stopped := h.stopAt(t, at, mode)
			if !stopped {
				if at < 20 {
					t.Fatalf("only %d points", at)
				}
				break
			}
			slots := fmt.Sprint(h.slotStates(t))
			if gone := len(erased(t, h.dir, segmentOne, 0)) + len(erased(t, h.dir, segmentTwo, 1)); gone > 0 && slots != "[1 3]" {
				t.Fatalf("%s at %s: payload went before the key", mode, name)
			}
			if mode == "error" && h.Protection().Immutable && name != "set flags" && name != "clear flags" {
				h.flagsAreBack(t)
			}
			h.restart(t)
			if _, err := h.Destroy(t.Context(), warrantFor(t, 7), h.work()); err != nil {
				t.Fatalf("%s at %s: %v", mode, name, err)
			}
			if got := h.state(t); got != finished {
				t.Fatalf("%s at %s: %s", mode, name, got)
			}
			if h.Protection().Immutable {
				h.flagsAreBack(t)
			}
		}
	}
}

// stopAt runs the destruction and stops it at the at'th call of the hook.
func (h *house) stopAt(t *testing.T, at int, mode string) (name string, stopped bool) {
	t.Helper()
	calls := 0
	h.hook = func(step string, _ bool) error {
		if calls++; calls != at+1 {
			return nil
		}
		name, stopped = step, true
		if mode == "crash" {
			panic(crash{at})
		}
		return errors.New("injected")
	}
	defer func() {
		if r := recover(); r != nil && r != any(crash{at}) {
			panic(r)
		}
	}()
	if _, err := h.Destroy(t.Context(), warrantFor(t, 7), h.work()); (err != nil) != stopped {
		t.Fatalf("stopped %v at %s, error %v", stopped, name, err)
	}
	return name, stopped
}

func TestDestroyAllTakesManyBundlesAtOnce(t *testing.T) {
	h := newHouse(t, t.TempDir())
	steps := 0
	h.hook = func(string, bool) error { steps++; return nil }
	var orders []Order
	for i := range records {
		orders = append(orders, Order{warrantFor(t, uint64(i)), Work{
			Bundle: uint64(i), Slots: []format.Slot{{Block: h.block.ID, Index: uint32(i % 4)}}, Ranges: []Range{rangeOf(segmentOne, i)},
		}})
	}
	orders[records-1].Work.Remove = []string{segmentOne}
	done, err := h.DestroyAll(t.Context(), orders)
	if err != nil || done.Slots != records || done.Ranges != records {
		t.Fatal(done, err)
	}
	if steps != 2*(4+6+2) { // one block, one file, one removal
		t.Errorf("%d steps", steps)
	}
	if _, err := os.Stat(filepath.Join(h.dir, segmentOne)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	h.restart(t)
	done, err = h.DestroyAll(t.Context(), orders)
	if err != nil || fmt.Sprint(done.Absent) != fmt.Sprint([]string{segmentOne, segmentOne}) {
		t.Fatalf("after the removal: %v, %v", done.Absent, err)
	}
}

func TestOnlyEmptyFilesAreRemoved(t *testing.T) {
	h := newHouse(t, t.TempDir())
	work := h.work()
	work.Remove = []string{segmentOne}
	if _, err := h.Destroy(t.Context(), warrantFor(t, 7), work); !errors.Is(err, ErrNotEmpty) {
		t.Fatal(err)
	}
	if got := h.state(t); got != finished {
		t.Fatal(got)
	}
}

// TestSegmentOfErasedChunksIsRemoved keeps the chunk headers, as segments do, with
// a stub and a torn tail behind them.
func TestSegmentOfErasedChunksIsRemoved(t *testing.T) {
	h := newHouse(t, t.TempDir())
	const name = "segments/00000009.seg"
	f, err := h.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	stub := format.NewChunk(format.Slot{Index: 1}, 1, []byte("gone before this copy was made"))
	stub.Erased, stub.Sealed = true, nil
	b := format.AppendChunks(make([]byte, format.FileHeaderSize), format.NewChunk(format.Slot{}, 0, []byte("ciphertext of the only chunk")), stub)
	tail := int64(len(b))
	if _, err := f.Write(append(b, "torn"...)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := h.Seal(name); err != nil {
		t.Fatal(err)
	}
	chunk := Range{name, format.FileHeaderSize + format.ChunkHeaderSize, 28}
	work := Work{Bundle: 7, Ranges: []Range{chunk}, Remove: []string{name}}
	if _, err := h.Destroy(t.Context(), warrantFor(t, 7), work); !errors.Is(err, ErrNotEmpty) {
		t.Fatalf("with torn bytes behind: %v", err)
	}
	work.Ranges = append(work.Ranges, Range{name, tail, 4})
	if _, err := h.Destroy(t.Context(), warrantFor(t, 7), work); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(h.dir, name)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestRemoveIndexTakesOnlyTheIndex(t *testing.T) {
	h := newHouse(t, t.TempDir())
	path := filepath.Join(h.dir, "index.db")
	kept := filepath.Join(t.TempDir(), "same-inode")
	if err := errors.Join(os.WriteFile(path, []byte("freed rows"), 0o600), os.Link(path, kept)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.RemoveIndex(path); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(kept); err != nil || string(b) != string(make([]byte, 10)) {
		t.Fatalf("%q, %v", b, err)
	}
	if err := h.RemoveIndex(filepath.Join(h.dir, segmentOne)); !errors.Is(err, ErrName) {
		t.Fatal(err)
	}
}

func TestDestroyStopsWithItsContext(t *testing.T) {
	h := newHouse(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Destroy(ctx, warrantFor(t, 7), h.work()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if h.Protection().Immutable {
		h.flagsAreBack(t)
	}
}
