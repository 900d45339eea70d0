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

// MaxLacking is how many bundles whose keys are lacking one answer names.
const MaxLacking = 1 << 16

// ArchiveOf says what goes into a key archive beside the keys of bundles that were
// stored in its head's range.
type ArchiveOf struct {
	Slots []format.Slot // of institutions' keys
	Again []uint64      // STORE records of bundles whose keys earlier archives lack
}

// Archived says what went into a key archive.
type Archived struct {
	// Keys are in it; Lacking are live keys that no node has.
	Keys, Lacking uint64
	// Stores are the STORE records of bundles whose keys are lacking, as they were
	// asked for; the first MaxLacking.
	Stores []uint64
}

// Archive writes a key archive: the keys of what is named, and those of bundles
// that were stored by the records [From, Sequence) and have not ended. Once it has
// returned this node cannot open it.
func (n *Node) Archive(ctx context.Context, w io.Writer, head format.ArchiveHead, holders []format.ArchiveHolder, of ArchiveOf) (Archived, error) {
	a, err := keyarchive.NewWriter(w, head, holders)
	if err != nil {
		return Archived{}, err
	}
	defer a.Wipe()
	var out Archived
	from := &keySource{local: n.store.SlotKey, others: n.others, ask: n.askBlock, fits: n.store.KeyFits}
	defer from.wipe()
	add := func(slot format.Slot) (lacks bool, err error) {
		key, err := from.key(ctx, slot)
		defer clear(key[:])
		switch {
		case errors.Is(err, store.ErrKeyErased):
			return false, nil // it ended meanwhile
		case err != nil && ctx.Err() == nil:
			n.log.Warn("a key is left out of an archive", "slot", slot.String(), "error", err)
			out.Lacking++
			return true, nil
		case err != nil:
			return false, err
		}
		return false, a.Add(slot, key)
	}
	for _, slot := range of.Slots {
		if _, err := add(slot); err != nil {
			return Archived{}, err
		}
	}
	bundle := func(store uint64, slot format.Slot) error {
		lacks, err := add(slot)
		if lacks && len(out.Stores) < MaxLacking {
			out.Stores = append(out.Stores, store)
		}
		return err
	}
	for _, sequence := range of.Again {
		if err := n.store.BundleSlots(ctx, sequence, sequence+1, bundle); err != nil {
			return Archived{}, err
		}
	}
	if err := n.store.BundleSlots(ctx, head.From, head.Sequence, bundle); err != nil {
		return Archived{}, err
	}
	out.Keys = a.Entries()
	return out, a.End()
}

// errNoNode: neither this node has a key, nor any that answered.
var errNoNode = errors.New("no node has it")

// keySource finds keys of live slots, here or with a peer. A peer is asked once for
// a block: what it answered is kept for the block's other slots.
type keySource struct {
	local  func(format.Slot) ([32]byte, error)
	others func() []format.MemberRow
	ask    func(context.Context, format.MemberRow, format.ID) (store.KeyBlock, map[uint32]bool, error)
	fits   func(format.Slot, [32]byte) bool // a peer's key that does not is passed over
	blocks map[format.ID]*askedBlock
}

// maxAskedBlocks is how many blocks of peers are in memory at a time. A block's slots
// are named by records that lie close together, so that one behind is seldom needed.
const maxAskedBlocks = 32

// askedBlock is what peers answered for a block, each in the order it was asked.
type askedBlock struct {
	asked int
	parts []blockPart
	errs  []error
}

type blockPart struct {
	store.KeyBlock
	bad map[uint32]bool
}

// key is the key of a slot; the caller wipes it.
func (s *keySource) key(ctx context.Context, slot format.Slot) ([32]byte, error) {
	key, err := s.local(slot)
	if err == nil || errors.Is(err, store.ErrKeyErased) {
		return key, err
	}
	b := s.block(slot.Block)
	if key, found := b.key(0, slot, s.fits); found {
		return key, nil
	}
	for others := s.others(); b.asked < len(others); {
		m := others[b.asked]
		b.asked++
		part, bad, err := s.ask(ctx, m, slot.Block)
		if err != nil {
			b.errs = append(b.errs, err)
			continue
		}
		b.parts = append(b.parts, blockPart{part, bad})
		if key, found := b.key(len(b.parts)-1, slot, s.fits); found {
			return key, nil
		}
	}
	return key, fmt.Errorf("key slot %s: %w: %w", slot, errNoNode, errors.Join(append(b.errs, err)...))
}

// key looks a slot up in what peers answered, from one part on.
func (b *askedBlock) key(part int, slot format.Slot, fits func(format.Slot, [32]byte) bool) (key [32]byte, found bool) {
	for _, p := range b.parts[part:] {
		if i := slot.Index; int(i) < len(p.Keys) && !p.bad[i] && !p.Erased[i] && fits(slot, p.Keys[i]) {
			return p.Keys[i], true
		}
	}
	return key, false
}

func (s *keySource) block(id format.ID) *askedBlock {
	if b := s.blocks[id]; b != nil {
		return b
	}
	if s.blocks == nil || len(s.blocks) >= maxAskedBlocks {
		s.wipe()
		s.blocks = map[format.ID]*askedBlock{}
	}
	s.blocks[id] = &askedBlock{}
	return s.blocks[id]
}

// wipe forgets every key.
func (s *keySource) wipe() {
	for _, b := range s.blocks {
		for i := range b.parts {
			b.parts[i].Wipe()
		}
	}
}
