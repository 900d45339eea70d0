package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
	"github.com/sago-worm/sago/store/keyring"
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
// record's own key where it has one.
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
	if err != nil || !ok || t.op.DetailEpoch >= inst.Epoch {
		return err
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

// decideCarry takes sealed keys of carried records. What they open only a node
// with the keys can tell: each looks before it destroys the old ones.
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
		if row == nil || row.Institution != e.Institution || row.Epoch == 0 || len(k.Sealed) == 0 || len(k.Sealed) > 64 {
			return refuse(format.ReasonState, "a named record is not carried, or not the institution's")
		}
		if by, _, err := t.sealedBy(*row, k.Sequence); err != nil {
			return err
		} else if by >= e.Epoch {
			return refuse(format.ReasonState, "a named record's key is carried already")
		}
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
		err = errors.Join(m.set(tCarriedKey, key64(k.Sequence), key.Encode()), m.set(tSealedBy, sealedByKey(e.Institution, by, k.Sequence), nil),
			m.set(tSealedBy, sealedByKey(e.Institution, e.Epoch, k.Sequence), []byte{}))
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
	state := epochFree
	prefix := epochKey(institution, epoch)
	err = m.idx.Ascend(tSealedBy, prefix, after(prefix), func(_, _ []byte) (bool, error) {
		state = epochCarried
		return false, nil
	})
	if err != nil || state == epochCarried {
		return state, err
	}
	err = m.idx.Ascend(tEpochEnd, nil, nil, func(_, v []byte) (bool, error) {
		row, err := format.DecodeEpochEndRow(v)
		if row.Institution == institution && row.Epoch == epoch {
			state = epochEnding
		}
		return state == epochFree, err
	})
	return state, err
}

func (m *Machine) foldEpochEnd(e format.KeyEffect, sequence uint64) error {
	row := format.EpochEndRow{Institution: e.Institution, Epoch: e.Epoch, Use: e.Use, Other: e.Other}
	return errors.Join(m.set(tDeadSlot, slotKey(e.Use), []byte{}), m.set(tDeadSlot, slotKey(e.Other), []byte{}),
		m.set(tEpochEnd, key64(sequence), row.Encode()))
}

// attestEpoch notes that a node destroyed an epoch's keys; with the last voter the
// epoch is no more.
func (m *Machine) attestEpoch(seq uint64, row *format.EpochEndRow, node uint32) error {
	row.Attested = withNode(row.Attested, node)
	if !containsAll(row.Attested, m.voters()) {
		return m.set(tEpochEnd, key64(seq), row.Encode())
	}
	return errors.Join(m.set(tEpochEnd, key64(seq), nil), m.unset(tEpoch, epochKey(row.Institution, row.Epoch)))
}

// PendingEpoch is an ended epoch whose keys this node has still to destroy.
type PendingEpoch struct {
	Decision uint64 // sequence of the KEY record
	format.EpochEndRow
}

// PendingEpochs lists the ended epochs that node has not attested and that a
// checkpoint covers: decisions below size.
func (m *Machine) PendingEpochs(node uint32, size uint64) ([]PendingEpoch, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []PendingEpoch
	err := m.idx.Ascend(tEpochEnd, nil, key64(size), func(k, v []byte) (bool, error) {
		row, err := format.DecodeEpochEndRow(v)
		r := format.NewReader(k)
		if seq := r.U64(); err == nil && !contains(row.Attested, node) {
			out = append(out, PendingEpoch{seq, row})
		}
		return true, errors.Join(err, r.Done())
	})
	return out, err
}

// NextCarry is the next CARRY, as its body: keys of carried records that only an
// epoch's key opens, sealed under the institution's newest; nil when there are
// none. It looks only at epochs that may end otherwise. Besides the front, only
// the leader's duty asks for it: it touches keys.
func (s *Store) NextCarry(institution, epoch uint32) ([]byte, error) {
	inst, err := s.Institution(institution)
	if err != nil || inst.Epoch <= epoch {
		return nil, err
	}
	var sequences []uint64
	prefix := epochKey(institution, epoch)
	err = s.idx.Ascend(tSealedBy, prefix, after(prefix), func(k, _ []byte) (bool, error) {
		r := format.NewReader(k[len(k)-8:])
		sequences = append(sequences, r.U64())
		return len(sequences) < carryLimit, r.Done()
	})
	if err != nil || len(sequences) == 0 {
		return nil, err
	}
	e := format.CarryEffect{Institution: institution, Epoch: inst.Epoch}
	for _, seq := range sequences {
		sealed, err := s.carryKey(seq, inst.Epoch)
		if err != nil {
			return nil, fmt.Errorf("carrying the key of record %d: %w", seq, err)
		}
		e.Keys = append(e.Keys, format.CarriedKey{Sequence: seq, Sealed: sealed})
	}
	return format.EncodeEffect(e), nil
}

// carryKey seals the key of a record's detail, having seen that it opens it.
func (s *Store) carryKey(seq uint64, epoch uint32) ([]byte, error) {
	rec, _, err := s.Record(seq)
	if err != nil {
		return nil, err
	}
	own, err := s.ownDetailKey(&rec)
	if err != nil {
		return nil, err
	}
	defer clear(own[:])
	if _, err := keyring.OpenDetailWith(own, rec.Operation, rec.Ordinal, rec.Detail); err != nil {
		return nil, err
	}
	key, err := s.detailKey(rec.Institution, epoch, rec.DetailClass)
	if err != nil {
		return nil, err
	}
	defer clear(key[:])
	return keyring.SealCarried(key, seq, own), nil
}

// ownDetailKey is the derived key of a record's detail: the carried one, or from
// the epoch's key.
func (s *Store) ownDetailKey(rec *format.Record) ([32]byte, error) {
	s.mu.RLock()
	carried, err := s.carriedKey(rec.Sequence)
	s.mu.RUnlock()
	if err != nil {
		return [32]byte{}, err
	}
	epoch := rec.DetailEpoch
	if carried != nil {
		epoch = carried.Epoch
	}
	key, err := s.detailKey(rec.Institution, epoch, rec.DetailClass)
	if err != nil {
		return [32]byte{}, err
	}
	defer clear(key[:])
	if carried != nil {
		return keyring.OpenCarried(key, rec.Sequence, carried.Sealed)
	}
	return keyring.DetailKey(key, rec.Operation, rec.Ordinal), nil
}

// NextKeyDuty is the next step towards the end of an epoch whose records all lie
// below the bound: carry, when carried records still need its keys (NextCarry), or
// end, the body of the KEY record that ends it. Both are empty when there is none.
func (m *Machine) NextKeyDuty() (carry *PendingEpoch, end []byte, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	err = m.idx.Ascend(tPassed, nil, nil, func(k, v []byte) (bool, error) {
		r, p := format.NewReader(k), format.NewReader(v)
		institution, passed := r.U32(), p.U32()
		if err := errors.Join(r.Done(), p.Done()); err != nil {
			return false, err
		}
		carry, end, err = m.oldestEpoch(institution, passed)
		return carry == nil && end == nil, err
	})
	return carry, end, err
}

func (m *Machine) oldestEpoch(institution, passed uint32) (carry *PendingEpoch, end []byte, err error) {
	err = m.idx.Ascend(tEpoch, epochKey(institution, 0), epochKey(institution, passed), func(k, v []byte) (bool, error) {
		r := format.NewReader(k[4:])
		epoch := r.U32()
		row, err := format.DecodeEpochRow(v)
		if err = errors.Join(err, r.Done()); err != nil {
			return false, err
		}
		state, err := m.epochState(institution, epoch, passed)
		switch {
		case err != nil || state == epochInUse:
			return false, err // and so are the later ones
		case state == epochCarried:
			carry = &PendingEpoch{EpochEndRow: format.EpochEndRow{Institution: institution, Epoch: epoch}}
		case state == epochFree:
			end = format.EncodeEffect(format.KeyEffect{Verb: format.KeyEpochEnd, Institution: institution, Epoch: epoch, Use: row.Use, Other: row.Other})
		}
		return state == epochEnding, nil
	})
	return carry, end, err
}

// DestroyEpochs destroys ended epochs' keys on this node, under the KEY record that
// ended each. Before, every carried record of the institution must open without
// them; one that does not is a *format.DamageError, and nothing is destroyed.
func (s *Store) DestroyEpochs(ctx context.Context, pending []PendingEpoch) error {
	var orders []custodian.Order
	for _, p := range pending {
		if err := s.checkOpens(ctx, p); err != nil {
			return err
		}
		decision, err := s.log.Read(p.Decision)
		if err != nil {
			return err
		}
		orders = append(orders, custodian.Order{
			Warrant: custodian.Warrant{Decision: decision, Checkpoint: format.EncodeEffect(s.Summary().Checkpoint)},
			Work:    custodian.Work{Unused: true, Slots: []format.Slot{p.Use, p.Other}}})
	}
	if len(orders) == 0 {
		return nil
	}
	_, err := s.custodian.DestroyAll(ctx, orders)
	return err
}

// checkOpens insists that every carried record of an institution opens by another
// key than an ended epoch's.
func (s *Store) checkOpens(ctx context.Context, p PendingEpoch) error {
	return s.idx.Ascend(tCarried, nil, nil, func(k, v []byte) (bool, error) {
		row, err := format.DecodeCarriedRow(v)
		if err != nil || row.Institution != p.Institution || row.Epoch == 0 {
			return true, errors.Join(err, ctx.Err())
		}
		r := format.NewReader(k)
		seq := r.U64()
		s.mu.RLock()
		by, _, err := s.sealedBy(row, seq)
		s.mu.RUnlock()
		if err != nil {
			return false, err
		}
		rec, _, err := s.Record(seq)
		if errors.Is(err, history.ErrPruned) {
			return true, nil // dropped while this looks
		}
		if err == nil && by == p.Epoch {
			err = errors.New("only the ended epoch's key opens it")
		}
		if err == nil {
			_, err = s.OpenDetail(&rec)
		}
		if err != nil {
			return false, &format.DamageError{File: "history", Offset: -1, What: fmt.Sprintf("carried key of record %d", seq), Err: err}
		}
		return true, ctx.Err()
	})
}

// judgeEpochEnd checks that a KEY record ends an epoch with these slots.
func (j warrantJudge) judgeEpochEnd(e format.KeyEffect, slots []format.Slot) error {
	for _, s := range slots {
		if s.IsZero() || s != e.Use && s != e.Other {
			return fmt.Errorf("slot %v is not of the epoch that ended", s)
		}
	}
	m := j.store.Machine
	m.mu.RLock()
	defer m.mu.RUnlock()
	prefix := epochKey(e.Institution, e.Epoch)
	return m.idx.Ascend(tSealedBy, prefix, after(prefix), func(k, _ []byte) (bool, error) {
		return false, errors.New("a carried record needs it")
	})
}
