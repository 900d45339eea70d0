package replication

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyarchive"
)

// Archive writes a key archive: the keys of the slots given, and those of bundles
// that were stored by the records [From, Sequence) and have not ended. lacking are
// live keys that no node has. Once it has returned this node cannot open it.
func (n *Node) Archive(ctx context.Context, w io.Writer, head format.ArchiveHead, holders []format.ArchiveHolder, slots []format.Slot) (keys, lacking uint64, err error) {
	a, err := keyarchive.NewWriter(w, head, holders)
	if err != nil {
		return 0, 0, err
	}
	defer a.Wipe()
	add := func(slot format.Slot) error {
		key, err := n.archived(ctx, slot)
		defer clear(key[:])
		switch {
		case errors.Is(err, store.ErrKeyErased):
			return nil // it ended meanwhile
		case err != nil && ctx.Err() == nil:
			n.log.Warn("a key is left out of an archive", "slot", slot.String(), "error", err)
			lacking++
			return nil
		case err != nil:
			return err
		}
		return a.Add(slot, key)
	}
	for _, slot := range slots {
		if err := add(slot); err != nil {
			return 0, 0, err
		}
	}
	if err := n.store.BundleSlots(ctx, head.From, head.Sequence, add); err != nil {
		return 0, 0, err
	}
	return a.Entries(), lacking, a.End()
}

// archived is the key of a live slot, from here or from a peer.
func (n *Node) archived(ctx context.Context, slot format.Slot) ([32]byte, error) {
	key, err := n.store.SlotKey(slot)
	if err == nil || errors.Is(err, store.ErrKeyErased) {
		return key, err
	}
	errs := []error{err}
	for _, m := range n.others() {
		b, bad, err := n.askBlock(ctx, m, slot.Block)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if int(slot.Index) < len(b.Keys) && !bad[slot.Index] && !b.Erased[slot.Index] {
			key = b.Keys[slot.Index]
			b.Wipe()
			return key, nil
		}
		b.Wipe()
	}
	return key, fmt.Errorf("key slot %s: no node has it: %w", slot, errors.Join(errs...))
}
