package replication

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// cutHistory takes the last n records from a stopped node's history files, and
// their hashes from its tree, and answers how many are left.
func (c *testCluster) cutHistory(i, n int) uint64 {
	c.t.Helper()
	left, err := testcluster.CutHistory(c.dataDir(i), n)
	if err != nil {
		c.t.Fatal(err)
	}
	return uint64(left)
}

// filled is a cluster whose nodes have signed a checkpoint over some history, and
// are stopped. Without a snapshot the raft log holds every entry.
func filled(t *testing.T, nodes int, snapshots bool) (c *testCluster, size uint64) {
	t.Helper()
	c = newTestCluster(t, nodes)
	if snapshots {
		c.timing.SnapshotThreshold, c.timing.TrailingLogs, c.timing.SnapshotInterval = 20, 5, 100*time.Millisecond
	}
	c.startAll()
	for i := range 120 {
		c.mustPut(i%nodes, fmt.Sprintf("T%d", i), "P5Y", []byte("content"))
	}
	c.takeCheckpoint()
	c.awaitEqual()
	c.await("every node signs the same", func() bool {
		first, _ := c.nodes[0].signer.newest(c.nodes[0].own.incarnation)
		size = first.Size
		for _, n := range c.nodes {
			last, own := n.signer.newest(n.own.incarnation)
			if last.Size != size || size < 120 || !own {
				_, _ = c.nodes[c.leader()].takeCheckpoint(t.Context())
				return false
			}
		}
		return true
	})
	if snapshots {
		c.await("snapshots", func() bool {
			for i := range c.nodes {
				m, err := (&markerStore{dir: c.dataDir(i)}).read()
				if err != nil || m == nil || m.Index < 60 {
					return false
				}
			}
			return true
		})
	}
	c.closeAll()
	return c, size
}

// TestP48_CutHistoriesAreWrittenOn: the last records of every node's history are
// gone, the raft logs hold their entries: nothing is lost, and it is said.
func TestP48_CutHistoriesAreWrittenOn(t *testing.T) {
	c, size := filled(t, 3, false)
	for i := range c.nodes {
		path := filepath.Join(c.dataDir(i), "history.tree")
		tree, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if left := c.cutHistory(i, 100); left >= size {
			t.Fatalf("%d records left of %d signed", left, size)
		}
		if i == 2 { // the records alone
			if err := os.WriteFile(path, tree, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Remove(filepath.Join(c.dataDir(1), "index.db")); err != nil {
		t.Fatal(err)
	}
	old := c.incarnations()
	c.startAll()
	c.awaitEqual()
	for i := range 120 {
		c.mustRead(i%3, fmt.Sprintf("T%d", i), []byte("content"))
	}
	c.mustPut(0, "after", "P5Y", []byte("after"))
	if c.incarnations() != old {
		t.Fatal("a node gave its incarnation up though its log held everything")
	}
	if !c.logged.has("nothing is lost") {
		t.Fatal("the repair is not in the log")
	}
	c.await("damage and repair are recorded by every node", func() bool {
		damage, repair := c.damages(0)
		return len(damage) == 3 && len(repair) == 3 && strings.Contains(damage[0].Where, "are missing")
	})
	if v, err := c.nodes[0].VerifyAll(t.Context()); err != nil || !v.Intact {
		t.Fatalf("%v %+v", err, v)
	}
}

func (c *testCluster) incarnations() (ids [3]format.ID) {
	for i := range c.nodes {
		m, err := store.ReadManifest(c.dataDir(i))
		if err != nil {
			c.t.Fatal(err)
		}
		ids[i] = m.Incarnation
	}
	return ids
}

// TestP48_RolledBackMinorityIsNamedAndCopies: the log does not hold the entries
// any more.
func TestP48_RolledBackMinorityIsNamedAndCopies(t *testing.T) {
	c, size := filled(t, 3, true)
	left := c.cutHistory(1, 100)
	c.startAll()
	c.await("the new incarnation votes", func() bool { _, voter := c.nodes[1].ownRow(); return voter })
	c.awaitEqual()
	want := fmt.Sprintf("ROLLBACK: the history holds %d records; this node signed a checkpoint of %d", left, size)
	if !c.logged.has(want) || !c.logged.has(fmt.Sprintf("records %d to ", left)) {
		t.Fatalf("the log does not say %q", want)
	}
	c.await("the damage is recorded", func() bool {
		damage, repair := c.damages(0)
		return len(damage) == 1 && len(repair) == 1 && damage[0].Node == 2 && strings.Contains(damage[0].Where, want)
	})
	c.await("nothing is put aside any more", func() bool { return c.nodes[1].attestor.aside() == "" })
	if last, _ := c.nodes[1].signer.newest(c.nodes[1].own.incarnation); last.Size < size {
		t.Fatalf("what the key signed is forgotten: %+v", last)
	}
	c.mustRead(1, "T119", []byte("content"))
}

// TestP48_AllRolledBackSaySo: nobody is left to copy from. What was put aside stays
// and every start says it again.
func TestP48_AllRolledBackSaySo(t *testing.T) {
	c, size := filled(t, 3, true)
	var left [3]uint64
	for i := range c.nodes {
		left[i] = c.cutHistory(i, 100)
	}
	for range 2 {
		c.logged = logText{}
		for i := range c.nodes {
			c.startNode(i)
		}
		c.await("every node says it", func() bool {
			for i := range c.nodes {
				s := c.nodes[i].Status(t.Context())
				if !strings.Contains(s.Detail, "3 of 3 nodes have no history of their own any more") ||
					!strings.Contains(s.Detail, fmt.Sprintf("ROLLBACK: the history holds %d records; this node signed a checkpoint of %d", left[i], size)) ||
					s.Nodes[i].SignedSize != size {
					return false
				}
			}
			return true
		})
		if !c.logged.has("ROLLBACK: the history holds") {
			t.Fatal("this start's log does not say it")
		}
		for i := range c.nodes {
			if dirs := c.nodes[i].asideDirs(); len(dirs) != 1 {
				t.Fatalf("node %d has put aside %v", i+1, dirs)
			}
		}
		c.closeAll()
	}
}

// TestP48_SingleNodeRefusesToStart, again and again, and changes nothing.
func TestP48_SingleNodeRefusesToStart(t *testing.T) {
	c, size := filled(t, 1, true)
	left := c.cutHistory(0, 100)
	for range 3 {
		_, err := c.tryStart(0)
		var back *RollbackError
		if !errors.As(err, &back) || back.Have != left || back.Signed != size || !strings.Contains(err.Error(), "there is no other node to copy from") {
			t.Fatalf("%v", err)
		}
	}
}

// TestP63_RolledBackDirectoriesAreNamed: all of the data of every node is an older
// copy, log and index too.
func TestP63_RolledBackDirectoriesAreNamed(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(0, "before", "P5Y", []byte("before"))
	c.awaitEqual()
	c.closeAll()
	for i := range c.nodes {
		if err := os.CopyFS(c.dataDir(i)+".old", os.DirFS(c.dataDir(i))); err != nil {
			t.Fatal(err)
		}
	}
	c.startAll()
	for i := range 30 {
		c.mustPut(i%3, fmt.Sprintf("T%d", i), "P5Y", []byte("content"))
	}
	c.takeCheckpoint()
	c.closeAll()
	for i := range c.nodes {
		c.wipe(i)
		if err := os.Rename(c.dataDir(i)+".old", c.dataDir(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.nodes {
		c.startNode(i)
	}
	for i := range c.nodes {
		if s := c.nodes[i].self(); !strings.Contains(s.Detail, "ROLLBACK: the history holds ") || !strings.Contains(s.Detail, "are missing") {
			t.Fatalf("node %d: %+v", i+1, s)
		}
	}
}
