package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sago-worm/sago/internal/crashpoint"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// destroyed is a batch whose bundles are destroyed on this node: what says so, and
// where the next one begins, 0 behind the last.
type destroyed struct {
	effects []format.AttestEffect
	next    uint64
}

// destroyDue destroys on this node what a checkpoint covers and attests it, one batch
// while the next is destroyed. It goes through what stands from its beginning to its
// end, and on where it stopped.
func (d *duties) destroyDue(ctx context.Context) error {
	size := d.node.store.Summary().Checkpoint.Checkpoint.Size
	if size == d.destroyed {
		return nil
	}
	if d.from == 0 {
		d.pass = size
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches, attested := make(chan destroyed), make(chan error, 1)
	go func() {
		err := d.attestAll(ctx, batches)
		if err != nil {
			cancel()
		}
		attested <- err
	}()
	whole, kept, err := d.destroyAll(ctx, size, d.from, batches)
	close(batches)
	failed := <-attested
	if failed != nil && errors.Is(err, context.Canceled) { // cut by it
		err = nil
	}
	err = errors.Join(err, failed)
	if err == nil && whole {
		d.destroyed = d.pass
	}
	return errors.Join(err, kept)
}

// destroyAll destroys from one decision on, until its time is up or nothing is left, and
// gives each batch to whoever attests it. whole says that nothing is left; kept is of
// payload that stays, which keeps nothing behind it waiting: under the next checkpoint it
// is asked for again.
func (d *duties) destroyAll(ctx context.Context, size, from uint64, batches chan<- destroyed) (whole bool, kept, err error) {
	n := d.node
	blocks, err := n.store.PendingBlocks(n.own.number, size)
	if err != nil {
		return false, nil, err
	}
	spent, err := n.store.PendingSpent(n.own.number, size, 64)
	if err != nil {
		return false, nil, err
	}
	more := len(blocks) > 64 || len(spent) == 64
	blocks = blocks[:min(len(blocks), 64)]
	for begin := time.Now(); time.Since(begin) < destroyFor; {
		some := n.pieces().destroy
		if err := n.store.ErasuresAhead(ctx, size, from, some); err != nil {
			return false, kept, err
		}
		bundles, next, err := n.store.PendingErasures(n.own.number, size, from, some)
		if err != nil {
			return false, kept, err
		}
		done := destroyed{next: next}
		if len(bundles)+len(blocks)+len(spent) > 0 {
			var refused *store.RefusedError
			if done.effects, refused, err = n.destroyBatch(ctx, bundles, blocks, spent); err != nil {
				return false, kept, err
			}
			if refused != nil {
				kept = errors.Join(kept, fmt.Errorf("destroying: %w", refused))
			}
		}
		select {
		case batches <- done:
		case <-ctx.Done():
			return false, kept, ctx.Err()
		}
		if next == 0 {
			return !more, kept, nil
		}
		from, blocks, spent = next, nil, nil
	}
	return false, kept, nil
}

// destroyBatch destroys bundles, and slots that none took, and answers what attests
// them, so many in one record as it holds. refused is what of them is not attested, nil
// for nothing.
func (n *Node) destroyBatch(ctx context.Context, bundles []store.PendingErasure, blocks, spent []store.PendingBlock) (effects []format.AttestEffect, refused *store.RefusedError, err error) {
	n.requests.giveWay(ctx, giveWayMost)
	n.logs.recent.drop()
	err = n.store.Destroy(ctx, bundles, slices.Concat(blocks, spent))
	if err != nil && !errors.As(err, &refused) {
		return nil, nil, fmt.Errorf("destroying: %w", err)
	}
	if refused != nil { // the others are attested
		stays := func(b store.PendingBlock) bool { return refused.Names(b.Unused...) }
		bundles, blocks, spent = without(bundles, refused), slices.DeleteFunc(blocks, stays), slices.DeleteFunc(spent, stays)
	}
	effects = ranges(bundles, n.pieces().attest)
	if len(blocks)+len(spent) > 0 {
		var e format.AttestEffect
		for _, s := range spent {
			e.Keys = append(e.Keys, s.Decision)
		}
		for _, b := range blocks {
			e.Blocks = append(e.Blocks, b.ID)
		}
		effects = append(effects, e)
	}
	return effects, refused, nil
}

// attestAll attests one batch after another until there is no more or one fails, and
// notes behind each that the next pass goes on there.
func (d *duties) attestAll(ctx context.Context, batches <-chan destroyed) error {
	for b := range batches {
		for _, e := range b.effects {
			if err := d.node.attest(ctx, e); err != nil {
				return err
			}
		}
		if len(b.effects) > 0 {
			crashpoint.Reached("attest", true)
		}
		d.from = b.next
	}
	return nil
}

// attest signs and records that what e names is destroyed on this node.
func (n *Node) attest(ctx context.Context, e format.AttestEffect) (err error) {
	e.Node, e.Incarnation = n.own.number, n.own.incarnation
	if e.Signature, err = n.keys.sign(e.Message(n.own.cluster)); err != nil {
		return err
	}
	if _, err := n.duty(ctx, store.KindAttest, format.EncodeEffect(e)); err != nil {
		return fmt.Errorf("attesting: %w", err)
	}
	return nil
}
