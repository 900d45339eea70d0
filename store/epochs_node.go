package store

import (
	"bytes"
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

// NextCarry is the next CARRY, without signatures: keys of carried records that only an
// epoch's key opens, sealed under the institution's newest, and the details that it
// does not open; no keys when there are none. It looks only at epochs that may end otherwise. Besides the front, only
// the leader's duty asks for it: it touches keys.
func (s *Store) NextCarry(institution, epoch uint32) (e format.CarryEffect, err error) {
	inst, err := s.Institution(institution)
	if err != nil || inst.Epoch <= epoch {
		return e, err
	}
	var sequences []uint64
	prefix := epochKey(institution, epoch)
	err = s.idx.Ascend(tSealedBy, prefix, after(prefix), func(k, _ []byte) (bool, error) {
		r := format.NewReader(k[len(k)-8:])
		sequences = append(sequences, r.U64())
		return len(sequences) < carryLimit, r.Done()
	})
	if err != nil {
		return e, err
	}
	e.Institution, e.Epoch = institution, inst.Epoch
	for _, seq := range sequences {
		sealed, err := s.carryKey(seq, inst.Epoch)
		if err != nil {
			return e, fmt.Errorf("carrying the key of record %d: %w", seq, err)
		}
		e.Keys = append(e.Keys, format.CarriedKey{Sequence: seq, Sealed: sealed})
	}
	return e, nil
}

// CheckCarry tries every key of a CARRY against this node's own keys and records:
// each opens its detail, or is empty and the detail does not open. Without a node
// that has looked nothing is signed.
func (s *Store) CheckCarry(ctx context.Context, e format.CarryEffect) error {
	if len(e.Keys) == 0 || len(e.Keys) > carryLimit {
		return errors.New("a carry holds some keys, not too many")
	}
	for _, k := range e.Keys {
		sealed, err := s.carryKey(k.Sequence, e.Epoch)
		if err == nil && !bytes.Equal(sealed, k.Sealed) {
			err = errors.New("it is another one")
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("carried key of record %d: %w", k.Sequence, err)
		}
	}
	return nil
}

// carryKey seals the key of a record's detail, having seen that it opens it; empty
// where it does not. The same key is sealed to the same bytes.
func (s *Store) carryKey(seq uint64, epoch uint32) ([]byte, error) {
	rec, _, err := s.Record(seq)
	if err != nil {
		return nil, err
	}
	own, err := s.ownDetailKey(&rec)
	if errors.Is(err, ErrKeyErased) && rec.DetailClass == format.DetailUse {
		return nil, nil // its use-record key ended with its institution's closing
	}
	if err != nil {
		return nil, err
	}
	defer clear(own[:])
	if _, err := keyring.OpenDetailWith(own, rec.Operation, rec.Ordinal, rec.Detail); err != nil {
		return nil, nil
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
	if carried != nil && len(carried.Sealed) == 0 {
		carried = nil
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

// KeyDuty is a step towards the end of an institution's epoch.
type KeyDuty struct {
	Institution, Epoch uint32
	// End is the body of the KEY record that ends the epoch; nil while carried records
	// still need its keys (NextCarry).
	End []byte
}

// NextKeyDuty is the next step towards the end of an epoch whose records all lie
// below the bound, among the institutions from one on; false when there is none.
func (m *Machine) NextKeyDuty(from uint32) (d KeyDuty, found bool, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	err = m.idx.Ascend(tPassed, key32(from), nil, func(k, v []byte) (bool, error) {
		r, p := format.NewReader(k), format.NewReader(v)
		institution, passed := r.U32(), p.U32()
		if err := errors.Join(r.Done(), p.Done()); err != nil {
			return false, err
		}
		d, found, err = m.oldestEpoch(institution, passed)
		return !found, err
	})
	return d, found, err
}

func (m *Machine) oldestEpoch(institution, passed uint32) (d KeyDuty, found bool, err error) {
	err = m.idx.Ascend(tEpoch, epochKey(institution, 0), epochKey(institution, passed), func(k, v []byte) (bool, error) {
		r := format.NewReader(k[4:])
		epoch := r.U32()
		row, err := format.DecodeEpochRow(v)
		if err = errors.Join(err, r.Done()); err != nil {
			return false, err
		}
		state, err := m.epochState(institution, epoch, passed)
		if err != nil || state == epochInUse {
			return false, err // and so are the later ones
		}
		if state == epochEnding {
			return true, nil
		}
		d, found = KeyDuty{Institution: institution, Epoch: epoch}, true
		if state == epochFree {
			d.End = format.EncodeEffect(format.KeyEffect{Verb: format.KeyEpochEnd, Institution: institution, Epoch: epoch, Use: row.Use, Other: row.Other})
		}
		return false, nil
	})
	return d, found, err
}

// DestroyEpochs destroys ended epochs' keys on this node, under the KEY record that
// ended each. Before, every carried record of the institution must open without
// them, unless it opens under nothing; another one is a *format.DamageError, and
// nothing is destroyed.
func (s *Store) DestroyEpochs(ctx context.Context, pending []PendingEpoch) error {
	var orders []custodian.Order
	for _, p := range pending {
		if !p.Other.IsZero() { // else its use records are to open no more
			if err := s.checkOpens(ctx, p); err != nil {
				return err
			}
		}
		decision, err := s.log.Read(p.Decision)
		if err != nil {
			return err
		}
		orders = append(orders, custodian.Order{
			Warrant: custodian.Warrant{Decision: decision, Checkpoint: format.EncodeEffect(s.Summary().Checkpoint)},
			Work:    custodian.Work{Unused: true, Slots: p.Slots()}})
	}
	if len(orders) == 0 {
		return nil
	}
	if err := s.SyncHistory(); err != nil {
		return err
	}
	_, err := s.custodian.DestroyAll(ctx, orders)
	return err
}

// checkOpens insists that every carried record of an institution opens by another
// key than an ended epoch's, or not at all.
func (s *Store) checkOpens(ctx context.Context, p PendingEpoch) error {
	return s.idx.Ascend(tCarried, nil, nil, func(k, v []byte) (bool, error) {
		row, err := format.DecodeCarriedRow(v)
		if err != nil || row.Institution != p.Institution || row.Epoch == 0 {
			return true, errors.Join(err, ctx.Err())
		}
		r := format.NewReader(k)
		seq := r.U64()
		s.mu.RLock()
		by, own, err := s.sealedBy(row, seq)
		gone, uerr := s.useEnded(row.Institution, by)
		s.mu.RUnlock()
		if err = errors.Join(err, uerr); err != nil {
			return false, err
		}
		if gone && row.Class == format.DetailUse {
			return true, ctx.Err() // closed: it opens under nothing
		}
		nothing := own != nil && len(own.Sealed) == 0
		if nothing && by != p.Epoch {
			return true, ctx.Err() // its own epoch's end looks, or has looked
		}
		rec, _, err := s.Record(seq)
		if errors.Is(err, history.ErrPruned) {
			return true, nil // dropped while this looks
		}
		if err == nil && by == p.Epoch && !nothing {
			err = errors.New("only the ended epoch's key opens it")
		}
		if err == nil {
			err = s.checkDetail(&rec, !nothing)
		}
		if err != nil {
			return false, &format.DamageError{File: "history", Offset: -1, What: fmt.Sprintf("carried key of record %d", seq), Err: err}
		}
		return true, ctx.Err()
	})
}

// checkDetail insists that a detail opens, or that it does not. What its bytes say
// is no matter here.
func (s *Store) checkDetail(rec *format.Record, opens bool) error {
	key, err := s.ownDetailKey(rec)
	if errors.Is(err, ErrKeyErased) && !opens {
		return nil // destroyed already, before a crash
	}
	if err != nil {
		return err
	}
	defer clear(key[:])
	_, err = keyring.OpenDetailWith(key, rec.Operation, rec.Ordinal, rec.Detail)
	switch {
	case opens:
		return err
	case err != nil:
		return nil
	}
	return errors.New("the ended epoch's key opens it, though a CARRY says that nothing does")
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
	needed, err := m.anyRow(tSealedBy, epochKey(e.Institution, e.Epoch))
	if err == nil && needed {
		err = errors.New("a carried record needs it")
	}
	return err
}
