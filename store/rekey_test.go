package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// TestP36_ANewRootKeyByACustodianApart changes the root key over the wire: what is
// live opens, what was erased stays so, and the old root key opens nothing.
func TestP36_ANewRootKeyByACustodianApart(t *testing.T) {
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	w.apart = true
	n.restart()
	w.put("T0", "PT1H")
	w.put("T1", "P5Y")
	w.began()
	w.tick(2 * hour)
	w.sweep(10)
	w.checkpoint()
	n.destroy()
	old, fresh := w.root, RootKey{0x77}
	before := opens(t, n.dir, old, w.cluster)
	keys := n.Keys()
	w.must(keys.Rotate(fresh))
	found, err := keys.Rewrap(t.Context())
	if err != nil || found.Live == 0 || found.Live != before || found.Erased == 0 {
		t.Fatalf("%+v, %d opened before: %v", found, before, err)
	}
	w.must(keys.Forget())
	if got := opens(t, n.dir, old, w.cluster); got != 0 {
		t.Errorf("the old root key opens %d slots", got)
	}
	if got := opens(t, n.dir, fresh, w.cluster); got != before {
		t.Errorf("the new one opens %d of %d", got, before)
	}
	w.readable("T1")
	if err := n.KeyWorks(n.row("T0").Slot); !errors.Is(err, ErrKeyErased) {
		t.Error(err)
	}
}

// opens counts the slots that a root key opens.
func opens(t *testing.T, dir string, root RootKey, cluster format.ID) (count int) {
	t.Helper()
	ring, err := keyring.Open(dir, root, cluster, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = ring.Verify(t.Context(), func(_ format.Slot, err error) error {
		if err == nil {
			count++
		}
		return nil
	})
	if err := errors.Join(err, ring.Close()); err != nil {
		t.Fatal(err)
	}
	return count
}

// TestKeysOfACustodianApartAreNotOpenedBesideIt has the key room belong to another
// user: nothing is touched.
func TestKeysOfACustodianApartAreNotOpenedBesideIt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("files of another user need root")
	}
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	room := filepath.Join(n.dir, "keys")
	w.must(os.Chown(room, 64124, 64124))
	_, err := OpenKeys(n.dir, w.root, RootKey{})
	w.must(os.Chown(room, 0, 0))
	if !errors.Is(err, ErrKeysApart) {
		t.Fatal(err)
	}
}
