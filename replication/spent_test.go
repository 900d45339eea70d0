package replication

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// slotOf is the slot that the next put at a node will take.
func (c *testCluster) slotOf(i int) format.Slot {
	c.t.Helper()
	k := c.nodes[i].supply
	c.await("a key slot", k.ready)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.free[0]
}

// gone reports whether nothing that was sealed under a slot is left on any node.
func (c *testCluster) gone(s format.Slot) bool {
	c.t.Helper()
	return !slices.ContainsFunc(c.nodes, func(n *Node) bool {
		left, err := n.store.Chunks(s)
		if err != nil {
			c.t.Fatal(err)
		}
		return len(left) != 0 || !errors.Is(n.store.KeyWorks(s), store.ErrKeyErased)
	})
}

// TestP35_I5_SlotsThatNoBundleTookAreDestroyed: of two puts of one number the second
// loses, a third is cut before its STORE. Nothing of these is left on any node while
// their block is in use; the bundle and its slot stay, though it was given back too.
func TestP35_I5_SlotsThatNoBundleTookAreDestroyed(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	content := bytes.Repeat([]byte("document "), 300_000) // three chunks
	n := c.nodes[1]
	kept := c.slotOf(1)
	c.mustPut(1, "T1", "P5Y", content)
	n.SlotDone(kept)
	lost := c.slotOf(1)
	if r, err := c.put(1, "T1", "P5Y", content); err != nil || r.Outcome != store.Exists {
		t.Fatalf("second put: %v %+v", err, r)
	}
	if c.gone(lost) {
		t.Fatal("gone before it was given back: nothing is shown")
	}
	cut, err := n.Slot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seal, err := n.Store().NewBundleSeal(cut, func(ch format.Chunk) error {
		_, err := n.Submit(t.Context(), store.Op{Kind: store.KindChunk, Actor: testApp, Institution: 1}, ch)
		return err
	})
	if err == nil {
		_, err = seal.Write(content)
	}
	if err != nil {
		t.Fatal(err)
	}
	n.SlotDone(lost)
	n.SlotDone(cut)
	n.SlotDone(lost) // twice is as good as once
	c.await("spent slots are destroyed everywhere", func() bool { return c.gone(lost) && c.gone(cut) })
	c.await("they are attested", func() bool {
		for _, n := range c.nodes {
			if left, err := n.store.PendingSpent(99, 1<<62, 1); err != nil || len(left) != 0 {
				return false
			}
		}
		return true
	})
	row, err := n.store.Block(lost.Block)
	if err != nil || row.Retired != 0 {
		t.Fatalf("the block was retired, nothing is shown: %+v, %v", row, err)
	}
	c.awaitEqual()
	for i := range c.nodes {
		c.mustRead(i, "T1", content)
		if err := c.nodes[i].store.KeyWorks(kept); err != nil {
			t.Errorf("the bundle's key: %v", err)
		}
	}
}

// TestAReportNeverOutrunsTheLog: a slot that was given back while its STORE was on its
// way is the bundle's if the STORE comes first, and is let go of; one that a report
// named first takes no bundle.
func TestAReportNeverOutrunsTheLog(t *testing.T) {
	c := newTestCluster(t, 1)
	n, _ := c.byHand() // nobody reports but this test
	early := c.slotOf(0)
	n.SlotDone(early) // before its put
	c.mustPut(0, "T1", "P5Y", []byte("content"))
	if some, err := n.reportSpent(t.Context()); some || err != nil || len(n.supply.done) != 0 {
		t.Errorf("a bundle's slot is reported: %v, %v, %v", some, err, n.supply.done)
	}
	late := c.slotOf(0)
	n.SlotDone(late)
	if some, err := n.reportSpent(t.Context()); !some || err != nil {
		t.Fatalf("not reported: %v", err)
	}
	r, err := c.put(0, "T2", "P5Y", []byte("content"))
	if err != nil || r.Outcome != store.Refused || r.Reason != format.ReasonSlot {
		t.Errorf("a bundle under a spent slot: %+v, %v", r, err)
	}
	if some, err := n.reportSpent(context.Background()); some || err != nil || len(n.supply.done) != 0 {
		t.Errorf("reported again: %v, %v", some, err)
	}
	c.mustRead(0, "T1", []byte("content"))
}
