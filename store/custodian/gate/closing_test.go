package gate

import (
	"testing"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// closed executes the closing of an institution.
func (w *world) closed(object format.ActObject, signers ...uint64) uint64 {
	return w.add(format.Record{Action: format.ActAct}, w.act(format.ActKindClose, object, format.CloseParams{}.Encode(), signers...))
}

// TestAClosingEndsItsOwnInstitution judges CLOSE records (폐지).
func TestAClosingEndsItsOwnInstitution(t *testing.T) {
	institution := func(n uint32) func(*world) uint64 {
		return func(w *world) uint64 { return w.closed(format.ActObject{Institution: n}, manager, approver) }
	}
	for name, c := range map[string]struct {
		act      func(*world) uint64
		admitted bool
	}{
		"its own":          {institution(1), true},
		"another's":        {institution(2), false},
		"nobody's":         {institution(0), false},
		"of one bundle":    {func(w *world) uint64 { return w.closed(theBundle, manager, approver) }, false},
		"one signature":    {func(w *world) uint64 { return w.closed(format.ActObject{Institution: 1}, manager) }, false},
		"no act":           {func(w *world) uint64 { return w.add(format.Record{Action: format.ActAct}, format.ActEffect{}) }, false},
		"an act to come":   {func(w *world) uint64 { return uint64(len(w.records)) + 2 }, false},
		"another's record": {func(*world) uint64 { return 1 }, false},
		"of another kind": {func(w *world) uint64 {
			return w.add(format.Record{Action: format.ActAct}, w.act(format.ActKindHoldRelease, format.ActObject{Institution: 1}, format.HoldReleaseParams{}.Encode(), manager, approver))
		}, false},
		"only proposed": {func(w *world) uint64 {
			w.act(format.ActKindClose, format.ActObject{Institution: 1}, format.CloseParams{}.Encode(), manager, approver)
			return uint64(len(w.records)) - 1
		}, false},
	} {
		w := newWorld(t)
		store := w.store("P5Y")
		decision := w.add(about(format.ActClose), format.CloseEffect{Store: store, Act: c.act(w)})
		institution(1)(w) // behind the decision it decides nothing
		w.wants(name, c.admitted, w.ask(decision, w.checkpoint(1, 2)))
	}
}

// TestI1_AClosingWaitsForHolds has every kind of hold on the bundle that is to go.
func TestI1_AClosingWaitsForHolds(t *testing.T) {
	for name, e := range map[string]format.HoldEffect{
		"bundle": {Scope: format.HoldBundle}, "subject": {Scope: format.HoldSubject, Subject: format.Digest{7}}, "definition": {Scope: format.HoldDefinition, Definition: "MDS0000001"},
	} {
		w := newWorld(t)
		store := w.store("P5Y")
		e.ID, e.Basis = 9, 1
		r := about(format.ActHoldPlace)
		if e.Scope != format.HoldBundle {
			r.Transaction, r.Part = "", 0
		}
		placed := w.add(r, e)
		act := w.closed(format.ActObject{Institution: 1}, manager, approver)
		end := func() uint64 { return w.add(about(format.ActClose), format.CloseEffect{Store: store, Act: act}) }
		w.wants(name, false, w.ask(end(), w.checkpoint(1, 2)))
		w.release(placed, format.ActObject{Institution: 1, Transaction: r.Transaction, Part: r.Part})
		w.wants(name+" released", true, w.ask(end(), w.checkpoint(1, 2)))
	}
}

// TestUseRecordKeysGoWithTheClosing judges the end of an institution's use-record
// keys: not before its act, not while a bundle is left, and not the other key.
func TestUseRecordKeysGoWithTheClosing(t *testing.T) {
	w := newWorld(t)
	use, other := theSlot, theSlot
	use.Index, other.Index = 20, 21
	w.add(format.Record{Action: format.ActKey}, format.KeyEffect{Verb: format.KeyEpoch, Institution: 1, Epoch: 10, Use: use, Other: other})
	asks := func(name string, admitted bool, e format.KeyEffect, slot format.Slot) {
		t.Helper()
		e.Verb = format.KeyUseEnd
		decision := w.add(format.Record{Action: format.ActKey}, e)
		w.wants(name, admitted, w.askFor(slot, decision, w.checkpoint(1, 2)))
	}
	good := format.KeyEffect{Institution: 1, Epoch: 10, Use: use}
	store := w.store("P5Y")
	asks("no closing", false, good, use)
	act := w.closed(format.ActObject{Institution: 1}, manager, approver)
	asks("a bundle is left", false, good, use)
	w.add(about(format.ActClose), format.CloseEffect{Store: store, Act: act})
	asks("closed", true, good, use)
	asks("the other key", false, good, other)
	asks("another slot as the use-record key", false, format.KeyEffect{Institution: 1, Epoch: 10, Use: other}, other)
	asks("another epoch", false, format.KeyEffect{Institution: 1, Epoch: 11, Use: use}, use)
	asks("no slot", false, format.KeyEffect{Institution: 1, Epoch: 11}, format.Slot{})
	asks("another institution", false, format.KeyEffect{Institution: 2, Epoch: 10, Use: use}, use)
}

// TestI1_SpentSlotsAreNoBundles judges the slots of puts that came to nothing.
func TestI1_SpentSlotsAreNoBundles(t *testing.T) {
	w := newWorld(t)
	spent := func(block byte, slots ...uint32) uint64 {
		return w.add(format.Record{Action: format.ActKey}, format.KeyEffect{Verb: format.KeySpent, Block: format.ID{block}, Spent: slots})
	}
	one, second, others := spent(0xB1, 4, 5), spent(0xB1, 6), spent(0xB2, 5)
	w.wants("its own", true, w.ask(one, w.checkpoint(1, 2)))
	w.wants("another record's", false, w.ask(second, w.checkpoint(1, 2)))
	w.wants("another block's", false, w.ask(others, w.checkpoint(1, 2)))
	epoch := theSlot
	epoch.Index = 6
	w.add(format.Record{Action: format.ActKey}, format.KeyEffect{Verb: format.KeyEpoch, Institution: 1, Epoch: 10, Use: epoch, Other: format.Slot{Block: format.ID{0xB3}, Index: 1}})
	w.wants("a history key's", false, w.askFor(epoch, second, w.checkpoint(1, 2)))
	w.store("P5Y")
	w.wants("a bundle's", false, w.ask(one, w.checkpoint(1, 2)))
}

// TestOfficersOfALaterInstitutionSignForIt and never for the appliance, nor for
// another institution.
func TestOfficersOfALaterInstitutionSignForIt(t *testing.T) {
	w := newWorld(t)
	e := format.InstitutionEffect{Verb: format.InstitutionRegister, Number: 7, Code: "seven"}
	for id, role := range []access.Role{access.RoleManager, access.RoleApprover} {
		p := uint64(20 + id)
		w.people[p] = w.key()
		e.Officers = append(e.Officers, format.Person{ID: p, Role: uint8(role), Institution: 7, PublicKey: w.public(w.people[p]), Identity: format.Digest{byte(p)}})
	}
	claimed := format.Person{ID: manager, Role: uint8(access.RoleManager), Institution: 7, PublicKey: w.public(w.people[20]), Identity: format.Digest{99}}
	w.add(format.Record{Action: format.ActInstitution}, format.InstitutionEffect{Verb: format.InstitutionRegister, Number: 7, Code: "seven", Officers: []format.Person{claimed}})
	for range 2 { // once for the operator, once for itself
		w.add(format.Record{Action: format.ActInstitution}, e)
	}
	bundle := func(a format.Action) format.Record {
		return format.Record{Action: a, Institution: 7, Transaction: "T", Part: 1}
	}
	store := w.add(bundle(format.ActStore), format.StoreEffect{Definition: "MDS0000001", Rule: "P5Y", BasisKind: 1, Slot: theSlot, Chunks: 1, Documents: 1})
	closes := func(signers ...uint64) error {
		act := w.closed(format.ActObject{Institution: 7}, signers...)
		return w.ask(w.add(bundle(format.ActClose), format.CloseEffect{Store: store, Act: act}), w.checkpoint(1, 2))
	}
	w.wants("persons of another institution", false, closes(manager, approver))
	honest := w.people[manager]
	w.people[manager] = w.people[20]
	w.wants("a number that is taken", false, closes(manager, 21))
	w.people[manager] = honest
	w.wants("its officers", true, closes(20, 21))
	decision := uint64(len(w.records)) - 1
	p := format.MemberParams{Node: format.CeremonyNode{Number: 9, Name: "nine", Incarnation: format.ID{9}, PublicKey: w.public(w.key())}}
	w.add(format.Record{Action: format.ActAct}, w.act(format.ActKindMember, format.ActObject{}, p.Encode(), 20, 21))
	w.add(format.Record{Action: format.ActCheckpoint}, w.checkpoint(1, 2))
	w.wants("its officers, later", true, w.ask(decision, w.checkpoint(1, 2)))
	if w.gate.h.members.rows[9] != nil {
		t.Error("they admitted a node")
	}
}
