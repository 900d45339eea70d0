package retention

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// promise is an independent, simple account of what a record was promised: the
// instants before which no Permit may be given.
type promise struct {
	notBefore Instant // of all rules ever accepted, counted from their commit
	unending  bool    // one-time without a limit, unread; event not set
	event     Instant // of an event rule: the later of the event and its commit
	holds     map[uint64]bool
	read      bool
	graceFrom Instant
}

func (p promise) mayRemove(now Instant) bool {
	switch {
	case len(p.holds) > 0:
		return false
	case p.read:
		return now >= p.graceFrom.Add(Grace)
	}
	return !p.unending && now >= p.notBefore
}

// accept notes a rule that the record was stored or extended under, as of now.
func (p *promise) accept(r Rule, now Instant) {
	p.unending = r.String() == "one-time" || r.Kind() == RuleEvent && p.event == 0
	end, err := r.Deadline(now)
	if r.Kind() == RuleEvent && p.event != 0 {
		end, err = r.AfterEvent(p.event)
	}
	if err == nil {
		p.notBefore = max(p.notBefore, end)
	}
}

func clone(r Retention) Retention {
	r.Prior, r.Holds = slices.Clone(r.Prior), slices.Clone(r.Holds)
	return r
}

func drawAnyRule(t *rapid.T) Rule {
	r := drawRule(t)
	switch rapid.IntRange(0, 4).Draw(t, "shape") {
	case 0:
		return must(ParseRule("one-time:" + r.String()))
	case 1:
		if r.Kind() != RuleDate {
			return must(ParseRule("event:" + r.String()))
		}
	case 2:
		return Rule{kind: RuleOneTime}
	}
	return r
}

func TestP19_NoSequenceShortens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := Instant(1_770_000_000 * microsPerSecond)
		var r Retention
		var err error
		first := drawAnyRule(t)
		if r, err = New(first, BasisDefinition, wide, now); err != nil {
			t.Skip("not storable")
		}
		p := promise{holds: map[uint64]bool{}}
		p.accept(first, now)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			before, copied := r, clone(r)
			now, r = step(t, now, r, &p)
			if !reflect.DeepEqual(before, copied) {
				t.Fatalf("an operation changed its receiver: %+v, was %+v", before, copied)
			}
			if err := r.Check(); err != nil {
				t.Fatalf("the rules left %+v: %v", r, err)
			}
			if was, is := before.End(), r.End(); was != 0 && is != 0 && is < was && !p.read {
				t.Fatalf("deadline moved from %v to %v", was, is)
			}
			if permit, err := r.Expire(3, now); (err == nil) != permit.Covers(3) {
				t.Fatalf("permit %+v with %v", permit, err)
			} else if err == nil && !p.mayRemove(now) {
				t.Fatalf("permit at %v for %+v, promised %+v", now, r, p)
			}
		}
	})
}

// step does one random operation and keeps the promise's own account of it.
func step(t *rapid.T, now Instant, r Retention, p *promise) (Instant, Retention) {
	id := rapid.Uint64Range(0, 3).Draw(t, "id")
	switch rapid.IntRange(0, 6).Draw(t, "op") {
	case 0: // a clock entry, of which the latest bound is no earlier than any commit
		next := now.plus(rapid.Int64Range(0, 400*microsPerDay).Draw(t, "elapsed"))
		if got, err := r.Started(next.plus(rapid.Int64Range(0, 10*microsPerSecond).Draw(t, "width"))); err == nil {
			return next, got
		}
		return next, r
	case 1:
		bounds := Bounds{Max: drawRule(t)}
		rule, basis := drawAnyRule(t), BasisKind(rapid.IntRange(0, 4).Draw(t, "basis"))
		if got, err := r.Extend(rule, basis, bounds, now); err == nil {
			p.accept(rule, r.startOr(now))
			return now, got
		}
	case 2:
		h := Hold{ID: id, Owner: 1, Basis: HoldBasis(rapid.IntRange(0, 3).Draw(t, "hold"))}
		if got, err := r.PlaceHold(h, now); err == nil {
			p.holds[id] = true
			return now, got
		}
	case 3:
		if got, err := r.ReleaseHold(id); err == nil {
			delete(p.holds, id)
			return now, got
		}
	case 4:
		at := Instant(rapid.Int64Range(-5, int64(now)*2).Draw(t, "event"))
		if got, err := r.SetEvent(at); err == nil {
			p.event = max(at, now)
			for _, rule := range append(slices.Clone(r.Prior), r.Rule) {
				p.accept(rule, now)
			}
			return now, got
		}
	case 5:
		if got, err := r.Read(id, [16]byte{byte(id)}, now); err == nil {
			if r.Rule.Kind() == RuleOneTime && !p.read {
				p.read, p.graceFrom = true, now
			}
			return now, got
		}
	}
	return now, r
}

// states are retentions in every shape that operations can leave.
func states(t testing.TB) []Retention {
	now := kst(t, "2026-03-01T10:00:00")
	one := must(put(t, "one-time:P30D", now).Read(5, [16]byte{1}, now))
	event := must(put(t, "event:P3Y", now).SetEvent(now.Add(time.Hour)))
	period := started(t, put(t, "P5Y", now), now)
	return []Retention{
		put(t, "P5Y", now), period, put(t, "2031-12-31", now), put(t, "event:P3Y", now), event, started(t, event, now),
		put(t, "one-time", now), one, started(t, one, now), must(period.PlaceHold(hold1, now)),
		must(put(t, "P5Y", now).Extend(rule(t, "P6Y"), BasisStatute, wide, now)),
		must(put(t, "2031-12-31", now).Extend(rule(t, "P10Y"), BasisStatute, wide, now)),
	}
}

// Content that the rules cannot have produced is locked; content that they can
// have produced is the store's checksum to find. Either way a flipped bit never
// lets a record go before its rule ends.
func TestP24_DamagedMetadataIsLockedOrKept(t *testing.T) {
	locked := 0
	for _, r := range states(t) {
		damaged := []func(*Retention){
			func(d *Retention) { d.Rule = Rule{} },
			func(d *Retention) { d.Basis = 0 },
			func(d *Retention) { d.Basis = 200 },
			func(d *Retention) { d.Start = -d.Start - 1 },
			func(d *Retention) { d.Start = MaxInstant + 1 },
			func(d *Retention) { d.Deadline = -1 },
			func(d *Retention) { d.Event = MaxInstant + 1 },
			func(d *Retention) { d.Holds = []Hold{hold2, hold1} },
			func(d *Retention) { d.Holds = []Hold{hold1, hold1} },
			func(d *Retention) { d.Holds = []Hold{{ID: 1}} },
			func(d *Retention) { d.Holds = make([]Hold, MaxHolds+1) },
			func(d *Retention) { d.View = View{Actor: 9} },
			func(d *Retention) { d.View = View{Reads: 200, Actor: 1, Request: [16]byte{1}} },
			func(d *Retention) { d.Prior = []Rule{{}} },
		}
		for i, damage := range damaged {
			d := clone(r)
			damage(&d)
			for _, now := range []Instant{0, 1, r.Deadline, MaxInstant} {
				p, err := d.Expire(1, now)
				if d.Status(now) != StateLocked || err == nil || p.Covers(1) {
					t.Errorf("damage %d of %v: %v, %v", i, r.Rule, d.Status(now), err)
				}
			}
			locked++
		}
	}
	if locked == 0 {
		t.Fatal("nothing was damaged")
	}
}

func TestP24_FlippedBitsNeverShorten(t *testing.T) {
	for _, r := range states(t) {
		promised := r.Deadline
		if end, err := r.Rule.end(max(r.Start, 1)); err == nil && r.Start != 0 {
			promised = min(promised, end)
		}
		if r.View.taken() || promised == 0 {
			continue
		}
		for bit := range 64 {
			for _, field := range []func(*Retention) *Instant{
				func(d *Retention) *Instant { return &d.Start },
				func(d *Retention) *Instant { return &d.Deadline },
				func(d *Retention) *Instant { return &d.Event },
			} {
				d := clone(r)
				*field(&d) ^= 1 << bit
				if p, err := d.Expire(1, promised-1); err == nil || p.Covers(1) {
					t.Errorf("%v with bit %d flipped can go at %v: %+v", r.Rule, bit, promised-1, d)
				}
			}
		}
	}
}
