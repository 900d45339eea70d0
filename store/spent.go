package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/store/format"
)

// Spent slots: a put took one and no bundle came of it. What was sealed under it may
// be the content of the bundle that took the number instead, so it must not outlive
// that bundle. A KEY record takes the slot, so that no STORE can, and decides that
// key and ciphertext are destroyed.

// SpentLimit is how many slots one KEY record names as spent at most, so that it
// fits an operation.
const SpentLimit = 512

// checkSpent refuses spent slots that are not the front node's own or that a record
// named: a bundle whose STORE came first keeps its slot, and one that comes later is
// refused. Which of the two, the log's order decides.
func (t *turn) checkSpent(e format.KeyEffect) error {
	if len(e.Spent) == 0 || len(e.Spent) > SpentLimit {
		return refuse(format.ReasonInvalid, "a record names some spent slots, not too many")
	}
	for _, i := range e.Spent {
		if err := t.checkSlot(format.Slot{Block: e.Block, Index: i}); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) foldSpent(e format.KeyEffect, sequence uint64) error {
	slots := spentSlots(e.Block, e.Spent)
	if err := m.useSlots(slots...); err != nil {
		return err
	}
	for _, s := range slots {
		if err := m.set(tDeadSlot, slotKey(s), key64(sequence)); err != nil {
			return err
		}
	}
	return m.set(tSpent, key64(sequence), format.SpentRow{Block: e.Block, Slots: e.Spent}.Encode())
}

func spentSlots(block format.ID, indexes []uint32) []format.Slot {
	slots := make([]format.Slot, len(indexes))
	for i, index := range indexes {
		slots[i] = format.Slot{Block: block, Index: index}
	}
	return slots
}

// spentBy answers the sequence of the KEY record that calls a slot spent.
func (m *Machine) spentBy(s format.Slot) (spent bool, sequence uint64, err error) {
	v, err := m.idx.Get(tDeadSlot, slotKey(s))
	if err != nil || len(v) != 8 { // a bundle key has 10 bytes at least
		return false, 0, err
	}
	r := format.NewReader(v)
	sequence = r.U64()
	return true, sequence, r.Done()
}

func (m *Machine) spent(seq uint64) (*format.SpentRow, error) {
	return lookup(m, tSpent, key64(seq), format.DecodeSpentRow)
}

// keysWait reports whether keys that a KEY record ended are still to be destroyed:
// an epoch's, or those of spent slots.
func (m *Machine) keysWait(seq uint64) (bool, error) {
	ended, err := m.epochEnd(seq)
	if err != nil || ended != nil {
		return ended != nil, err
	}
	spent, err := m.spent(seq)
	return spent != nil, err
}

// attestKeys notes that a node destroyed what a KEY record ended; with the last
// voter nothing waits for it any more.
func (m *Machine) attestKeys(seq uint64, node uint32) error {
	ended, err := m.epochEnd(seq)
	if err != nil {
		return err
	}
	if ended != nil {
		ended.Attested = withNode(ended.Attested, node)
		return m.settleEpoch(seq, ended)
	}
	row, err := m.spent(seq)
	if err == nil && row == nil {
		err = fmt.Errorf("nothing of record %d waits for an erasure", seq)
	}
	if err != nil {
		return err
	}
	row.Attested = withNode(row.Attested, node)
	return m.settleSpent(seq, row)
}

func (m *Machine) settleSpent(seq uint64, row *format.SpentRow) error {
	if containsAll(row.Attested, m.voters()) {
		return m.set(tSpent, key64(seq), nil)
	}
	return m.set(tSpent, key64(seq), row.Encode())
}

// settleKeysOf lets go of what waits for the attestation of nobody who votes.
func (m *Machine) settleKeysOf(seq uint64) error {
	ended, err := m.epochEnd(seq)
	if err != nil {
		return err
	}
	if ended != nil {
		return m.settleEpoch(seq, ended)
	}
	row, err := m.spent(seq)
	if err != nil || row == nil {
		return err
	}
	return m.settleSpent(seq, row)
}

// PendingSpent lists the spent slots that node has not attested and that a
// checkpoint covers: decisions below size. At most limit decisions.
func (m *Machine) PendingSpent(node uint32, size uint64, limit int) ([]PendingBlock, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []PendingBlock
	err := m.idx.Ascend(tSpent, nil, key64(size), func(k, v []byte) (bool, error) {
		row, err := format.DecodeSpentRow(v)
		r := format.NewReader(k)
		if seq := r.U64(); err == nil && !contains(row.Attested, node) {
			out = append(out, PendingBlock{ID: row.Block, Unused: spentSlots(row.Block, row.Slots), Decision: seq})
		}
		return len(out) < limit, errors.Join(err, r.Done())
	})
	return out, err
}

// judgeSpent checks that a KEY record calls these slots spent, and that it was this
// one that took them.
func (j warrantJudge) judgeSpent(e format.KeyEffect, sequence uint64, slots []format.Slot) error {
	m := j.store.Machine
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, s := range slots {
		spent, by, err := m.spentBy(s)
		if err != nil {
			return err
		}
		if s.Block != e.Block || !slices.Contains(e.Spent, s.Index) || !spent || by != sequence {
			return fmt.Errorf("slot %v is not one that record %d calls spent", s, sequence)
		}
	}
	return nil
}
