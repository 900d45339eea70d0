package gate

import (
	"testing"
	"time"

	"github.com/sago-worm/sago/store/format"
)

// special stores a bundle under an order and executes its special deletion (특수삭제),
// with what happened between.
func (w *world) special(between func(), signers ...uint64) uint64 {
	store := w.store("P5Y")
	w.add(about(format.ActCirculationStop), format.StopEffect{Store: store, Order: "1"})
	p := format.SpecialParams{Store: store, Leaf: format.LeafHash(w.records[store]), Order: "1"}
	e := w.act(format.ActKindSpecialDelete, theBundle, p.Encode(), signers...)
	if between != nil {
		between()
	}
	return w.add(about(format.ActSpecialExecute), e)
}

// TestP25_EndedSpecialDeletionStaysEnded judges special deletions of an institution
// that has ended them for good.
func TestP25_EndedSpecialDeletionStaysEnded(t *testing.T) {
	ends := func(w *world, verb format.InstitutionVerb, number uint32) func() {
		return func() {
			w.add(format.Record{Action: format.ActInstitution, Institution: number}, format.InstitutionEffect{Verb: verb, Number: number})
		}
	}
	for name, c := range map[string]struct {
		verb     format.InstitutionVerb
		number   uint32
		admitted bool
	}{
		"ended":             {format.InstitutionNoSpecial, 1, false},
		"ended for another": {format.InstitutionNoSpecial, 2, true},
		"suspended":         {format.InstitutionSuspend, 1, true},
	} {
		w := newWorld(t)
		decision := w.special(ends(w, c.verb, c.number), manager, approver)
		w.wants(name, c.admitted, w.ask(decision, w.checkpoint(1, 2)))
	}
	w := newWorld(t)
	decision := w.special(nil, manager, approver)
	ends(w, format.InstitutionNoSpecial, 1)()
	w.wants("ended behind the decision", true, w.ask(decision, w.checkpoint(1, 2)))
	w = newWorld(t)
	decision = w.special(func() {
		for range 2 {
			ends(w, format.InstitutionNoSpecial, 1)()
		}
		ends(w, format.InstitutionResume, 1)()
	}, manager, approver)
	ends(w, format.InstitutionNoSpecial, 1)()
	w.wants("ended, and said again behind the decision", false, w.ask(decision, w.checkpoint(1, 2)))
}

// TestP25_ALiftedStopLetsNothingBeDeleted judges special deletions under orders of
// circulation stop (유통정지) that were lifted, and placed again.
func TestP25_ALiftedStopLetsNothingBeDeleted(t *testing.T) {
	stop := func(w *world, order string) {
		w.add(about(format.ActCirculationStop), format.StopEffect{Order: order})
	}
	lift := func(w *world) {
		p := format.LiftParams{Stop: uint64(len(w.records)) - 1, Order: "1"}
		w.add(about(format.ActCirculationLift), w.act(format.ActKindLiftStop, theBundle, p.Encode(), manager, approver))
	}
	for name, c := range map[string]struct {
		between  func(*world)
		admitted bool
	}{
		"stands":                   {func(*world) {}, true},
		"lifted":                   {lift, false},
		"lifted, and placed again": {func(w *world) { lift(w); stop(w, "1") }, true},
		"lifted, and another":      {func(w *world) { lift(w); stop(w, "2") }, false},
		"lifted twice":             {func(w *world) { lift(w); stop(w, "1"); lift(w) }, false},
	} {
		w := newWorld(t)
		decision := w.special(func() { c.between(w) }, manager, approver)
		w.wants(name, c.admitted, w.ask(decision, w.checkpoint(1, 2)))
	}
	w := newWorld(t)
	decision := w.special(nil, manager, approver)
	lift(w)
	w.wants("lifted behind the decision", true, w.ask(decision, w.checkpoint(1, 2)))
	w = newWorld(t)
	decision = w.special(func() { lift(w) }, manager, approver)
	stop(w, "1")
	w.wants("placed behind the decision", false, w.ask(decision, w.checkpoint(1, 2)))
}

// policy executes a change of the policy's number of approvals.
func (w *world) policy(approvals uint8, signers ...uint64) {
	p := format.PolicyParams{Policy: format.Policy{Version: 2, Approvals: approvals}}
	w.add(format.Record{Action: format.ActPolicy}, w.act(format.ActKindPolicy, format.ActObject{}, p.Encode(), signers...))
}

// TestP25_AsManyApproveAsThePolicyAsks judges special deletions and closings under
// policies that ask for three persons.
func TestP25_AsManyApproveAsThePolicyAsks(t *testing.T) {
	for name, c := range map[string]struct {
		policy   func(*world)
		signers  []uint64
		admitted bool
	}{
		"three of three":                    {func(w *world) { w.policy(3, manager) }, []uint64{manager, approver, second}, true},
		"two of three":                      {func(w *world) { w.policy(3, manager) }, []uint64{manager, approver}, false},
		"more asked for by nobody":          {func(w *world) { w.policy(3) }, []uint64{manager, approver}, false},
		"fewer again, by three":             {func(w *world) { w.policy(3, manager); w.policy(2, manager, approver, second) }, []uint64{manager, approver}, true},
		"fewer again, by two":               {func(w *world) { w.policy(3, manager); w.policy(2, manager, approver) }, []uint64{manager, approver}, false},
		"fewer again, by no access manager": {func(w *world) { w.policy(3, manager); w.policy(2, approver, second) }, []uint64{manager, approver}, false},
		"fewer than two is two":             {func(w *world) { w.policy(1, manager, approver) }, []uint64{manager}, false},
		"fewer is two":                      {func(w *world) { w.policy(1, manager, approver) }, []uint64{manager, approver}, true},
		"fewer by stages, each by too few": {func(w *world) {
			w.policy(4, manager)
			w.policy(3, manager, approver, second)
			w.policy(2, manager, approver)
		}, []uint64{manager, approver, second}, false},
		"the ceremony's number is not asked": {func(*world) {}, []uint64{manager, approver}, true},
	} {
		w := newWorld(t)
		c.policy(w)
		w.wants(name, c.admitted, w.ask(w.special(nil, c.signers...), w.checkpoint(1, 2)))
		w = newWorld(t)
		c.policy(w)
		store := w.store("P5Y")
		act := w.closed(format.ActObject{Institution: 1}, c.signers...)
		w.wants(name+", closing", c.admitted, w.ask(w.add(about(format.ActClose), format.CloseEffect{Store: store, Act: act}), w.checkpoint(1, 2)))
	}
	w := newWorld(t)
	decision := w.special(nil, manager, approver)
	w.policy(3, manager)
	w.wants("three asked for behind the decision", true, w.ask(decision, w.checkpoint(1, 2)))
	w = newWorld(t)
	decision = w.special(func() { w.policy(3, manager) }, manager, approver)
	w.wants("three asked for between signatures and execution", false, w.ask(decision, w.checkpoint(1, 2)))
}

// TestP25_TheCeremonysPolicyAsksForThree begins with a policy of three approvals.
func TestP25_TheCeremonysPolicyAsksForThree(t *testing.T) {
	w := newWorldOf(t, format.Policy{Version: 1, Approvals: 3})
	w.wants("two", false, w.ask(w.special(nil, manager, approver), w.checkpoint(1, 2)))
	w = newWorldOf(t, format.Policy{Version: 1, Approvals: 3})
	w.wants("three", true, w.ask(w.special(nil, manager, approver, second), w.checkpoint(1, 2)))
}

// restored is a RESTORE record: with a declared loss where it was signed.
func (w *world) restored(declared bool) {
	var e format.ActEffect
	if declared {
		e = w.act(format.ActKindRestore, format.ActObject{}, format.RestoreParams{Size: 1}.Encode(), manager, approver)
	}
	w.add(format.Record{Action: format.ActRestore}, e)
}

// offline is an act of restore, which nobody proposed in the log.
func (w *world) offline(p format.RestoreParams, signers ...uint64) format.ActEffect {
	doc := format.Act{Cluster: w.cluster, Kind: format.ActKindRestore, Params: p.Encode(), Nonce: format.ID{9}, Expires: w.now * 2}.Encode()
	s := format.SignedAct{Document: doc}
	for _, id := range signers {
		s.Signatures = append(s.Signatures, format.ActSignature{Person: id, Signature: w.sign(w.people[id], doc)})
	}
	return format.ActEffect{Signed: s.Encode()}
}

// TestP68_RestoredIncarnations: behind a restore the gate takes the incarnation that
// follows from it for the node's, and the one before for gone.
func TestP68_RestoredIncarnations(t *testing.T) {
	w := newWorld(t)
	c := w.checkpoint().Checkpoint
	w.add(format.Record{Action: format.ActRestore}, format.ActEffect{})
	next := format.RestoredIncarnation(w.cluster, 1, c.Size, c.Root, format.Digest{})
	mark := w.checkpoint(1, 2)
	w.add(format.Record{Action: format.ActCheckpoint}, mark)
	w.wants("anything", false, w.ask(0, w.checkpoint(1, 2))) // has the gate read the history
	m := w.gate.h.members
	w.wants("the one before", true, m.admitGone(next, []format.ID{w.inc}))
	w.wants("the one before writes on", false, m.admitGone(w.inc, []format.ID{w.inc}))
	w.wants("another's", false, m.admitGone(next, []format.ID{{0x10, 2}}))
}

// TestP68_NewNodeKeysOfARestore: the persons' act over this very history pins the keys
// of nodes that lost theirs, declares no loss, and only so.
func TestP68_NewNodeKeysOfARestore(t *testing.T) {
	for name, c := range map[string]struct {
		signers  []uint64
		change   func(*format.RestoreParams)
		admitted bool
	}{
		"two sign":            {[]uint64{manager, approver}, func(*format.RestoreParams) {}, true},
		"one signs":           {[]uint64{manager}, func(*format.RestoreParams) {}, false},
		"no manager signs":    {[]uint64{approver, second}, func(*format.RestoreParams) {}, false},
		"of another history":  {[]uint64{manager, approver}, func(p *format.RestoreParams) { p.Root[0]++ }, false},
		"of a longer history": {[]uint64{manager, approver}, func(p *format.RestoreParams) { p.Size++; p.Lost++ }, false},
	} {
		w := newWorld(t)
		store := w.store("PT1M")
		w.tick(time.Minute)
		w.tick(time.Minute)
		w.tick(day)
		before, fresh := w.nodes[2], w.key()
		c0 := w.checkpoint().Checkpoint
		p := format.RestoreParams{Size: c0.Size, Root: c0.Root, Keys: []format.NodeKey{{Number: 2, PublicKey: w.public(fresh)}}}
		p.Lost = p.Size
		c.change(&p)
		w.add(format.Record{Action: format.ActRestore}, w.offline(p, c.signers...))
		decision := w.expire(store)
		w.nodes[2] = fresh
		w.wants(name, c.admitted, w.ask(decision, w.checkpoint(1, 2)))
		w.nodes[2] = before
		if c.admitted {
			w.wants(name+", by the lost key", false, w.ask(decision, w.checkpoint(2, 3)))
		}
	}
}

// confirms executes the act that confirms a restore.
func (w *world) confirms(signers ...uint64) {
	w.add(format.Record{Action: format.ActAct}, w.act(format.ActKindRestoreConfirm, format.ActObject{}, make([]byte, len(format.Digest{})), signers...))
}

// TestP68_NothingEndsBeforeALossIsConfirmed has every door out of the store closed
// between a restore with declared loss and the act that confirms it.
func TestP68_NothingEndsBeforeALossIsConfirmed(t *testing.T) {
	use := format.Slot{Block: format.ID{0xB2}, Index: 20}
	doors := map[string]func(*world, func()) (format.Slot, uint64){
		"expiry": func(w *world, between func()) (format.Slot, uint64) {
			store := w.store("PT1M")
			w.tick(time.Minute)
			w.tick(time.Minute)
			w.tick(day)
			between()
			return theSlot, w.expire(store)
		},
		"special deletion": func(w *world, between func()) (format.Slot, uint64) {
			return theSlot, w.special(between, manager, approver)
		},
		"closing": func(w *world, between func()) (format.Slot, uint64) {
			store := w.store("P5Y")
			act := w.closed(format.ActObject{Institution: 1}, manager, approver)
			between()
			return theSlot, w.add(about(format.ActClose), format.CloseEffect{Store: store, Act: act})
		},
		"use-record key": func(w *world, between func()) (format.Slot, uint64) {
			e := format.KeyEffect{Verb: format.KeyEpoch, Institution: 1, Epoch: 10, Use: use, Other: format.Slot{Block: use.Block, Index: 21}}
			w.add(format.Record{Action: format.ActKey}, e)
			w.closed(format.ActObject{Institution: 1}, manager, approver)
			between()
			return use, w.add(format.Record{Action: format.ActKey}, format.KeyEffect{Verb: format.KeyUseEnd, Institution: 1, Epoch: 10, Use: use})
		},
	}
	for name, c := range map[string]struct {
		between  func(*world)
		admitted bool
	}{
		"no loss":                   {func(w *world) { w.restored(false) }, true},
		"a loss":                    {func(w *world) { w.restored(true) }, false},
		"confirmed":                 {func(w *world) { w.restored(true); w.confirms(manager, approver) }, true},
		"confirmed by one":          {func(w *world) { w.restored(true); w.confirms(manager) }, false},
		"confirmed by no manager":   {func(w *world) { w.restored(true); w.confirms(approver, second) }, false},
		"confirmed before":          {func(w *world) { w.confirms(manager, approver); w.restored(true) }, false},
		"a second loss":             {func(w *world) { w.restored(true); w.confirms(manager, approver); w.restored(true) }, false},
		"two, confirmed at once":    {func(w *world) { w.restored(true); w.restored(true); w.confirms(manager, approver) }, true},
		"signed by nobody, no less": {func(w *world) { w.restored(true); w.restored(false) }, false},
	} {
		for door, end := range doors {
			w := newWorld(t)
			slot, decision := end(w, func() { c.between(w) })
			w.wants(door+": "+name, c.admitted, w.askFor(slot, decision, w.checkpoint(1, 2)))
		}
	}
	for door, end := range doors {
		w := newWorld(t)
		slot, decision := end(w, func() {})
		w.restored(true)
		w.wants(door+": a loss behind the decision", true, w.askFor(slot, decision, w.checkpoint(1, 2)))
		w = newWorld(t)
		slot, decision = end(w, func() { w.restored(true) })
		w.confirms(manager, approver)
		w.wants(door+": confirmed behind the decision", false, w.askFor(slot, decision, w.checkpoint(1, 2)))
	}
}
