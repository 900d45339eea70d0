package replication

import (
	"context"
	"errors"
	"fmt"

	"github.com/sago-worm/sago/store"
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
