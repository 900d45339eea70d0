package retention

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits of the parts of a period. They only keep arithmetic far from overflow;
// what a deadline may be is limited by MaxInstant.
const (
	maxYears        = 9999
	maxSpanMonths   = 12 * maxYears
	maxSpanDays     = 366 * maxYears
	maxSpanSeconds  = maxSpanDays * 86_400
	maxNumberDigits = 12
)

// span is an ISO 8601 period, of calendar parts or of exact parts, never both.
// The parts are kept as written, so that a rule reads back as it was given.
type span struct {
	years, months, days     int64
	hours, minutes, seconds int64
}

func (s span) isZero() bool { return s == span{} }

func (s span) isExact() bool { return s.exactSeconds() > 0 }

func (s span) exactSeconds() int64 { return s.hours*3600 + s.minutes*60 + s.seconds }

// from is the end of the period that starts at start.
func (s span) from(start Instant) (Instant, error) {
	if !start.set() {
		return 0, fmt.Errorf("%w: the period has no start", ErrUnset)
	}
	var end Instant
	if s.isExact() {
		end = start + Instant(s.exactSeconds()*microsPerSecond)
	} else {
		day := addMonths(firstCounted(start), int(s.years*12+s.months))
		end = midnight(day.AddDate(0, 0, int(s.days)))
	}
	if end > MaxInstant {
		return 0, fmt.Errorf("%w: %v from %v ends after year 9999", ErrRange, s, start)
	}
	return end, nil
}

func (s span) String() string {
	var b strings.Builder
	b.WriteByte('P')
	s.each(func(n *int64, unit byte, exact bool) {
		if exact && b.Len() == 1 && *n > 0 {
			b.WriteByte('T')
		}
		if *n > 0 {
			b.WriteString(strconv.FormatInt(*n, 10))
			b.WriteByte(unit)
		}
	})
	return b.String()
}

// each visits the parts in the order in which they are written.
func (s *span) each(visit func(n *int64, unit byte, exact bool)) {
	visit(&s.years, 'Y', false)
	visit(&s.months, 'M', false)
	visit(&s.days, 'D', false)
	visit(&s.hours, 'H', true)
	visit(&s.minutes, 'M', true)
	visit(&s.seconds, 'S', true)
}

// parseSpan reads PnYnMnD or PTnHnMnS: upper case, each part at most once, in
// order, a whole number above zero without leading zeros.
func parseSpan(text string) (span, error) {
	rest, ok := strings.CutPrefix(text, "P")
	if !ok || rest == "" {
		return span{}, fmt.Errorf("%w: %q is no period", ErrRule, text)
	}
	calendar, clock, timed := strings.Cut(rest, "T")
	if timed && calendar != "" {
		return span{}, fmt.Errorf("%w: %q mixes days with hours, minutes or seconds; a period is counted in one of the two ways", ErrRule, text)
	}
	if timed {
		calendar = clock
	}
	if calendar == "" {
		return span{}, fmt.Errorf("%w: %q has no parts", ErrRule, text)
	}
	s, err := parseParts(calendar, timed)
	if err != nil {
		return span{}, fmt.Errorf("%w in period %q", err, text)
	}
	return s, nil
}

func parseParts(rest string, timed bool) (span, error) {
	var s span
	var err error
	s.each(func(n *int64, unit byte, exact bool) {
		if err == nil && exact == timed {
			*n, rest, err = parsePart(rest, unit)
		}
	})
	switch {
	case err != nil:
		return span{}, err
	case rest != "":
		return span{}, fmt.Errorf("%w: %q not understood", ErrRule, rest)
	case s.years*12+s.months > maxSpanMonths || s.days > maxSpanDays || s.exactSeconds() > maxSpanSeconds:
		return span{}, fmt.Errorf("%w: too long", ErrRange)
	}
	return s, nil
}

// parsePart takes the number of one unit from the front of rest; where another
// unit or nothing follows, the part is absent and rest is unchanged.
func parsePart(rest string, unit byte) (int64, string, error) {
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	if digits == 0 || digits == len(rest) || rest[digits] != unit {
		return 0, rest, nil
	}
	if rest[0] == '0' {
		return 0, rest, fmt.Errorf("%w: a part is zero or has leading zeros", ErrRule)
	}
	if digits > maxNumberDigits {
		return 0, rest, fmt.Errorf("%w: too long", ErrRange)
	}
	n, err := strconv.ParseInt(rest[:digits], 10, 64)
	if err != nil {
		return 0, rest, fmt.Errorf("%w: %w", ErrRule, err)
	}
	return n, rest[digits+1:], nil
}
