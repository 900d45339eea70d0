package replication

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sago-worm/sago/store/format"
)

// TestP55_OneCheckpointForManyWhoAsk: every node can have one taken, and those
// who ask at once share it.
func TestP55_OneCheckpointForManyWhoAsk(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.awaitReady()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := c.mustPut(0, "T1", "P5Y", []byte("x"))
	for i, n := range c.nodes { // a node covers what it has applied
		c.await("the put at every node", func() bool { return n.store.Summary().Size > r.Sequence })
		if err := n.Checkpoint(ctx, true); err != nil {
			t.Fatalf("node %d: %v", i+1, err)
		}
		if _, err := n.store.CheckpointCovering(r.Sequence); err != nil {
			t.Fatalf("node %d: %v", i+1, err)
		}
	}
	before := c.checkpoints()
	c.mustPut(0, "T2", "P5Y", []byte("x"))
	var wg sync.WaitGroup
	for range 8 {
		for _, n := range c.nodes {
			wg.Go(func() {
				if err := n.Checkpoint(ctx, true); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if taken := c.checkpoints() - before; taken < 1 || taken > 4 {
		t.Errorf("24 who asked at once had %d checkpoints taken", taken)
	}
	if err := c.nodes[1].Checkpoint(ctx, false); err != nil {
		t.Errorf("the newest that there is: %v", err)
	}
}

// checkpoints counts the CHECKPOINT records of the first node.
func (c *testCluster) checkpoints() (n int) {
	c.t.Helper()
	st := c.nodes[0].store
	err := st.History(context.Background(), 0, st.Summary().Size, func(_ uint64, encoded []byte) error {
		r, err := format.DecodeRecord(encoded)
		if r.Action == format.ActCheckpoint {
			n++
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// TestANodeAloneDoesNotCallItsCheckpointTheNewest: without a majority there is no
// answer, rather than an old one.
func TestANodeAloneDoesNotCallItsCheckpointTheNewest(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.awaitReady()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.nodes[0].Checkpoint(ctx, true); err != nil {
		t.Fatal(err)
	}
	c.stop(1)
	c.stop(2)
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, fresh := range []bool{true, false} {
		if err := c.nodes[0].Checkpoint(short, fresh); !errors.Is(err, ErrUnavailable) {
			t.Errorf("fresh %v: %v", fresh, err)
		}
	}
}
