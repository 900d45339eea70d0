package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// fold takes the effect of one record into the state. It decides nothing: what
// it is given has been decided, here or by the majority whose history is being
// followed. An error means that history and state do not belong together.
func (m *Machine) fold(rec *format.Record, leaf format.Digest) error {
	if err := m.foldEffect(rec); err != nil {
		var no *refusal
		if errors.As(err, &no) { // the record stands: it is too late to refuse, and this halts
			err = errors.New(no.Error())
		}
		return fmt.Errorf("%s: %w", rec.Action, err)
	}
	if err := errors.Join(m.noteStep(rec), m.count(rec)); err != nil {
		return err
	}
	m.next = rec.Sequence + 1
	if rec.Action != format.ActClock && rec.Action != format.ActCheckpoint {
		m.covering = m.next
		if rec.Action != format.ActState {
			m.changed = m.next
		}
	}
	m.window.remember(rec, leaf)
	if m.notify != nil {
		m.notify(rec.Action)
	}
	return nil
}

func (m *Machine) foldEffect(rec *format.Record) error {
	switch rec.Action {
	case format.ActStore:
		return m.foldStore(rec)
	case format.ActRead:
		return m.foldRead(rec)
	case format.ActUse:
		return m.foldUse(rec)
	case format.ActExpire:
		return m.foldExpire(rec)
	case format.ActErase:
		return m.foldErase(rec)
	case format.ActAttest:
		return m.foldAttest(rec)
	case format.ActClock:
		return m.foldClock(rec)
	case format.ActMember:
		return m.foldMember(rec)
	case format.ActCheckpoint:
		return m.foldCheckpoint(rec)
	case format.ActState:
		return m.foldState(rec)
	case format.ActPrune:
		return m.foldPrune(rec)
	case format.ActCarry:
		return m.foldCarry(rec)
	case format.ActAct:
		if m.ceremony == nil {
			return m.foldCeremony(rec)
		}
		return m.foldExecuted(rec)
	case format.ActHoldPlace:
		return m.foldHold(rec)
	case format.ActHoldRelease:
		if e, err := format.DecodeHoldEndEffect(rec.Effect); err == nil {
			return m.foldHoldEnd(rec, e)
		}
		return m.foldExecuted(rec)
	case format.ActExtend:
		return m.foldExtend(rec)
	case format.ActEvent:
		return m.foldEvent(rec)
	case format.ActSpecialExecute, format.ActCirculationLift, format.ActPolicy:
		return m.foldExecuted(rec)
	case format.ActPropose, format.ActSpecialRequest:
		return m.foldPropose(rec)
	case format.ActSign, format.ActSpecialApprove:
		return m.foldSign(rec)
	case format.ActVeto, format.ActSpecialVeto:
		return m.foldVeto(rec)
	case format.ActCirculationStop:
		return m.foldStop(rec)
	case format.ActInstitution:
		return m.foldInstitution(rec)
	case format.ActClose:
		return m.foldClosedBundle(rec)
	case format.ActKey:
		return m.foldKey(rec)
	case format.ActBackup:
		return m.foldBackup(rec)
	case format.ActRestore:
		return m.foldRestore(rec)
	case format.ActShow, format.ActList, format.ActVerify, format.ActDeny, format.ActNodeStart,
		format.ActEnrol, format.ActDamage, format.ActRepair, format.ActExport:
		return nil // the record is its own effect
	}
	return fmt.Errorf("no such effect in this version")
}

// count gives the record its place in its institution's own sequence and among
// its transaction's records.
func (m *Machine) count(rec *format.Record) error {
	number, at := key32(rec.Institution), m.counted
	if at.encoded == nil || at.row.Number != rec.Institution {
		var err error
		if at.encoded, err = m.idx.Get(tInstitution, number); err != nil {
			return err
		}
		if at.row, err = format.DecodeInstitutionRow(at.encoded); err != nil {
			return fmt.Errorf("institution %d: %w", rec.Institution, err)
		}
	}
	m.add(tOwnHistory, cat(number, key64(at.row.Records)), key64(rec.Sequence))
	if rec.Transaction != "" {
		m.add(tTransaction, cat(transactionKey(rec.Institution, rec.Transaction), key64(rec.Sequence)), []byte{})
	}
	old := at.encoded
	at.row.Records++
	at.encoded = at.row.Encode()
	m.replace(tInstitution, number, old, at.encoded)
	m.counted = at
	return nil
}

func keyOf(rec *format.Record) format.BundleKey {
	return format.BundleKey{Institution: rec.Institution, Transaction: rec.Transaction, Part: rec.Part}
}

func (m *Machine) foldStore(rec *format.Record) error {
	e, err := format.DecodeStoreEffect(rec.Effect)
	if err != nil {
		return err
	}
	r, err := m.checkRetention(e)
	if err != nil {
		return err
	}
	key := keyOf(rec)
	row := format.BundleRow{
		Store: rec.Sequence, StoredAt: rec.Clock, Definition: e.Definition, Slot: e.Slot, Size: e.Size, Sealed: e.Sealed, Chunks: e.Chunks,
		Digest: e.Digest, Commitment: e.Commitment, Subject: e.Subject, Documents: e.Documents, Retention: retentionRow(r),
	}
	if err := m.useSlots(e.Slot); err != nil {
		return err
	}
	m.add(tSubject, cat(subjectKey(key.Institution, e.Subject), key64(row.Store)), key.Encode())
	if err := m.countUsed(key.Institution, row.Sealed, 0); err != nil {
		return err
	}
	return m.putBundle(key, nil, nil, row)
}

// putBundle writes what changed of a bundle's row and of its end, in place of what was
// read (old and its encoding; nil for none), and keeps the rows that follow from it:
// under its deadline in the expiry table, and among what waits for a clock entry.
func (m *Machine) putBundle(key format.BundleKey, old *format.BundleRow, encoded []byte, row format.BundleRow) error {
	var before, now retention.Retention
	if old != nil {
		before = retentionOf(old.Retention)
	}
	now = retentionOf(row.Retention)
	was, end := expiresAt(old, before), expiresAt(&row, now)
	if was != end && was != 0 {
		m.replace(tExpiry, expiryKey(int64(was), row.Store), key.Encode(), nil)
	}
	if was != end && end != 0 {
		k := expiryKey(int64(end), row.Store)
		if bytes.Compare(k, m.ends) < 0 {
			m.ends = k
		}
		if err := m.set(tExpiry, k, key.Encode()); err != nil {
			return err
		}
	}
	waited := old != nil && before.Waiting()
	if now.Waiting() && !waited {
		if err := m.set(tWaiting, key64(row.Store), cat(key64(m.clock.Round), key.Encode())); err != nil {
			return err
		}
	}
	if waited && !now.Waiting() {
		if err := m.set(tWaiting, key64(row.Store), nil); err != nil {
			return err
		}
	}
	if changed := row.Encode(); !bytes.Equal(encoded, changed) {
		m.replace(tBundle, key.Encode(), encoded, changed)
	}
	if old != nil && old.BundleEnd != row.BundleEnd {
		var stood []byte
		if old.Expire != 0 {
			stood = old.BundleEnd.Encode()
		}
		m.replace(tEnded, key64(row.Store), stood, row.BundleEnd.Encode())
	}
	return nil
}

// expiresAt is where a bundle stands in the expiry table; 0 when it does not: it
// has no end yet, a hold keeps it, or it has expired already.
func expiresAt(row *format.BundleRow, r retention.Retention) retention.Instant {
	if row == nil || row.Expire != 0 || len(r.Holds) > 0 {
		return 0
	}
	return r.End()
}

// changeBundle reads a record's bundle, changes it and writes it back.
func (m *Machine) changeBundle(key format.BundleKey, store uint64, change func(*format.BundleRow) error) error {
	b := m.recent
	if k := key.Encode(); !bytes.Equal(b.key, k) {
		var err error
		if b, err = m.bundleAt(key); err != nil {
			return err
		}
	}
	if b.encoded == nil || b.row.Store != store {
		return fmt.Errorf("no bundle stored by record %d", store)
	}
	row := b.row
	if err := change(&row); err != nil {
		return err
	}
	return m.putBundle(key, &b.row, b.encoded, row)
}

func (m *Machine) foldRead(rec *format.Record) error {
	e, err := format.DecodeReadEffect(rec.Effect)
	if err != nil {
		return err
	}
	key := keyOf(rec)
	b, err := m.bundle(key)
	if err != nil {
		return err
	}
	if b == nil || retentionOf(b.Retention).Rule.Kind() != retention.RuleOneTime {
		return nil // reading changes nothing
	}
	if s, err := m.stateOf(key, b); err != nil || s == retention.StateHeld {
		return err // read for a hold's purpose: no view is taken
	}
	return m.changeBundle(key, e.Store, func(row *format.BundleRow) error {
		r, err := retentionOf(row.Retention).Read(rec.Actor, e.Request, m.now())
		row.Retention = retentionRow(r)
		return err
	})
}

func (m *Machine) foldExpire(rec *format.Record) error {
	e, err := format.DecodeBundleRef(rec.Effect)
	if err != nil {
		return err
	}
	return m.end(keyOf(rec), e.Store, rec.Sequence)
}

// end takes in the decision that a bundle ends: its slot is dead, and its
// destruction is pending on every node.
func (m *Machine) end(key format.BundleKey, store, decision uint64) error {
	return m.changeBundle(key, store, func(row *format.BundleRow) error {
		if row.Expire != 0 {
			return fmt.Errorf("the bundle of record %d has ended before", store)
		}
		row.Expire, m.expired = decision+1, decision+1
		encoded := key.Encode()
		m.add(tDeadSlot, slotKey(row.Slot), encoded)
		m.add(tErasure, key64(decision), encoded)
		return m.unset(tKept, cat(key32(key.Institution), key64(row.Store)))
	})
}

func (m *Machine) foldErase(rec *format.Record) error {
	e, err := format.DecodeBundleRef(rec.Effect)
	if err != nil {
		return err
	}
	key := keyOf(rec)
	return m.changeBundle(key, e.Store, func(row *format.BundleRow) error {
		if row.Erase != 0 || row.Expire == 0 {
			return fmt.Errorf("the bundle of record %d is erased already, or has not ended", e.Store)
		}
		row.Erase, row.ErasedAt = rec.Sequence+1, rec.Clock
		if err := m.countUsed(key.Institution, 0, row.Sealed); err != nil {
			return err
		}
		_, all, err := m.attests.count(row.Expire - 1)
		if err == nil && all {
			m.replace(tErasure, key64(row.Expire-1), key.Encode(), nil)
		}
		return err
	})
}

func containsAll(have, want []uint32) bool {
	return !slices.ContainsFunc(want, func(n uint32) bool { return !slices.Contains(have, n) })
}

func withNode(nodes []uint32, n uint32) []uint32 {
	out := slices.Clone(nodes)
	if !slices.Contains(out, n) {
		out = append(out, n)
		slices.Sort(out)
	}
	return out
}

func (m *Machine) foldCheckpoint(rec *format.Record) error {
	e, err := format.DecodeCheckpointEffect(rec.Effect)
	if err != nil {
		return err
	}
	m.checkpoint = e
	if err := m.set(tCheckpoint, key64(e.Checkpoint.Size), key64(rec.Sequence)); err != nil {
		return err
	}
	return m.set(tMeta, []byte(metaCheckpoint), rec.Effect)
}
