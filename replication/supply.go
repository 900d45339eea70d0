package replication

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// keySupply keeps this node in key slots. A block is drawn ahead of need, made
// durable on a majority and announced in the log; only then are its slots used.
// It belongs to one start of this process: what an earlier start left is retired.
type keySupply struct {
	node *Node
	mu   sync.Mutex
	// free are announced slots of this start that nothing was sealed under.
	free    []format.Slot
	waiters chan struct{} // closed and replaced when slots arrive
	// usedUp are blocks of this start whose last slot was handed out, and when.
	usedUp map[format.ID]time.Time
	// done are slots that were handed out and are in nobody's hands any more.
	done []format.Slot
}

// restFor is how long a block rests after its last slot was handed out, before
// it is retired: longer than any put that holds one of its slots may take.
const restFor = 20 * time.Minute

// ready reports whether there are slots to seal under.
func (k *keySupply) ready() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.free) > 0
}

// low reports whether the next block should be drawn.
func (k *keySupply) low() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.free) <= k.node.timing.BlockSlots/2
}

// Slot answers a fresh key slot of this node's: nothing was or will be sealed
// under it but what the caller seals, once. SlotDone gives it back.
func (n *Node) Slot(ctx context.Context) (format.Slot, error) {
	k := n.supply
	for {
		k.mu.Lock()
		if len(k.free) > 0 {
			s := k.free[0]
			k.free = k.free[1:]
			if len(k.free) == 0 || k.free[0].Block != s.Block {
				if k.usedUp == nil {
					k.usedUp = map[format.ID]time.Time{}
				}
				k.usedUp[s.Block] = time.Now()
			}
			k.mu.Unlock()
			return s, nil
		}
		if k.waiters == nil {
			k.waiters = make(chan struct{})
		}
		wait := k.waiters
		k.mu.Unlock()
		n.noticed(0)
		select {
		case <-wait:
		case <-ctx.Done():
			return format.Slot{}, fmt.Errorf("%w: no key slot: %w", ErrUnavailable, ctx.Err())
		}
	}
}

// refill draws, spreads and announces a block.
func (k *keySupply) refill(ctx context.Context) error {
	n := k.node
	b, err := store.NewBlock(rand.Reader, n.own.number, n.timing.BlockSlots)
	if err != nil {
		return err
	}
	defer b.Wipe()
	if err := n.spread(ctx, b); err != nil {
		return err
	}
	e := format.KeyEffect{Verb: format.KeyAnnounce, Block: b.ID, Owner: n.own.number, Start: n.startID, Slots: uint32(len(b.Keys))}
	if _, err := n.duty(ctx, store.KindKey, format.EncodeEffect(e)); err != nil {
		return fmt.Errorf("announcing a key block: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range b.Keys {
		k.free = append(k.free, format.Slot{Block: b.ID, Index: uint32(i)})
	}
	if k.waiters != nil {
		close(k.waiters)
		k.waiters = nil
	}
	return nil
}

// spread makes a block durable here and on as many peers as answer: a majority
// of all nodes, or an error.
func (n *Node) spread(ctx context.Context, b store.KeyBlock) error {
	local := b
	local.Keys, local.Erased = append([][32]byte(nil), b.Keys...), append([]bool(nil), b.Erased...)
	defer local.Wipe()
	if err := n.store.InstallBlock(local); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	members := votersOf(n.members())
	answers := make(chan error, len(members))
	var sending sync.WaitGroup
	defer sending.Wait() // the caller wipes the block
	for _, m := range members {
		if m.Number == n.own.number {
			answers <- nil
			continue
		}
		sending.Go(func() { answers <- n.sendBlock(ctx, m, b) })
	}
	have, need := 0, len(members)/2+1
	var errs []error
	for range members {
		if err := <-answers; err != nil {
			errs = append(errs, err)
		} else {
			have++
		}
	}
	if have < need {
		return fmt.Errorf("key block on %d of %d nodes: %w", have, len(members), errors.Join(errs...))
	}
	return nil
}

// retire retires this node's blocks that will take no bundle any more: those of
// earlier starts, and those of this that are used up. Their unused slots are destroyed
// everywhere.
func (n *Node) retire(ctx context.Context) error {
	ids, err := n.store.BlockIDs()
	if err != nil {
		return err
	}
	for _, id := range ids {
		row, err := n.store.Block(id)
		if err != nil {
			return err
		}
		if row == nil || row.Owner != n.own.number || row.Retired != 0 || row.Start == n.startID && !n.supply.rested(id) {
			continue
		}
		e := format.KeyEffect{Verb: format.KeyRetire, Block: id, Owner: n.own.number}
		if _, err := n.duty(ctx, store.KindKey, format.EncodeEffect(e)); err != nil {
			return fmt.Errorf("retiring a key block: %w", err)
		}
	}
	return nil
}

func (k *keySupply) rested(id format.ID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, ok := k.usedUp[id]
	return ok && time.Since(at) >= restFor
}

// epochsReady reports whether every institution has history keys and their
// blocks are here.
func (n *Node) epochsReady() bool {
	list, err := n.store.Institutions()
	if err != nil || len(list) == 0 {
		return false
	}
	for _, i := range list {
		if i.Epoch == 0 || !n.store.HasBlock(i.Subject.Block) {
			return false
		}
	}
	return true
}
