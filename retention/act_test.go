package retention_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/retention"
)

func TestLeave(t *testing.T) {
	const now = retention.Instant(1_800_000_000_000_000)
	rule, err := retention.ParseRule("P5Y")
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := retention.New(rule, retention.BasisStatute, retention.DefaultBounds(), now)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := fresh.Started(now)
	if err != nil {
		t.Fatal(err)
	}
	held, err := begun.PlaceHold(retention.Hold{ID: 1, Owner: 2, Basis: retention.HoldCourt}, now)
	if err != nil {
		t.Fatal(err)
	}
	over := begun.Deadline
	for name, c := range map[string]struct {
		r    retention.Retention
		exit retention.Exit
		at   retention.Instant
		want error
	}{
		"waiting for its start":  {fresh, retention.ExitSpecial, now, nil},
		"active":                 {begun, retention.ExitSpecial, now, nil},
		"active, closing":        {begun, retention.ExitClose, now, nil},
		"held":                   {held, retention.ExitSpecial, now, retention.ErrHeld},
		"held, closing":          {held, retention.ExitClose, now, retention.ErrHeld},
		"held past its deadline": {held, retention.ExitSpecial, over, retention.ErrHeld},
		"expired":                {begun, retention.ExitSpecial, over, retention.ErrExpired},
		"locked":                 {retention.Retention{}, retention.ExitSpecial, now, retention.ErrLocked},
		"no such exit":           {begun, 3, now, retention.ErrKind},
	} {
		p, err := c.r.Leave(7, c.exit, c.at)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) || p.Covers(7) != (c.want == nil) || p.Covers(8) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	if p, err := begun.Left(7, retention.ExitSpecial); err != nil || !p.Covers(7) {
		t.Errorf("decided before, past the deadline now: %v", err)
	}
}

// TestActsNeverReadyEarly: whatever happens to an act, it is ready only once it is
// complete and its whole cooling-off has passed since a clock entry after that.
func TestActsNeverReadyEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := retention.Instant(1_800_000_000_000_000)
		cooling := time.Duration(rapid.Int64Range(0, 10).Draw(t, "cooling")) * time.Second
		a := retention.Act{Expires: now.Add(time.Duration(rapid.Int64Range(1, 60).Draw(t, "expires")) * time.Second), Cooling: cooling}
		var begun retention.Instant
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				a.Complete = true
			case 1:
				now = now.Add(time.Duration(rapid.Int64Range(0, 5000).Draw(t, "later")) * time.Millisecond)
				latest := now.Add(time.Second)
				if a.Complete && begun == 0 {
					begun = latest
				}
				a = a.Cooled(latest)
			case 2:
				a.Vetoed = rapid.Bool().Draw(t, "veto")
			}
			ready := a.State(now) == retention.ActReady
			if ready && (!a.Complete || a.Vetoed || now >= a.Expires || cooling > 0 && (begun == 0 || now < begun.Add(cooling))) {
				t.Fatalf("ready at %v: %+v", now, a)
			}
		}
	})
}
