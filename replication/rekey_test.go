package replication

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// TestP36_RotationWhileTheClusterWorks changes the root keys of all nodes while
// bundles are put and read, and then holds old copies against the new keys.
func TestP36_RotationWhileTheClusterWorks(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	content := bytes.Repeat([]byte("CANARY-rotation "), 50)
	c.mustPut(0, "before", "P1Y", content)
	c.mustPut(1, "short", "PT1S", content)
	var first [3]store.RootKey
	var copies [3]string
	for i := range first {
		root, err := readRoot(filepath.Join(c.keyDir(i), rootKeyFile))
		if err != nil {
			t.Fatal(err)
		}
		first[i], copies[i] = root, t.TempDir()
		if err := os.CopyFS(filepath.Join(copies[i], "keys"), os.DirFS(filepath.Join(c.dataDir(i), "keys"))); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range c.nodes {
		wg.Go(func() {
			if done, err := c.nodes[i].Rekey(t.Context()); err != nil || !done.Recorded || done.Live == 0 || len(done.Damaged) > 0 {
				t.Errorf("node %d: %+v, %v", i+1, done, err)
			}
		})
		wg.Go(func() {
			for k := range 20 {
				c.mustPut(i, fmt.Sprintf("during-%d-%d", i, k), "P1Y", content)
				c.mustRead(i, "before", content)
			}
		})
	}
	wg.Wait()
	c.await("the short one is erased", func() bool {
		b, err := c.nodes[0].Store().Bundle(key("short"))
		return err == nil && b != nil && attestedBy(c.nodes[0], b) == 3
	})
	c.awaitEqual()
	for i := range c.nodes {
		c.rotated(i, first[i], copies[i])
	}
	c.closeAll()
	c.startAll()
	for i := range c.nodes {
		c.mustRead(i, "before", content)
		c.mustRead(i, "during-1-19", content)
		if v, err := c.nodes[i].VerifyAll(t.Context()); err != nil || !v.Intact {
			t.Fatalf("verify: %v %+v", err, v)
		}
	}
	if owners := c.rewraps(); fmt.Sprint(owners) != "map[1:1 2:1 3:1]" {
		t.Fatalf("rotations on record, by node: %v", owners)
	}
}

// rotated insists that the old root key is gone and that the old copy of the key
// blocks opens with the new one nowhere.
func (c *testCluster) rotated(i int, first store.RootKey, old string) {
	c.t.Helper()
	if found := traces(c.t.(*testing.T), first, c.dataDir(i), c.keyDir(i)); len(found) > 0 {
		c.t.Errorf("node %d: the old root key is in %v", i+1, found)
	}
	root, err := readRoot(filepath.Join(c.keyDir(i), rootKeyFile))
	if err != nil || root == first {
		c.t.Fatal("no new root key", err)
	}
	ring, err := keyring.Open(old, root, c.nodes[i].own.cluster, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = ring.Close() }() // only memory
	foreign := 0
	if err := ring.Verify(c.t.Context(), func(s format.Slot, err error) error {
		if keyring.IsForeign(err) {
			foreign++
		} else if err == nil {
			c.t.Errorf("node %d: the new root key opens the old copy of slot %s", i+1, s)
		}
		return nil
	}); err != nil || foreign == 0 {
		c.t.Errorf("node %d: %d old slots, %v", i+1, foreign, err)
	}
}

// rewraps counts the rotations on record by node.
func (c *testCluster) rewraps() map[uint32]int {
	c.t.Helper()
	s := c.nodes[0].Store()
	owners := map[uint32]int{}
	for seq := range s.DurableSize() {
		rec, _, err := s.Record(seq)
		if err != nil {
			c.t.Fatal(err)
		}
		if rec.Action != format.ActKey {
			continue
		}
		if e, err := format.DecodeKeyEffect(rec.Effect); err == nil && e.Verb == format.KeyRewrap {
			owners[e.Owner]++
			if e.Slots == 0 || rec.Front != e.Owner {
				c.t.Errorf("record %d: %+v", seq, e)
			}
		}
	}
	return owners
}

// TestP38_RotationGoesOnAtTheNextStart stops a node in the middle; its next start
// finishes by itself and records it once.
func TestP38_RotationGoesOnAtTheNextStart(t *testing.T) {
	c := newTestCluster(t, 1)
	c.startAll()
	content := []byte("CANARY-restart")
	c.mustPut(0, "kept", "P1Y", content)
	first, err := readRoot(filepath.Join(c.keyDir(0), rootKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"wipe former", "record", "end"} {
		c.nodes[0].rotation.mu.Lock()
		c.nodes[0].rotation.fault = func(s string, done bool) error {
			if s == step && !done {
				return errCut
			}
			return nil
		}
		c.nodes[0].rotation.mu.Unlock()
		if _, err := c.nodes[0].Rekey(t.Context()); !errors.Is(err, errCut) {
			t.Fatal(step, err)
		}
		c.mustRead(0, "kept", content)
		c.stop(0)
		c.startAll()
		c.await("the rotation is finished", func() bool {
			_, err := os.Stat(filepath.Join(c.keyDir(0), formerFile))
			return errors.Is(err, fs.ErrNotExist)
		})
		c.mustRead(0, "kept", content)
	}
	if owners := c.rewraps(); fmt.Sprint(owners) != "map[1:3]" {
		t.Fatalf("rotations on record: %v", owners)
	}
	if found := traces(t, first, c.dataDir(0), c.keyDir(0)); len(found) > 0 {
		t.Fatalf("the old root key is in %v", found)
	}
}
