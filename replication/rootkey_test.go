package replication

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// keyHouse is a node's directories with nothing in them but keys.
type keyHouse struct {
	t          *testing.T
	data, keys string
	cluster    format.ID
	blocks     []store.KeyBlock
	first      store.RootKey
}

func newKeyHouse(t *testing.T) *keyHouse {
	t.Helper()
	dir := t.TempDir()
	h := &keyHouse{t: t, data: filepath.Join(dir, "data"), keys: filepath.Join(dir, "keys"), cluster: format.ID{0xc1}}
	t.Cleanup(func() {
		if err := custodian.ClearTree(dir); err != nil {
			t.Error(err)
		}
	})
	keys, err := CreateKeys(h.keys)
	if err == nil {
		err = store.Create(h.data, store.Manifest{Cluster: h.cluster, Node: 1, Incarnation: format.ID{1}, Ceremony: format.Digest{1}})
	}
	if err != nil {
		t.Fatal(err)
	}
	h.first = keys.Root
	keeper, err := custodian.NewLocal(h.data, custodian.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(h.data, h.first, h.cluster, keeper)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b, err := store.NewBlock(rand.Reader, 1, 4)
		if err == nil {
			b.Keys[1], b.Erased[1] = [32]byte{}, true
			err = ring.Install(b)
		}
		if err != nil {
			t.Fatal(err)
		}
		h.blocks = append(h.blocks, b)
	}
	if err := ring.Close(); err != nil {
		t.Fatal(err)
	}
	return h
}

// open does what a start does with the keys.
func (h *keyHouse) open() (*rotation, *custodian.Local, func()) {
	h.t.Helper()
	if err := tidyRoots(h.keys); err != nil {
		h.t.Fatal(err)
	}
	root, former, state, err := readRoots(h.keys)
	if err != nil {
		h.t.Fatal(err)
	}
	keeper, err := custodian.NewLocal(h.data, custodian.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	keys, err := store.OpenKeysBy(h.data, root, former, h.cluster, keeper)
	if err != nil {
		h.t.Fatal(err)
	}
	return &rotation{dir: h.keys, keys: keys, state: state}, keeper, func() {
		if err := keys.Close(); err != nil {
			h.t.Error(err)
		}
	}
}

// whole insists that every key is there, under the keys that a start would have.
func (h *keyHouse) whole(when string) rotationState {
	h.t.Helper()
	root, former, state, err := readRoots(h.keys)
	if err != nil {
		h.t.Fatal(when, err)
	}
	keeper, err := custodian.NewLocal(h.data, custodian.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	first, second := root, former
	if second == (store.RootKey{}) {
		second = root
	}
	ring, err := keyring.Open(h.data, second, h.cluster, keeper)
	if err == nil && first != second {
		err = ring.Rotate(first)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = ring.Close() }() // only memory
	for _, b := range h.blocks {
		for i, want := range b.Keys {
			got, err := ring.Key(format.Slot{Block: b.ID, Index: uint32(i)})
			if b.Erased[i] && errors.Is(err, keyring.ErrErased) {
				continue
			}
			if err != nil || got != want {
				h.t.Fatalf("%s: slot %d of %x: %v", when, i, b.ID[:2], err)
			}
		}
	}
	return state
}

// traces lists the files below dirs that hold a root key, as bytes or in hex.
func traces(t *testing.T, key store.RootKey, dirs ...string) (found []string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(p)
			if bytes.Contains(b, key[:]) || bytes.Contains(b, []byte(hex.EncodeToString(key[:]))) {
				found = append(found, p)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

var errCut = errors.New("cut")

// TestP38_RotationCutAtEveryStep stops a rotation before and after each of its
// steps, on the key directory and on each key block, for good. At every point
// every key opens; the next start goes on to the end, or has the old key wholly;
// and then the old root key is nowhere.
func TestP38_RotationCutAtEveryStep(t *testing.T) {
	for at := 0; ; at++ {
		h := newKeyHouse(t)
		r, keeper, closed := h.open()
		n, where := 0, ""
		fault := func(step string, done bool) error {
			if n++; n > at {
				if where == "" {
					where = fmt.Sprintf("%q, done %v", step, done)
				}
				return errCut
			}
			return nil
		}
		var recorded []format.KeyEffect
		record := func(_ context.Context, e format.KeyEffect) error { recorded = append(recorded, e); return nil }
		r.fault, r.record = fault, record
		keeper.SetFault(fault)
		_, err := r.rotate(t.Context())
		closed()
		if where == "" {
			if err != nil || at < 30 {
				t.Fatalf("%d points: %v", at, err)
			}
			t.Logf("%d points", at)
			return
		}
		if !errors.Is(err, errCut) {
			t.Fatalf("at %s: %v", where, err)
		}
		h.whole("cut at " + where)

		r, _, closed = h.open()
		r.record = record
		_, pending, err := r.resume(t.Context())
		if err != nil {
			t.Fatalf("going on after %s: %v", where, err)
		}
		closed()
		if state := h.whole("after the restart behind " + where); state != rotationNone {
			t.Fatalf("cut at %s: state %d remains", where, state)
		}
		begun := r.keysAre(t, h.first)
		if begun != pending && len(recorded) == 0 {
			t.Fatalf("cut at %s: begun %v, gone on with %v", where, begun, pending)
		}
		if begun {
			if found := traces(t, h.first, h.data, h.keys); len(found) > 0 {
				t.Fatalf("cut at %s: the old root key is in %v", where, found)
			}
			if len(recorded) == 0 || recorded[0].Root != recorded[len(recorded)-1].Root || recorded[0].Slots != 9 {
				t.Fatalf("cut at %s: recorded %+v", where, recorded)
			}
		}
		if _, err := os.Stat(filepath.Join(h.keys, formerFile)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("cut at %s: %s is left: %v", where, formerFile, err)
		}
	}
}

// keysAre reports whether the root key on disk is another than the first.
func (r *rotation) keysAre(t *testing.T, first store.RootKey) bool {
	t.Helper()
	root, err := readRoot(filepath.Join(r.dir, rootKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	return root != first
}

func TestRotationRefusesAForeignRootKey(t *testing.T) {
	h := newKeyHouse(t)
	if err := writeRoot(filepath.Join(h.keys, rootKeyFile), store.RootKey{5}); err != nil {
		t.Fatal(err)
	}
	if _, err := RekeyStopped(t.Context(), h.data, h.keys); err == nil {
		t.Fatal("rotated away from a key that opens nothing")
	}
	if err := writeRoot(filepath.Join(h.keys, rootKeyFile), h.first); err != nil {
		t.Fatal(err)
	}
	if state := h.whole("afterwards"); state != rotationNone {
		t.Fatal(state)
	}
}

// TestRotationKeepsTheOldKeyWhenTheNewOneIsNotOnDisk: the file was put back, or
// exchanged, while slots were sealed under the new key.
func TestRotationKeepsTheOldKeyWhenTheNewOneIsNotOnDisk(t *testing.T) {
	h := newKeyHouse(t)
	r, _, closed := h.open()
	defer closed()
	r.fault = func(step string, done bool) error {
		if step == "write root key" && done {
			return writeRoot(filepath.Join(h.keys, rootKeyFile), store.RootKey{5})
		}
		if step == "wipe former" {
			t.Error("the old root key was destroyed")
		}
		return nil
	}
	if _, err := r.rotate(t.Context()); err == nil {
		t.Fatal("took the rotation for done")
	}
}
