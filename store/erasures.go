package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// PendingErasure is a bundle that this node has still to destroy.
type PendingErasure struct {
	Store  uint64
	Slot   format.Slot
	Permit retention.Permit
	// Decision is the sequence of the record that decided it.
	Decision uint64
	// Apart says that one attestation cannot name both this bundle and the one before
	// it in the list: between them lies one that it has attested, or that has to stay.
	Apart bool
	// key and row are of the bundle as it stood when it was listed: which slot is its
	// own, and which record ended it, never changes.
	key format.BundleKey
	row *format.BundleRow
}

// erasuresAtOnce bounds how many rows PendingErasures and Leftovers look at while
// Apply waits.
const erasuresAtOnce = 64

// PendingErasures lists what node has not attested and what a checkpoint covers:
// bundles that records from one on ended, below size, in the order of these
// records, at most limit. next is the record where to go on, 0 when there is no more.
func (m *Machine) PendingErasures(node uint32, size, from uint64, limit int) (out []PendingErasure, next uint64, err error) {
	p := pendings{Machine: m, node: node, size: size, next: from, limit: limit}
	for more := true; more && len(p.out) < limit; {
		if more, err = p.some(); err != nil {
			return p.out, 0, err
		}
		if !more {
			p.next = 0
		}
	}
	return p.out, p.next, nil
}

// pendings is a list of PendingErasures on its way.
type pendings struct {
	*Machine
	node       uint32
	size, next uint64
	limit      int
	out        []PendingErasure
	apart      bool   // as of the next one
	gap        uint64 // up to where the node has attested nothing behind the one before
}

// some looks at a few rows more, and reports whether there are others behind them.
func (p *pendings) some() (more bool, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	seen, attested := 0, p.spans()
	err = p.idx.Ascend(tErasure, key64(p.next), key64(p.size), func(k, v []byte) (bool, error) {
		r := format.NewReader(k)
		decision := r.U64()
		if seen++; seen > erasuresAtOnce || len(p.out) == p.limit {
			more, p.next = true, decision
			return false, r.Done()
		}
		key, err := format.DecodeBundleKey(v)
		if err != nil {
			return false, err
		}
		is, err := attested.of(p.node, decision)
		if err != nil {
			return false, err
		}
		if is.row != nil {
			more, p.next = true, is.to // on behind all that it covers
			return false, nil
		}
		p.apart = p.apart || decision >= p.gap
		p.gap = is.to
		return true, p.take(key, decision)
	})
	return more, err
}

// take adds a bundle to the list, or passes over one that has to stay: the decision
// function says no.
func (p *pendings) take(key format.BundleKey, decision uint64) error {
	b, err := p.bundle(key)
	if err != nil {
		return err
	}
	if b == nil {
		return fmt.Errorf("an erasure waits for %v, which is not there", key)
	}
	permit, allowed, err := p.permitOf(key, b)
	if err != nil {
		return err
	}
	if !allowed {
		p.apart = true
		return nil
	}
	p.out = append(p.out, PendingErasure{Store: b.Store, Slot: b.Slot, Permit: permit, Decision: decision, Apart: p.apart, key: key, row: b})
	p.apart = false
	return nil
}

// permitOf asks the decision function again for a bundle whose end was decided:
// by its deadline, or by an act.
func (m *Machine) permitOf(key format.BundleKey, b *format.BundleRow) (p retention.Permit, allowed bool, err error) {
	exit, err := m.exit(key)
	if err != nil {
		return p, false, err
	}
	if held, err := m.heldByScope(key, b); err != nil || held != nil {
		return p, false, err
	}
	r, id := retentionOf(b.Retention), retention.RecordID(b.Store)
	if exit != nil {
		p, err = r.Left(id, retention.Exit(exit.Exit))
	} else {
		p, err = r.Expire(id, m.now())
	}
	return p, err == nil, nil
}

func contains(nodes []uint32, n uint32) bool { return containsAll(nodes, []uint32{n}) }

// PendingBlock is a retired key block whose unused slots this node has still to
// destroy.
type PendingBlock struct {
	ID       format.ID
	Unused   []format.Slot
	Decision uint64
}

// PendingBlocks lists the retired blocks that node has not attested and that a
// checkpoint covers.
func (m *Machine) PendingBlocks(node uint32, size uint64) ([]PendingBlock, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []PendingBlock
	err := m.idx.Ascend(tRetire, nil, nil, func(k, v []byte) (bool, error) {
		r := format.NewReader(v)
		p := PendingBlock{ID: format.ID(k), Decision: r.U64()}
		b, err := m.block(p.ID)
		if err != nil || b == nil || p.Decision >= size || contains(b.Attested, node) {
			return true, err
		}
		for i := range b.Slots {
			if !b.IsUsed(i) {
				p.Unused = append(p.Unused, format.Slot{Block: p.ID, Index: i})
			}
		}
		out = append(out, p)
		return true, nil
	})
	return out, err
}

// ErasureBacklog reports whether an erasure or keys that have ended wait for a
// checkpoint at or above its decision: somebody must ask for one.
func (m *Machine) ErasureBacklog() (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	size, found, pending := m.checkpoint.Checkpoint.Size, false, false
	// There may be a million rows, and this is asked several times a second: one row
	// and the newest decision say enough.
	err := m.idx.Ascend(tErasure, nil, nil, func(_, _ []byte) (bool, error) {
		found, pending = m.expired > size, true
		return false, nil
	})
	if err != nil || found {
		return found, err
	}
	err = m.idx.Ascend(tRetire, nil, nil, func(_, v []byte) (bool, error) {
		r := format.NewReader(v)
		found, pending = r.U64() >= size, true
		return !found, r.Done()
	})
	if err != nil || found {
		return found, err
	}
	for _, t := range []index.Table{tEpochEnd, tSpent} {
		err = m.idx.Ascend(t, nil, nil, func(k, _ []byte) (bool, error) {
			r := format.NewReader(k)
			found, pending = r.U64() >= size, true
			return !found, r.Done()
		})
		if err != nil || found {
			return found, err
		}
	}
	if !pending {
		return false, nil
	}
	// A member that has changed since takes its signature with it: the newest
	// checkpoint may be a majority's no longer.
	return m.verifyCheckpoint(m.checkpoint) != nil, nil
}

// SlotLives reports whether a slot of an announced block may hold a key: it is
// not erased by a decision that this state knows. Whoever receives a block
// clears the others before using any.
func (m *Machine) SlotLives(s format.Slot) (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	b, err := m.block(s.Block)
	if err != nil || b == nil {
		return false, err
	}
	if !b.IsUsed(s.Index) {
		return b.Retired == 0, nil
	}
	dead, err := m.idx.Get(tDeadSlot, slotKey(s))
	return dead == nil, err
}

// Leftovers are what should be gone from a node and is there all the same: ciphertext
// of expired bundles, of unused and of spent slots that reached it after everybody had
// attested, as a node that replays an old log, and keys that came so.
type Leftovers struct {
	Bundles []PendingErasure
	Blocks  []PendingBlock
	// Next is the key of the range table where to go on, nil at its end.
	Next []byte
}

// Leftovers looks for them through the ranges from a key of their table on (nil: the
// first), about limit of them; with keys first through all dead slots for keys that
// still open. Apply waits for a few of them at a time. size is what a checkpoint
// covers. What PendingErasures lists for node is none.
func (s *Store) Leftovers(ctx context.Context, node uint32, size uint64, keys bool, from []byte, limit int) (Leftovers, error) {
	l := leftovers{Store: s, node: node, size: size, found: map[format.Slot]bool{}, unused: map[uint64]*PendingBlock{}}
	l.out.Next = from
	if err := l.look(ctx, keys, limit); err != nil {
		return Leftovers{}, err
	}
	for _, p := range l.unused {
		l.out.Blocks = append(l.out.Blocks, *p)
	}
	return l.out, nil
}

// leftovers is a list of Leftovers on its way.
type leftovers struct {
	*Store
	node   uint32
	size   uint64
	out    Leftovers
	unused map[uint64]*PendingBlock // by decision: Blocks to be
	found  map[format.Slot]bool     // those in out and unused
}

func (l *leftovers) look(ctx context.Context, keys bool, limit int) error {
	if keys {
		slots, err := l.openDeadSlots(ctx)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(slots, erasuresAtOnce) {
			if err := l.judge(some); err != nil {
				return err
			}
		}
	}
	for more := true; more && limit > 0; limit -= erasuresAtOnce {
		if err := ctx.Err(); err != nil {
			return err
		}
		slots, next, err := l.heldSlots(l.out.Next, erasuresAtOnce)
		if err == nil {
			err = l.judge(slots)
		}
		if err != nil {
			return err
		}
		l.out.Next, more = next, next != nil
	}
	return nil
}

// judge adds what of some slots should be gone.
func (l *leftovers) judge(slots []format.Slot) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var of format.ID // whose row block is
	var block *format.BlockRow
	for _, slot := range slots {
		if l.found[slot] {
			continue
		}
		if block == nil || of != slot.Block {
			var err error
			if block, err = l.block(slot.Block); err != nil {
				return err
			}
			of = slot.Block
		}
		if block == nil {
			continue
		}
		if err := l.take(slot, block); err != nil {
			return err
		}
	}
	return nil
}

func (l *leftovers) take(slot format.Slot, block *format.BlockRow) error {
	spent, decision, err := l.spentBy(slot)
	if err != nil {
		return err
	}
	switch {
	case spent:
		if decision < l.size {
			l.noBundle(slot, decision)
		}
	case block.IsUsed(slot.Index):
		p, err := l.leftover(l.node, slot, l.size)
		if err != nil {
			return err
		}
		if p != nil {
			l.out.Bundles, l.found[slot] = append(l.out.Bundles, *p), true
		}
	case block.Retired != 0 && block.Retired <= l.size:
		l.noBundle(slot, block.Retired-1)
	}
	return nil
}

// noBundle adds a slot of which a KEY record said that no bundle is in it.
func (l *leftovers) noBundle(slot format.Slot, decision uint64) {
	p := l.unused[decision]
	if p == nil {
		p = &PendingBlock{ID: slot.Block, Decision: decision}
		l.unused[decision] = p
	}
	p.Unused, l.found[slot] = append(p.Unused, slot), true
}

func (m *Machine) leftover(node uint32, slot format.Slot, size uint64) (*PendingErasure, error) {
	raw, err := m.idx.Get(tDeadSlot, slotKey(slot))
	if err != nil || len(raw) == 0 {
		return nil, err // of a bundle whose records are gone too: no key opens it
	}
	key, err := format.DecodeBundleKey(raw)
	if err != nil {
		return nil, err
	}
	b, err := m.bundle(key)
	if err != nil || b == nil || b.Expire == 0 || b.Expire > size {
		return nil, err
	}
	pending, err := m.erasurePending(b)
	if err != nil {
		return nil, err
	}
	if is, err := m.spanOf(node, b.Expire-1); err != nil || pending && is.row == nil {
		return nil, err
	}
	permit, allowed, err := m.permitOf(key, b)
	if err != nil || !allowed {
		return nil, err // the decision function says no: it stays
	}
	return &PendingErasure{Store: b.Store, Slot: slot, Permit: permit, Decision: b.Expire - 1, key: key, row: b}, nil
}

// openDeadSlots lists slots that should be erased here and still open.
func (s *Store) openDeadSlots(ctx context.Context) ([]format.Slot, error) {
	var open []format.Slot
	err := s.keys.Verify(ctx, func(slot format.Slot, err error) error {
		if err != nil {
			return nil // erased, or damaged: nothing opens it
		}
		lives, err := s.SlotLives(slot)
		if err == nil && !lives {
			open = append(open, slot)
		}
		return err
	})
	return open, err
}
