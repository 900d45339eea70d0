package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// healer mends what a read, a verification or a start found damaged: it records
// the damage, fetches the good copy, and records the repair (I9).
type healer struct {
	node *Node
	mu   sync.Mutex
	todo []wound
	seen map[string]bool // found and not yet mended
}

type wound struct {
	kind  format.DamageKind
	where string
	slot  format.Slot
	row   *format.BundleRow // payload: the bundle; nil when it is not known yet
	// mended says that the start that found it has rebuilt it already.
	mended bool
	// recorded says that the DAMAGE record stands; after says not to try before.
	recorded bool
	after    time.Time
}

// retryEvery is how long a wound that could not be mended rests.
const retryEvery = 30 * time.Second

const maxWounds = 10000

func (h *healer) add(w wound) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == nil {
		h.seen = map[string]bool{}
	}
	if h.seen[w.where] || len(h.todo) >= maxWounds {
		return
	}
	h.seen[w.where] = true
	h.todo = append(h.todo, w)
}

// again puts a wound back that could not be mended.
func (h *healer) again(w wound) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.after = time.Now().Add(retryEvery)
	h.todo = append(h.todo, w)
}

// bundle asks for a bundle's payload to be made whole.
func (h *healer) bundle(row *format.BundleRow) {
	h.add(wound{kind: format.DamagePayload, where: fmt.Sprintf("payload of the bundle stored by record %d", row.Store), slot: row.Slot, row: row})
}

func (h *healer) next() (wound, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, w := range h.todo {
		if time.Now().After(w.after) {
			h.todo = slices.Delete(h.todo, i, i+1)
			return w, true
		}
	}
	return wound{}, false
}

func (h *healer) forget(w wound) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.seen, w.where)
}

// run mends until ctx ends.
func (h *healer) run(ctx context.Context) {
	for range ticks(ctx, h.node.timing.Duties) {
		if h.node.failed() != nil || !h.node.Ready() {
			continue
		}
		w, ok := h.next()
		if !ok {
			continue
		}
		if err := h.mend(ctx, &w); err != nil && ctx.Err() == nil {
			h.node.log.Error("damage is not mended yet", "where", w.where, "error", err)
			h.again(w)
			continue
		}
		if w.mended || w.kind == format.DamagePayload || w.kind == format.DamageKey {
			h.forget(w) // found again, it is damage anew
		}
	}
}

func (h *healer) mend(ctx context.Context, w *wound) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	n := h.node
	if w.kind == format.DamagePayload && !w.slot.IsZero() {
		if done, err := n.payloadWhole(ctx, w); err != nil || done {
			return err
		}
	}
	e := format.DamageEffect{Node: n.own.number, Kind: w.kind, Where: w.where[:min(len(w.where), 500)]}
	if w.row != nil {
		e.Store = w.row.Store
	}
	if !w.recorded {
		if _, err := n.duty(ctx, store.KindDamage, format.EncodeEffect(e)); err != nil {
			return err
		}
		w.recorded = true
	}
	var err error
	switch {
	case w.mended:
	case w.kind == format.DamagePayload && w.row == nil:
		return nil // the start's scan: a verification says which bundle it is
	case w.kind == format.DamagePayload:
		err = n.fetchBundle(ctx, w.row)
	case w.kind == format.DamageKey:
		err = n.mendKey(ctx, w.slot)
	default:
		// History and index are mended by a start: this one goes on with what it
		// has verified before, and the finding stands in the history.
		return nil
	}
	if err != nil {
		return err
	}
	_, err = n.duty(ctx, store.KindRepair, format.EncodeEffect(e))
	return err
}

// payloadWhole finds the bundle of a wound and reports whether there is nothing
// to mend: no live bundle is in that slot, or its payload is here after all. The
// wound's row may be older than the bundle's end: the slot is asked.
func (n *Node) payloadWhole(ctx context.Context, w *wound) (bool, error) {
	if lives, err := n.store.SlotLives(w.slot); err != nil || !lives {
		return err == nil, err
	}
	if w.row == nil {
		var err error
		if w.row, err = n.store.BundleBySlot(w.slot); err != nil {
			return false, err
		}
	}
	return w.row == nil || n.store.Holding(ctx, w.row) == nil, nil
}

func (n *Node) mendKey(ctx context.Context, slot format.Slot) error {
	if !store.IsHeader(slot) {
		if lives, err := n.store.SlotLives(slot); err != nil || !lives {
			return err // it is to be destroyed, or has been
		}
		if err := n.store.KeyWorks(slot); errors.Is(err, store.ErrKeyErased) && !n.alone() {
			// An erased slot is never written again. A node whose live keys were erased
			// though nothing decided it copies anew.
			n.fail(&format.DamageError{File: "keys", Offset: -1, What: "key slot " + slot.String(), Err: err})
			return err
		}
	}
	var errs []error
	for _, m := range n.others() {
		b, bad, err := n.askBlock(ctx, m, slot.Block)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if store.IsHeader(slot) {
			b.Wipe()
			return n.store.RepairBlockHeader(slot.Block, b.Owner)
		}
		if int(slot.Index) < len(b.Keys) && !bad[slot.Index] && !b.Erased[slot.Index] && n.store.KeyFits(slot, b.Keys[slot.Index]) {
			err = n.store.RepairKey(slot, b.Keys[slot.Index])
			b.Wipe()
			return err
		}
		b.Wipe()
	}
	return fmt.Errorf("key slot %v: no peer has it: %w", slot, errors.Join(errs...))
}

// foundDamage takes in what a start found and could go on from.
func (n *Node) foundDamage(d *format.DamageError) {
	n.log.Error("damage found", "file", d.File, "offset", d.Offset, "what", d.What)
	n.startDamage = append(n.startDamage, d)
}

// reportStart hands the start's findings to the healer, once there is one.
func (n *Node) reportStart() {
	for _, d := range n.startDamage {
		kind := format.DamagePayload
		switch {
		case d.File == "index.db":
			kind = format.DamageIndex
		case d.File == "history.tree", d.File == "history":
			kind = format.DamageHistory
		}
		n.heal.add(wound{kind: kind, where: d.Error(), mended: kind != format.DamagePayload})
	}
	n.startDamage = nil
}

// foundPayload takes in what a read found.
func (n *Node) foundPayload(row *format.BundleRow, err error) {
	n.log.Error("damaged payload", "record", row.Store, "error", err)
	n.heal.bundle(row)
}

// verifySelf checks all of this node's files and hands findings to the healer.
func (n *Node) verifySelf(ctx context.Context) (store.Verification, error) {
	v, err := n.store.Verify(ctx)
	for _, f := range v.Damage {
		switch f.Kind {
		case format.DamagePayload, format.DamageKey:
			n.heal.add(wound{kind: f.Kind, where: f.Error(), slot: f.Slot})
		default:
			// The next start rebuilds the index, or copies the history anew.
			n.heal.add(wound{kind: f.Kind, where: f.Error()})
		}
	}
	return v, err
}

// stubTime is how long a stub in the log may be followed by its erasure before
// the payload is looked for elsewhere.
const stubTime = 5 * time.Second

// gotStub takes in that the log brought a chunk without its ciphertext: erased at
// the leader, or damaged there. If its bundle lives, a peer has it.
func (n *Node) gotStub(h format.ChunkHeader) {
	n.heal.add(wound{kind: format.DamagePayload, where: "stub of slot " + h.Slot.String(), slot: h.Slot, after: time.Now().Add(stubTime)})
}
