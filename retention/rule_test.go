package retention

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var ruleTexts = []string{
	"2031-12-31", "1970-01-01", "9999-12-31", "2028-02-29", "P5Y", "P6M", "P90D", "P1Y6M10D", "P1Y10D", "P12M",
	"PT30S", "PT12H", "PT1H30M", "PT90M", "PT1H1S", "one-time", "one-time:P30D", "one-time:2031-12-31",
	"one-time:PT5S", "event:P3Y", "event:PT10S", "P9999Y", "PT315532800000S",
}

var badRules = []string{
	"", " ", "P", "PT", "P0D", "P0Y6M", "P5", "5Y", "-P5Y", "P-5Y", "P+5Y", "P5y", "p5Y", "pt5s", "P05Y", "P5Y ", " P5Y",
	"P1DT2H", "P1YT1S", "P6M1Y", "P1D1D", "P1W", "P1.5Y", "PT1.5S", "PT5", "PT1S1H", "P5YT", "P1H", "PT1D", "PT1Y",
	"P10000Y", "P999999999999Y", "P9999999999999Y", "P99999999999999999999Y", "PT999999999999S", "PT99999999999999999999S",
	"2031-02-29", "2031-13-01", "2031-00-10", "2031-1-1", "2031-12-31T00:00:00Z", "1969-12-31", "0000-01-01", "10000-01-01",
	"20311231", "+2031-12-31", "one-time:", "one-time:P0D", "one-time:one-time", "one-time:event:P3Y", "ONE-TIME", "onetime",
	"event", "event:", "event:2031-12-31", "event:one-time", "event:event:P3Y", "event:p3y", "Event:P3Y", "event:P3Y:P3Y",
	"forever", "invalid", "unset", ":", "P5Y\n", "P５Y",
}

func TestParseRuleRoundTrip(t *testing.T) {
	seen := map[Rule]string{}
	for _, s := range ruleTexts {
		r := rule(t, s)
		if r.String() != s {
			t.Errorf("%q reads back as %q", s, r.String())
		}
		if other, dup := seen[r]; dup {
			t.Errorf("%q and %q are the same rule", s, other)
		}
		seen[r] = s
	}
}

func TestP16_ParseRuleRefuses(t *testing.T) {
	for _, s := range badRules {
		r, err := ParseRule(s)
		if !errors.Is(err, ErrRule) && !errors.Is(err, ErrRange) {
			t.Errorf("%q: %v, %v; want ErrRule or ErrRange", s, r, err)
		}
		if r != (Rule{}) {
			t.Errorf("%q: an error with the rule %v", s, r)
		}
	}
	if _, err := ParseRule("P1DT2H"); err == nil || !strings.Contains(err.Error(), "mixes") {
		t.Errorf("mixed parts are not explained: %v", err)
	}
}

func TestRuleKinds(t *testing.T) {
	cases := []struct {
		text  string
		kind  RuleKind
		start bool
		floor string
	}{
		{"2031-12-31", 1, false, "2032-01-01T00:00:00"},
		{"P5Y", 2, true, "2031-03-02T00:00:00"},
		{"PT30S", 3, true, "2026-03-01T10:00:30"},
		{"one-time", 4, false, ""},
		{"one-time:P30D", 4, true, ""},
		{"one-time:2031-12-31", 4, false, ""},
		{"event:P3Y", 5, false, ""},
	}
	clock := kst(t, "2026-03-01T10:00:00")
	for _, c := range cases {
		r := rule(t, c.text)
		if r.Kind() != c.kind || r.NeedsStart() != c.start {
			t.Errorf("%s: kind %d, needs start %v", c.text, r.Kind(), r.NeedsStart())
		}
		floor, ok := r.Floor(clock)
		if ok != (c.floor != "") || ok && floor != kst(t, c.floor) {
			t.Errorf("%s: floor %v, %v; want %q", c.text, floor, ok, c.floor)
		}
	}
	if f, ok := rule(t, "P5Y").Floor(0); ok {
		t.Errorf("a period has the floor %v without a clock", f)
	}
}

func TestP28_ZeroRuleIsInvalid(t *testing.T) {
	var r Rule
	if _, err := r.Deadline(1); !errors.Is(err, ErrRule) {
		t.Errorf("zero rule: %v", err)
	}
	if r.Valid() || r.NeedsStart() || r.String() != "invalid" {
		t.Errorf("zero rule: valid %v, needs start %v, %q", r.Valid(), r.NeedsStart(), r)
	}
	if err := DefaultBounds().Check(r, 1); !errors.Is(err, ErrRule) {
		t.Errorf("a put without a rule: %v", err)
	}
}

// drawRule draws any rule that counts, of moderate length.
func drawRule(t *rapid.T) Rule {
	return must(ParseRule(rapid.OneOf(
		rapid.StringMatching(`20[3-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])`),
		rapid.StringMatching(`P[1-9]Y|P[1-9][0-9]?M|P[1-9][0-9]{0,3}D|P[1-9]Y[1-9]M[1-9][0-9]?D|P[1-9]M[1-9]D`),
		rapid.StringMatching(`PT[1-9][0-9]{0,3}H|PT[1-9][0-9]{0,6}S|PT[1-9]H[1-9]M`),
	).Draw(t, "rule")))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func drawInstant(t *rapid.T, label string) Instant {
	lo, hi := Instant(1), MaxInstant/2
	return Instant(rapid.Int64Range(int64(lo), int64(hi)).Draw(t, label))
}

func TestDeadlineNeverEarlierForLaterStart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, a := drawRule(t), drawInstant(t, "start")
		b := a.plus(rapid.Int64Range(0, 70*microsPerDay).Draw(t, "later"))
		early, late := must(r.Deadline(a)), must(r.Deadline(b))
		if late < early {
			t.Fatalf("%v: %v from %v, but %v from %v", r, early, a, late, b)
		}
		if r.Kind() != RuleDate && early <= a {
			t.Fatalf("%v from %v ends at %v", r, a, early)
		}
		if r.Kind() == RulePeriod && (int64(early)+kstOffset)%microsPerDay != 0 {
			t.Fatalf("%v from %v ends at %v, not at midnight", r, a, early)
		}
	})
}

func TestP16_Instant(t *testing.T) {
	if got := MaxInstant.String(); got != "9999-12-31T15:00:00Z" {
		t.Errorf("MaxInstant is %s", got)
	}
	if got := MaxInstant.Add(time.Microsecond); got != MaxInstant {
		t.Errorf("max+1 is %v", got)
	}
	if got := (MaxInstant - 5).Add(math.MaxInt64); got != MaxInstant {
		t.Errorf("saturated add is %v", got)
	}
	if got := Instant(5).Add(math.MinInt64); got != 1 {
		t.Errorf("negative add is %v", got)
	}
	if got := Instant(0).Add(time.Hour); got != 0 || got.String() != "unset" {
		t.Errorf("unset + 1 h is %v", got)
	}
	for _, at := range []time.Time{{}, time.Unix(-1, 0), time.Unix(0, 0)} {
		if got := FromTime(at); got != 0 {
			t.Errorf("%v is %v", at, got)
		}
	}
	if got := FromTime(time.Unix(1<<60, 0)); got != MaxInstant {
		t.Errorf("far future is %v", got)
	}
	at := time.Date(2071, 1, 19, 3, 14, 8, 123456000, time.UTC)
	if got := FromTime(at); !got.Time().Equal(at) || got.String() != "2071-01-19T03:14:08.123456Z" {
		t.Errorf("%v reads back as %v", at, got)
	}
	if got := MaxInstant.since(1); got != math.MaxInt64 {
		t.Errorf("longest distance is %v", got)
	}
}

func TestBasisKind(t *testing.T) {
	for k, name := range map[BasisKind]string{1: "statute", 2: "subject", 3: "definition"} {
		if got, err := ParseBasisKind(name); got != k || err != nil || k.String() != name {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, s := range []string{"", "Statute", "invalid", "law"} {
		if _, err := ParseBasisKind(s); !errors.Is(err, ErrBasis) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if BasisKind(0).Yields(BasisStatute) || BasisStatute.Yields(BasisSubject) || !BasisSubject.Yields(BasisStatute) || BasisStatute.Yields(0) {
		t.Error("precedence is statute > subject > definition, and unknown kinds never yield")
	}
}

func TestP29_Bounds(t *testing.T) {
	now := kst(t, "2026-03-01T10:00:00")
	b := Bounds{Min: rule(t, "PT1H"), Max: rule(t, "P10Y")}
	cases := []struct {
		bounds Bounds
		text   string
		now    Instant
		want   error
	}{
		{b, "P10Y", now, nil}, {b, "2036-03-01", now, nil}, {b, "2036-03-02", now, ErrTooLong},
		{b, "P10Y1D", now, ErrTooLong}, {b, "PT30M", now, ErrTooShort}, {b, "PT1H", now, nil},
		{b, "2026-02-28", now, ErrPast}, {b, "event:P11Y", now, ErrTooLong}, {b, "one-time:P11Y", now, ErrTooLong},
		{b, "one-time", now, nil}, {b, "event:P3Y", now, nil}, {b, "P5Y", 0, ErrUnset}, {b, "P9000Y", now, ErrRange},
		{DefaultBounds(), "PT1S", now, nil}, {DefaultBounds(), "P100Y", now, nil}, {DefaultBounds(), "P101Y", now, ErrTooLong},
		{Bounds{}, "P5Y", now, ErrBounds}, {Bounds{Max: rule(t, "event:P3Y")}, "P5Y", now, ErrBounds},
		{Bounds{Max: rule(t, "P9999Y")}, "9999-12-31", now, nil},
	}
	for _, c := range cases {
		if err := c.bounds.Check(rule(t, c.text), c.now); !errors.Is(err, c.want) {
			t.Errorf("%v at %v: %v, want %v", c.text, c.now, err, c.want)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	for _, s := range append(append([]string{}, ruleTexts...), badRules...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRule(s)
		if err != nil {
			if r != (Rule{}) {
				t.Fatalf("%q: an error with the rule %v", s, r)
			}
			return
		}
		if r.String() != s || !r.Valid() {
			t.Fatalf("%q reads back as %q", s, r)
		}
		if end, err := r.end(1 << 50); err == nil && !end.set() {
			t.Fatalf("%q ends at %d", s, end)
		}
	})
}
