package store

import (
	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// decideBackup records that a backup begins, or what it held at its end.
func (t *turn) decideBackup() error {
	if err := t.permit(access.VerbBackup); err != nil {
		return err
	}
	if operator, err := t.operator(); err != nil {
		return err
	} else if t.op.Institution != 0 && t.op.Institution != operator {
		return refuse(format.ReasonNotPermitted, "the whole appliance is backed up by who acts for it (ADR 0027)")
	}
	e, err := format.DecodeBackupEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	if e.First > t.next || e.End > t.next || e.Whole() && e.First > e.End || !e.Whole() && (e.End != 0 || e.Size != 0) {
		return refuse(format.ReasonInvalid, "a backup of records that are not there")
	}
	if e.Period != (format.ID{}) {
		if e.Whole() {
			return refuse(format.ReasonInvalid, "keys leave under the record of a run's beginning")
		}
		if err := t.takesKeys(e.Period); err != nil {
			return err
		}
	}
	if done, err := t.checkRun(e); err != nil || done {
		return err
	}
	return t.write(draft{action: format.ActBackup, effect: e, detail: true, institution: t.op.Institution})
}

// checkRun insists that the end of a run names its beginning, by the same person,
// and that no other end does. Said twice in the same words it is done already: the
// answer was lost.
func (t *turn) checkRun(e format.BackupEffect) (done bool, err error) {
	if !e.Whole() {
		if e.Begun != 0 {
			err = refuse(format.ReasonInvalid, "a run's beginning names no other")
		}
		return false, err
	}
	if e.Begun < t.pruned.Bound || e.Begun >= e.End {
		return false, refuse(format.ReasonState, "no such run of a backup was begun")
	}
	begun, run, err := t.backupAt(e.Begun)
	if err != nil {
		return false, err
	}
	if begun.Action != format.ActBackup || begun.Actor != t.op.Actor || run.Whole() || run.First < e.First {
		return false, refuse(format.ReasonState, "no such run of a backup was begun")
	}
	err = t.idx.Ascend(tBackup, key64(max(e.Begun, t.pruned.Bound)), nil, func(k, _ []byte) (bool, error) {
		r := format.NewReader(k)
		rec, other, err := t.backupAt(r.U64())
		if err != nil || other.Begun != e.Begun {
			return err == nil, err
		}
		if done = other == e; !done {
			return false, refuse(format.ReasonState, "the end of this run is on record")
		}
		t.out.Sequence, t.out.Leaf, t.out.Recorded = rec.Sequence, format.LeafHash(rec.Encode()), true
		return false, nil
	})
	return done, err
}

// backupAt reads the record of a sequence, and its effect if it is a BACKUP.
func (m *Machine) backupAt(sequence uint64) (rec format.Record, e format.BackupEffect, err error) {
	if rec, err = m.recordAt(key64(sequence)); err == nil && rec.Action == format.ActBackup {
		e, err = format.DecodeBackupEffect(rec.Effect)
	}
	return rec, e, err
}

// foldBackup keeps what the newest backup holds, and that keys left. A backup is a
// copy that outlives what it was made of, so each that was ended keeps a row.
func (m *Machine) foldBackup(rec *format.Record) error {
	e, err := format.DecodeBackupEffect(rec.Effect)
	if err != nil {
		return err
	}
	if e.Period != (format.ID{}) {
		return m.foldKeysLeft(rec.Sequence, e.Period)
	}
	if !e.Whole() {
		return nil
	}
	row := format.BackupRow{Clock: rec.Clock, End: e.End}.Encode()
	if err := m.set(tBackup, key64(rec.Sequence), row); err != nil {
		return err
	}
	return m.set(tMeta, []byte(metaBackup), row)
}

// BackupOverdue is how old the newest backup may be on the quorum clock,
// microseconds: a day, and an hour for a run to end.
const BackupOverdue = 25 * 3600 * 1_000_000

// LastBackup answers the newest backup that was ended, nil when there is none, and
// whether there should be a newer one: the first is due as long after the ceremony.
func (m *Machine) LastBackup() (row *format.BackupRow, overdue bool, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if row, err = lookup(m, tMeta, []byte(metaBackup), format.DecodeBackupRow); err != nil || m.ceremony == nil {
		return nil, false, err
	}
	since := m.ceremony.time
	if row != nil {
		since = row.Clock
	}
	return row, m.clock.Now-since > BackupOverdue, nil
}

// BackupsHolding lists the backups that were ended and may hold the ciphertext of
// a bundle that has ended, oldest first: they hold its STORE record, and not the
// decision, behind which a run overwrites it.
func (m *Machine) BackupsHolding(b *format.BundleRow) (out []format.BackupRow, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	err = m.idx.Ascend(tBackup, key64(b.Store), nil, func(_, v []byte) (bool, error) {
		row, err := format.DecodeBackupRow(v)
		if err == nil && row.End > b.Store && row.End < b.Expire {
			out = append(out, row)
		}
		return true, err
	})
	return out, err
}
