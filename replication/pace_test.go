package replication

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sago-worm/sago/store"
)

// byHand starts the first node, whose duties come round only when a test takes them.
func (c *testCluster) byHand() (*Node, *duties) {
	c.t.Helper()
	c.timing.Duties = time.Hour
	n := c.startNode(0)
	d := &duties{node: n, started: true}
	c.await("a leader", func() bool { return n.leader() != "" })
	c.await("keys", func() bool {
		var last time.Time
		return errors.Join(n.leadOnce(c.t.Context(), &last), d.round(c.t.Context())) == nil && n.Ready()
	})
	return n, d
}

// TestASweepKeepsNoOtherDutyWaiting: it ends when its time is up, with bundles that are
// due; a destruction has its checkpoint when none is.
func TestASweepKeepsNoOtherDutyWaiting(t *testing.T) {
	c := newTestCluster(t, 1)
	n, _ := c.byHand()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c.mustPut(0, "short", "PT1S", []byte("short lived"))
	due := func() bool {
		due, _, err := n.store.Due(0)
		if err != nil {
			t.Fatal(err)
		}
		return due
	}
	c.await("it is due", func() bool {
		c.times[0].set(func(s *testTime) { s.boot += int64(time.Second) })
		return n.tick(ctx, n.store.Summary()) == nil && due()
	})
	c.takeCheckpoint()
	if more, err := n.sweep(ctx, time.Now()); err != nil || !more || !due() {
		t.Errorf("without time: %v, %v", more, err)
	}
	if more, err := n.sweep(ctx, time.Now().Add(patience)); err != nil || more || due() {
		t.Errorf("with time: %v, %v", more, err)
	}
	if err := n.endHolds(ctx, time.Now()); err != nil {
		t.Error(err)
	}
	size := func() uint64 { return n.store.Summary().Checkpoint.Checkpoint.Size }
	was := size()
	if err := n.keepCheckpoints(ctx, true); err != nil || size() != was {
		t.Errorf("while more is due: %d to %d, %v", was, size(), err)
	}
	if err := n.keepCheckpoints(ctx, false); err != nil || size() <= was {
		t.Errorf("when none is: %d to %d, %v", was, size(), err)
	}
}

// TestALookForLeftoversThatFailsRests: it is not taken again in each round, and the first
// range waits for it.
func TestALookForLeftoversThatFailsRests(t *testing.T) {
	c := newTestCluster(t, 1)
	n, _ := c.byHand()
	d := &duties{node: n}
	d.sweeps.every = pauseMost
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.sweep(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := d.sweep(t.Context()); err != nil || !d.swept.IsZero() {
		t.Errorf("looked again at once: %v", err)
	}
	if may, err := d.mayAttest(); may || err != nil {
		t.Errorf("may attest: %v, %v", may, err)
	}
	d.sweeps = pause{}
	if err := d.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if may, err := d.mayAttest(); !may || err != nil {
		t.Errorf("may not attest: %v", err)
	}
}

// TestTheClustersOwnWorkGivesWayToRequests: it waits until the last of them has its
// answer, or its time is up; an operation of the cluster's own keeps nobody waiting.
func TestTheClustersOwnWorkGivesWayToRequests(t *testing.T) {
	var r requests
	r.begin(store.Op{Kind: store.KindSweep})
	r.giveWay(t.Context(), time.Hour)
	somebody := store.Op{Kind: store.KindRead, Actor: testApp}
	first, second := r.begin(somebody), r.begin(somebody, somebody)
	r.giveWay(t.Context(), time.Millisecond)
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		r.giveWay(t.Context(), time.Hour)
	}()
	waits := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.none != nil
	}
	for deadline := time.Now().Add(patience); !waits(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not wait")
		}
	}
	first()
	if !waits() {
		t.Error("it went on with a request open")
	}
	second()
	select {
	case <-passed:
	case <-time.After(patience):
		t.Fatal("it waits for ever")
	}
	r.giveWay(t.Context(), time.Hour)
}

// TestALeaderGivesWayToTheRequestsOfOthers: what others propose is somebody's too.
func TestALeaderGivesWayToTheRequestsOfOthers(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	lead := c.leader()
	open := func() bool {
		r := &c.nodes[lead].requests
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.open > 0
	}
	seen, done := false, make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < 400 && !t.Failed(); i++ {
			if _, err := c.put((lead+1)%3, fmt.Sprintf("T%d", i), "P5Y", []byte("of another node")); err != nil {
				t.Error(err)
			}
		}
	}()
	for waiting := true; waiting && !seen; {
		seen = open()
		select {
		case <-done:
			waiting = false
		case <-time.After(50 * time.Microsecond):
		}
	}
	if <-done; !seen {
		t.Error("the leader never counted one")
	}
	c.await("none open", func() bool { return !open() })
}
