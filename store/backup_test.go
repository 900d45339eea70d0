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
