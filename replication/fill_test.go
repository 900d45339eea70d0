package replication

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// TestAbsentKeysComeFromPeers: a slot that a node was restored without is filled from
// a peer that has the key, without a record of damage; one that no peer has stays
// absent, and the others' keys come all the same.
func TestAbsentKeysComeFromPeers(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	var slots []format.Slot
	for _, name := range []string{"HERE", "ELSEWHERE", "NOWHERE"} {
		c.mustPut(0, name, "P5Y", []byte(name))
		c.awaitEqual()
		row, err := c.nodes[0].store.Bundle(key(name))
		if err != nil || row == nil {
			t.Fatal(err)
		}
		slots = append(slots, row.Slot)
	}
	c.closeAll()
	c.loseSlots(2, slots...)
	c.loseSlots(1, slots[1:]...)
	c.loseSlots(0, slots[2])
	for i := range 3 {
		c.startNode(i)
	}
	c.await("what a peer has is here again", func() bool {
		return c.nodes[2].store.KeyWorks(slots[0]) == nil && c.nodes[2].store.KeyWorks(slots[1]) == nil && c.nodes[1].store.KeyWorks(slots[1]) == nil
	})
	c.mustRead(2, "ELSEWHERE", []byte("ELSEWHERE"))
	for i, n := range c.nodes {
		if err := n.store.KeyWorks(slots[2]); !errors.Is(err, store.ErrKeyMissing) {
			t.Errorf("node %d has the key that nobody has: %v", i, err)
		}
	}
	if c.recorded(format.ActDamage) || c.recorded(format.ActRepair) {
		t.Error("an absent key is on record as damage")
	}
}

// loseSlots makes slots of a stopped node absent, as a restore without their keys
// leaves them.
func (c *testCluster) loseSlots(i int, slots ...format.Slot) {
	c.t.Helper()
	if err := custodian.ClearTree(c.dataDir(i)); err != nil {
		c.t.Fatal(err)
	}
	for _, slot := range slots {
		f, err := os.OpenFile(filepath.Join(c.dataDir(i), keyring.FileName(slot.Block)), os.O_RDWR, 0)
		if err != nil {
			c.t.Fatal(err)
		}
		_, err = f.WriteAt(keyring.AbsentSlot(), keyring.SlotOffset(slot.Index))
		if err = errors.Join(err, f.Close()); err != nil {
			c.t.Fatal(err)
		}
	}
}
