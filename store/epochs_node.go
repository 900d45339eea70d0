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
