package gate

import (
	"context"
	"testing"
	"time"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// TestI1_TheRuleIsFollowedHere judges expiries that a majority decided, by the
// custodian's own reading of the history.
func TestI1_TheRuleIsFollowedHere(t *testing.T) {
	extend := func(rule string) func(*world, uint64) {
		return func(w *world, store uint64) {
			w.add(about(format.ActExtend), format.ExtendEffect{Store: store, Rule: rule, BasisKind: 1})
		}
	}
	hold := func(e format.HoldEffect) func(*world, uint64) {
		return func(w *world, _ uint64) {
			e.ID, e.Basis = 9, 1
			w.add(about(format.ActHoldPlace), e)
		}
	}
	for _, c := range []struct {
		name, rule string
		then       func(*world, uint64)
		after      time.Duration
		admitted   bool
	}{
		{"not yet", "P1D", nil, time.Hour, false},
		{"in time", "P1D", nil, 3 * day, true},
		{"exact, not yet", "PT2H", nil, 2*time.Hour - time.Minute, false},
		{"exact, in time", "PT2H", nil, 2*time.Hour + 2*time.Minute, true},
		{"extended", "P1D", extend("P1Y"), 3 * day, false},
		{"extended, in time", "P1D", extend("P1M"), 40 * day, true},
		{"held", "P1D", hold(format.HoldEffect{Scope: format.HoldBundle}), 3 * day, false},
		{"another subject held", "P1D", hold(format.HoldEffect{Scope: format.HoldSubject, Subject: format.Digest{8}}), 3 * day, true},
		{"one-time, unread", "one-time", nil, 300 * day, false},
		{"one-time, read", "one-time", func(w *world, store uint64) {
			r := about(format.ActRead)
			r.Actor = officer
			w.add(r, format.ReadEffect{Store: store, Request: format.ID{1}})
			w.tick(time.Minute)
			w.tick(time.Minute)
		}, time.Hour, true},
		{"event, none yet", "event:P1D", nil, 300 * day, false},
		{"event, in time", "event:P1D", func(w *world, store uint64) {
			w.add(about(format.ActEvent), format.EventEffect{Store: store, At: w.now})
			w.tick(time.Minute)
			w.tick(time.Minute)
		}, 3 * day, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			store := w.store(c.rule)
			w.tick(time.Minute)
			w.tick(time.Minute)
			if c.then != nil {
				c.then(w, store)
			}
			w.tick(c.after)
			decision := w.expire(store)
			w.wants(c.name, c.admitted, w.ask(decision, w.checkpoint(1, 2)))
		})
	}
}

// TestP11_APeriodThatHasNotStartedDoesNotEnd has one clock record behind the bundle:
// its votes may be older than the bundle.
func TestP11_APeriodThatHasNotStartedDoesNotEnd(t *testing.T) {
	w := newWorld(t)
	store := w.store("PT1M")
	w.tick(day)
	decision := w.expire(store)
	w.wants("one clock record", false, w.ask(decision, w.checkpoint(1, 2)))
	w.tick(time.Minute)
	w.tick(day)
	w.wants("started, and passed", true, w.ask(decision, w.checkpoint(1, 3)))
}

// TestI1_PinnedKeysChangeUnderTheMajorityBefore admits a node by an act, and takes
// its word only once the others have signed that.
func TestI1_PinnedKeysChangeUnderTheMajorityBefore(t *testing.T) {
	w := newWorld(t)
	store := w.store("PT1M")
	w.tick(time.Minute)
	w.tick(time.Minute)
	w.tick(day)
	decision := w.expire(store)
	for _, n := range []uint32{4, 5} {
		w.nodes[n] = w.key()
		p := format.MemberParams{Node: format.CeremonyNode{Number: n, Name: "new", Incarnation: format.ID{0x10, byte(n)}, PublicKey: w.public(w.nodes[n])}}
		w.add(format.Record{Action: format.ActAct}, w.act(format.ActKindMember, format.ActObject{}, p.Encode(), manager, approver))
		e := format.MemberEffect{Node: n, Incarnation: format.ID{0x10, byte(n)}, State: format.MemberVoter}
		e.Signature = w.sign(w.nodes[n], e.Message(w.cluster))
		w.add(format.Record{Action: format.ActMember}, e)
	}
	w.add(format.Record{Action: format.ActCheckpoint}, w.checkpoint(4, 5)) // the new ones vouch for themselves
	w.wants("signed by those who came", false, w.ask(decision, w.checkpoint(1, 4, 5)))
	w.wants("signed by the majority before", true, w.ask(decision, w.checkpoint(1, 2)))
	w.add(format.Record{Action: format.ActCheckpoint}, w.checkpoint(1, 2))
	w.wants("signed by those who came, and now count", true, w.ask(decision, w.checkpoint(1, 4, 5)))
	w.wants("signed by two of now five", false, w.ask(decision, w.checkpoint(1, 2)))
}

// TestOnlyAReplacedIncarnationGoes follows a node that took a new incarnation.
func TestOnlyAReplacedIncarnationGoes(t *testing.T) {
	w := newWorld(t)
	old, foreign := w.inc, format.ID{0x99}
	w.inc = format.ID{0x20, 1}
	for _, s := range []format.MemberState{format.MemberJoining, format.MemberVoter} {
		e := format.MemberEffect{Node: 1, Incarnation: w.inc, State: s}
		e.Signature = w.sign(w.nodes[1], e.Message(w.cluster))
		w.add(format.Record{Action: format.ActMember}, e)
	}
	ask := func(ids ...format.ID) error {
		w.file(1, "his", format.FileHeader{Kind: format.KindHistory}, w.records...)
		return w.gate.AdmitAside(context.Background(), ids, nil)
	}
	w.wants("no checkpoint yet", false, ask(old))
	w.add(format.Record{Action: format.ActCheckpoint}, w.checkpoint(2, 3))
	w.wants("replaced", true, ask(old))
	w.wants("the present one", false, ask(w.inc))
	w.wants("nobody's", false, ask(old, foreign))
	w.wants("nothing in it", true, ask())
}

// TestP25_SpecialDeletionNeedsItsPersons judges special deletions (특수삭제).
func TestP25_SpecialDeletionNeedsItsPersons(t *testing.T) {
	for _, c := range []struct {
		name     string
		signers  []uint64
		change   func(*world, *format.SpecialParams, *format.ActObject)
		admitted bool
	}{
		{"as it ought to be", []uint64{manager, approver}, nil, true},
		{"one signature", []uint64{manager}, nil, false},
		{"no manager", []uint64{approver}, nil, false},
		{"the proposer signs", []uint64{approver, officer}, nil, false},
		{"another order", []uint64{manager, approver}, func(_ *world, p *format.SpecialParams, _ *format.ActObject) { p.Order = "2" }, false},
		{"another leaf", []uint64{manager, approver}, func(_ *world, p *format.SpecialParams, _ *format.ActObject) { p.Leaf[0] ^= 1 }, false},
		{"another bundle", []uint64{manager, approver}, func(_ *world, _ *format.SpecialParams, o *format.ActObject) { o.Transaction = "U" }, false},
		{"another institution's", []uint64{manager, approver}, func(_ *world, _ *format.SpecialParams, o *format.ActObject) { o.Institution = 2 }, false},
		{"held", []uint64{manager, approver}, func(w *world, _ *format.SpecialParams, _ *format.ActObject) {
			w.add(about(format.ActHoldPlace), format.HoldEffect{Scope: format.HoldBundle, ID: 3, Basis: 1})
		}, false},
		{"held, and released", []uint64{manager, approver}, func(w *world, _ *format.SpecialParams, _ *format.ActObject) {
			placed := w.add(about(format.ActHoldPlace), format.HoldEffect{Scope: format.HoldBundle, ID: 3, Basis: 1})
			p := format.HoldReleaseParams{Hold: 3, Placed: placed}
			w.add(about(format.ActHoldRelease), w.act(format.ActKindHoldRelease, theBundle, p.Encode(), manager, approver))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			store := w.store("P5Y")
			w.add(about(format.ActCirculationStop), format.StopEffect{Store: store, Order: "1"})
			p, object := format.SpecialParams{Store: store, Leaf: format.LeafHash(w.records[store]), Order: "1"}, theBundle
			if c.change != nil {
				c.change(w, &p, &object)
			}
			decision := w.add(about(format.ActSpecialExecute), w.act(format.ActKindSpecialDelete, object, p.Encode(), c.signers...))
			w.wants(c.name, c.admitted, w.ask(decision, w.checkpoint(1, 2)))
		})
	}
}

// TestAClosingEndsItsOwnInstitution judges CLOSE records (폐지).
func TestAClosingEndsItsOwnInstitution(t *testing.T) {
	for _, c := range []struct {
		name        string
		institution uint32
		signers     []uint64
		admitted    bool
	}{
		{"its own", 1, []uint64{manager, approver}, true},
		{"another's", 2, []uint64{manager, approver}, false},
		{"nobody's", 0, []uint64{manager, approver}, false},
		{"one signature", 1, []uint64{manager}, false},
	} {
		w := newWorld(t)
		store := w.store("P5Y")
		act := w.add(format.Record{Action: format.ActAct}, w.act(format.ActKindClose, format.ActObject{Institution: c.institution}, format.CloseParams{}.Encode(), c.signers...))
		decision := w.add(about(format.ActClose), format.CloseEffect{Store: store, Act: act})
		w.wants(c.name, c.admitted, w.ask(decision, w.checkpoint(1, 2)))
	}
}

// TestI5_WhoCameWithARegistrationSigns: an institution that came after the ceremony
// has its own persons, and nobody joins another's so.
func TestI5_WhoCameWithARegistrationSigns(t *testing.T) {
	for _, number := range []uint32{2, 1} {
		w := newWorld(t)
		e := format.InstitutionEffect{Verb: format.InstitutionRegister, Number: number, Code: "late"}
		for id, role := range map[uint64]access.Role{21: access.RoleManager, 22: access.RoleApprover} {
			w.people[id] = w.key()
			e.Officers = append(e.Officers, format.Person{ID: id, Role: uint8(role), Institution: number, PublicKey: w.public(w.people[id]), Identity: format.Digest{byte(id)}})
		}
		w.add(format.Record{Action: format.ActInstitution, Institution: 1}, e)
		w.add(format.Record{Action: format.ActInstitution, Institution: number}, e)
		stored := about(format.ActStore)
		stored.Institution = number
		store := w.add(stored, format.StoreEffect{Definition: "MDS0000001", Rule: "P5Y", BasisKind: 1, Slot: theSlot, Chunks: 1, Documents: 1, Subject: format.Digest{7}})
		act := w.add(format.Record{Action: format.ActAct}, w.act(format.ActKindClose, format.ActObject{Institution: number}, format.CloseParams{}.Encode(), 21, 22))
		end := about(format.ActClose)
		end.Institution = number
		decision := w.add(end, format.CloseEffect{Store: store, Act: act})
		w.wants("its own officers", number == 2, w.ask(decision, w.checkpoint(1, 2)))
	}
}

// TestEpochKeysGoOnlyWhenTwoCameAfter judges the end of an epoch's keys.
func TestEpochKeysGoOnlyWhenTwoCameAfter(t *testing.T) {
	w := newWorld(t)
	other := theSlot
	other.Index++
	opened := format.KeyEffect{Verb: format.KeyEpoch, Institution: 1, Epoch: 10, Use: theSlot, Other: other}
	w.add(format.Record{Action: format.ActKey}, opened)
	end := func(use format.Slot) uint64 {
		return w.add(format.Record{Action: format.ActKey}, format.KeyEffect{Verb: format.KeyEpochEnd, Institution: 1, Epoch: 10, Use: use, Other: other})
	}
	w.wants("the newest epoch's", false, w.ask(end(theSlot), w.checkpoint(1, 2)))
	for i := uint32(1); i <= 2; i++ {
		w.add(format.Record{Action: format.ActKey}, format.KeyEffect{Verb: format.KeyEpoch, Institution: 1, Epoch: 10 + i,
			Use: format.Slot{Block: theSlot.Block, Index: 10 * i}, Other: format.Slot{Block: theSlot.Block, Index: 10*i + 1}})
	}
	w.wants("two epochs on", true, w.ask(end(theSlot), w.checkpoint(1, 2)))
	w.wants("other keys than its own", false, w.ask(end(format.Slot{Block: theSlot.Block, Index: 77}), w.checkpoint(1, 2)))
}
