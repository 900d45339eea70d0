package replication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// executeActs has the acts executed that have cooled off.
func (n *Node) executeActs(ctx context.Context) error {
	ready, _, err := n.store.ReadyActs(0)
	if err != nil {
		return err
	}
	var errs []error
	for _, act := range ready {
		if _, err := n.duty(ctx, store.KindExecute, act[:]); err != nil {
			errs = append(errs, fmt.Errorf("act %x: %w", act, err))
		}
	}
	return errors.Join(errs...)
}

// endHolds lets the bundles go that released holds on a subject or a definition
// had reached, as many as it can in its time.
func (n *Node) endHolds(ctx context.Context, until time.Time) error {
	for time.Now().Before(until) {
		left, err := n.store.HoldsToEnd()
		if err != nil || !left {
			return err
		}
		var w format.Writer
		w.U32(n.pieces().sweep)
		if _, err := n.duty(ctx, store.KindHoldSweep, w.Bytes()); err != nil {
			return fmt.Errorf("ending holds: %w", err)
		}
	}
	return nil
}

// Votes gathers fresh signed votes of the open round, from whoever answers: the
// largest group that a resync would take, and what the clock would read after it,
// microseconds. Errors wrap ErrUnavailable.
func (n *Node) Votes(ctx context.Context) ([]format.SignedVote, int64, error) {
	votes, err := n.votes(ctx, n.store.Summary().Clock.Round)
	chosen := n.store.ChooseVotes(votes)
	if len(chosen) == 0 {
		return nil, 0, errors.Join(fmt.Errorf("%w: no agreeing majority among %d votes", ErrUnavailable, len(votes)), err)
	}
	to, err := n.store.ResyncTo(chosen)
	return chosen, to, err
}
