package store

import (
	"errors"
	"fmt"

	"github.com/sago-worm/sago/store/format"
)

// The end of an institution's use-record keys with its closing (폐지): its use
// records (이용 내역) stand in the tree for ever and open no more. The other history
// key of each epoch stays. An epoch whose use-record key has ended has no slot for it.

// useEnded reports whether the use-record key of an epoch has ended.
func (m *Machine) useEnded(institution, epoch uint32) (bool, error) {
	row, err := m.epoch(institution, epoch)
	return row != nil && row.Use.IsZero(), err
}

// nextUseEnd is the end of the oldest use-record key that an institution has.
func (m *Machine) nextUseEnd(n uint32) (e format.KeyEffect, found bool, err error) {
	var epochs []uint32
	err = m.idx.Ascend(tEpoch, key32(n), after(key32(n)), func(k, v []byte) (bool, error) {
		row, err := format.DecodeEpochRow(v)
		r := format.NewReader(k[4:])
		if epoch := r.U32(); err == nil && !row.Use.IsZero() {
			epochs = append(epochs, epoch)
		}
		return true, errors.Join(err, r.Done())
	})
	for _, epoch := range epochs {
		ending, lerr := m.epochEnds(n, epoch)
		if err = errors.Join(err, lerr); err != nil {
			return e, false, err
		}
		row, lerr := m.epoch(n, epoch)
		if lerr != nil || row == nil {
			return e, false, lerr
		}
		if !ending { // or both its keys go already
			return format.KeyEffect{Verb: format.KeyUseEnd, Institution: n, Epoch: epoch, Use: row.Use}, true, nil
		}
	}
	return e, false, err
}

// epochEnds reports whether the end of keys of an epoch is under way.
func (m *Machine) epochEnds(institution, epoch uint32) (ending bool, err error) {
	err = m.idx.Ascend(tEpochEnd, nil, nil, func(_, v []byte) (bool, error) {
		row, err := format.DecodeEpochEndRow(v)
		ending = ending || row.Institution == institution && row.Epoch == epoch
		return !ending, err
	})
	return ending, err
}

// checkUseEnd lets a use-record key end only of an institution that is closing and
// has no bundle left: while a hold keeps one, the key stays.
func (t *turn) checkUseEnd(e format.KeyEffect) error {
	tenant, err := t.tenant(e.Institution)
	if err != nil {
		return err
	}
	stopped, err := t.expiryStopped()
	if err != nil {
		return err
	}
	if stopped {
		return refuse(format.ReasonRestored, "holds that a restore lost have still to be placed again")
	}
	kept, err := t.anyRow(tKept, key32(e.Institution))
	if err != nil {
		return err
	}
	if tenant.State != format.TenantClosing || !tenant.Swept || kept {
		return refuse(format.ReasonState, "the institution is not closing, or has bundles left")
	}
	row, err := t.epoch(e.Institution, e.Epoch)
	if err != nil {
		return err
	}
	ending, err := t.epochEnds(e.Institution, e.Epoch)
	if err == nil && (row == nil || row.Use.IsZero() || row.Use != e.Use || ending) {
		err = refuse(format.ReasonState, "no such epoch, another key than its own, or its end is under way")
	}
	return err
}

// foldUseEnd takes the use-record key from its epoch: from now on nothing opens
// what is sealed under it, and every node has to destroy it.
func (m *Machine) foldUseEnd(e format.KeyEffect, sequence uint64) error {
	row, err := m.epoch(e.Institution, e.Epoch)
	if err != nil {
		return err
	}
	if row == nil {
		return errors.New("no such epoch")
	}
	row.Use = format.Slot{}
	pending := format.EpochEndRow{Institution: e.Institution, Epoch: e.Epoch, Use: e.Use}
	return errors.Join(m.set(tEpoch, epochKey(e.Institution, e.Epoch), row.Encode()), m.set(tDeadSlot, slotKey(e.Use), []byte{}),
		m.set(tEpochEnd, key64(sequence), pending.Encode()))
}

// judgeUseEnd checks that a KEY record ends the use-record key in this slot, and
// that the institution's bundles are gone.
func (j warrantJudge) judgeUseEnd(e format.KeyEffect, slots []format.Slot) error {
	for _, s := range slots {
		if s.IsZero() || s != e.Use {
			return fmt.Errorf("slot %v is not of the use-record key that ended", s)
		}
	}
	m := j.store.Machine
	m.mu.RLock()
	defer m.mu.RUnlock()
	row, err := m.tenant(e.Institution)
	if err == nil && (!row.Swept || row.State != format.TenantClosing && row.State != format.TenantClosed) {
		err = fmt.Errorf("institution %d is not closing", e.Institution)
	}
	return err
}
