package retention

import (
	"fmt"
	"strings"
)

// RuleKind says how a rule ends. The numbers are stored and never change.
type RuleKind uint8

// The kinds of rules; the zero kind is that of the invalid rule.
const (
	RuleDate    RuleKind = 1 // through a calendar day in Korea: 2031-12-31
	RulePeriod  RuleKind = 2 // Civil Code counting: P5Y, P6M, P90D, P1Y6M10D
	RuleExact   RuleKind = 3 // exact hours, minutes, seconds: PT30S, PT12H
	RuleOneTime RuleKind = 4 // one-time view (1회성 열람): one-time, one-time:P30D, one-time:2031-12-31
	RuleEvent   RuleKind = 5 // a period after an event: event:P3Y
)

const (
	oneTimeWord = "one-time"
	eventWord   = "event"
)

// Rule is a retention rule (보유기간). Rules compare with ==. The zero Rule is
// invalid and means locked: it has no deadline and is never removed.
//
// A rule is stored as its canonical text; see [ParseRule].
type Rule struct {
	kind RuleKind
	last date // the last day: of a date rule, or of a one-time view's limit
	span span // the period: of a period or exact rule, a one-time view's limit, after an event
}

// ParseRule reads a rule. It accepts canonical text only, so that for every
// accepted text ParseRule(text).String() == text:
//
//	2031-12-31            through the end of that day in Korea
//	P5Y  P6M  P90D  P1Y6M10D   calendar period, Civil Code counting
//	PT30S  PT12H  PT1H30M      exact period
//	one-time  one-time:LIMIT   one view; LIMIT (a date or period) ends it unread
//	event:PERIOD               kept until the event is set, then the period
//
// Errors wrap ErrRule for text outside the grammar, ErrRange for a number or
// date outside 1970..9999.
func ParseRule(text string) (Rule, error) {
	word, limit, limited := strings.Cut(text, ":")
	switch {
	case text == oneTimeWord:
		return Rule{kind: RuleOneTime}, nil
	case limited && word == oneTimeWord:
		r, err := parseLimit(limit)
		r.kind = RuleOneTime
		return r.orZero(err)
	case limited && word == eventWord:
		s, err := parseSpan(limit)
		return Rule{kind: RuleEvent, span: s}.orZero(err)
	case text == "" || limited:
		return Rule{}, fmt.Errorf("%w: %q", ErrRule, text)
	}
	return parseLimit(text)
}

// parseLimit reads a date or a period as a rule of its own.
func parseLimit(text string) (Rule, error) {
	if !strings.HasPrefix(text, "P") {
		d, err := parseDate(text)
		return Rule{kind: RuleDate, last: d}.orZero(err)
	}
	s, err := parseSpan(text)
	if s.isExact() {
		return Rule{kind: RuleExact, span: s}.orZero(err)
	}
	return Rule{kind: RulePeriod, span: s}.orZero(err)
}

func (r Rule) orZero(err error) (Rule, error) {
	if err != nil {
		return Rule{}, err
	}
	return r, nil
}

// String is the canonical text of the rule, "invalid" for the zero Rule.
// ParseRule(r.String()) == r for every valid rule.
func (r Rule) String() string {
	switch r.kind {
	case RuleDate, RulePeriod, RuleExact:
		return r.limit()
	case RuleOneTime:
		if !r.bounded() {
			return oneTimeWord
		}
		return oneTimeWord + ":" + r.limit()
	case RuleEvent:
		return eventWord + ":" + r.limit()
	}
	return "invalid"
}

func (r Rule) limit() string {
	if r.last != (date{}) {
		return r.last.String()
	}
	return r.span.String()
}

// Kind is the rule's kind, zero for the zero Rule.
func (r Rule) Kind() RuleKind { return r.kind }

// Valid reports whether the rule came from ParseRule; the zero Rule did not.
func (r Rule) Valid() bool { return r.kind != 0 }

// bounded reports whether the rule names a date or a period at all.
func (r Rule) bounded() bool { return r.last != (date{}) || !r.span.isZero() }

// NeedsStart reports whether the rule counts from the first clock entry after
// the commit. A date does not count; an event rule counts from its event.
func (r Rule) NeedsStart() bool { return r.kind != RuleEvent && !r.span.isZero() }

// Deadline is the instant from which on the record is no longer kept, for a
// rule that starts at start; a date ignores start. It never gets earlier when
// start gets later. Errors wrap ErrUnset where there is no deadline (one-time
// without a limit, event, a period without a start), ErrRange for a deadline
// after year 9999, ErrRule for the zero Rule.
func (r Rule) Deadline(start Instant) (Instant, error) {
	if r.kind == RuleEvent {
		return 0, fmt.Errorf("%w: rule %v waits for its event", ErrUnset, r)
	}
	return r.end(start)
}

// AfterEvent is the deadline of an event rule whose event happened at at.
// Errors are those of Deadline, and ErrKind for a rule of another kind.
func (r Rule) AfterEvent(at Instant) (Instant, error) {
	if r.kind != RuleEvent {
		return 0, fmt.Errorf("%w: rule %v has no event", ErrKind, r)
	}
	return r.end(at)
}

// end is where the rule's date or period ends, whatever starts it.
func (r Rule) end(start Instant) (Instant, error) {
	switch {
	case !r.Valid():
		return 0, fmt.Errorf("%w: no rule", ErrRule)
	case r.last != (date{}):
		return r.last.end(), nil
	case r.span.isZero():
		return 0, fmt.Errorf("%w: rule %v has no limit", ErrUnset, r)
	}
	return r.span.from(start)
}

// Floor is the deadline that a receipt may promise when the quorum clock reads
// clock at the commit: the deadline proper, counted from the next clock entry,
// is never earlier. It is false ("unset") for one-time and event rules and
// where the deadline cannot be told.
func (r Rule) Floor(clock Instant) (Instant, bool) {
	if r.kind == RuleOneTime {
		return 0, false
	}
	d, err := r.Deadline(clock)
	return d, err == nil
}
