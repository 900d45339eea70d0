package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// TestR25_ASuspensionEndsIntakeReadsAndUsesOnly also watches its end: it stays
// suspended beyond it, until somebody resumes.
func TestR25_ASuspensionEndsIntakeReadsAndUsesOnly(t *testing.T) {
	v := newTenancy(t, t, 2)
	v.put("T1", "P1Y")
	v.put("T2", "PT1H")
	v.began()
	v.accept(v.use("T1"))
	now := v.nodes[0].Summary().Clock.Now
	v.refuse(v.suspend(keeperOne, 1, now+190*24*hour), format.ReasonInvalid)
	v.refuse(v.suspend(keeperOne, 1, now), format.ReasonInvalid)
	v.refuse(v.suspend(app, 1, now+24*hour), format.ReasonNotPermitted)
	v.refuse(v.resume(keeperOne, 1), format.ReasonState)
	v.accept(v.suspend(keeperOne, 1, now+24*hour))
	op, chunks := v.storeOp("T3", "P1Y", content("T3"))
	v.refuse(v.commit(op, chunks...), format.ReasonSuspended)
	v.refuse(v.read("T1"), format.ReasonSuspended)
	v.refuse(v.use("T1"), format.ReasonSuspended)
	list := v.op(KindList, format.ListEffect{Kind: format.ListUses})
	list.Actor, list.Institution = app, 1
	v.accept(v.commit(list))
	verify := v.about(KindVerify, auditor, "T1", nil)
	v.accept(v.commit(verify))
	v.tick(2 * hour)
	v.sweep(10)
	if v.nodes[0].row("T2").Expire == 0 {
		t.Fatal("nothing expires in a suspension")
	}
	v.tick(24 * hour)
	if over, err := v.nodes[0].Overdue(); err != nil || !slices.Equal(over, []uint32{1}) {
		t.Fatal("overdue:", over, err)
	}
	v.refuse(v.read("T1"), format.ReasonSuspended)
	v.accept(v.resume(keeperOne, 1))
	v.accept(v.read("T1"))
	v.equal()
}

// TestInstitutionsAreSuspendedByTheirOwnOrTheOperator has the operator's act stand
// in both histories.
func TestInstitutionsAreSuspendedByTheirOwnOrTheOperator(t *testing.T) {
	v := newTenancy(t, t, 2)
	until := v.nodes[0].Summary().Clock.Now + 24*hour
	v.refuse(v.suspend(keeperTwo, 1, until), format.ReasonNotFound)
	v.refuse(v.suspend(keeperTwo, 7, until), format.ReasonNotFound)
	v.refuse(v.suspend(keeperOne, 7, until), format.ReasonNotFound)
	size := v.nodes[0].Summary().Size
	v.accept(v.suspend(keeperOne, 2, until))
	records := v.nodes[0].records(size)
	if len(records) != 2 || records[0].Institution != 1 || records[1].Institution != 2 || len(records[1].Detail) != 0 {
		t.Fatalf("records %+v", records)
	}
	v.accept(v.resume(keeperTwo, 2))
	none := format.InstitutionEffect{Verb: format.InstitutionNoSpecial, Number: 2}
	v.refuse(v.institution(keeperOne, none), format.ReasonInvalid)
	v.accept(v.institution(keeperTwo, none))
	v.refuse(v.institution(keeperTwo, none), format.ReasonState)
	if row := v.state(2); !row.NoSpecial || row.State != format.TenantActive {
		t.Fatalf("%+v", row)
	}
	for _, verb := range []format.InstitutionVerb{0, format.InstitutionSwept, format.InstitutionClosed, 9} {
		v.refuse(v.institution(keeperOne, format.InstitutionEffect{Verb: verb, Number: 2}), format.ReasonInvalid)
	}
	v.equal()
}

func (v *tenancy) registration() format.InstitutionEffect {
	officer := func(n byte, role access.Role) format.Person {
		return format.Person{ID: uint64(n), Role: uint8(role), PublicKey: public(v, newKey(v)), Identity: format.Digest{0xF0, n}}
	}
	return format.InstitutionEffect{Verb: format.InstitutionRegister, Code: "three", Quota: 2000,
		Officers:    []format.Person{officer(1, access.RoleManager), officer(2, access.RoleApplication)},
		Definitions: []format.Definition{{BundleID: mds, Version: 1}}}
}

// TestARegisteredInstitutionHasNumbersOfItsOwn and a quota.
func TestARegisteredInstitutionHasNumbersOfItsOwn(t *testing.T) {
	v := newTenancy(t, t, 2)
	good := v.registration()
	change := func(f func(*format.InstitutionEffect)) format.InstitutionEffect {
		e := good
		e.Officers, e.Definitions = slices.Clone(good.Officers), slices.Clone(good.Definitions)
		f(&e)
		return e
	}
	for reason, bad := range map[format.Reason][]format.InstitutionEffect{
		format.ReasonConflict: {
			change(func(e *format.InstitutionEffect) { e.Code = "one" }),
			change(func(e *format.InstitutionEffect) { e.Officers[1].Identity = format.Digest{app} }),
			change(func(e *format.InstitutionEffect) { e.Officers[1].PublicKey = e.Officers[0].PublicKey }),
		},
		format.ReasonInvalid: {
			change(func(e *format.InstitutionEffect) { e.Code = "" }),
			change(func(e *format.InstitutionEffect) { e.Number = 3 }),
			change(func(e *format.InstitutionEffect) { e.Officers = e.Officers[1:]; e.Officers[0].ID = 1 }),
			change(func(e *format.InstitutionEffect) { e.Officers[0].Role = 77 }),
			change(func(e *format.InstitutionEffect) { e.Officers[1].PublicKey = nil }),
			change(func(e *format.InstitutionEffect) { e.Officers[1].PublicKey = []byte("a key") }),
			change(func(e *format.InstitutionEffect) { e.Officers[0].Institution = 1 }),
			change(func(e *format.InstitutionEffect) { e.Definitions[0].Institution = 1 }),
		},
		format.ReasonBadRule: {change(func(e *format.InstitutionEffect) { e.Definitions[0].Rule = "for ever" })},
	} {
		for i, e := range bad {
			if r := v.institution(keeperOne, e); r.Outcome != Refused || r.Reason != reason {
				t.Errorf("%v %d: %v %v", reason, i, r.Outcome, r.Reason)
			}
		}
	}
	v.refuse(v.institution(keeperTwo, good), format.ReasonNotPermitted)
	v.accept(v.institution(keeperOne, good))
	v.refuse(v.institution(keeperOne, good), format.ReasonConflict)
	p, err := v.nodes[0].PersonByIdentity(format.Digest{0xF0, 2})
	if err != nil || p == nil || p.Institution != 3 || p.ID != 15 {
		t.Fatalf("%+v, %v", p, err)
	}
	v.accept(v.commit(v.op(KindKey, format.KeyEffect{Verb: format.KeyEpoch, Institution: 3, Epoch: kitEpoch, Use: v.slot(), Other: v.slot(), Subject: v.slot()})))
	store := func(transaction string, size int) Result {
		chunks, e := v.sealed(v.slot(), make([]byte, size))
		e.Rule = "PT1H"
		op := v.op(KindStore, e)
		op.Actor, op.Institution, op.Transaction, op.Part = p.ID, 3, transaction, 1
		return v.commit(op, chunks...)
	}
	v.accept(store("Q1", 1000))
	v.refuse(store("Q2", 1000), format.ReasonQuota)
	v.began()
	v.tick(2 * hour)
	v.sweep(10)
	v.settle()
	if row := v.state(3); row.Used != 0 {
		t.Fatalf("%d bytes are used after everything was erased", row.Used)
	}
	v.accept(store("Q3", 1000))
	v.equal()
	for _, n := range v.nodes {
		before := n.standing()
		n.rebuild(false)
		if n.standing() != before {
			t.Fatal("rebuilt rows differ")
		}
	}
}

// TestR26_NothingIsErasedWithoutTheReceipt nor while use records were not handed
// over, nor before the act is executed.
func TestR26_NothingIsErasedWithoutTheReceipt(t *testing.T) {
	v := newTenancy(t, t, 2)
	v.put("T1", "P1Y")
	v.began()
	v.accept(v.use("T1"))
	good := v.handOver()
	for name, c := range map[string]struct {
		change func(*format.CloseParams)
		reason format.Reason
	}{
		"no receipt":     {func(p *format.CloseParams) { p.Receipt = format.Digest{} }, format.ReasonState},
		"no date":        {func(p *format.CloseParams) { p.Date = 0 }, format.ReasonInvalid},
		"years ago":      {func(p *format.CloseParams) { p.Date = v.nodes[0].Summary().Clock.Now - maxCloseBehind - 1 }, format.ReasonInvalid},
		"too late":       {func(p *format.CloseParams) { p.First = 1 }, format.ReasonState},
		"too short":      {func(p *format.CloseParams) { p.End = 1 }, format.ReasonState},
		"nothing":        {func(p *format.CloseParams) { p.End = 0 }, format.ReasonState},
		"too long":       {func(p *format.CloseParams) { p.End += 2 }, format.ReasonState},
		"not covered":    {func(p *format.CloseParams) { p.Size-- }, format.ReasonState},
		"another's root": {func(p *format.CloseParams) { p.Root[0]++ }, format.ReasonInvalid},
	} {
		p := good
		c.change(&p)
		if _, r := v.proposed(p); r.Outcome != Refused || r.Reason != c.reason {
			t.Errorf("%s: %v %v %s", name, r.Outcome, r.Reason, r.Why)
		}
	}
	a, r := v.proposed(good)
	v.accept(r)
	v.accept(v.signs(keeperOne, a))
	v.refuse(v.signs(keeperOne, a), format.ReasonSigner)
	if v.duty(10) || v.state(1).State != format.TenantActive {
		t.Fatal("something closes before the last signature")
	}
	v.accept(v.use("T1"))
	v.refuse(v.signs(judgeOne, a), format.ReasonState) // a use came after the hand-over
	v.accept(v.read("T1"))
	_, r = v.proposed(v.handOver())
	v.refuse(r, format.ReasonState) // one closing at a time
	v.accept(v.vetoes(judgeOne, a))
	v.close1()
	if v.state(1).State != format.TenantClosing {
		t.Fatalf("%+v", v.state(1))
	}
	v.refuse(v.use("T1"), format.ReasonClosed)
	v.refuse(v.read("T1"), format.ReasonClosed)
	_, r = v.proposed(v.handOver())
	v.refuse(r, format.ReasonClosed)
	v.refuse(v.suspend(keeperOne, 1, v.nodes[0].Summary().Clock.Now+hour), format.ReasonState)
	v.equal()
}

// TestR26_RecordsAreGoneThroughWhenAClosingIsProposed and then never again: of what
// stands behind those that were handed over, an answer or a signature reads nothing.
func TestR26_RecordsAreGoneThroughWhenAClosingIsProposed(t *testing.T) {
	v := newTenancy(t, t, 2)
	v.put("T1", "P1Y")
	v.began()
	early := v.handOver()
	v.accept(v.use("T1"))
	_, r := v.proposed(early)
	v.refuse(r, format.ReasonState)
	late := v.handOver()
	v.accept(v.read("T1"))
	a, r := v.proposed(late)
	v.accept(r)
	v.accept(v.vetoes(judgeOne, a))
	_, r = v.proposed(early)
	v.refuse(r, format.ReasonState) // the use lies before the first proposal
	a, r = v.proposed(late)
	v.accept(r)
	for _, n := range v.nodes { // the read leads to no record
		n.idx.Put(tOwnHistory, cat(key32(1), key64(late.End)), key64(1<<40))
	}
	if reason, why, err := v.nodes[0].Blocked(a.Nonce); err != nil || reason != format.ReasonOK {
		t.Errorf("%v %s, %v", reason, why, err)
	}
	v.accept(v.signs(keeperOne, a))
}

// TestR26_AClosingErasesBundlesAndUseRecords except those that are held, until the
// last release; the other history opens, the tree verifies, and the other
// institution is untouched.
func TestR26_AClosingErasesBundlesAndUseRecords(t *testing.T) {
	v := newTenancy(t, t, 3)
	for i := range 7 {
		v.put(fmt.Sprintf("T%d", i), "P5Y")
	}
	v.began()
	use := v.accept(v.use("T1"))
	stored := v.nodes[0].row("T1").Store
	v.hold("T3", true)
	a := v.close1()
	use1, judge := v.epochSlot(), warrantJudge{store: v.nodes[0].Store}
	if err := judge.judgeUseEnd(format.KeyEffect{Verb: format.KeyUseEnd, Institution: 1, Epoch: kitEpoch, Use: use1}, []format.Slot{use1}); err == nil {
		t.Fatal("a use-record key may be destroyed before the bundles are gone over")
	}
	for v.duty(3) {
	}
	v.settle()
	for v.duty(3) {
	}
	if err := judge.judgeUseEnd(format.KeyEffect{Verb: format.KeyUseEnd, Institution: 1, Epoch: kitEpoch, Use: use1}, []format.Slot{v.nodes[0].row("T1").Slot}); err == nil {
		t.Fatal("another slot goes under a use-record key's end")
	}
	if kept, err := v.nodes[1].KeptByClosing(1, 10); err != nil || !slices.Equal(kept, []format.BundleKey{keyOfBundle("T3")}) {
		t.Fatal("kept", kept, err)
	}
	if d, err := v.nodes[0].detail(use.Sequence); err != nil || d.Purpose != "p" {
		t.Fatal("the use-record key goes while one is held:", d, err)
	}
	early := v.op(KindKey, format.KeyEffect{Verb: format.KeyUseEnd, Institution: 1, Epoch: kitEpoch, Use: v.epochSlot()})
	v.refuse(v.commit(early), format.ReasonState)
	v.readable("T3")
	v.hold("T3", false)
	for v.duty(3) {
	}
	if v.state(1).State != format.TenantClosing {
		t.Fatal("closed before everything is attested")
	}
	v.settle()
	for v.duty(3) {
	}
	v.settle()
	for v.duty(3) {
	}
	if row := v.state(1); row.State != format.TenantClosed || row.Act != a.Nonce {
		t.Fatalf("%+v", row)
	}
	for _, n := range v.nodes {
		for i := range 7 {
			row := n.row(fmt.Sprintf("T%d", i))
			if _, err := n.keys.Key(row.Slot); row.Erase == 0 || !errors.Is(err, ErrKeyErased) {
				t.Fatalf("T%d stands: %v", i, err)
			}
		}
		if _, err := n.detail(use.Sequence); !errors.Is(err, ErrKeyErased) {
			t.Fatal("a use record opens:", err)
		}
		if d, err := n.detail(stored); err != nil || d.Basis != "law" {
			t.Fatal("the other history does not open:", d, err)
		}
		n.clean()
	}
	before := v.equal()
	for i, n := range v.nodes {
		if i == 0 {
			n.restart()
			continue
		}
		if state := n.Summary().State; n.standing() != before || state != before.state {
			t.Fatal("a node stands elsewhere")
		}
	}
	v.equal()
}

func (v *tenancy) epochSlot() format.Slot {
	v.Helper()
	row, err := v.nodes[0].Epoch(1, kitEpoch)
	v.must(err)
	return row.Use
}

// TestI1_AClosingNeverErasesWhatIsHeld runs suspensions, closings, holds, releases,
// sweeps and restarts in any order: no bundle ends under a hold, none by a closing
// before its act was executed, and the nodes stand alike.
func TestI1_AClosingNeverErasesWhatIsHeld(t *testing.T) {
	fewer(t, 12)
	rapid.Check(t, func(in *rapid.T) {
		v := newTenancy(t, in, 2)
		defer v.close()
		const bundles = 4
		held := map[string]bool{}
		name := func() string { return fmt.Sprintf("T%d", rapid.IntRange(0, bundles-1).Draw(in, "bundle")) }
		for i := range bundles {
			v.put(fmt.Sprintf("T%d", i), "P1Y")
		}
		v.began()
		executed := false
		var open *format.Act
		steps := map[string]func(){
			"hold": func() {
				if n := name(); v.nodes[0].row(n).Expire == 0 {
					v.hold(n, true)
					held[n] = true
				}
			},
			"release": func() {
				if n := name(); held[n] {
					v.hold(n, false)
					delete(held, n)
				}
			},
			"suspend": func() { v.suspend(keeperOne, 1, v.nodes[0].Summary().Clock.Now+24*hour) },
			"resume":  func() { v.resume(keeperOne, 1) },
			"propose": func() {
				if a, r := v.proposed(v.handOver()); r.Outcome == Accepted {
					open = &a
				}
			},
			"sign": func() {
				if open != nil {
					v.signs(rapid.SampledFrom([]uint64{keeperOne, judgeOne}).Draw(in, "signer"), *open)
				}
			},
			"use": func() {
				if v.state(1).State == format.TenantActive {
					v.use(name())
				}
			},
			"sweep":   func() { v.duty(uint32(rapid.IntRange(1, 3).Draw(in, "limit"))) },
			"forged":  func() { op := v.op(KindCloseSweep, nil); op.Body = key32(5); v.accept(v.commit(op)) },
			"settle":  func() { v.settle() },
			"tick":    func() { v.tick(hour) },
			"restart": func() { v.nodes[1].restart() },
			"": func() {
				executed = executed || v.state(1).State >= format.TenantClosing
				for i := range bundles {
					n := fmt.Sprintf("T%d", i)
					if row := v.nodes[0].row(n); row.Expire != 0 && (held[n] || !executed) {
						in.Fatalf("%s ended: held %v, closing executed %v", n, held[n], executed)
					}
				}
				v.equal()
			},
		}
		in.Repeat(actions(steps))
	})
}

// actions are steps as rapid runs them.
func actions(steps map[string]func()) map[string]func(*rapid.T) {
	out := map[string]func(*rapid.T){}
	for name, step := range steps {
		out[name] = func(*rapid.T) { step() }
	}
	return out
}
