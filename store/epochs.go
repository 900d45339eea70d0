package store

import (
	"errors"
	"fmt"

	"github.com/sago-worm/sago/store/format"
)

// The end of an epoch's history keys. What was dropped must not open from an old
// backup either: so the two keys of a quarter are destroyed once no record that
// is here needs them. Each carried record's own derived key is sealed under the
// newest epoch's key before (CARRY).

// carryLimit is how many keys one CARRY holds at most, so that it fits an operation.
const carryLimit = 100

func sealedByKey(institution, epoch uint32, seq uint64) []byte {
	return cat(epochKey(institution, epoch), key64(seq))
}

func (m *Machine) carriedKey(seq uint64) (*format.CarriedKeyRow, error) {
	return lookup(m, tCarriedKey, key64(seq), format.DecodeCarriedKeyRow)
}

func (m *Machine) epochEnd(seq uint64) (*format.EpochEndRow, error) {
	return lookup(m, tEpochEnd, key64(seq), format.DecodeEpochEndRow)
}

// sealedBy is the epoch whose key opens a carried record's detail, and the
// record's own key where it has one; an empty one says that nothing opens it.
func (m *Machine) sealedBy(row format.CarriedRow, seq uint64) (uint32, *format.CarriedKeyRow, error) {
	k, err := m.carriedKey(seq)
	if err != nil || k == nil {
		return row.Epoch, nil, err
	}
	return k.Epoch, k, nil
}

// checkDetailEpoch refuses a detail under any but the institution's newest key and
// the one before: so an epoch's last record comes before the next but one begins.
func (t *turn) checkDetailEpoch() error {
	if t.op.DetailEpoch == 0 {
		return nil
	}
	inst, ok, err := t.institutionOrNone(t.op.Institution)
	if err == nil && !ok {
		inst, err = t.institution(0) // whose the denial will be
	}
	if err != nil || t.op.DetailEpoch == inst.Epoch {
		return err
	}
	if t.op.DetailEpoch > inst.Epoch { // no key ever opens it, and no other epoch of the institution could end
		return refuse(format.ReasonStale, "the detail is sealed under a key that is not there")
	}
	next, err := t.epochsAfter(inst.Number, t.op.DetailEpoch)
	if err == nil && next > 1 {
		err = refuse(format.ReasonStale, "the detail is sealed under an old key; send it again")
	}
	return err
}

// epochsAfter counts an institution's epochs behind one, up to two.
func (m *Machine) epochsAfter(institution, epoch uint32) (n int, err error) {
	err = m.idx.Ascend(tEpoch, epochKey(institution, epoch+1), epochKey(institution+1, 0), func(_, _ []byte) (bool, error) {
		n++
		return n < 2, nil
	})
	return n, err
}

// decideCarry takes sealed keys of carried records, and which details open under
// nothing. Both only a node with the keys can tell: a majority has tried each
// (CheckCarry), and every node looks again before it destroys the old keys.
func (t *turn) decideCarry() error {
	e, err := format.DecodeCarryEffect(t.op.Body)
	if err != nil || len(e.Keys) == 0 || len(e.Keys) > carryLimit {
		return refuse(format.ReasonInvalid, "a carry holds some keys, not too many")
	}
	inst, ok, err := t.institutionOrNone(e.Institution)
	if err != nil {
		return err
	}
	if !ok || inst.Epoch == 0 || e.Epoch != inst.Epoch {
		return refuse(format.ReasonState, "keys are carried under the newest epoch")
	}
	for _, k := range e.Keys {
		row, err := lookup(t.Machine, tCarried, key64(k.Sequence), format.DecodeCarriedRow)
		if err != nil {
			return err
		}
		if row == nil || row.Institution != e.Institution || row.Epoch == 0 || len(k.Sealed) > 64 {
			return refuse(format.ReasonState, "a named record is not carried, or not the institution's")
		}
		by, old, err := t.sealedBy(*row, k.Sequence)
		if err != nil {
			return err
		}
		gone, err := t.useEnded(e.Institution, by)
		if err != nil {
			return err
		}
		if by >= e.Epoch || old != nil && len(k.Sealed) == 0 && !(gone && row.Class == format.DetailUse) {
			return refuse(format.ReasonState, "a named record's key is carried already")
		}
	}
	if err := t.verifyMajority(e.Message(t.own.cluster), e.Signatures); err != nil {
		return refuse(format.ReasonSignature, err.Error())
	}
	return t.write(draft{action: format.ActCarry, effect: e})
}

func (m *Machine) foldCarry(rec *format.Record) error {
	e, err := format.DecodeCarryEffect(rec.Effect)
	if err != nil {
		return err
	}
	for _, k := range e.Keys {
		row, err := lookup(m, tCarried, key64(k.Sequence), format.DecodeCarriedRow)
		if err != nil {
			return err
		}
		if row == nil {
			return fmt.Errorf("record %d is not carried", k.Sequence)
		}
		by, _, err := m.sealedBy(*row, k.Sequence)
		if err != nil {
			return err
		}
		key := format.CarriedKeyRow{Epoch: e.Epoch, Sealed: k.Sealed}
		if len(k.Sealed) == 0 {
			key.Epoch = by // no epoch waits for it any more
		}
		err = errors.Join(m.set(tCarriedKey, key64(k.Sequence), key.Encode()), m.unset(tSealedBy, sealedByKey(e.Institution, by, k.Sequence)))
		if err == nil && len(k.Sealed) > 0 {
			err = m.set(tSealedBy, sealedByKey(e.Institution, e.Epoch, k.Sequence), []byte{})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkEpochEnd refuses to end an epoch whose keys a record that is here needs.
func (t *turn) checkEpochEnd(e format.KeyEffect) error {
	row, err := t.epoch(e.Institution, e.Epoch)
	if err != nil {
		return err
	}
	if row == nil || row.Use != e.Use || row.Other != e.Other {
		return refuse(format.ReasonState, "no such epoch, or other keys than its own")
	}
	passed, err := t.passed(e.Institution)
	if err != nil {
		return err
	}
	state, err := t.epochState(e.Institution, e.Epoch, passed)
	if err == nil && state != epochFree {
		err = refuse(format.ReasonState, "records that are kept need the epoch's keys, or its end is under way")
	}
	return err
}

// passed is an institution's newest epoch whose opening lies below the bound.
func (m *Machine) passed(institution uint32) (uint32, error) {
	v, err := lookup(m, tPassed, key32(institution), func(v []byte) (uint32, error) {
		r := format.NewReader(v)
		return r.U32(), r.Done()
	})
	if err != nil || v == nil {
		return 0, err
	}
	return *v, nil
}

// epochState is how far an epoch is from its end.
type epochState uint8

const (
	epochInUse   epochState = iota // records above the bound may need its keys
	epochCarried                   // carried ones do
	epochFree                      // none does
	epochEnding                    // its end is recorded
)

func (m *Machine) epochState(institution, epoch, passed uint32) (epochState, error) {
	later := 0 // epochs behind it whose opening lies below the bound
	err := m.idx.Ascend(tEpoch, epochKey(institution, epoch+1), epochKey(institution, passed+1), func(_, _ []byte) (bool, error) {
		later++
		return later < 2, nil
	})
	if err != nil || later < 2 {
		return epochInUse, err
	}
	carried, err := m.anyRow(tSealedBy, epochKey(institution, epoch))
	if err != nil || carried {
		return epochCarried, err
	}
	ending, err := m.epochEnds(institution, epoch)
	if err != nil || ending {
		return epochEnding, err
	}
	return epochFree, nil
}

func (m *Machine) foldEpochEnd(e format.KeyEffect, sequence uint64) error {
	row := format.EpochEndRow{Institution: e.Institution, Epoch: e.Epoch, Use: e.Use, Other: e.Other}
	for _, slot := range row.Slots() {
		if err := m.set(tDeadSlot, slotKey(slot), []byte{}); err != nil {
			return err
		}
	}
	return m.set(tEpochEnd, key64(sequence), row.Encode())
}

func (m *Machine) foldAttest(rec *format.Record) error {
	e, err := format.DecodeAttestEffect(rec.Effect)
	if err != nil {
		return err
	}
	if err := m.foldRange(e, rec.Sequence); err != nil {
		return err
	}
	for _, seq := range e.Keys {
		if err := m.attestKeys(seq, e.Node); err != nil {
			return err
		}
	}
	for _, id := range e.Blocks {
		if err := m.attestBlock(id, e.Node); err != nil {
			return err
		}
	}
	return nil
}

// settleEpoch keeps what is attested of an epoch's end; with the last voter the epoch
// is no more, or has no use-record key.
func (m *Machine) settleEpoch(seq uint64, row *format.EpochEndRow) error {
	if !containsAll(row.Attested, m.voters()) {
		return m.set(tEpochEnd, key64(seq), row.Encode())
	}
	if row.Other.IsZero() { // of its use records only
		return m.set(tEpochEnd, key64(seq), nil)
	}
	return errors.Join(m.set(tEpochEnd, key64(seq), nil), m.unset(tEpoch, epochKey(row.Institution, row.Epoch)))
}
