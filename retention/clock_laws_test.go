package retention

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const month = 30 * 24 * time.Hour

func TestP02_AllSourcesAMonthAhead(t *testing.T) {
	w := newWorld(t, 3)
	w.tick(0, 0, 1, 2)
	for range 60 {
		w.pass(time.Minute)
		if tick := w.tick(month, 0, 1, 2); !tick.Capped || tick.Lag < month-2*time.Hour {
			t.Fatalf("not reported as capped: %+v", tick)
		}
	}
	if g := w.gain(); g > w.allowed() || g < 59*time.Minute {
		t.Errorf("gained %v, slack is %v", g, w.policy.Slack)
	}
}

func TestP05_TenThousandStepsJustUnderTheLimit(t *testing.T) {
	for _, slack := range []time.Duration{0, time.Hour, MaxSlack} {
		w := newWorld(t, 3)
		w.policy.Slack = slack
		w.tick(0, 0, 1, 2)
		lie := time.Duration(0)
		for range 10_000 {
			w.pass(time.Second)
			lie += 9 * time.Second // each step within the agreement of 10 s
			w.tick(lie, 0, 1, 2)
		}
		if g := w.gain(); g > w.allowed() {
			t.Errorf("slack %v: gained %v, allowed %v", slack, g, w.allowed())
		}
	}
}

func TestP07_ThousandRebootsGainOneSlack(t *testing.T) {
	for _, majority := range [][]int{{0, 1}, {0, 1, 2}} {
		w := newWorld(t, 3)
		w.tick(0, 0, 1, 2)
		for range 1000 {
			for _, i := range majority {
				w.reboot(w.nodes[i])
			}
			w.pass(30 * time.Second)
			w.tick(month, majority...)
			w.tick(month, majority...)
		}
		if g := w.gain(); g > w.policy.Slack {
			t.Errorf("%d of 3 rebooted: gained %v", len(majority), g)
		}
	}
}

func TestP07_ProcessRestartChangesNothing(t *testing.T) {
	a, b := newWorld(t, 3), newWorld(t, 3)
	a.tick(0, 0, 1, 2)
	b.tick(0, 0, 1, 2)
	for i := range 100 {
		a.tick(month, 0, 1, 2)
		b.tick(month, 0, 1, 2)
		a.pass(time.Minute)
		b.pass(time.Minute)
		if i%7 == 0 { // b's state goes through its plain fields, as a restart takes it
			c := b.clock
			b.clock = Clock{c.Round, c.Now, c.Floor, c.Ceremony, slices.Clone(c.Lines)}
		}
		if !reflect.DeepEqual(a.clock, b.clock) {
			t.Fatalf("entry %d: %+v and %+v", i, a.clock, b.clock)
		}
	}
}

func TestUsedSlackReturnsWithUptimeOnly(t *testing.T) {
	w := newWorld(t, 3)
	w.tick(0, 0, 1, 2)
	w.tick(month, 0, 1, 2)
	if tick := w.tick(month, 0, 1, 2); tick.Budget != 0 || !tick.Capped {
		t.Fatalf("slack left: %+v", tick)
	}
	w.pass(10_000 * time.Second) // 2 s at 200 ppm
	if w.tick(month, 0, 1, 2); w.gain() < time.Hour+time.Second || w.gain() > time.Hour+2*time.Second {
		t.Errorf("lies that go on gain %v", w.gain())
	}
	for _, n := range w.nodes { // the slack stays used under new boot ids
		w.reboot(n)
	}
	if tick := w.tick(2*month, 0, 1, 2); tick.Budget != 0 {
		t.Errorf("a reboot gave %v back", tick.Budget)
	}
	w.pass(2 * time.Hour) // honest again, and the clock has waited for true time
	if tick := w.tick(0, 0, 1, 2); w.gain() > 0 || tick.Capped || tick.Budget < time.Hour {
		t.Errorf("off by %v: %+v", w.gain(), tick)
	}
}

func TestHonestClockFollowsTrueTime(t *testing.T) {
	for _, slack := range []time.Duration{0, time.Hour} {
		w := newWorld(t, 5)
		w.policy.Slack = slack
		for i, n := range w.nodes {
			n.drift = int64(i-2) * 50 // ±100 ppm
		}
		w.tick(0, 0, 1, 2, 3, 4)
		sets := [][]int{{0, 1, 2}, {2, 3, 4}, {0, 2, 4}, {0, 1, 2, 3, 4}}
		for i := range 2000 {
			w.pass(time.Minute)
			w.tick(0, sets[i%len(sets)]...)
			if g := w.gain(); g > 0 || g < -2*time.Minute {
				t.Fatalf("slack %v, entry %d: off by %v", slack, i, g)
			}
		}
	}
}

// drawVoters picks at least a majority of the nodes.
func drawVoters(t *rapid.T, w *world) []int {
	all := rapid.Permutation(indexes(len(w.nodes))).Draw(t, "order")
	return all[:rapid.IntRange(len(all)/2+1, len(all)).Draw(t, "votes")]
}

func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func drawLie(t *rapid.T) time.Duration {
	return time.Duration(rapid.Int64Range(-int64(month), 40*int64(month)).Draw(t, "lie"))
}

// Whatever all sources say together, whoever votes, reboots, joins and leaves,
// and with a minority of boot clocks that race as well.
func TestAllSourcesLyingGainOneSlack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rapid.IntRange(1, 5).Draw(rt, "nodes"))
		w.policy.Slack = time.Duration(rapid.Int64Range(0, int64(MaxSlack)).Draw(rt, "slack"))
		for _, n := range w.nodes[:(len(w.nodes)-1)/2] {
			n.drift = rapid.Int64Range(0, 9_000_000).Draw(rt, "drift")
		}
		w.tick(0, indexes(len(w.nodes))...)
		next := uint32(100)
		for range rapid.IntRange(1, 60).Draw(rt, "entries") {
			w.pass(time.Duration(rapid.Int64Range(0, int64(3*time.Hour)).Draw(rt, "elapsed")))
			n := w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(rt, "node")]
			switch rapid.IntRange(0, 5).Draw(rt, "event") {
			case 0, 1:
				w.reboot(n)
			case 2:
				next++
				*n = node{id: next, boot: 1, bootAt: w.now, drift: n.drift}
			case 3:
				for _, n := range w.nodes {
					w.reboot(n)
				}
			}
			w.tick(drawLie(rt), drawVoters(rt, w)...)
			if g := w.gain(); g > w.allowed() {
				rt.Fatalf("gained %v, allowed %v: %+v", g, w.allowed(), w.clock)
			}
		}
	})
}

// A minority that lies in every field cannot carry the clock past what an honest
// voter vouches for, nor move it back.
func TestMinorityOfLiarsNeverExceedsAnHonestVoter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rapid.IntRange(3, 7).Draw(rt, "nodes"))
		liars := rapid.IntRange(0, (len(w.nodes)-1)/2).Draw(rt, "liars")
		var vouched Instant
		for entry := range rapid.IntRange(1, 40).Draw(rt, "entries") {
			w.pass(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(rt, "elapsed")))
			var votes []Vote
			for _, i := range drawVoters(rt, w) {
				v := w.vote(i, 0)
				if i < liars {
					v.Earliest = v.Earliest.plus(rapid.Int64Range(-10_000_000, 10_000_000).Draw(rt, "earliest"))
					v.Latest = v.Earliest.plus(rapid.Int64Range(0, 1000).Draw(rt, "width"))
					v.BootReading = rapid.Int64Range(0, 1<<62).Draw(rt, "reading")
					v.BootID = [16]byte{rapid.Byte().Draw(rt, "boot"), 1}
				} else {
					vouched = max(vouched, v.Earliest)
				}
				votes = append(votes, v)
			}
			next, _, err := w.clock.Advance(w.voters(), votes, w.policy)
			if err != nil && !reflect.DeepEqual(next, w.clock) {
				rt.Fatalf("entry %d refused (%v), yet changed the clock", entry, err)
			}
			if next.Now < w.clock.Now || next.Floor < w.clock.Floor || next.Now > vouched {
				rt.Fatalf("entry %d: %v after %v, honest voters vouch for %v", entry, next.Now, w.clock.Now, vouched)
			}
			w.clock = next
		}
	})
}

// A proposer that follows Choose always gets an entry from an honest majority,
// whatever the others answer.
func TestChooseFindsTheHonestMajority(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rapid.IntRange(3, 7).Draw(rt, "nodes"))
		w.tick(0, indexes(len(w.nodes))...)
		w.pass(time.Minute)
		var votes []Vote
		for i := range w.nodes {
			v := w.vote(i, 0)
			if i < (len(w.nodes)-1)/2 {
				v = w.vote(i, drawLie(rt))
				v.Round += rapid.Uint64Range(0, 1).Draw(rt, "round")
				v.Voter = rapid.Uint32Range(0, 9).Draw(rt, "voter")
				v.BootReading -= rapid.Int64Range(0, 1<<40).Draw(rt, "backward")
				v.Latest = v.Latest.plus(rapid.Int64Range(-1<<40, 1<<40).Draw(rt, "latest"))
			}
			votes = append(votes, v)
		}
		// A voter's own signature comes first; a forged second vote is not counted.
		slices.Reverse(votes)
		if next, _, err := w.clock.Advance(w.voters(), w.clock.Choose(w.voters(), votes, w.policy), w.policy); err != nil {
			rt.Fatalf("%v: %+v", err, votes)
		} else if next.Now > w.now {
			rt.Fatalf("clock %v, true time %v", next.Now, w.now)
		}
	})
}

// The order of votes and voters changes nothing, and neither is written to.
func TestAdvanceIsDeterministic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, 5)
		for range 5 {
			w.pass(time.Minute)
			var votes []Vote
			for _, i := range drawVoters(rt, w) {
				votes = append(votes, w.vote(i, time.Duration(i)*time.Second))
			}
			before := fmt.Sprint(w.clock, votes)
			shuffled := rapid.Permutation(votes).Draw(rt, "votes")
			a, ta, _ := w.clock.Advance(w.voters(), votes, w.policy)
			b, tb, _ := w.clock.Advance(rapid.Permutation(w.voters()).Draw(rt, "voters"), shuffled, w.policy)
			if !reflect.DeepEqual(a, b) || ta != tb || fmt.Sprint(w.clock, votes) != before {
				rt.Fatalf("%+v and %+v", a, b)
			}
			w.clock = a
		}
	})
}

// Votes can be held back for any time before they are entered, and the lie of a
// source can have pushed or stalled the clock: by Tick.Starts no period starts
// before its commit, and none is judged over before its length has passed.
func TestStalledTickNeverShortensAPeriod(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, 3)
		w.tick(0, 0, 1, 2)
		length := time.Duration(rapid.IntRange(1, 7200).Draw(rt, "seconds")) * time.Second
		r := put(t, fmt.Sprintf("PT%dS", int(length.Seconds())), w.clock.Now)
		var committed Instant
		var open uint64
		commitAt := rapid.IntRange(0, 5).Draw(rt, "commit")
		for entry := range 12 {
			votes := []Vote{w.vote(0, 0), w.vote(1, 0)}
			w.pass(time.Duration(rapid.Int64Range(0, int64(3*time.Hour)).Draw(rt, "held back")))
			if entry == commitAt {
				committed, open = w.now, w.clock.Round
			}
			w.pass(time.Duration(rapid.Int64Range(0, int64(3*time.Hour)).Draw(rt, "stalled")))
			tick := w.enter(votes)
			if committed == 0 || !tick.Starts(open) {
				continue
			}
			r = started(t, r, tick.Start)
			if r.Start < committed {
				rt.Fatalf("started at %v, committed at %v", r.Start, committed)
			}
			if r.Status(tick.Now) == StateExpired && w.now < committed.Add(length) {
				rt.Fatalf("over after %v of %v", w.now.since(committed), length)
			}
		}
		if r.Waiting() {
			rt.Fatal("never started")
		}
	})
}

// A clock that lies pushed ahead starts no period in its own past.
func TestStartIsNeverBeforeTheClock(t *testing.T) {
	w := newWorld(t, 3)
	w.tick(0, 0, 1, 2)
	w.pass(time.Second)
	w.tick(time.Hour, 0, 1, 2) // ahead by the slack
	w.pass(time.Second)
	tick := w.tick(0, 0, 1, 2) // honest again
	r := started(t, put(t, "PT5S", w.clock.Now), tick.Start)
	if r.Status(w.clock.Now) != StateActive {
		t.Errorf("started at %v, clock %v: over at once", r.Start, w.clock.Now)
	}
}
