package store

import (
	"crypto/sha256"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// policyDoc is an act that changes the policy in force.
func (w *world) policyDoc(change func(*format.Policy)) format.Act {
	now := w.nodes[0].Summary().Policy
	next := now
	change(&next)
	p := format.PolicyParams{Particulars: format.Digest{1}, Replaces: PolicyDigest(now), Policy: next}
	return w.document(format.ActKindPolicy, format.ActObject{}, p.Encode())
}

func TestI10StrongerByOneWeakerByTwo(t *testing.T) {
	w, keys := newActWorld(t, t, 2, nil)
	stronger := w.policyDoc(func(p *format.Policy) { p.Approvals = 3 })
	w.propose(manager, stronger)
	w.refuse(w.commit(w.signOp(keys, elsewhere, stronger)), format.ReasonNotPermitted) // another institution's
	w.accept(w.commit(w.signOp(keys, manager, stronger)))
	if p := w.nodes[0].Summary().Policy; p.Approvals != 3 {
		t.Fatalf("approvals %d", p.Approvals)
	}
	weaker := w.policyDoc(func(p *format.Policy) { p.Approvals = 2 })
	w.propose(manager, weaker)
	w.agree(keys, weaker)
	if p := w.nodes[0].Summary().Policy; p.Approvals != 3 {
		t.Fatal("two persons undid what three are needed for")
	}
	w.refuse(w.commit(w.signOp(keys, twin, weaker)), format.ReasonSigner) // one key under two numbers
	w.accept(w.commit(w.signOp(keys, approver2, weaker)))
	if p := w.nodes[0].Summary().Policy; p.Approvals != 2 {
		t.Fatal("three persons did not suffice")
	}
	versions, err := w.nodes[0].PolicyVersions()
	if err != nil || len(versions) != 3 || versions[1].Policy.Approvals != 3 || versions[2].Act != weaker.Nonce {
		t.Fatalf("versions %+v: %v", versions, err)
	}
	w.equal()
	w.nodes[1].rebuild(true)
	w.equal()
}

func TestI10WhatNeverChanges(t *testing.T) {
	w, keys := newActWorld(t, t, 1, func(c *format.Ceremony) { c.Policy.HistoryYears = 5 })
	for name, change := range map[string]func(*format.Policy){
		"history years down":    func(p *format.Policy) { p.HistoryYears = 4 },
		"two history years":     func(p *format.Policy) { p.HistoryYears = 2 },
		"one approval":          func(p *format.Policy) { p.Approvals = 1 },
		"slack of two days":     func(p *format.Policy) { p.Slack = 48 * hour },
		"no cooling-off":        func(p *format.Policy) { p.CoolingOff = 0 },
		"a closed network":      func(p *format.Policy) { p.ClosedNetwork = true },
		"history for good":      func(p *format.Policy) { p.HistoryYears = 31 },
		"acts that all lapse":   func(p *format.Policy) { p.CoolingOff = maxActLife - ActTime + 1 },
		"backups for a year":    func(p *format.Policy) { p.SetBackupWithin(8760) },
		"years without measure": func(p *format.Policy) { p.MaxYears = 5000 },
	} {
		doc := w.policyDoc(change)
		if r := w.commit(w.proposeOp(manager, doc)); r.Outcome != Refused || r.Reason != format.ReasonPolicy {
			t.Errorf("%s: %v %s %s", name, r.Outcome, r.Reason, r.Why)
		}
	}
	first, second := w.policyDoc(func(p *format.Policy) { p.Approvals = 3 }), w.policyDoc(func(p *format.Policy) { p.CoolingOff = hour })
	w.propose(manager, first)
	w.propose(manager, second)
	w.accept(w.commit(w.signOp(keys, manager, first)))
	w.refuse(w.commit(w.signOp(keys, manager, second)), format.ReasonState) // written against the policy before
}

// protection lists what of a policy protects, so that more is stronger.
func protection(p format.Policy) []int64 {
	return []int64{-p.Slack, -p.Agreement, int64(p.MaxYears), -p.SweepWithin, int64(p.Approvals), p.CoolingOff, -p.CheckpointEvery, int64(p.HistoryYears)}
}

func TestP19RandomPolicyCallsNeverLowerProtection(t *testing.T) {
	fewer(t, 15)
	rapid.Check(t, func(r *rapid.T) {
		w, keys := newActWorld(t, r, 1, nil)
		defer w.close()
		for range rapid.IntRange(1, 12).Draw(r, "calls") {
			before := w.nodes[0].Summary().Policy
			doc := w.policyDoc(func(p *format.Policy) {
				p.Slack = rapid.Int64Range(0, 30*hour).Draw(r, "slack")
				p.Approvals = rapid.Uint8Range(0, 4).Draw(r, "approvals")
				p.CoolingOff = rapid.Int64Range(0, 10_000_000).Draw(r, "cooling")
				p.HistoryYears = rapid.Uint32Range(0, 6).Draw(r, "years")
				p.MaxYears = rapid.Uint32Range(90, 110).Draw(r, "longest")
			})
			w.commit(w.proposeOp(manager, doc))
			signers := rapid.SliceOfNDistinct(rapid.SampledFrom([]uint64{manager, approver1, approver2, twin}), 0, 4, rapid.ID).Draw(r, "signers")
			for _, s := range signers {
				w.commit(w.signOp(keys, s, doc))
			}
			after := w.nodes[0].Summary().Policy
			persons := len(signers)
			if slices.Contains(signers, approver1) && slices.Contains(signers, twin) {
				persons--
			}
			lower := slices.ContainsFunc(slices.Collect(indexes(protection(before))), func(i int) bool { return protection(after)[i] < protection(before)[i] })
			switch {
			case after.HistoryYears < before.HistoryYears || after.Approvals < 2 || after.Slack > 24*hour:
				r.Fatalf("a limit was passed: %+v", after)
			case lower && (persons < int(before.Approvals) || !slices.Contains(signers, manager)):
				r.Fatalf("%v made it weaker: from %+v to %+v", signers, before, after)
			}
		}
	})
}

func indexes(of []int64) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range of {
			if !yield(i) {
				return
			}
		}
	}
}

func TestActsOfForeignHandsAreRefused(t *testing.T) {
	w, keys := newActWorld(t, t, 2, nil)
	doc := w.policyDoc(func(p *format.Policy) { p.Slack = 2 * hour })
	foreign := doc
	foreign.Cluster = format.ID{9}
	w.refuse(w.commit(w.proposeOp(manager, foreign)), format.ReasonInvalid)
	late := doc
	late.Expires = w.nodes[0].Summary().Clock.Now
	w.refuse(w.commit(w.proposeOp(manager, late)), format.ReasonLapsed)
	w.refuse(w.commit(w.proposeOp(officer, doc)), format.ReasonNotPermitted)
	w.refuse(w.commit(w.proposeOp(approver1, doc)), format.ReasonNotPermitted)

	w.propose(manager, doc)
	w.refuse(w.commit(w.proposeOp(manager, doc)), format.ReasonState) // the nonce is known
	altered := doc
	altered.Params = append(slices.Clone(doc.Params), 0)
	forged := w.signOp(keys, manager, doc)
	forged.Body = format.EncodeEffect(format.SignEffect{Act: doc.Nonce, Person: manager, Signature: sign(w, keys[manager], altered.Encode())})
	w.refuse(w.commit(forged), format.ReasonSignature)
	lent := w.signOp(keys, manager, doc)
	lent.Actor = approver1 // brings the manager's signature
	w.refuse(w.commit(lent), format.ReasonSigner)
	claimed := w.signOp(keys, approver1, doc)
	claimed.Body = format.EncodeEffect(format.SignEffect{Act: doc.Nonce, Person: manager, Signature: sign(w, keys[approver1], doc.Encode())})
	claimed.Actor = manager // a lying node says that the manager asks
	w.refuse(w.commit(claimed), format.ReasonSignature)

	w.accept(w.commit(w.signOp(keys, manager, doc)))
	w.refuse(w.commit(w.signOp(keys, manager, doc)), format.ReasonSigner)
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonState) // one of two
	w.accept(w.commit(w.vetoOp(keys, approver2, doc)))
	w.refuse(w.commit(w.signOp(keys, approver1, doc)), format.ReasonState)
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonState)
	if w.nodes[0].Summary().Policy.Slack != hour {
		t.Fatal("a vetoed act took hold")
	}
	w.refuse(w.commit(w.proposeOp(manager, doc)), format.ReasonState) // nothing is open for the same, and the nonce is known

	again := w.policyDoc(func(p *format.Policy) { p.Slack = 2 * hour })
	w.propose(manager, again)
	w.accept(w.commit(w.signOp(keys, manager, again)))
	w.tick(hour + minute)
	w.refuse(w.commit(w.signOp(keys, approver1, again)), format.ReasonLapsed)
	w.equal()
}

func TestActsAboutNodesMediaAndClock(t *testing.T) {
	w, keys := newActWorld(t, t, 2, nil)
	key := newKey(t)
	node := format.CeremonyNode{Number: 4, Name: "n4", Incarnation: format.ID{0x44}, PublicKey: public(t, key)}
	member := func(p format.MemberParams) format.Act {
		return w.document(format.ActKindMember, format.ActObject{}, p.Encode())
	}
	for name, key := range map[string][]byte{"no key": nil, "no P-256 key": []byte("key"), "half a key": node.PublicKey[:60]} {
		keyless := node
		keyless.PublicKey = key
		if r := w.commit(w.proposeOp(admin, member(format.MemberParams{Node: keyless}))); r.Outcome != Refused || r.Reason != format.ReasonInvalid {
			t.Errorf("%s: %v %s", name, r.Outcome, r.Reason)
		}
	}
	add := member(format.MemberParams{Node: node})
	w.refuse(w.commit(w.proposeOp(manager, add)), format.ReasonNotPermitted)
	w.propose(admin, add)
	w.agree(keys, add)
	if m := w.nodes[0].Members(); len(m) != 4 || m[3].Name != "n4" || m[3].Current != (format.ID{}) {
		t.Fatalf("members %+v", m)
	}
	w.refuse(w.commit(w.proposeOp(admin, member(format.MemberParams{Node: node}))), format.ReasonMember)

	remove := member(format.MemberParams{Remove: true, Node: format.CeremonyNode{Number: 3}})
	w.propose(admin, remove)
	w.agree(keys, remove)
	if m := w.nodes[0].Members(); len(m) != 3 || m[2].Number != 4 {
		t.Fatalf("members %+v", m)
	}
	back := w.op(KindMember, format.MemberEffect{Node: 3, Incarnation: format.ID{0x77}, State: format.MemberJoining})
	e := format.MemberEffect{Node: 3, Incarnation: format.ID{0x77}, State: format.MemberJoining}
	e.Signature = sign(t, w.keys[2], e.Message(w.cluster))
	back.Body = format.EncodeEffect(e)
	if r := w.commit(back); r.Outcome != Refused {
		t.Fatal("a node that was removed came back with its old key")
	}

	medium := func(inc format.ID) format.Act {
		return w.document(format.ActKindMedium, format.ActObject{}, format.MediumParams{Node: 3, Incarnation: inc}.Encode())
	}
	w.refuse(w.commit(w.proposeOp(admin, medium(format.ID{9}))), format.ReasonNotFound)
	gone := medium(w.incs[2])
	w.propose(admin, gone)
	w.agree(keys, gone)
	w.refuse(w.commit(w.proposeOp(admin, medium(w.incs[2]))), format.ReasonState)

	before := w.nodes[0].Summary().Clock
	far := w.now + 400*24*hour
	votes := []format.SignedVote{w.vote(1, far), w.vote(2, far)}
	forged := w.vote(2, far+hour)
	forged.Signature = votes[1].Signature
	resync := func(votes ...format.SignedVote) format.Act {
		return w.document(format.ActKindResync, format.ActObject{}, format.ResyncParams{Votes: votes}.Encode())
	}
	w.refuse(w.commit(w.proposeOp(admin, resync(votes[0], forged))), format.ReasonSignature)
	w.refuse(w.commit(w.proposeOp(admin, resync(votes[0]))), format.ReasonClock) // no majority
	doc := resync(votes...)
	w.propose(admin, doc)
	w.accept(w.commit(w.signOp(keys, manager, doc)))
	if w.nodes[0].Summary().Clock.Now != before.Now {
		t.Fatal("one person set the clock")
	}
	w.accept(w.commit(w.signOp(keys, approver1, doc)))
	if now := w.nodes[0].Summary().Clock; now.Now != votes[0].Earliest || now.Floor != now.Now {
		t.Fatalf("the clock reads %d, floor %d, where %d belongs", now.Now, now.Floor, votes[0].Earliest)
	}
	w.equal()
	w.nodes[1].rebuild(true)
	w.equal()
}

func TestSpecialDeletionOfOneBundle(t *testing.T) {
	w, keys := newActWorld(t, t, 2, nil)
	w.put("A", "P5Y")
	w.put("B", "P5Y")
	w.began()
	special := func(transaction string) format.Act {
		row := w.nodes[0].row(transaction)
		_, encoded, err := w.nodes[0].Record(row.Store)
		w.must(err)
		p := format.SpecialParams{Particulars: sha256.Sum256([]byte("p")), Store: row.Store, Leaf: format.LeafHash(encoded), Order: "2026-001"}
		return w.document(format.ActKindSpecialDelete, format.ActObject(keyOfBundle(transaction)), p.Encode())
	}
	doc := special("A")
	w.refuse(w.commit(w.proposeOp(officer, doc)), format.ReasonState) // no order
	stop := w.about(KindStop, officer, "A", format.StopEffect{Order: "2026-001", Act: doc.Nonce})
	w.accept(w.commit(stop))
	w.refuse(w.commit(w.about(KindRead, officer, "A", format.ReadEffect{})), format.ReasonStopped)
	w.accept(w.commit(w.about(KindRead, officer, "B", format.ReadEffect{})))
	w.propose(officer, doc)
	w.refuse(w.commit(w.signOp(actors{officer: keys[manager]}, officer, doc)), format.ReasonNotPermitted)
	w.agree(keys, doc)
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonState) // cooling off has not begun
	w.began()
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonState) // it runs
	w.tick(6_000_000)
	ready, _, err := w.nodes[0].ReadyActs(0)
	if err != nil || len(ready) != 1 || ready[0] != doc.Nonce {
		t.Fatalf("ready %x: %v", ready, err)
	}
	w.accept(w.commit(w.executeOp(doc.Nonce)))
	w.refuse(w.commit(w.executeOp(doc.Nonce)), format.ReasonState)
	w.refuse(w.commit(w.about(KindRead, officer, "A", format.ReadEffect{})), format.ReasonSpecialDeleted)
	w.checkpoint()
	for i, n := range w.nodes {
		if bundles, _ := n.pending(n.number); len(bundles) != 1 {
			t.Fatalf("node %d has %d to destroy", i+1, len(bundles))
		}
		n.destroy()
		w.attest(n.number)
	}
	if _, err := w.nodes[0].plain("A"); err == nil {
		t.Fatal("A still opens")
	}
	w.readable("B")
	if b := w.nodes[0].row("A"); b.Erase == 0 {
		t.Fatal("no ERASE")
	}
	if v, err := w.nodes[0].Act(1, doc.Nonce); err != nil || v.State != retention.ActExecuted {
		t.Fatalf("act %+v: %v", v, err)
	}
	w.equal()
	w.nodes[1].rebuild(true)
	w.equal()
	w.readable("B")
}

// TestOperatorIsWhoCanSign: the appliance's own staff may propose what only the
// operating institution's persons can sign.
func TestOperatorIsWhoCanSign(t *testing.T) {
	const chief = 21
	w, keys := newActWorld(t, t, 1, func(c *format.Ceremony) {
		c.Persons = append(c.Persons, format.Person{ID: chief, Role: uint8(access.RoleAdmin), PublicKey: public(t, newKey(t)), Identity: format.Digest{chief}})
	})
	w.accept(w.commit(w.op(KindKey, format.KeyEffect{Verb: format.KeyEpoch, Epoch: kitEpoch, Use: w.slot(), Other: w.slot(), Subject: w.slot()})))
	doc := w.policyDoc(func(p *format.Policy) { p.Slack = 2 * hour })
	op := w.proposeOp(chief, doc)
	op.Institution = 0
	w.accept(w.commit(w.withDetail(op)))
	for _, institution := range []uint32{0, 1} {
		if v, err := w.nodes[0].Act(institution, doc.Nonce); err != nil || v == nil {
			t.Errorf("institution %d does not see it: %v", institution, err)
		}
	}
	if v, err := w.nodes[0].Act(2, doc.Nonce); err != nil || v != nil {
		t.Errorf("institution 2 sees it: %v", err)
	}
	w.agree(keys, doc)
	if w.nodes[0].Summary().Policy.Slack != 2*hour {
		t.Error("it was not executed")
	}
}

// TestI10AWitnessMoreIsNeededAsWell: one person adds none that could take an honest
// one's place.
func TestI10AWitnessMoreIsNeededAsWell(t *testing.T) {
	witness := func(name string) format.NoteKey {
		return format.NoteKey{Name: name, Type: format.NoteCosignature, Key: make([]byte, 32)}
	}
	policy := func(needed uint8, names ...string) format.Policy {
		p := format.Policy{Version: 2, WitnessesNeeded: needed}
		for _, n := range names {
			p.Witnesses = append(p.Witnesses, witness(n))
		}
		return p
	}
	for name, c := range map[string]struct {
		old, new format.Policy
		weaker   bool
	}{
		"one more":                {policy(1, "a", "b"), policy(1, "a", "b", "c"), true},
		"one more, and needed":    {policy(1, "a", "b"), policy(2, "a", "b", "c"), false},
		"two more, one needed":    {policy(1, "a", "b"), policy(2, "a", "b", "c", "d"), true},
		"one more of none needed": {policy(0, "a"), policy(0, "a", "b"), false},
		"the first":               {policy(0), policy(1, "a"), false},
		"another in its place":    {policy(1, "a"), policy(1, "b"), true},
		"more needed":             {policy(1, "a", "b"), policy(2, "a", "b"), false},
	} {
		if weaker, never := comparePolicy(c.old, c.new); weaker != c.weaker || never != nil {
			t.Errorf("%s: weaker %v, never %v", name, weaker, never)
		}
	}
}

// TestTheLongestCoolingOffEnds: at the limit of the policy an act is still signed,
// cools off and is executed before it lapses.
func TestTheLongestCoolingOffEnds(t *testing.T) {
	const longest = maxActLife - ActTime
	w, keys := newActWorld(t, t, 1, func(c *format.Ceremony) { c.Policy.CoolingOff = longest })
	w.must(CheckPolicy(w.nodes[0].Summary().Policy))
	w.put("A", "P5Y")
	w.began()
	doc := w.specialDoc("A", "O")
	doc.Expires = w.nodes[0].Summary().Clock.Now + longest + ActTime // as long as an act may live
	w.accept(w.commit(w.stopOp("A", "O", doc.Nonce)))
	w.propose(officer, doc)
	w.tick(24 * hour)
	w.agree(keys, doc)
	w.began()
	w.tick(longest)
	w.tick(hour)
	w.accept(w.commit(w.executeOp(doc.Nonce)))
}
