package replication

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store"
)

// errKilled ends a node as a kill would: nothing is written down or flushed.
var errKilled = errors.New("killed")

func (c *testCluster) kill(i int) {
	c.t.Helper()
	c.nodes[i].fail(errKilled)
	c.stop(i)
}

// startIdle starts a node that only follows the log: its duties, the
// copying among them, never come round.
func (c *testCluster) startIdle(i int) *Node {
	c.t.Helper()
	was := c.timing
	defer func() { c.timing = was }()
	c.timing.Duties = time.Hour
	return c.startNode(i)
}

// taken names the bundles that outrun puts, and their content.
func taken(i int) (transaction string, content []byte) {
	return fmt.Sprintf("T%d", i), []byte(fmt.Sprintf("content %d", i))
}

// lagging is a cluster whose last node was killed, and whose other nodes have cut
// their logs past what it has. It answers that node's last index. The log is not
// cut again, so that what a start finds is what the snapshot left.
func lagging(t *testing.T) (*testCluster, uint64) {
	t.Helper()
	c := newTestCluster(t, 3)
	c.timing.SnapshotThreshold, c.timing.TrailingLogs, c.timing.SnapshotInterval = 20, 5, 50*time.Millisecond
	c.startAll()
	c.mustPut(0, "first", "P5Y", []byte("first"))
	c.awaitEqual()
	last, err := c.nodes[2].lastIndex()
	if err := errors.Join(err, c.nodes[2].store.Flush()); err != nil {
		t.Fatal(err)
	}
	c.kill(2)
	c.outrun(0, last)
	c.timing.SnapshotThreshold, c.timing.TrailingLogs = 100_000, 100_000
	return c, last
}

// outrun puts bundles from number on until nodes 1 and 2 no longer have the
// entries behind last, nor a few more that the last node was sent before it ended.
func (c *testCluster) outrun(number int, last uint64) int {
	c.t.Helper()
	cut := func(n *Node) bool {
		first, err := n.logs.FirstIndex()
		return err == nil && first > last+20
	}
	for end := number + 300; number < end; number++ {
		if cut(c.nodes[0]) && cut(c.nodes[1]) {
			return number
		}
		name, content := taken(number)
		c.mustPut(0, name, "P5Y", content)
	}
	c.t.Fatal("no node cuts its log")
	return 0
}

// marked is the index of a node's snapshot marker; 0 without one.
func (c *testCluster) marked(i int) uint64 {
	m, err := (&markerStore{dir: c.dataDir(i)}).read()
	if err != nil || m == nil {
		return 0
	}
	return m.Index
}

// keptOn restarts a node and checks that it goes on as what it was.
func (c *testCluster) keptOn(i int) {
	c.t.Helper()
	old := c.nodes[i].own.incarnation
	c.stop(i)
	n := c.startNode(i)
	aside, err := filepath.Glob(c.dataDir(i) + goneSuffix + "*")
	if err != nil {
		c.t.Fatal(err)
	}
	if n.own.incarnation != old || len(aside) > 0 {
		c.t.Errorf("node %d gave its incarnation up: %v put aside", i+1, aside)
	}
	c.awaitReady()
}

// TestRegressRestartAfterInstalledSnapshot: a node that caught up by a snapshot
// has no gap in its log: it restarts, stopped or killed, as what it was.
func TestRegressRestartAfterInstalledSnapshot(t *testing.T) {
	c, last := lagging(t)
	c.startNode(2)
	c.awaitReady()
	c.awaitEqual()
	if m := c.marked(2); m <= last {
		t.Fatalf("the node caught up without a snapshot: marker %d, its log ended at %d", m, last)
	}
	if first, err := c.nodes[2].logs.FirstIndex(); err != nil || first <= last {
		t.Fatalf("the log still begins at %d, the node had stopped at %d: %v", first, last, err)
	}
	c.mustPut(2, "after", "P5Y", []byte("after"))
	c.keptOn(2)
	c.nodes[2].fail(errKilled)
	c.keptOn(2)
	c.mustRead(2, "first", []byte("first"))
	c.mustRead(2, "after", []byte("after"))
	c.awaitEqual()
}

// TestRegressLogCutTwice: a node is killed while it copies, outrun once more,
// given a second snapshot, and killed again before it has copied anything.
func TestRegressLogCutTwice(t *testing.T) {
	c, _ := lagging(t)
	number, seen := 300, uint64(0)
	for round := range 2 {
		n := c.startIdle(2)
		c.await("a snapshot installed", func() bool { return n.fsm.copying.Load() && c.marked(2) > seen })
		seen = c.marked(2)
		c.await("entries behind the snapshot", func() bool { last, err := n.logs.LastIndex(); return err == nil && last > seen })
		last, err := n.lastIndex()
		if err != nil {
			t.Fatal(err)
		}
		c.kill(2)
		if round == 0 {
			c.cutAgain(number, last)
		}
	}
	c.startNode(2)
	c.neverTwice(2)
	c.keptOn(2)
	c.awaitEqual()
}

// cutAgain restarts nodes 1 and 2 with the thresholds that cut the log, and back.
func (c *testCluster) cutAgain(number int, last uint64) {
	c.t.Helper()
	was := c.timing
	c.timing.SnapshotThreshold, c.timing.TrailingLogs = 20, 5
	for i := range 2 {
		c.stop(i)
		c.startNode(i)
		c.awaitReady()
	}
	c.outrun(number, last)
	c.timing = was
}

// neverTwice puts taken numbers with other content at a node that has just
// started, until it has the state of the others or has stopped by itself. It
// must accept none, and must not go on beside the others.
func (c *testCluster) neverTwice(i int) {
	c.t.Helper()
	n := c.nodes[i]
	name, content := taken(0)
	r, err := c.put(i, name, "P5Y", []byte("other content under a taken number"))
	if err == nil && r.Outcome == store.Accepted {
		c.t.Errorf("node %d accepted a taken number, copying %v, applied %d", i+1, n.fsm.copying.Load(), n.store.Summary().Applied)
	}
	c.t.Logf("a taken number: outcome %d, %v", r.Outcome, err)
	c.await("whole or fenced", func() bool {
		s, o := n.self(), c.nodes[0].self()
		return n.failed() != nil || n.Ready() && s.Root == o.Root && s.StateHash == o.StateHash
	})
	if err := n.failed(); err != nil {
		c.t.Logf("fenced: %v", err)
		c.stop(i)
		c.startNode(i)
		c.awaitReady()
	}
	c.mustRead(i, name, content)
	c.awaitEqual()
}

// TestRegressKillAmidSnapshot: whatever of a snapshot's traces a kill leaves, the
// node does not take up the log behind entries that it never applied. That it is
// to copy is written first, so there is no marker without it.
func TestRegressKillAmidSnapshot(t *testing.T) {
	for _, marker := range []bool{false, true} {
		t.Run(fmt.Sprintf("marker %v", marker), func(t *testing.T) {
			c, _ := lagging(t)
			c.newLeaders()
			if marker {
				c.copyMarker(c.leader(), 2)
			}
			if err := durable.WriteFile(filepath.Join(c.dataDir(2), copyingFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			c.startNode(2)
			c.neverTwice(2)
			c.mustPut(2, "after", "P5Y", []byte("after"))
			c.keptOn(2)
			c.mustRead(2, "after", []byte("after"))
			c.awaitEqual()
		})
	}
}

// TestRegressCopyingPrecedesMarker: a foreign snapshot's marker is written only
// once it stands on disk that the state must be copied; a node's own needs no copy.
func TestRegressCopyingPrecedesMarker(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	i := (c.leader() + 1) % 3
	n := c.nodes[i]
	install := func(index uint64) error {
		s := &markerStore{dir: c.dataDir(i), installing: func(index uint64) error {
			if err := n.installing(index); err != nil {
				return err
			}
			if copying, err := n.copyPending(); err != nil || !copying {
				t.Errorf("the marker comes before COPYING: %v", err)
			}
			return errKilled
		}}
		sink, err := s.Create(raft.SnapshotVersionMax, index, 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		return sink.Close()
	}
	if err := n.installing(n.fsm.target.Load()); err != nil || n.fsm.copying.Load() {
		t.Fatalf("its own snapshot has the node copy: %v", err)
	}
	before := c.marked(i)
	if err := install(n.fsm.target.Load() + 5); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	if got := c.marked(i); got != before || !n.fsm.copying.Load() {
		t.Errorf("marker %d, was %d; copying %v", got, before, n.fsm.copying.Load())
	}
	c.mustPut(c.leader(), "on", "P5Y", []byte("on"))
	c.await("the state copied", func() bool { return !n.fsm.copying.Load() })
	c.awaitEqual()
}

// newLeaders restarts nodes 1 and 2: whichever leads then does not remember what
// node 3 has, and believes what it says of its log.
func (c *testCluster) newLeaders() {
	c.t.Helper()
	for i := range 2 {
		c.stop(i)
		c.startNode(i)
		c.awaitReady()
	}
}

// copyMarker gives a stopped node another's snapshot marker, as an installed
// snapshot does.
func (c *testCluster) copyMarker(from, to int) {
	c.t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.dataDir(from), snapshotFile))
	if err == nil {
		err = durable.WriteFile(filepath.Join(c.dataDir(to), snapshotFile), raw, 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestRegressCopyingLeaderHandsOn: a node that must copy its state and leads is
// of use to nobody: it hands leadership on, copies, and serves again.
func TestRegressCopyingLeaderHandsOn(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	lead := c.leader()
	n := c.nodes[lead]
	other := c.nodes[(lead+1)%3]
	n.applying.Lock()
	err := n.beginCopy()
	n.applying.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	c.await("another leader", func() bool { return n.raft.State() != raft.Leader && c.leader() != lead })
	c.await("the state copied", func() bool { return !n.fsm.copying.Load() })
	round := other.store.Summary().Clock.Round
	c.await("clock rounds", func() bool { return other.store.Summary().Clock.Round > round+1 })
	c.mustPut(lead, "after", "P5Y", []byte("after"))
	c.awaitEqual()
	c.keptOn(lead)
}
