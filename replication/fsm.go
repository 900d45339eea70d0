package replication

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/store"
)

// fsm feeds committed entries to the Machine. While the node copies its state
// from a peer it only notes how far the log has come.
type fsm struct {
	node    *Node
	copying atomic.Bool
	target  atomic.Uint64 // greatest index delivered or restored
}

// Apply is ApplyBatch of one.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies entries in order. A failure ends the node: the index stays
// where it was, and what follows is not applied.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	for _, l := range logs {
		if f.node.failed() != nil {
			continue // what is not taken in does not count as delivered
		}
		f.target.Store(max(f.target.Load(), l.Index))
		if l.Type != raft.LogCommand {
			continue
		}
		f.node.applying.Lock()
		if f.copying.Load() {
			f.node.applying.Unlock()
			continue
		}
		err := f.node.applyLog(l)
		f.node.applying.Unlock()
		if err != nil {
			f.node.fail(err)
		}
	}
	return out
}

// applyLog runs one entry through the Machine. The caller holds applying.
func (n *Node) applyLog(l *raft.Log) error {
	e, err := decodeEntry(l.Index, l.Data)
	if err != nil {
		return err
	}
	results, err := n.store.Apply(e)
	if err != nil {
		return err
	}
	n.proposer.resolve(results)
	if n.store.Backlogged() {
		return n.store.Flush()
	}
	return nil
}

// Snapshot is a marker of what has been applied. It answers at once: raft applies
// nothing meanwhile.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.copying.Load() {
		return nil, errors.New("copying from a peer: the log is still needed")
	}
	if err := f.node.failed(); err != nil {
		return nil, err
	}
	return markerSnapshot{f.node}, nil
}

type markerSnapshot struct{ node *Node }

// Persist makes everything applied durable outside the log, so that the log may be cut
// at the marker, which is all that is written.
func (s markerSnapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.node.store.Flush(); err != nil {
		s.node.fail(err)
		return err
	}
	if m, ok := sink.(*markerSink); ok {
		m.own = true
	}
	return sink.Close()
}

// Release has nothing to release.
func (markerSnapshot) Release() {}

// Restore is called when the leader's log begins behind what this node has: it
// notes that the state must be copied, and returns at once.
func (f *fsm) Restore(r io.ReadCloser) error {
	if err := r.Close(); err != nil {
		return err
	}
	f.node.applying.Lock()
	defer f.node.applying.Unlock()
	if err := f.node.beginCopy(); err != nil {
		f.node.fail(fmt.Errorf("beginning to copy: %w", err))
		return err
	}
	return nil
}

// failed answers what ended this node, or nil.
func (n *Node) failed() error {
	if p := n.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// fail ends this node: it serves and applies nothing more. A node whose state is
// not the majority's gives its incarnation up, so that it copies anew when it
// starts again.
func (n *Node) fail(err error) {
	if !n.failure.CompareAndSwap(nil, &err) {
		return
	}
	n.log.Error("node stops", "error", err)
	if errors.Is(err, store.ErrDiverged) || isDamage(err) {
		if err := n.giveUp(err); err != nil {
			n.log.Error("could not mark the data directory as given up", "error", err)
		}
	}
	close(n.ended)
}
