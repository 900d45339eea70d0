package custodian

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

var (
	oldRoot = keyring.RootKey{1} // newHouse's
	newRoot = keyring.RootKey{8}
)

func (h *house) rewrap() (keyring.Rewrapped, error) {
	return h.RewrapBlock(keyring.FileName(h.block.ID), format.ID{2}, oldRoot, newRoot)
}

// reopen has the ring open with one root key.
func (h *house) reopen(t *testing.T, root keyring.RootKey) {
	t.Helper()
	var err error
	if h.ring, err = keyring.Open(h.dir, root, format.ID{2}, h.Local); err != nil {
		t.Fatal(err)
	}
}

// besides lists what lies in the key room next to the block.
func (h *house) besides(t *testing.T) (names []string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(h.dir, dirKeys))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if dirKeys+"/"+e.Name() != keyring.FileName(h.block.ID) {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestP38_RewrapCrashAtEveryStep stops before and after each step of replacing a
// key block. At each point the block in place is whole, under one of the two root
// keys; after a restart nothing lies beside it, and asking again completes.
func TestP38_RewrapCrashAtEveryStep(t *testing.T) {
	for _, mode := range []string{"crash", "error"} {
		for at := 0; ; at++ {
			h := newHouse(t, t.TempDir())
			if _, err := h.Destroy(t.Context(), warrantFor(t, 7), Work{Bundle: 7, Slots: h.work().Slots}); err != nil {
				t.Fatal(err)
			}
			n, down, where := 0, false, ""
			h.hook = func(step string, done bool) error {
				if n++; n == at+1 {
					where, down = step, true
				}
				if down && (mode == "crash" || n == at+1) {
					return errors.New("stopped")
				}
				return nil
			}
			_, err := h.rewrap()
			if !down {
				if err != nil || at < 12 {
					t.Fatalf("%d steps: %v", at, err)
				}
				t.Logf("%s: %d points", mode, at)
				break
			}
			if err == nil {
				t.Fatalf("%s at %q was not told", mode, where)
			}
			h.hook = func(string, bool) error { return nil }
			root := oldRoot
			if h.reopen(t, newRoot); h.opens() {
				root = newRoot
			}
			h.checkRewrapped(t, root, mode+" at "+where)
			if mode == "crash" {
				h.restart(t)
				if left := h.besides(t); len(left) > 0 {
					t.Fatalf("%s at %q: %v is left after a restart", mode, where, left)
				}
			}
			if _, err := h.rewrap(); err != nil {
				t.Fatalf("%s at %q: again: %v", mode, where, err)
			}
			if left := h.besides(t); len(left) > 0 {
				t.Fatalf("%s at %q: %v is left", mode, where, left)
			}
			h.checkRewrapped(t, newRoot, "again after "+where)
		}
	}
}

func (h *house) opens() bool {
	_, err := h.ring.Key(format.Slot{Block: h.block.ID, Index: 0})
	return err == nil
}

// checkRewrapped insists that slots 1 and 3 are erased and the others open.
func (h *house) checkRewrapped(t *testing.T, root keyring.RootKey, when string) {
	t.Helper()
	h.reopen(t, root)
	if got := h.slotStates(t); len(got) != 2 || got[0] != 1 || got[1] != 3 {
		t.Fatalf("%s: erased are %v", when, got)
	}
}

// TestP36_NoSecondCopyWhenASlotIsErased has a rewrapping fail with the other copy
// still there: an erasure takes that first.
func TestP36_NoSecondCopyWhenASlotIsErased(t *testing.T) {
	for _, step := range []string{"exchange blocks", "wipe old block"} {
		h := newHouse(t, t.TempDir())
		h.hook = func(s string, done bool) error {
			if s == step && !done {
				return errors.New("stopped")
			}
			return nil
		}
		if _, err := h.rewrap(); err == nil || len(h.besides(t)) != 1 {
			t.Fatal(step, err, h.besides(t))
		}
		if _, err := h.Destroy(t.Context(), warrantFor(t, 7), Work{Bundle: 7, Slots: h.work().Slots}); err != nil {
			t.Fatal(err)
		}
		if left := h.besides(t); len(left) > 0 {
			t.Fatalf("%s: %v outlives the erasure", step, left)
		}
		h.hook = func(string, bool) error { return nil }
		if _, err := h.rewrap(); err != nil {
			t.Fatal(err)
		}
		h.checkRewrapped(t, newRoot, step)
	}
}

// TestP38_ErasureWhileBlocksAreSealedAgain erases slots between the steps of a
// rewrapping, from another goroutine: no erasure is lost.
func TestP38_ErasureWhileBlocksAreSealedAgain(t *testing.T) {
	h := newHouse(t, t.TempDir())
	w := warrantFor(t, 7)
	erased := make(chan error, 1)
	h.hook = func(step string, done bool) error {
		if step == "read new block" && !done { // the new file is written, its slot is live
			go func() {
				_, err := h.Destroy(t.Context(), w, Work{Bundle: 7, Slots: h.work().Slots})
				erased <- err
			}()
		}
		return nil
	}
	if _, err := h.rewrap(); err != nil {
		t.Fatal(err)
	}
	if err := <-erased; err != nil {
		t.Fatal(err)
	}
	h.checkRewrapped(t, newRoot, "after the race")
}

func TestRewrapRefusesForeignNamesAndTouchesNothingUnderAnotherKey(t *testing.T) {
	h := newHouse(t, t.TempDir())
	for _, name := range []string{"keys/x.kb", "../keys/a.kb", segmentOne, keyring.FileName(format.ID{9})} {
		if _, err := h.RewrapBlock(name, format.ID{2}, oldRoot, newRoot); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	path := filepath.Join(h.dir, keyring.FileName(h.block.ID))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h.hook = func(step string, _ bool) error { t.Errorf("step %q", step); return nil }
	for what, ask := range map[string]func() (keyring.Rewrapped, error){
		"another root key": func() (keyring.Rewrapped, error) {
			return h.RewrapBlock(keyring.FileName(h.block.ID), format.ID{2}, keyring.RootKey{77}, newRoot)
		},
		"another cluster": func() (keyring.Rewrapped, error) {
			return h.RewrapBlock(keyring.FileName(h.block.ID), format.ID{3}, oldRoot, newRoot)
		},
	} {
		if out, err := ask(); err != nil || out.Live != 0 || len(out.Damaged) != 4 {
			t.Errorf("%s: %v, %v", what, out, err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Fatal("the block was changed", err)
	}
}

func TestRoot_RewrappedBlockIsImmutable(t *testing.T) {
	h := newHouse(t, t.TempDir())
	needFlags(t, h.Local)
	if _, err := h.rewrap(); err != nil {
		t.Fatal(err)
	}
	h.flagsAreBack(t)
}
