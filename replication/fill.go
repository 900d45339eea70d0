package replication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// filler brings the keys that a node was restored without from peers that have them:
// those that were restored with more key archives, or with key blocks. A key that is
// absent is no damage: nothing goes on record.
type filler struct {
	todo   []format.ID // blocks with absent slots that live
	left   int         // of todo, how many this pass has still to try
	filled int         // keys of this pass
	away   error       // a peer that could not be asked in this pass
	looked bool
	pause  pause     // between two passes, while a peer cannot be asked
	next   time.Time // no pass before: every peer was asked
}

// How long one round of duties fills slots, each with a synced write, and how long
// what no peer has rests.
const (
	fillTime  = time.Second
	fillEvery = 10 * time.Minute
)

// errTimeUp: there is more of a block to fill.
var errTimeUp = errors.New("no time left in this round")

// round tries the next blocks, and fills what a peer has.
func (f *filler) round(ctx context.Context, n *Node) error {
	if !f.pause.over() || time.Now().Before(f.next) {
		return nil
	}
	if f.left == 0 {
		if again := n.tookAbsent.Swap(false); again || !f.looked {
			if err := f.look(ctx, n); err != nil {
				f.looked = false
				return f.pause.took(err)
			}
		}
		f.left, f.filled, f.away = len(f.todo), 0, nil
	}
	for until := time.Now().Add(fillTime); f.left > 0; {
		id := f.todo[0]
		filled, rest, away, err := n.fillBlock(ctx, id, until)
		f.filled += filled
		if errors.Is(err, errTimeUp) {
			return nil // the next round goes on with it
		}
		f.todo, f.left = f.todo[1:], f.left-1
		if rest > 0 {
			f.todo = append(f.todo, id)
		}
		if err != nil {
			f.left = 0
			return f.pause.took(err)
		}
		if away != nil {
			f.away = away
		}
	}
	return f.endPass(n)
}

func (f *filler) endPass(n *Node) error {
	if f.filled > 0 {
		n.log.Info("keys that were absent came from peers", "keys", f.filled, "blocks_left", len(f.todo))
	}
	switch {
	case len(f.todo) > 0 && f.away != nil:
		return f.pause.took(fmt.Errorf("absent keys of %d blocks: %w", len(f.todo), f.away))
	case len(f.todo) > 0:
		n.log.Warn("keys are absent here and on every peer", "blocks", len(f.todo))
	}
	f.next = time.Now().Add(fillEvery)
	return f.pause.took(nil)
}

// look finds the blocks with absent slots. They come to be where a data directory or
// a block is put together, not later.
func (f *filler) look(ctx context.Context, n *Node) error {
	f.todo = nil
	for _, id := range n.store.HeldBlocks() {
		if err := ctx.Err(); err != nil {
			return err
		}
		slots, err := n.store.AbsentSlots(id)
		var damage *format.DamageError
		switch {
		case errors.As(err, &damage): // of its header: a verification finds it
		case err != nil:
			return err
		case len(slots) > 0:
			f.todo = append(f.todo, id)
		}
	}
	f.looked = true
	return nil
}

// fillBlock fills the absent slots of a block that live from what peers have, and
// answers how many it filled and left, and which peer could not be asked.
func (n *Node) fillBlock(ctx context.Context, id format.ID, until time.Time) (filled, rest int, away, err error) {
	slots, err := n.store.AbsentSlots(id)
	if err != nil {
		return 0, 0, nil, err
	}
	from := &keySource{local: n.store.SlotKey, others: n.others, ask: n.askBlock, fits: n.store.KeyFits}
	defer from.wipe()
	for i, slot := range slots {
		if filled > 0 && !time.Now().Before(until) {
			return filled, rest + len(slots) - i, nil, errTimeUp
		}
		key, err := from.key(ctx, slot)
		if errors.Is(err, errNoNode) {
			rest++
			continue
		}
		if err == nil {
			err = n.store.RepairKey(slot, key)
			clear(key[:])
		}
		if err == nil {
			filled++
		} else if !errors.Is(err, store.ErrKeyErased) { // erased: it ended meanwhile
			return filled, len(slots) - i, nil, err
		}
	}
	for _, err := range from.block(id).errs {
		if status.Code(err) != codes.NotFound {
			away = err
		}
	}
	return filled, rest, away, nil
}
