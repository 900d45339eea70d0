package store

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/store/format"
)

func (w *world) clockOp(votes ...format.SignedVote) Op {
	return w.op(KindClock, format.ClockEffect{Votes: votes})
}

// spoilt is a vote that was good, changed and signed again by whom f says.
func (w *world) spoilt(voter, signer uint32, f func(*format.SignedVote)) format.SignedVote {
	v := w.vote(voter, w.now)
	f(&v)
	v.Signature = sign(w, w.keys[signer-1], v.Message(w.cluster))
	return v
}

func TestI2_OnlyAMajoritysSignedVotesMoveTheClock(t *testing.T) {
	w := newWorld(t, t, 2)
	w.put("T0", "PT1H")
	w.began()
	now := w.now + minute
	one, two := w.vote(1, now), w.vote(2, now)
	stay := func(name string, reason format.Reason, votes ...format.SignedVote) {
		t.Helper()
		before := w.equal()
		w.refuse(w.commit(w.clockOp(votes...)), reason)
		if w.equal() != before {
			t.Fatalf("%s: it left something", name)
		}
	}
	stay("none", format.ReasonClock)
	stay("a minority", format.ReasonClock, one)
	stay("one voter thrice", format.ReasonInvalid, one, one, one)
	unsigned, bent := two, two
	unsigned.Signature = nil
	bent.Earliest++
	stay("unsigned", format.ReasonSignature, one, unsigned)
	stay("changed after signing", format.ReasonSignature, one, bent)
	stay("another's signature", format.ReasonSignature, one, w.spoilt(2, 1, func(*format.SignedVote) {}))
	stay("no member", format.ReasonMember, one, w.spoilt(2, 2, func(v *format.SignedVote) { v.Voter = 9 }))
	stay("another incarnation", format.ReasonMember, one, w.spoilt(2, 2, func(v *format.SignedVote) { v.Incarnation = format.ID{9} }))
	stay("a lost log", format.ReasonMember, one, w.spoilt(2, 2, func(v *format.SignedVote) { v.Commit = 1 }))
	stay("a lost history", format.ReasonMember, one, w.spoilt(2, 2, func(v *format.SignedVote) { v.Size = 0 }))
	stay("an old round", format.ReasonClock, one, w.spoilt(2, 2, func(v *format.SignedVote) { v.Round-- }))
	stay("a round to come", format.ReasonClock, one, w.spoilt(2, 2, func(v *format.SignedVote) { v.Round++ }))
	stay("a boot clock going backward", format.ReasonClock, one, w.spoilt(2, 2, func(v *format.SignedVote) { v.BootReading = 1 }))
	stay("votes that do not agree", format.ReasonClock, one, w.vote(2, now+hour))

	// One liar far ahead gains nothing; the clock is what two vouch for.
	w.accept(w.commit(w.clockOp(one, two, w.vote(3, now+1_000_000))))
	if got := w.nodes[0].Summary().Clock.Now; got != base+now {
		t.Fatalf("the clock reads %d, two of three vouch for %d", got, base+now)
	}
	stay("votes that were counted", format.ReasonClock, one, two)
	later := w.spoilt(2, 2, func(v *format.SignedVote) { v.Commit = 2 })
	stay("less than at the last vote", format.ReasonMember, w.vote(1, now), later)

	// A replaced incarnation counts no more, and its successor begins anew.
	join := format.MemberEffect{Node: 3, Incarnation: format.ID{0x33}, State: format.MemberJoining}
	join.Signature = sign(w, w.keys[2], join.Message(w.cluster))
	w.accept(w.commit(w.op(KindMember, join)))
	w.now = now + 2_000_000
	stay("one that has only joined", format.ReasonMember, w.vote(1, w.now), w.spoilt(3, 3, func(v *format.SignedVote) { v.Incarnation = format.ID{0x33} }))
	w.silent(w.op(KindMember, format.MemberEffect{Node: 3, Incarnation: format.ID{0x33}, State: format.MemberVoter, Signature: join.Signature}), format.ReasonSignature)
	join.State = format.MemberVoter
	join.Signature = sign(w, w.keys[2], join.Message(w.cluster))
	w.accept(w.commit(w.op(KindMember, join)))
	stay("the incarnation that is gone", format.ReasonMember, w.vote(1, w.now), w.vote(3, w.now))
	w.incs[2] = format.ID{0x33}
	back := w.spoilt(3, 3, func(v *format.SignedVote) { v.Commit, v.Size = 5, 5 }) // it has copied little yet
	w.accept(w.commit(w.clockOp(w.vote(1, w.now), back)))
	join.State = format.MemberJoining
	join.Incarnation = format.ID{0x10, 3}
	join.Signature = sign(w, w.keys[2], join.Message(w.cluster))
	w.silent(w.op(KindMember, join), format.ReasonMember) // gone is gone
}

// TestP14_I2_NoVotesOfAMinorityMoveTheClock lets one voter, with its own key, say
// whatever it likes beside any junk.
func TestP14_I2_NoVotesOfAMinorityMoveTheClock(t *testing.T) {
	w := newWorld(t, t, 1)
	w.began()
	before := w.nodes[0].Summary().Clock
	rapid.Check(t, func(r *rapid.T) {
		var votes []format.SignedVote
		for range rapid.IntRange(0, 5).Draw(r, "votes") {
			v := w.spoilt(uint32(rapid.IntRange(1, voters).Draw(r, "voter")), 3, func(v *format.SignedVote) {
				v.Earliest += rapid.Int64Range(0, 100*hour).Draw(r, "lie")
				v.Latest = v.Earliest + rapid.Int64Range(-1, 2000).Draw(r, "width")
				v.BootReading += rapid.Int64Range(0, 1<<50).Draw(r, "boot")
				v.BootID[0] = rapid.Byte().Draw(r, "boot id")
			})
			if rapid.Bool().Draw(r, "as another") {
				v.Voter = uint32(rapid.IntRange(0, 4).Draw(r, "as"))
			}
			votes = append(votes, v)
		}
		res := w.commit(w.clockOp(votes...))
		if c := w.nodes[0].Summary().Clock; res.Outcome != Refused || c.Now != before.Now || c.Round != before.Round {
			r.Fatalf("%+v moved the clock to %+v", votes, c)
		}
	})
}

func TestP14_TheHistoryVerifiesAcrossStepsOfTheClock(t *testing.T) {
	w := newWorld(t, t, 2)
	for i, by := range []int64{1000, hour, 1, -minute, -hour, minute, 3 * hour, 0} {
		if w.now += by; by < 0 { // all sources step back: votes stay true, the clock stays
			before := w.nodes[0].Summary().Clock.Now
			back := func(voter uint32) format.SignedVote {
				return w.spoilt(voter, voter, func(v *format.SignedVote) { v.BootReading = 1_000_000_000 + (before-base)*1000 })
			}
			w.accept(w.commit(w.clockOp(back(1), back(2))))
			if got := w.nodes[0].Summary().Clock.Now; got < before {
				t.Fatalf("step %d: back from %d to %d", i, before, got)
			}
			w.now = max(w.now, before-base)
		} else {
			w.tick(0)
		}
		w.nodes[i%2].restart()
		w.checkpoint()
	}
	w.equal()
	for _, n := range w.nodes {
		v, err := n.Verify(t.Context())
		if err != nil || len(v.Damage) != 0 {
			t.Fatal(v.Damage, err)
		}
	}
}
