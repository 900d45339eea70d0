package retention

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestFirstEntry(t *testing.T) {
	for _, c := range []struct {
		off  time.Duration // of the candidate from the ceremony
		want error
	}{
		{-time.Microsecond, ErrCeremony}, {0, nil}, {FirstWindow, nil}, {FirstWindow + time.Microsecond, ErrCeremony},
	} {
		w := newWorld(t, 3)
		w.clock.Ceremony = w.now.Add(-50*time.Millisecond - c.off)
		votes := []Vote{w.vote(0, 0), w.vote(1, 0)}
		next, tick, err := w.clock.Advance(w.voters(), votes, w.policy)
		if !errors.Is(err, c.want) {
			t.Errorf("%v after the ceremony: %v, want %v", c.off, err, c.want)
		}
		if err != nil {
			continue
		}
		first := votes[0].Earliest
		if next.Now != first || next.Floor != first || len(next.Lines) != 2 || next.Lines[1].Value() != first {
			t.Errorf("first entry gave %+v", next)
		}
		if tick.Start != votes[0].Latest || tick.Capped || tick.Lag != 0 || tick.Budget != time.Hour || tick.Round != 1 {
			t.Errorf("first tick %+v", tick)
		}
	}
	if c := NewClock(5); c.AtLeast() != 5 || c.Now != 0 {
		t.Errorf("before the first entry: %+v", c)
	}
}

func TestAdvanceRefuses(t *testing.T) {
	w := newWorld(t, 3)
	w.tick(0, 0, 1, 2)
	w.pass(time.Second)
	good := []Vote{w.vote(0, 0), w.vote(1, 0), w.vote(2, 0)}
	with := func(change func(*Vote)) []Vote {
		votes := slices.Clone(good)
		change(&votes[1])
		return votes
	}
	cases := []struct {
		name   string
		voters []uint32
		votes  []Vote
		policy ClockPolicy
		want   error
		voter  uint32 // that the error must name
	}{
		{"old round", w.voters(), with(func(v *Vote) { v.Round-- }), w.policy, ErrRound, 2},
		{"future round", w.voters(), with(func(v *Vote) { v.Round++ }), w.policy, ErrRound, 2},
		{"duplicate", w.voters(), with(func(v *Vote) { v.Voter = 1 }), w.policy, ErrTwice, 1},
		{"foreign voter", w.voters(), with(func(v *Vote) { v.Voter = 9 }), w.policy, ErrNotVoter, 9},
		{"former voter", []uint32{1, 3}, good, w.policy, ErrNotVoter, 2},
		{"inverted interval", w.voters(), with(func(v *Vote) { v.Latest = v.Earliest - 1 }), w.policy, ErrInterval, 2},
		{"unset bound", w.voters(), with(func(v *Vote) { v.Earliest = 0 }), w.policy, ErrInterval, 2},
		{"year 10000", w.voters(), with(func(v *Vote) { v.Latest = MaxInstant + 1 }), w.policy, ErrInterval, 2},
		{"no boot id", w.voters(), with(func(v *Vote) { v.BootID = [16]byte{} }), w.policy, ErrBoot, 2},
		{"negative reading", w.voters(), with(func(v *Vote) { v.BootReading = -1 }), w.policy, ErrBoot, 2},
		{"backward reading", w.voters(), with(func(v *Vote) { v.BootReading -= 2e9 }), w.policy, ErrBackward, 2},
		{"minority", w.voters(), good[:1], w.policy, ErrMajority, 0},
		{"half", []uint32{1, 2, 3, 4}, good[:2], w.policy, ErrMajority, 0},
		{"no votes", w.voters(), nil, w.policy, ErrMajority, 0},
		{"disagreement", w.voters(), with(func(v *Vote) { v.Latest = v.Latest.Add(10 * time.Second) }), w.policy, ErrDisagree, 0},
		{"no voters", nil, good, w.policy, ErrVoters, 0},
		{"voter listed twice", []uint32{1, 2, 2, 3}, good, w.policy, ErrVoters, 0},
		{"no agreement", w.voters(), good, ClockPolicy{Slack: time.Hour}, ErrPolicy, 0},
		{"slack over a day", w.voters(), good, ClockPolicy{MaxSlack + 1, time.Second}, ErrPolicy, 0},
		{"negative slack", w.voters(), good, ClockPolicy{-1, time.Second}, ErrPolicy, 0},
	}
	for _, c := range cases {
		next, tick, err := w.clock.Advance(c.voters, c.votes, c.policy)
		if !errors.Is(err, c.want) || tick != (Tick{}) || !reflect.DeepEqual(next, w.clock) {
			t.Errorf("%s: %v, want %v; %+v", c.name, err, c.want, next)
		}
		if named := (*VoteError)(nil); errors.As(err, &named) != (c.voter != 0) || named != nil && named.Voter != c.voter {
			t.Errorf("%s: names %v, want voter %d", c.name, named, c.voter)
		}
	}
	w.enter(good)
}

func TestReplayOfAnAnsweredRound(t *testing.T) {
	w := newWorld(t, 3)
	votes := []Vote{w.vote(0, 0), w.vote(1, 0)}
	w.enter(votes)
	_, _, err := w.clock.Advance(w.voters(), votes, w.policy)
	wantErr(t, "replay", err, ErrRound)
}

func TestDamagedClockIsRefused(t *testing.T) {
	w := newWorld(t, 3)
	w.tick(0, 0, 1, 2)
	votes := []Vote{w.vote(0, 0), w.vote(1, 0)}
	for i, damage := range []func(*Clock){
		func(c *Clock) { c.Now = 0 },
		func(c *Clock) { c.Floor = 0 },
		func(c *Clock) { c.Now = -1 },
		func(c *Clock) { c.Ceremony = 0 },
		func(c *Clock) { c.Lines[0], c.Lines[1] = c.Lines[1], c.Lines[0] },
		func(c *Clock) { c.Lines[0].Voter = 2 },
		func(c *Clock) { c.Lines[0].Last = 0 },
		func(c *Clock) { c.Lines[0].Base = 0 },
	} {
		c := w.clock
		c.Lines = slices.Clone(c.Lines)
		damage(&c)
		_, _, err := c.Advance(w.voters(), votes, w.policy)
		wantErr(t, string(rune('a'+i)), err, ErrClockState)
	}
}

func TestCandidateIsVouchedByAMajorityOfAll(t *testing.T) {
	w := newWorld(t, 5)
	w.tick(0, 0, 1, 2, 3, 4)
	w.pass(10 * time.Second)
	var votes []Vote
	for i, off := range []time.Duration{1, 2, 3, 4} { // the fifth is away
		votes = append(votes, w.vote(i, off*time.Second))
	}
	slices.Reverse(votes)
	tick := w.enter(votes)
	if want := w.vote(1, 2*time.Second).Earliest; tick.Candidate != want || w.clock.Now != want {
		t.Errorf("candidate %v, want %v: three of five place it at or before their earliest", tick.Candidate, want)
	}
	if want := w.vote(3, 4*time.Second).Latest; tick.Start != want {
		t.Errorf("start %v, want the greatest latest %v", tick.Start, want)
	}
}

func TestMembershipChange(t *testing.T) {
	w := newWorld(t, 3)
	w.tick(0, 0, 1, 2)
	w.pass(time.Minute)
	gone := w.nodes[2]
	w.nodes = append(w.nodes[:2], &node{id: 4, boot: 1, bootAt: w.now})
	w.tick(0, 0, 2)
	ids := func() (v []uint32) {
		for _, l := range w.clock.Lines {
			v = append(v, l.Voter)
		}
		return v
	}
	if got := ids(); !slices.Equal(got, []uint32{1, 2, 4}) {
		t.Errorf("lines of %v", got)
	}
	if l, _ := lineOf(w.clock.Lines, 4); l.Base > w.clock.Now.Add(-59*time.Second) {
		t.Errorf("a new voter's line begins at %v, past clock and floor before its first vote", l.Base)
	}
	if l, _ := lineOf(w.clock.Lines, 2); l.Value() != w.clock.Lines[1].Base {
		t.Errorf("a line moved without a vote: %+v", l)
	}
	w.nodes[2] = gone // back again: starts over
	w.tick(0, 0, 2)
	if l, _ := lineOf(w.clock.Lines, 3); l.BootAt != l.Last {
		t.Errorf("a returning voter kept its old line: %+v", l)
	}
}

func TestResync(t *testing.T) {
	w := newWorld(t, 3)
	w.tick(0, 0, 1, 2)
	w.pass(90 * 24 * time.Hour) // the whole cluster was off
	for _, n := range w.nodes {
		w.reboot(n)
	}
	w.pass(time.Minute)
	if tick := w.tick(0, 0, 1, 2); !tick.Capped || tick.Lag < 89*24*time.Hour || tick.Budget != 0 {
		t.Fatalf("after the outage: %+v", tick)
	}
	votes := []Vote{w.vote(0, 0), w.vote(2, 0)}
	written := w.clock.Round
	w.pass(time.Hour) // the persons take their time, ticks go on
	w.tick(0, 0, 1, 2)

	_, err := w.clock.Resync(w.voters(), votes, w.clock.Round+1, w.policy)
	wantErr(t, "a round to come", err, ErrRound)
	_, err = w.clock.Resync(w.voters(), votes, w.clock.Round, w.policy)
	wantErr(t, "votes of another round", err, ErrRound)
	_, err = w.clock.Resync(w.voters(), votes[:1], written, w.policy)
	wantErr(t, "a minority", err, ErrMajority)
	_, err = NewClock(1).Resync(w.voters(), votes, written, w.policy)
	if err == nil {
		t.Error("a resync made the first setting")
	}

	next, err := w.clock.Resync(w.voters(), votes, written, w.policy)
	if err != nil || next.Now != votes[0].Earliest || next.Floor != next.Now || next.Round != w.clock.Round+1 {
		t.Fatalf("resync: %+v, %v", next, err)
	}
	_, err = next.Resync(w.voters(), votes, written, w.policy)
	wantErr(t, "replayed", err, ErrNotForward)
	w.clock = next
	w.policy.Slack = 0 // the lines were restarted, so no slack is needed to follow
	w.tick(0, 0, 1, 2)
	if w.gain() > 0 || w.gain() < -time.Second {
		t.Errorf("after the resync the clock is off by %v", w.gain())
	}
}

func TestOverflowSafeLines(t *testing.T) {
	l := Line{Base: MaxInstant - 10, BootID: [16]byte{1}, Last: 1<<63 - 1}
	if l.Value() != MaxInstant {
		t.Errorf("value %d", l.Value())
	}
	l = Line{Base: 1000, BootID: [16]byte{1}, BootAt: 5, Last: 5 + 10_000*1_000_000_000}
	if want := Instant(1000 + 10_002*microsPerSecond); l.Value() != want {
		t.Errorf("10 000 s of uptime give %d, want %d", l.Value(), want)
	}
}
