package retention

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawEnded(t *rapid.T) Ended {
	return Ended{
		Effect: Effect(rapid.Uint8Range(0, 5).Draw(t, "effect")),
		After:  rapid.SampledFrom([]Instant{0, drawInstant(t, "after")}).Draw(t, "after or none"),
		Erased: rapid.SampledFrom([]Instant{0, drawInstant(t, "erased")}).Draw(t, "erased or none"),
		Held:   rapid.Bool().Draw(t, "held"),
	}
}

// TestI1_AHistoryRecordIsKeptItsYears: nothing goes before three years after the
// latest instant that is known of it, whatever the policy says.
func TestI1_AHistoryRecordIsKeptItsYears(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, years := drawEnded(t), rapid.Uint32Range(0, 12).Draw(t, "years")
		now := drawInstant(t, "now")
		if !HistoryOver(e, years, now) {
			return
		}
		least := e.After
		if e.Effect == EffectBundle {
			least = max(least, e.Erased)
		}
		if now.Time().Before(least.Time().AddDate(int(max(years, MinHistoryYears)), 0, 0)) {
			t.Fatalf("%+v goes at %v after %d years", e, now, years)
		}
		if e.Held || e.After == 0 || e.Effect != EffectMoment && e.Effect != EffectBundle || e.Effect == EffectBundle && e.Erased == 0 {
			t.Fatalf("%+v goes at all", e)
		}
	})
}

// TestHistoryOverIsMonotone: once over stays over; a longer policy, a later end
// and a hold only keep longer.
func TestHistoryOverIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, years := drawEnded(t), rapid.Uint32Range(0, 12).Draw(t, "years")
		now := drawInstant(t, "now")
		over := HistoryOver(e, years, now)
		if over && !HistoryOver(e, years, now.plus(int64(rapid.Int64Range(0, 1<<50).Draw(t, "later")))) {
			t.Fatal("over, and later not")
		}
		longer := e
		longer.After = longer.After.Add(time.Duration(rapid.Int64Range(0, 1<<60).Draw(t, "longer")))
		longer.Held = true
		if !over && HistoryOver(e, years+1, now) || HistoryOver(longer, years, now) {
			t.Fatal("a longer policy or a hold lets go earlier")
		}
		longer.Held = e.Held
		if !over && HistoryOver(longer, years, now) {
			t.Fatal("a later end lets go earlier")
		}
	})
}

func TestHistoryEndCountsTheCalendarInKorea(t *testing.T) {
	at := func(s string) Instant {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return FromTime(v)
	}
	for _, c := range []struct {
		ended string
		years uint32
		end   string
	}{
		{"2026-03-01T12:00:00+09:00", 3, "2029-03-02T00:00:00+09:00"},
		{"2026-03-01T12:00:00+09:00", 0, "2029-03-02T00:00:00+09:00"},
		{"2026-02-28T23:59:59Z", 3, "2029-03-02T00:00:00+09:00"},
		{"2024-02-28T12:00:00+09:00", 3, "2027-03-01T00:00:00+09:00"},
		{"2026-03-01T12:00:00+09:00", 10, "2036-03-02T00:00:00+09:00"},
	} {
		if end, err := HistoryEnd(at(c.ended), c.years); err != nil || end != at(c.end) {
			t.Errorf("%s and %d years: %v, %v; want %s", c.ended, c.years, end, err, c.end)
		}
	}
	if _, err := HistoryEnd(0, 3); err == nil {
		t.Error("an effect without an end ends")
	}
	if _, err := HistoryEnd(MaxInstant, 3); err == nil {
		t.Error("a retention beyond the calendar ends")
	}
}
