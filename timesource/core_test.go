package timesource

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const month = 30 * 24 * time.Hour

func TestAcquiresOnlyWithAMajority(t *testing.T) {
	w := newWorld(t, fourSources())
	w.want(Unsynchronized)
	w.poll(0, 0)
	w.want(Unsynchronized)
	w.poll(0, 0, 0)
	if s := w.want(Synchronized); s.width() > 10*time.Millisecond {
		t.Errorf("interval is %v wide", s.width())
	}
}

func TestP02_AllSourcesJumpAMonth(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	w.pass(time.Minute)
	for range 100 {
		w.poll(month, month, month, month)
		w.pass(time.Minute)
		w.want(Holdover)
	}
	if !strings.Contains(w.core.reason, "jump refused") || w.core.jumps != 1 {
		t.Errorf("reason %q, %d jumps", w.core.reason, w.core.jumps)
	}
	w.poll(0, 0, 0, 0)
	w.want(Synchronized)
}

func TestP03_StepBackAndForthRecoversByItself(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	w.want(Synchronized)
	w.poll(-time.Hour, -time.Hour, -time.Hour, -time.Hour)
	w.want(Holdover)
	w.pass(time.Hour)
	w.poll(0, 0, 0, 0)
	w.want(Synchronized)
}

func TestP05_SmallStepsGainNoMoreThanDrift(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	start, elapsed := w.want(Synchronized), time.Duration(0)
	offset := time.Duration(0)
	for range 10_000 {
		w.pass(time.Second)
		elapsed += time.Second
		s, _, _, _ := w.core.now(w.now)
		// The greatest lie that still meets the held interval.
		offset = time.UnixMicro(s.hi).Sub(w.truth()) - 100*time.Microsecond
		w.poll(offset, offset, offset, offset)
		elapsed += 4 * w.trip
	}
	s, _, _, _ := w.core.now(w.now)
	gain := time.UnixMicro(s.lo).Sub(w.truth())
	rounding := 40_000 * 2 * time.Microsecond // of the two ends at each selection
	if limit := start.width() + elapsed/1_000_000*200 + rounding; gain > limit {
		t.Errorf("10000 steps gained %v, limit %v", gain, limit)
	}
	if gain < 0 {
		t.Errorf("the lie gained nothing (%v): the test does not test", gain)
	}
}

// A restart forgets the interval and acquires anew, lies included: what that can
// gain is bounded by the cluster, for which the reading carries boot id and clock.
func TestP07_RestartReacquiresUnderTheSameBoot(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	w.core = newCore(w.core.policy, w.core.bootID, w.now, time.Minute)
	w.want(Unsynchronized)
	w.poll(month, month, month, month)
	s, status, _, _ := w.core.now(w.now)
	if status != Synchronized || time.UnixMicro(s.lo).Before(w.truth().Add(month-time.Hour)) {
		t.Errorf("a restarted node has %v %v", status, s)
	}
}

func TestP09_NeverBelowTheFloor(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(-2*fortnight-time.Hour*24*365, -2*fortnight, -2*fortnight, -2*fortnight)
	w.want(Unsynchronized)
	for _, s := range w.core.sources {
		if !strings.Contains(s.reason, "below the floor") {
			t.Errorf("%s: %q", s.source.Name, s.reason)
		}
	}
	w.poll(0, 0, 0)
	w.want(Synchronized)
}

// The floor may be the cluster's clock, close below true time: a sample from before
// it is not below it, for it has moved on as well.
func TestFloorThatFollowsTrueTime(t *testing.T) {
	w := newWorld(t, fourSources())
	for range 10 {
		w.floor = w.truth()
		w.poll(0, 0, 0, 0)
		w.pass(64 * time.Second)
		w.floor = w.truth()
		w.core.reselect(w.now, w.floor.UnixMicro())
		w.want(Synchronized)
	}
}

// A leap second that the sources step is a jump of one second; the widening
// interval meets them again within 84 minutes.
func TestP09_LeapSecondRecoversByItself(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	w.true0 = w.true0.Add(-time.Second)
	w.poll(0, 0, 0, 0)
	if _, status, _, _ := w.core.now(w.now); status != Holdover {
		t.Fatalf("status %v after the leap", status)
	}
	w.pass(84 * time.Minute)
	w.poll(0, 0, 0, 0)
	w.want(Synchronized)
}

func TestP15_EarliestNeverGoesBack(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	last := w.want(Synchronized).lo
	check := func(when string) {
		if s := w.want(Synchronized); s.lo < last {
			t.Fatalf("%s: earliest went from %d to %d", when, last, s.lo)
		} else {
			last = s.lo
		}
	}
	for i := range 2000 {
		check("again at the same instant")
		w.pass(time.Duration(i%7) * 137 * time.Nanosecond)
		check("later")
		w.trip = time.Duration(1+i%13) * time.Millisecond
		w.poll(0, 0, 0, 0)
		check("after a poll")
	}
}

func TestOneLiarOfFourIsOutvoted(t *testing.T) {
	w := newWorld(t, fourSources())
	for range 20 {
		w.poll(month, 0, 0, 0)
		w.pass(time.Minute)
	}
	w.want(Synchronized)
	reports := w.core.sourceReports(w.now, w.floor.UnixMicro())
	if !reports[0].Falseticker || reports[0].Selected || !reports[1].Selected || reports[1].Falseticker {
		t.Errorf("reports %+v", reports)
	}
}

func TestTwoLiarsOfFourAreNoMajority(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(month, month, 0, 0)
	w.want(Unsynchronized)
	w.poll(0, 0, 0, 0)
	w.pass(time.Minute)
	w.poll(month, month, 0, 0)
	w.want(Holdover)
	w.pass(8 * time.Hour) // 200 ppm on both sides pass 10 s
	w.want(Unsynchronized)
	w.poll(0, 0, 0, 0)
	w.want(Synchronized)
}

func TestUnreachableSourceCountsForEightPolls(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	silent := errors.New("timeout")
	for i := range 8 {
		w.want(Synchronized)
		for source := range 2 {
			w.core.missed(source, silent, w.now, w.floor.UnixMicro())
		}
		if i < 7 {
			w.want(Synchronized)
		}
	}
	w.want(Holdover)
	w.pass(11 * time.Minute)
	w.want(Holdover)
}

func TestStoppedPollingIsHoldover(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	w.pass(10*time.Minute + time.Second)
	w.want(Holdover)
}

func TestRefusedAnswerWithdrawsTheSource(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0)
	w.want(Synchronized)
	h := answerAt(w.truth())
	h[0] |= 3 << 6
	if err := w.core.answered(0, sample{header: h, sent: w.now, got: w.now}, w.now, w.floor.UnixMicro()); err == nil {
		t.Error("an unsynchronized server's answer was taken")
	}
	w.want(Holdover)
}

func TestPolicyChangeKeepsTheInterval(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	other := fourSources()
	other.Sources[0].Name = "another"
	w.core.setPolicy(other.withDefaults())
	w.want(Holdover)
	w.poll(month, month, month, month)
	w.want(Holdover)
	w.poll(0, 0, 0, 0)
	w.want(Synchronized)
}

func TestSlewedBootClockIsAFaultAndGainsNothing(t *testing.T) {
	for _, permille := range []int64{1100, 900} {
		w := newWorld(t, fourSources())
		w.poll(0, 0, 0, 0)
		raw := w.now.raw
		w.pass(time.Minute)
		trueNow := w.truth()
		w.now.boot += (w.now.raw - raw) * (permille - 1000) / 1000
		s, status, reason, _ := w.core.now(w.now)
		if status != Fault || !strings.Contains(reason, "slewed") {
			t.Errorf("%d: status %v, %s", permille, status, reason)
		}
		if at := trueNow.UnixMicro(); at < s.lo || at > s.hi {
			t.Errorf("%d: truth %d is not within %v", permille, at, s)
		}
		w.true0 = trueNow.Add(-time.Duration(w.now.boot))
		w.pass(30 * time.Second)
		w.want(Fault)
		w.pass(31 * time.Second)
		w.poll(0, 0, 0, 0)
		w.want(Synchronized)
	}
}

func TestSuspendWidensAndRecovers(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	w.now.boot += int64(5 * time.Second) // the raw clock stands still meanwhile
	before := w.core.held.lo
	s := w.want(Fault)
	if s.lo > before+10_000 {
		t.Errorf("earliest moved by %d µs over a suspend", s.lo-before)
	}
	w.pass(61 * time.Second)
	w.poll(0, 0, 0, 0)
	w.want(Synchronized)
}

// A selection at a stamp before the held one would take an interval of a later
// instant for one of an earlier instant, and run ahead by the difference.
func TestSelectionBeforeTheHeldStampIsRefused(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	early := w.now
	w.pass(100 * time.Microsecond)
	w.core.reselect(w.now, w.floor.UnixMicro())
	held, at := *w.core.held, w.core.heldAt
	w.core.reselect(early, w.floor.UnixMicro())
	if *w.core.held != held || w.core.heldAt != at || w.core.agreed {
		t.Errorf("held %v at %v became %v at %v", held, at, *w.core.held, w.core.heldAt)
	}
	w.want(Holdover)
	if _, status, _, _ := w.core.now(early); status != Fault {
		t.Errorf("status %v at an earlier stamp", status)
	}
}

func TestBackwardClockIsAFault(t *testing.T) {
	w := newWorld(t, fourSources())
	w.poll(0, 0, 0, 0)
	w.now.boot -= int64(time.Hour)
	s, status, _, _ := w.core.now(w.now)
	if status != Fault || s.lo < w.core.held.lo {
		t.Errorf("status %v, %v", status, s)
	}
}
