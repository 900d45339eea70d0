package replication

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// spentEvery is how often a node reports spent slots at most: each time destroying
// them can begin a segment file anew.
const spentEvery = 2 * time.Second

// SlotDone gives a slot of Slot back: its caller seals and proposes nothing more
// under it. If no bundle has taken it by then, the node reports it as spent, and
// none will: an operation of unknown outcome that comes later is refused.
func (n *Node) SlotDone(s format.Slot) {
	k := n.supply
	k.mu.Lock()
	defer k.mu.Unlock()
	k.done = append(k.done, s)
}

// reportSpent proposes a KEY record over slots that were given back and that no
// record has named, of one block, and reports whether there were any. They are
// proposed again until the state here says that they are taken, by whatever record.
func (n *Node) reportSpent(ctx context.Context) (some bool, err error) {
	e, err := n.supply.nextSpent()
	if err != nil || len(e.Spent) == 0 {
		return false, err
	}
	if _, err := n.duty(ctx, store.KindKey, format.EncodeEffect(e)); err != nil {
		return true, fmt.Errorf("reporting spent key slots: %w", err)
	}
	return true, nil
}

// nextSpent is the next report, empty when there is none. It lets go of slots that a
// record has named, and of those of retired blocks.
func (k *keySupply) nextSpent() (e format.KeyEffect, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e.Verb = format.KeySpent
	rows := map[format.ID]*format.BlockRow{}
	open := k.done[:0]
	for i, s := range k.done {
		row, known := rows[s.Block]
		if !known {
			if row, err = k.node.store.Block(s.Block); err != nil {
				k.done = append(open, k.done[i:]...)
				return format.KeyEffect{}, err
			}
			rows[s.Block] = row
		}
		if row != nil && (row.Retired != 0 || row.IsUsed(s.Index)) {
			continue
		}
		open = append(open, s)
		if len(e.Spent) == 0 {
			e.Block = s.Block
		}
		if s.Block == e.Block && len(e.Spent) < store.SpentLimit {
			e.Spent = append(e.Spent, s.Index)
		}
	}
	k.done = open
	slices.Sort(e.Spent)
	e.Spent = slices.Compact(e.Spent)
	return e, nil
}
