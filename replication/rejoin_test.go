package replication

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/store/custodian"
)

// wipe removes a stopped node's data directory, flags and all.
func (c *testCluster) wipe(i int) {
	c.t.Helper()
	if err := errors.Join(custodian.ClearTree(c.dataDir(i)), os.RemoveAll(c.dataDir(i))); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCluster) leader() int {
	c.t.Helper()
	at := -1
	c.await("a leader", func() bool {
		for i, n := range c.nodes {
			if n != nil && n.raft.State() == raft.Leader {
				at = i
				return true
			}
		}
		return false
	})
	return at
}

// TestWipedNodeRejoinsAlone: a node without its data comes back as a new
// incarnation, whole, and votes.
func TestWipedNodeRejoinsAlone(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	for i := range 20 {
		c.mustPut(0, fmt.Sprintf("T%d", i), "P5Y", []byte(fmt.Sprintf("content %d", i)))
	}
	c.mustPut(0, "gone", "PT1S", []byte("short lived"))
	c.await("erasure", func() bool {
		b, err := c.nodes[0].Store().Bundle(key("gone"))
		return err == nil && b.Erase != 0 && attestedBy(c.nodes[0], b) == 3
	})
	old := c.nodes[1].own.incarnation
	c.stop(1)
	c.wipe(1)
	c.startNode(1)
	if c.nodes[1].own.incarnation == old {
		t.Fatal("the wiped node kept its incarnation")
	}
	c.awaitReady()
	c.await("the new incarnation votes", func() bool { _, voter := c.nodes[1].ownRow(); return voter })
	for i := range 20 {
		c.mustRead(1, fmt.Sprintf("T%d", i), []byte(fmt.Sprintf("content %d", i)))
	}
	c.mustPut(1, "after", "P5Y", []byte("after"))
	c.awaitEqual()
	v, err := c.nodes[1].VerifyAll(t.Context())
	if err != nil || !v.Intact {
		t.Fatalf("verify: %v %+v", err, v)
	}
}

// TestP34_CatchUpBehindTheLog: a node whose missing entries are no longer in
// anybody's log copies the state out of band.
func TestP34_CatchUpBehindTheLog(t *testing.T) {
	c := newTestCluster(t, 3)
	c.timing.SnapshotThreshold, c.timing.TrailingLogs, c.timing.SnapshotInterval = 20, 5, 100*time.Millisecond
	c.startAll()
	c.mustPut(0, "first", "P5Y", []byte("first"))
	c.stop(2)
	for i := range 60 {
		c.mustPut(0, fmt.Sprintf("T%d", i), "P5Y", []byte(fmt.Sprintf("content %d", i)))
	}
	lead := c.leader()
	c.await("log cut", func() bool { first, err := c.nodes[lead].logs.FirstIndex(); return err == nil && first > 40 })
	c.startNode(2)
	c.awaitReady()
	for i := range 60 {
		c.mustRead(2, fmt.Sprintf("T%d", i), []byte(fmt.Sprintf("content %d", i)))
	}
	c.awaitEqual()
	c.stop(2)
	c.wipe(2)
	c.startNode(2)
	c.awaitReady()
	c.mustRead(2, "first", []byte("first"))
	c.awaitEqual()
}

// TestP63_WipedNodeDoesNotVote: acknowledged on A and B with C away; B wiped, A
// stopped, C started: nothing is elected and nothing acknowledged is lost (I4).
func TestP63_WipedNodeDoesNotVote(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(0, "before", "P5Y", []byte("before"))
	c.awaitEqual()
	c.stop(2)
	c.await("two of three", func() bool { return c.nodes[0].Ready() && c.nodes[1].Ready() })
	c.mustPut(0, "acknowledged", "P5Y", []byte("acknowledged"))
	c.stop(1)
	c.stop(0)
	c.wipe(1)
	c.startNode(1)
	c.startNode(2)
	c.neverElected(1, 2)
	c.startNode(0)
	c.awaitReady()
	for i := range 3 {
		c.mustRead(i, "acknowledged", []byte("acknowledged"))
	}
	c.awaitEqual()
}

// neverElected watches nodes for a few election timeouts.
func (c *testCluster) neverElected(nodes ...int) {
	c.t.Helper()
	until := time.Now().Add(15 * c.timing.Election)
	for time.Now().Before(until) {
		for _, i := range nodes {
			if c.nodes[i].raft.State() == raft.Leader {
				c.t.Fatalf("node %d leads", i+1)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestP63_OldCopyDoesNotVote: yesterday's directory of B copied back while A is
// stopped: B does not vote under its old id.
func TestP63_OldCopyDoesNotVote(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(0, "yesterday", "P5Y", []byte("yesterday"))
	c.awaitEqual()
	c.stop(1)
	copyDir := filepath.Join(c.dir, "copy")
	if err := os.CopyFS(copyDir, os.DirFS(c.dataDir(1))); err != nil {
		t.Fatal(err)
	}
	c.startNode(1)
	c.awaitReady()
	c.stop(2)
	c.await("two of three", func() bool { return c.nodes[0].Ready() && c.nodes[1].Ready() })
	c.mustPut(0, "today", "P5Y", []byte("today"))
	c.stop(1)
	c.stop(0)
	c.wipe(1)
	if err := os.Rename(copyDir, c.dataDir(1)); err != nil {
		t.Fatal(err)
	}
	c.startNode(2)
	c.startNode(1)
	c.neverElected(1, 2)
	c.startNode(0)
	c.awaitReady()
	for i := range 3 {
		c.mustRead(i, "today", []byte("today"))
	}
	c.awaitEqual()
}
