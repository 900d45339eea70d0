package retention

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

var (
	wide  = DefaultBounds()
	hold1 = Hold{ID: 1, Owner: 7, Basis: HoldCourt}
	hold2 = Hold{ID: 2, Owner: 8, Basis: HoldLaw, Review: 5}
)

func put(t testing.TB, text string, now Instant) Retention {
	t.Helper()
	r, err := New(rule(t, text), BasisSubject, wide, now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func started(t testing.TB, r Retention, latest Instant) Retention {
	t.Helper()
	r, err := r.Started(latest)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestPeriodStartsAtClockEntry(t *testing.T) {
	now := kst(t, "2026-03-01T23:59:58")
	r := put(t, "P5Y", now)
	if r.Status(now) != StateUnset || !r.Waiting() || r.End() != 0 {
		t.Errorf("before the first entry: %v, %+v", r.Status(now), r)
	}
	if _, err := r.Expire(1, MaxInstant); !errors.Is(err, ErrUnset) {
		t.Errorf("expired without a start: %v", err)
	}
	_, err := r.Started(0)
	wantErr(t, "start at no instant", err, ErrUnset)

	r = started(t, r, kst(t, "2026-03-02T00:00:01")) // the entry came past midnight
	if want := kst(t, "2031-03-03T00:00:00"); r.End() != want || r.Waiting() {
		t.Errorf("deadline %v, want %v", r.End(), want)
	}
	if r.Status(r.Deadline-1) != StateActive || r.Status(r.Deadline) != StateExpired || r.Status(0) != StateActive {
		t.Error("the deadline is not where active ends, or passes without a clock")
	}
}

func TestP11_StartedTwiceChangesNothing(t *testing.T) {
	r := started(t, put(t, "PT1H", 1000), 2000)
	for i := range 1000 {
		if again := started(t, r, Instant(3000+i)); !reflect.DeepEqual(again, r) {
			t.Fatalf("entry %d moved the deadline: %+v", i, again)
		}
	}
}

func TestPermitCoversOneRecord(t *testing.T) {
	var zero Permit
	r := put(t, "2031-12-31", 1)
	_, err := r.Expire(5, r.Deadline-1)
	wantErr(t, "before the deadline", err, ErrActive)
	p, err := r.Expire(5, r.Deadline)
	if err != nil || !p.Covers(5) || p.Covers(6) || p.Covers(0) || zero.Covers(0) || zero.Covers(5) {
		t.Errorf("permit %+v, %v; zero permit %+v", p, err, zero)
	}
	_, err = Retention{}.Expire(5, MaxInstant)
	wantErr(t, "zero retention", err, ErrLocked)
}

func TestP26_ReleaseOfOneHoldLeavesOthers(t *testing.T) {
	r := started(t, put(t, "PT1H", 1000), 1000)
	r = must(r.PlaceHold(hold2, 2000))
	r = must(r.PlaceHold(hold1, 2000))
	_, err := r.PlaceHold(hold1, 2000)
	wantErr(t, "placed twice", err, ErrHoldExists)
	_, err = r.ReleaseHold(3)
	wantErr(t, "unknown id", err, ErrHoldUnknown)
	_, err = r.PlaceHold(Hold{ID: 3, Owner: 1, Basis: 9}, 2000)
	wantErr(t, "unknown basis", err, ErrHold)

	late := r.Deadline
	if r.Status(late) != StateHeld || r.Status(late-1) != StateActive {
		t.Errorf("held record is %v", r.Status(late))
	}
	one := must(r.ReleaseHold(1))
	if !slices.Equal(one.Holds, []Hold{hold2}) || len(r.Holds) != 2 {
		t.Errorf("after the release %v, before %v", one.Holds, r.Holds)
	}
	_, err = one.Expire(1, late)
	wantErr(t, "one hold left", err, ErrHeld)
	if two := must(one.PlaceHold(hold1, late)); !slices.Equal(two.Holds, []Hold{hold1, hold2}) || two.Status(late) != StateHeld {
		t.Errorf("a second hold past the deadline: %v, %v", two.Holds, two.Status(late))
	}
	none := must(one.ReleaseHold(2))
	_, err = none.PlaceHold(hold1, late)
	wantErr(t, "placed after the deadline", err, ErrExpired)
	if p := must(none.Expire(1, late)); !p.Covers(1) || none.Holds != nil {
		t.Errorf("released record: %+v", none)
	}
}

func TestHoldLimit(t *testing.T) {
	r := put(t, "2031-12-31", 1)
	for i := range MaxHolds {
		r = must(r.PlaceHold(Hold{ID: uint64(i + 1), Owner: 1, Basis: HoldLaw}, 1))
	}
	_, err := r.PlaceHold(Hold{ID: 99, Owner: 1, Basis: HoldLaw}, 1)
	wantErr(t, "one too many", err, ErrHold)
}

func TestP27_HoldInTheMiddleOfABatchWins(t *testing.T) {
	now := Instant(1000)
	batch := []Retention{}
	for range 4 {
		batch = append(batch, started(t, put(t, "PT1H", now), now))
	}
	due := batch[0].Deadline
	var gone []RecordID
	for i := range batch {
		if i == 1 { // another operation, between two decisions of the batch
			batch[2] = must(batch[2].PlaceHold(hold1, due-1))
		}
		if p, err := batch[i].Expire(RecordID(i), due); err == nil && p.Covers(RecordID(i)) {
			gone = append(gone, RecordID(i))
		}
	}
	if !slices.Equal(gone, []RecordID{0, 1, 3}) {
		t.Errorf("removed %v", gone)
	}
}

func TestExtend(t *testing.T) {
	now := kst(t, "2026-03-01T10:00:00")
	waiting := put(t, "P5Y", now)
	running := started(t, waiting, now)
	dated := put(t, "2031-12-31", now)
	cases := []struct {
		name  string
		r     Retention
		rule  string
		basis BasisKind
		now   Instant
		want  error
	}{
		{"longer", running, "P6Y", BasisSubject, now, nil},
		{"higher basis", running, "P6Y", BasisStatute, now, nil},
		{"lower basis", running, "P6Y", BasisDefinition, now, ErrPrecedence},
		{"unknown basis", running, "P6Y", 0, now, ErrBasis},
		{"same", running, "P5Y", BasisSubject, now, ErrNotLater},
		{"shorter", running, "P4Y", BasisSubject, now, ErrNotLater},
		{"earlier date", running, "2031-02-28", BasisSubject, now, ErrNotLater},
		{"later date", running, "2031-03-02", BasisSubject, now, nil},
		{"beyond policy", running, "P101Y", BasisSubject, now, ErrTooLong},
		{"at the deadline", running, "P6Y", BasisSubject, running.Deadline, ErrExpired},
		{"without a clock", running, "P6Y", BasisSubject, 0, ErrUnset},
		{"to one view", running, "one-time", BasisSubject, now, ErrKind},
		{"to an event", running, "event:P9Y", BasisSubject, now, ErrKind},
		{"waiting, longer", waiting, "P6Y", BasisSubject, now, nil},
		{"waiting, shorter", waiting, "P4Y", BasisSubject, now, ErrNotLater},
		{"date to period", dated, "P10Y", BasisSubject, now, nil},
		{"date to short period", dated, "P1Y", BasisSubject, now, ErrNotLater},
		{"one view, no limit to move", put(t, "one-time", now), "one-time:P1Y", BasisSubject, now, ErrNotLater},
		{"one view, later limit", put(t, "one-time:P1Y", now), "one-time:P2Y", BasisSubject, now, nil},
		{"one view, no limit any more", put(t, "one-time:P1Y", now), "one-time", BasisSubject, now, ErrTooLong},
		{"event, longer", put(t, "event:P3Y", now), "event:P4Y", BasisSubject, now, nil},
		{"event, shorter", put(t, "event:P3Y", now), "event:P2Y", BasisSubject, now, ErrNotLater},
		{"event to date", put(t, "event:P3Y", now), "2099-12-31", BasisSubject, now, ErrKind},
	}
	for _, c := range cases {
		got, err := c.r.Extend(rule(t, c.rule), c.basis, wide, c.now)
		if !errors.Is(err, c.want) || err != nil && !reflect.DeepEqual(got, c.r) {
			t.Errorf("%s: %v, want %v; %+v", c.name, err, c.want, got)
		}
		if err == nil && (got.Rule != rule(t, c.rule) || got.Basis != c.basis || got.Check() != nil) {
			t.Errorf("%s: %+v, %v", c.name, got, got.Check())
		}
	}
	held := must(running.PlaceHold(hold1, now))
	_, err := held.Extend(rule(t, "P9Y"), BasisSubject, wide, held.Deadline)
	wantErr(t, "held past the deadline", err, ErrExpired)
}

func TestExtensionCountsFromTheFirstStart(t *testing.T) {
	now := kst(t, "2026-03-01T10:00:00")
	r := started(t, put(t, "P5Y", now), now)
	r = must(r.Extend(rule(t, "P6Y"), BasisSubject, wide, now.Add(20_000*time.Hour)))
	if want := kst(t, "2032-03-02T00:00:00"); r.End() != want || r.Waiting() {
		t.Errorf("deadline %v, want %v", r.End(), want)
	}
}

// A replaced rule binds on until the start is known: in February 30 days are
// longer than the month that looked longer in January.
func TestExtendBeforeStartKeepsTheLongerOfBoth(t *testing.T) {
	now := kst(t, "2026-01-01T10:00:00")
	r := must(put(t, "P30D", now).Extend(rule(t, "P1M"), BasisSubject, wide, now))
	r = started(t, r, kst(t, "2026-02-01T10:00:00"))
	if want := kst(t, "2026-03-04T00:00:00"); r.Deadline != want || len(r.Prior) != 0 {
		t.Errorf("deadline %v, want %v", r.Deadline, want)
	}
	for i := range MaxPrior + 1 { // the replaced rules are bounded
		var err error
		if i == 0 {
			r = put(t, "P1D", now)
		}
		next := Rule{kind: RulePeriod, span: span{days: int64(i + 2)}}
		if r, err = r.Extend(next, BasisSubject, wide, now); (err != nil) != (i == MaxPrior) {
			t.Fatalf("extension %d: %v", i, err)
		}
	}
	if r = started(t, r, now); r.Rule.String() != "P17D" || r.Check() != nil {
		t.Errorf("after many extensions: %+v", r)
	}
}

func TestEventRule(t *testing.T) {
	now := kst(t, "2026-03-01T10:00:00")
	r := put(t, "event:P3Y", now)
	if r.Status(MaxInstant) != StateUnset || r.Waiting() {
		t.Errorf("without the event: %v", r.Status(MaxInstant))
	}
	_, err := put(t, "P3Y", now).SetEvent(now)
	wantErr(t, "event of a period", err, ErrKind)
	_, err = r.SetEvent(0)
	wantErr(t, "no instant", err, ErrUnset)

	future := started(t, must(r.SetEvent(kst(t, "2027-06-15T12:00:00"))), now)
	if want := kst(t, "2030-06-16T00:00:00"); future.End() != want {
		t.Errorf("deadline %v, want %v", future.End(), want)
	}
	_, err = future.SetEvent(now)
	wantErr(t, "set twice", err, ErrEventSet)
	past := must(r.SetEvent(1))
	if past.Status(MaxInstant) != StateUnset {
		t.Error("an event ended the keeping before a clock entry")
	}
	if past = started(t, past, now); past.End() != kst(t, "2029-03-02T00:00:00") {
		t.Errorf("a past event gives %v", past.End())
	}
}

func TestOneTimeView(t *testing.T) {
	now := kst(t, "2026-03-01T10:00:00")
	req, other := [16]byte{1}, [16]byte{2}
	r := put(t, "one-time", now)
	_, err := r.Read(0, req, now)
	wantErr(t, "no actor", err, ErrUnset)
	_, err = r.Read(5, [16]byte{}, now)
	wantErr(t, "no request", err, ErrUnset)

	r = must(r.Read(5, req, now))
	if !r.Waiting() || r.Status(MaxInstant) != StateUnset {
		t.Errorf("after the first read: %+v", r)
	}
	for _, at := range []Instant{0, now, MaxInstant} { // whatever the clock's state
		_, err = r.Read(6, req, at)
		wantErr(t, "another actor", err, ErrViewed)
		_, err = r.Read(5, other, at)
		wantErr(t, "another request", err, ErrViewed)
	}
	r = started(t, r, now)
	if r.End() != now.Add(10*time.Minute) {
		t.Errorf("grace ends at %v", r.End())
	}
	first := r
	for range 3 {
		r = must(r.Read(5, req, r.End()-1))
	}
	_, err = r.Read(5, req, now)
	wantErr(t, "fourth repeat", err, ErrViewed)
	_, err = first.Read(5, req, first.End())
	wantErr(t, "after the grace", err, ErrExpired)
	_, err = r.Expire(1, r.End()-1)
	wantErr(t, "within the grace", err, ErrActive)
	if p := must(r.Expire(1, r.End())); !p.Covers(1) {
		t.Error("not expired after the grace")
	}
	_, err = r.Extend(rule(t, "one-time:P9Y"), BasisSubject, wide, now)
	wantErr(t, "extended after the view", err, ErrViewed)
}

func TestOneTimeLimitEndsUnread(t *testing.T) {
	now := kst(t, "2026-03-01T10:00:00")
	r := started(t, put(t, "one-time:P30D", now), now)
	if want := kst(t, "2026-04-01T00:00:00"); r.End() != want {
		t.Errorf("unread end %v, want %v", r.End(), want)
	}
	_, err := r.Read(5, [16]byte{1}, r.End())
	wantErr(t, "read after the limit", err, ErrExpired)
	read := must(r.Read(5, [16]byte{1}, r.End()-1)) // the grace may outlast the limit
	if read = started(t, read, r.End()); read.Status(r.End()) != StateActive {
		t.Errorf("read at the last moment: %v", read.Status(r.End()))
	}
}

func TestReadGate(t *testing.T) {
	r := started(t, put(t, "PT1H", 1000), 1000)
	same := must(r.Read(0, [16]byte{}, 2000))
	if !reflect.DeepEqual(same, r) {
		t.Errorf("a read changed %+v", same)
	}
	_, err := r.Read(1, [16]byte{1}, r.Deadline)
	wantErr(t, "expired", err, ErrExpired)
	_, err = must(r.PlaceHold(hold1, 1)).Read(1, [16]byte{1}, r.Deadline)
	wantErr(t, "held", err, ErrHeld)
	_, err = Retention{}.Read(1, [16]byte{1}, 1)
	wantErr(t, "no metadata", err, ErrLocked)
}
