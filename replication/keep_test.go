package replication

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// pass lets time pass on all nodes, on their boot clocks as well.
func (c *testCluster) pass(d time.Duration) {
	c.t.Helper()
	before := c.nodes[c.leader()].Store().Summary().Clock.Now
	for _, t := range c.times {
		t.set(func(t *testTime) { t.boot += d.Nanoseconds() })
	}
	c.await("the clock has moved", func() bool {
		return c.nodes[c.leader()].Store().Summary().Clock.Now-before > d.Microseconds()*99/100
	})
}

// entries appends that many log entries that hold nothing.
func (c *testCluster) entries(count uint64) {
	c.t.Helper()
	until := c.nodes[c.leader()].raft.LastIndex() + count
	c.await("a longer log", func() bool {
		r := c.nodes[c.leader()].raft
		var futures []raft.Future
		for range 200 {
			futures = append(futures, r.Apply(nil, 0)) // no barrier: of one that no fsm sees a node would take its own snapshot for another's
		}
		for _, f := range futures {
			if f.Error() != nil {
				return false // another node leads
			}
		}
		return r.LastIndex() >= until
	})
}

// awaitApplied waits until every node has applied all that any has now, entries that
// change nothing included.
func (c *testCluster) awaitApplied() {
	c.t.Helper()
	last := uint64(0)
	for _, n := range c.nodes {
		last = max(last, n.self().Applied)
	}
	c.await("every node at the same entry", func() bool {
		return !slices.ContainsFunc(c.nodes, func(n *Node) bool { return n.self().Applied < last })
	})
}

const years = 365 * 24 * time.Hour

// TestHistoryRetentionOfACluster: after years the leader prunes, every node erases
// and the keys of old quarters go; a wiped node comes back without what was erased
// and lacks nothing else.
func TestHistoryRetentionOfACluster(t *testing.T) {
	c := newTestCluster(t, 3)
	c.timing.Keep = 50 * time.Millisecond
	var gone []uint64
	defer func() {
		if t.Failed() {
			t.Logf("%s", c.logged.text.String())
		}
	}()
	c.startAll()
	c.mustPut(0, "long", "P30Y", []byte("long"))
	for i := range 3 {
		gone = append(gone, c.mustPut(0, fmt.Sprintf("short-%d", i), "PT1S", []byte("short")).Sequence)
	}
	c.await("erasure", func() bool {
		b, err := c.nodes[0].Store().Bundle(key("short-2"))
		return err == nil && b.Erase != 0 && attestedBy(c.nodes[0], b) == 3
	})
	inst, err := c.nodes[0].Store().Institution(1)
	if err != nil {
		t.Fatal(err)
	}
	first := inst.Epoch
	for range 3 {
		c.pass(92 * 24 * time.Hour)
		c.await("a new quarter's keys", func() bool {
			i, err := c.nodes[0].Store().Institution(1)
			return err == nil && i.Epoch > inst.Epoch
		})
		if inst, err = c.nodes[0].Store().Institution(1); err != nil {
			t.Fatal(err)
		}
	}
	c.pass(4 * years)
	c.entries(store.Window + 200)
	erased := func(n *Node) bool {
		for _, seq := range gone {
			if _, _, err := n.Store().Record(seq); !errors.Is(err, store.ErrPruned) {
				return false
			}
		}
		row, err := n.Store().Epoch(1, first)
		return err == nil && row == nil
	}
	for _, n := range c.nodes {
		c.await("erased history and keys", func() bool { return erased(n) })
	}
	c.awaitEqual()
	c.awaitApplied() // a node that lags while another is wiped could copy from no majority
	// The others cut their logs, so that the wiped node has to copy.
	c.stop(1)
	c.wipe(1)
	c.timing.SnapshotThreshold, c.timing.TrailingLogs, c.timing.SnapshotInterval = 20, 100, 100*time.Millisecond
	for _, i := range []int{0, 2} {
		c.stop(i)
		c.startNode(i)
		c.await("the node again", c.nodes[i].Ready)
		c.await("log cut", func() bool { first, err := c.nodes[i].logs.FirstIndex(); return err == nil && first > store.Window })
	}
	c.startNode(1)
	c.awaitReady()
	c.await("the new incarnation votes", func() bool { _, voter := c.nodes[1].ownRow(); return voter })
	if c.nodes[1].begun == 0 {
		t.Fatal("it got its state otherwise than by copying")
	}
	for i := range 3 {
		c.mustRead(i, "long", []byte("long"))
		if !erased(c.nodes[i]) {
			t.Fatalf("node %d has what was erased", i+1)
		}
	}
	c.refusesLies("long")
	c.mustPut(1, "after", "P5Y", []byte("after"))
	c.awaitEqual()
	v, err := c.nodes[1].VerifyAll(t.Context())
	if err != nil || !v.Intact {
		t.Fatalf("verify: %v %+v", err, v)
	}
}

// refusesLies insists that a node signs no CARRY that says of a detail, which opens,
// that it does not, or that names another key.
func (c *testCluster) refusesLies(transaction string) {
	c.t.Helper()
	b, err := c.nodes[0].Store().Bundle(key(transaction))
	if err != nil {
		c.t.Fatal(err)
	}
	inst, err := c.nodes[0].Store().Institution(1)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, m := range c.nodes[0].store.Members() {
		for _, sealed := range [][]byte{nil, make([]byte, 48)} {
			e := format.CarryEffect{Institution: 1, Epoch: inst.Epoch, Keys: []format.CarriedKey{{Sequence: b.Store, Sealed: sealed}}}
			if _, err := c.nodes[0].carrySignatureOf(c.t.Context(), m, e); err == nil || !strings.Contains(err.Error(), ErrWontSign.Error()) {
				c.t.Errorf("node %s signs a lie: %v", m.Name, err)
			}
		}
	}
}

func TestQuarterEnd(t *testing.T) {
	for at, want := range map[string]string{"2026-01-01T00:00:00Z": "2026-04-01", "2026-03-31T23:59:59Z": "2026-04-01", "2026-11-05T10:00:00Z": "2027-01-01"} {
		instant, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := quarterEnd(instant.UnixMicro()).Time().Format(time.DateOnly); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}
