package replication

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/store"
)

// TestWhoNoLongerLeadsAwaitsNothingCommitted: a leader that does not come to apply what
// is committed gives the turn for checkpoints back when another leads.
func TestWhoNoLongerLeadsAwaitsNothingCommitted(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	n := c.nodes[c.leader()]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n.applying.Lock()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer n.applying.Unlock()
	wg.Go(func() { _, _ = n.Submit(ctx, store.Op{Kind: store.KindMark}) }) // the entry counts, whatever is answered
	c.await("a command that is committed and not applied", func() bool {
		last, known, err := lastCommand(n.logs, n.raft.CommitIndex(), n.raft.CurrentTerm())
		return err == nil && known && last > n.store.Summary().Applied
	})
	ended := make(chan error, 1)
	go func() { ended <- n.awaitCommitted(ctx) }()
	c.await("another leads", func() bool {
		return n.raft.State() != raft.Leader || n.handOn() == nil
	})
	if err := <-ended; !errors.Is(err, raft.ErrLeadershipLost) {
		t.Errorf("it ends with %v", err)
	}
}

// TestLastCommandIsOfTheClustersCommitIndex: a leader that was just elected knows what
// is committed only with an entry of its own term, and the Machine sees commands alone.
func TestLastCommandIsOfTheClustersCommitIndex(t *testing.T) {
	logs := raft.NewInmemStore()
	if last, known, err := lastCommand(logs, 7, 3); last != 0 || !known || err != nil {
		t.Errorf("of a log that was cut whole: %d, %v, %v", last, known, err)
	}
	for i, l := range []raft.Log{{Term: 1, Type: raft.LogNoop}, {Term: 1}, {Term: 1}, {Term: 2, Type: raft.LogNoop}, {Term: 2, Type: raft.LogConfiguration}, {Term: 2}} {
		l.Index = uint64(i + 1)
		if err := logs.StoreLog(&l); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		commit, term, last uint64
		known              bool
	}{
		{0, 1, 0, false}, {1, 1, 0, true}, {2, 1, 2, true}, {2, 2, 0, false}, {3, 2, 0, false}, {4, 2, 3, true}, {5, 2, 3, true}, {6, 2, 6, true}, {6, 3, 0, false},
	} {
		last, known, err := lastCommand(logs, c.commit, c.term)
		if err != nil || last != c.last || known != c.known {
			t.Errorf("commit %d in term %d: %d, %v, %v", c.commit, c.term, last, known, err)
		}
	}
	if _, _, err := lastCommand(logs, 9, 2); err == nil {
		t.Error("an entry that is not there is no error")
	}
}
