package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

func (m *Machine) settleVerdict(v verdict, again bool) error {
	switch {
	case v.drop != nil:
		return m.dropRecord(v.drop, v.row, again)
	case again:
		return nil // stays carried
	}
	if v.opened != nil {
		if err := m.set(tPassed, key32(v.opened.Institution), key32(v.opened.Epoch)); err != nil {
			return err
		}
	}
	if err := m.set(tCarried, key64(v.sequence), v.row.Encode()); err != nil || v.row.Epoch == 0 {
		return err
	}
	return m.set(tSealedBy, sealedByKey(v.row.Institution, v.row.Epoch, v.sequence), []byte{})
}

// dropRecord takes a record's rows away, and with a transaction's last record the
// rows of its bundles.
func (m *Machine) dropRecord(rec *format.Record, row format.CarriedRow, again bool) error {
	seq := key64(rec.Sequence)
	if again {
		if err := m.unset(tCarried, seq); err != nil {
			return err
		}
		if row.Epoch != 0 {
			by, _, err := m.sealedBy(row, rec.Sequence)
			if err != nil {
				return err
			}
			err = errors.Join(m.unset(tSealedBy, sealedByKey(row.Institution, by, rec.Sequence)), m.unset(tCarriedKey, seq))
			if err != nil {
				return err
			}
		}
	}
	if err := m.unset(tSpecialStep, seq); err != nil {
		return err
	}
	if rec.Action == format.ActCheckpoint {
		e, err := format.DecodeCheckpointEffect(rec.Effect)
		if err != nil {
			return err
		}
		if err := m.unset(tCheckpoint, key64(e.Checkpoint.Size)); err != nil {
			return err
		}
	}
	if rec.Action == format.ActPropose || rec.Action == format.ActSpecialRequest {
		if err := m.dropAct(rec); err != nil {
			return err
		}
	}
	if rec.Action == format.ActHoldPlace && rec.Transaction == "" {
		if err := m.unset(tHoldEnd, holdKey(rec.Institution, rec.Sequence)); err != nil {
			return err
		}
	}
	if rec.Action == format.ActUse {
		e, err := format.DecodeUseEffect(rec.Effect)
		if err != nil {
			return err
		}
		if err := m.unset(tUse, cat(subjectKey(rec.Institution, e.Subject), seq)); err != nil {
			return err
		}
	}
	if err := m.unset(tOwnHistory, cat(key32(rec.Institution), key64(rec.InstitutionSequence))); err != nil {
		return err
	}
	if rec.Transaction == "" {
		return nil
	}
	prefix := transactionKey(rec.Institution, rec.Transaction)
	if err := m.unset(tTransaction, cat(prefix, seq)); err != nil {
		return err
	}
	left, err := m.anyRow(tTransaction, prefix)
	if err != nil || left {
		return err
	}
	return m.dropBundles(prefix)
}

// dropBundles takes the rows of a transaction's bundles away. Their slots stay
// dead, and name nobody any more.
func (m *Machine) dropBundles(prefix []byte) error {
	type bundle struct {
		key []byte
		row format.BundleRow
	}
	var gone []bundle
	err := m.idx.Ascend(tBundle, prefix, after(prefix), func(k, v []byte) (bool, error) {
		row, err := m.decodeBundle(v)
		gone = append(gone, bundle{slices.Clone(k), row})
		return true, err
	})
	if err != nil {
		return err
	}
	for _, b := range gone {
		key, err := format.DecodeBundleKey(b.key)
		if err != nil {
			return err
		}
		if b.row.Erase == 0 {
			return fmt.Errorf("the bundle of record %d is not erased and has no records", b.row.Store)
		}
		err = errors.Join(m.set(tDeadSlot, slotKey(b.row.Slot), []byte{}), m.unset(tStop, b.key), m.unset(tExit, b.key),
			m.unset(tSubject, cat(subjectKey(key.Institution, b.row.Subject), key64(b.row.Store))), m.unset(tBundle, b.key), m.unset(tEnded, key64(b.row.Store)))
		if err != nil {
			return err
		}
	}
	return nil
}

// dropAct takes an act's rows away with the record of its proposal.
func (m *Machine) dropAct(rec *format.Record) error {
	e, err := format.DecodeProposeEffect(rec.Effect)
	if err != nil {
		return err
	}
	doc, err := format.DecodeAct(e.Document)
	if err != nil {
		return err
	}
	return errors.Join(m.unset(tAct, doc.Nonce[:]), m.unset(tActOpen, doc.Nonce[:]))
}

// unset removes a row, if it is there.
func (m *Machine) unset(t index.Table, key []byte) error {
	v, err := m.idx.Get(t, key)
	if err != nil || v == nil {
		return err
	}
	return m.set(t, key, nil)
}
