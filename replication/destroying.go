package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sago-worm/sago/internal/crashpoint"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// batch is some of what a checkpoint covers and this node has to destroy, on its way
// from being looked up, by being destroyed, to being attested.
type batch struct {
	bundles       []store.PendingErasure
	blocks, spent []store.PendingBlock // slots that none took
	work          store.Destruction
	next          uint64 // where the next one begins, 0 behind the last
	effects       []format.AttestEffect
}

// destroyDue destroys on this node what a checkpoint covers and attests it. It goes
// through what stands from its beginning to its end, and on where it stopped: one batch
// is attested while the next is destroyed and the one behind that looked up, for each
// waits mostly for syncs or reads of its own. Where one step fails, the earlier ones stop
// and the later ones finish what they were given.
func (d *duties) destroyDue(ctx context.Context) error {
	size := d.node.store.Summary().Checkpoint.Checkpoint.Size
	if size == d.destroyed {
		return nil
	}
	if d.from == 0 {
		d.pass = size
	}
	destroying, stopDestroying := context.WithCancel(ctx)
	looking, stopLooking := context.WithCancel(destroying)
	found, gone := make(chan batch), make(chan batch)
	from, whole := d.from, false
	var kept error
	var failed [3]error
	var steps sync.WaitGroup
	steps.Go(func() {
		defer close(found)
		whole, failed[0] = d.node.lookUp(looking, size, from, found)
	})
	steps.Go(func() {
		defer stopLooking()
		defer close(gone)
		kept, failed[1] = d.node.destroyAll(destroying, found, gone)
	})
	steps.Go(func() {
		defer stopDestroying()
		failed[2] = d.attestAll(ctx, gone)
	})
	steps.Wait()
	for i, err := range failed {
		if errors.Is(err, context.Canceled) && errors.Join(failed[i+1:]...) != nil { // stopped for a later one's sake
			failed[i] = nil
		}
	}
	err := errors.Join(failed[:]...)
	if err == nil && whole {
		d.destroyed = d.pass
	}
	return errors.Join(err, kept)
}

// lookUp finds batches from one decision on, until its time is up or nothing is left,
// which whole says.
func (n *Node) lookUp(ctx context.Context, size, from uint64, found chan<- batch) (whole bool, err error) {
	blocks, err := n.store.PendingBlocks(n.own.number, size)
	if err != nil {
		return false, err
	}
	spent, err := n.store.PendingSpent(n.own.number, size, 64)
	if err != nil {
		return false, err
	}
	more := len(blocks) > 64 || len(spent) == 64
	b := batch{blocks: blocks[:min(len(blocks), 64)], spent: spent, next: from}
	for begin := time.Now(); time.Since(begin) < destroyFor; b = (batch{next: b.next}) {
		n.requests.giveWay(ctx, giveWayMost)
		some := n.pieces().destroy
		if err := n.store.ErasuresAhead(ctx, size, b.next, some); err != nil {
			return false, err
		}
		if b.bundles, b.next, err = n.store.PendingErasures(n.own.number, size, b.next, some); err != nil {
			return false, err
		}
		if b.work, err = n.store.Prepare(ctx, b.bundles, slices.Concat(b.blocks, b.spent)); err != nil {
			return false, fmt.Errorf("destroying: %w", err)
		}
		select {
		case found <- b:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if b.next == 0 {
			return !more, nil
		}
	}
	return false, nil
}

// destroyAll destroys one batch after another. kept is of payload that stays, which keeps
// nothing behind it waiting: under the next checkpoint it is asked for again.
func (n *Node) destroyAll(ctx context.Context, found <-chan batch, gone chan<- batch) (kept, err error) {
	for b := range found {
		var refused *store.RefusedError
		if refused, err = n.destroyBatch(ctx, &b); err != nil {
			return kept, err
		}
		if refused != nil {
			kept = errors.Join(kept, fmt.Errorf("destroying: %w", refused))
		}
		select {
		case gone <- b:
		case <-ctx.Done():
			return kept, ctx.Err()
		}
	}
	return kept, nil
}

// destroyBatch destroys what was looked up, and notes what attests it, so many in one
// record as it holds. refused is what of it is not attested, nil for nothing.
func (n *Node) destroyBatch(ctx context.Context, b *batch) (refused *store.RefusedError, err error) {
	if len(b.bundles)+len(b.blocks)+len(b.spent) == 0 {
		return nil, nil
	}
	n.requests.giveWay(ctx, giveWayMost)
	n.logs.recent.drop()
	err = n.store.Run(ctx, b.work)
	if err != nil && !errors.As(err, &refused) {
		return nil, fmt.Errorf("destroying: %w", err)
	}
	bundles, blocks, spent := b.bundles, b.blocks, b.spent
	if refused != nil { // the others are attested
		stays := func(b store.PendingBlock) bool { return refused.Names(b.Unused...) }
		bundles, blocks, spent = without(bundles, refused), slices.DeleteFunc(blocks, stays), slices.DeleteFunc(spent, stays)
	}
	b.effects = ranges(bundles, n.pieces().attest)
	if len(blocks)+len(spent) > 0 {
		var e format.AttestEffect
		for _, s := range spent {
			e.Keys = append(e.Keys, s.Decision)
		}
		for _, b := range blocks {
			e.Blocks = append(e.Blocks, b.ID)
		}
		b.effects = append(b.effects, e)
	}
	return refused, nil
}

// attestAll attests one batch after another until there is no more or one fails, and
// notes behind each that the next pass goes on there.
func (d *duties) attestAll(ctx context.Context, gone <-chan batch) error {
	for b := range gone {
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
