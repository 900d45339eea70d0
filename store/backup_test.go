package store

import (
	"testing"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// backupOp is an operation of an administrator about a backup.
func (w *world) backupOp(actor uint64, institution uint32, e format.BackupEffect) Op {
	op := w.op(KindBackup, e)
	op.Actor, op.Institution = actor, institution
	return op
}

// TestWhoActsForTheApplianceBacksItUp: however many institutions it serves.
func TestWhoActsForTheApplianceBacksItUp(t *testing.T) {
	const chief, other = 21, 22 // administrators of the appliance, and of institution 2
	w, _ := newActWorld(t, t, 1, func(c *format.Ceremony) {
		for id, institution := range map[uint64]uint32{chief: 0, other: 2} {
			c.Persons = append(c.Persons, format.Person{ID: id, Role: uint8(access.RoleAdmin), Institution: institution,
				PublicKey: public(t, newKey(t)), Identity: format.Digest{byte(id)}})
		}
	})
	begin := format.BackupEffect{}
	w.accept(w.commit(w.backupOp(chief, 0, begin)))
	w.accept(w.commit(w.backupOp(admin, 1, begin))) // of the operating institution
	w.refuse(w.commit(w.backupOp(other, 2, begin)), format.ReasonNotPermitted)
	w.refuse(w.commit(w.backupOp(manager, 1, begin)), format.ReasonNotPermitted)
}

// TestABackupEndsOnceAndOnlyWhereItBegan: no claim of a backup that nobody took.
func TestABackupEndsOnceAndOnlyWhereItBegan(t *testing.T) {
	const chief = 21
	w, _ := newActWorld(t, t, 2, func(c *format.Ceremony) {
		c.Persons = append(c.Persons, format.Person{ID: chief, Role: uint8(access.RoleAdmin), PublicKey: public(t, newKey(t)), Identity: format.Digest{chief}})
	})
	done := func(actor uint64, begun uint64, change func(*format.BackupEffect)) Op {
		e := format.BackupEffect{End: w.nodes[0].Summary().Size, Size: 9, Digest: format.Digest{1}, Begun: begun}
		if change != nil {
			change(&e)
		}
		institution := uint32(1)
		if actor == chief {
			institution = 0
		}
		return w.backupOp(actor, institution, e)
	}
	w.refuse(w.commit(done(admin, 0, nil)), format.ReasonState)
	w.refuse(w.commit(done(admin, 1, nil)), format.ReasonState) // no BACKUP
	begun := w.accept(w.commit(w.backupOp(admin, 1, format.BackupEffect{}))).Sequence
	w.refuse(w.commit(w.backupOp(admin, 1, format.BackupEffect{Begun: begun})), format.ReasonInvalid)
	w.refuse(w.commit(done(chief, begun, nil)), format.ReasonState) // another's
	w.refuse(w.commit(done(admin, begun, func(e *format.BackupEffect) { e.First = 1 })), format.ReasonState)
	w.refuse(w.commit(done(admin, begun, func(e *format.BackupEffect) { e.End = begun })), format.ReasonState)
	w.refuse(w.commit(done(admin, w.nodes[0].Summary().Size, nil)), format.ReasonState)
	first := done(admin, begun, nil)
	r := w.accept(w.commit(first))
	w.refuse(w.commit(done(admin, r.Sequence, nil)), format.ReasonState) // an end begins nothing
	w.refuse(w.commit(done(admin, begun, func(e *format.BackupEffect) { e.Size++ })), format.ReasonState)
	size := w.nodes[0].Summary().Size
	again := first
	again.ID = w.id()
	if twice := w.accept(w.commit(again)); twice.Sequence != r.Sequence || w.nodes[0].Summary().Size != size {
		t.Fatalf("the same claim again: record %d where %d was, %d records where %d were", twice.Sequence, r.Sequence, w.nodes[0].Summary().Size, size)
	}
	w.equal()
	w.nodes[1].rebuild(true)
	w.equal()
}
