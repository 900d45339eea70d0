package replication

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/store/format"
)

// Checkpoint returns once this node has applied the newest checkpoint that the
// leader knows of. With fresh the leader takes a new one first, if this node has
// applied a record that no checkpoint covers. Errors wrap ErrUnavailable.
func (n *Node) Checkpoint(ctx context.Context, fresh bool) error {
	entry := uint64(0) // whatever there is
	if fresh && n.store.Uncovered() {
		entry = n.store.Summary().Applied
	}
	if n.raft.State() == raft.Leader {
		if _, err := n.checkpointAt(ctx, entry); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil
	}
	c, err := n.askCheckpoint(ctx, entry)
	if err == nil {
		err = n.awaitCheckpoint(ctx, c.Size)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// checkpointAt answers the newest checkpoint if it is of the entry or a later
// one, and takes one otherwise. Callers take turns, so that many who ask at once
// get one checkpoint (P55).
func (n *Node) checkpointAt(ctx context.Context, entry uint64) (format.CheckpointEffect, error) {
	select {
	case n.marking <- struct{}{}:
		defer func() { <-n.marking }()
	case <-ctx.Done():
		return format.CheckpointEffect{}, ctx.Err()
	}
	// One that was deposed and does not know it yet would answer an old one, and so
	// would one that was just elected and has not applied what the one before committed.
	if err := n.stillLeads(ctx); err != nil {
		return format.CheckpointEffect{}, fmt.Errorf("%w: %w", errNotLeader, err)
	}
	if err := n.awaitCommitted(ctx); err != nil {
		return format.CheckpointEffect{}, fmt.Errorf("%w: %w", errNotLeader, err)
	}
	if e := n.store.Summary().Checkpoint; e.Checkpoint.Entry >= entry {
		return e, nil
	}
	return n.takeCheckpoint(ctx)
}

// stillLeads asks a majority whether this node leads. Raft's own future is never
// answered when raft is shut down at the same moment.
func (n *Node) stillLeads(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- n.raft.VerifyLeader().Error() }() // ends with raft's answer, or is left behind by a raft that has shut down
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitCommitted waits until this node, which leads, has applied every entry that was
// committed before the call. It ends with raft.ErrLeadershipLost when the node no longer
// leads: others wait for their turn.
func (n *Node) awaitCommitted(ctx context.Context) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		if n.raft.State() != raft.Leader {
			return raft.ErrLeadershipLost
		}
		last, known, err := lastCommand(n.logs, n.raft.CommitIndex(), n.raft.CurrentTerm())
		if err != nil {
			return err
		}
		if known && n.store.Summary().Applied >= last {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lastCommand is the newest entry up to a leader's commit index that the Machine is
// given, 0 when the log holds none. Nothing is known before an entry of the leader's own
// term is committed: only from then on is its commit index that of the cluster (Raft §8).
func lastCommand(logs raft.LogStore, commit, term uint64) (last uint64, known bool, err error) {
	first, err := logs.FirstIndex()
	if err != nil || first == 0 { // all of it was cut: what a snapshot covers is applied
		return 0, commit > 0, err
	}
	for i := commit; i >= first; i-- {
		var l raft.Log
		if err := logs.GetLog(i, &l); err != nil {
			return 0, false, err
		}
		if i == commit && l.Term != term {
			return 0, false, nil
		}
		if l.Type == raft.LogCommand {
			return i, true, nil
		}
	}
	return 0, commit >= first, nil
}

// awaitCheckpoint waits until this node has applied a checkpoint of that size.
func (n *Node) awaitCheckpoint(ctx context.Context, size uint64) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for n.store.Summary().Checkpoint.Checkpoint.Size < size {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
