package retention

import "fmt"

// Bounds is the policy on how long a put or an extension may keep a record. Both
// are period or exact rules. Min may be the zero Rule, which is no minimum; a
// zero Max is damage and refuses everything.
type Bounds struct {
	Min, Max Rule
}

// DefaultBounds has no minimum and a maximum of 100 years.
func DefaultBounds() Bounds {
	return Bounds{Max: Rule{kind: RulePeriod, span: span{years: 100}}}
}

// Valid reports whether both bounds are periods that the rules can count.
func (b Bounds) Valid() bool {
	return isPeriod(b.Max) && (b.Min == Rule{} || isPeriod(b.Min))
}

func isPeriod(r Rule) bool { return r.kind == RulePeriod || r.kind == RuleExact }

// Check decides whether a record may be stored under the rule when the quorum
// clock (before its first entry: the ceremony's time) reads now. A rule's
// period, a one-time view's limit and the period after an event must lie within
// the bounds; a one-time view without a limit has nothing to compare. Errors
// wrap ErrRule for the zero Rule (a missing rule is refused, P28), ErrUnset
// without a clock, ErrRange, ErrPast, ErrTooShort, ErrTooLong and ErrBounds.
func (b Bounds) Check(r Rule, now Instant) error {
	switch {
	case !r.Valid():
		return fmt.Errorf("%w: a record without one is not stored", ErrRule)
	case !b.Valid():
		return ErrBounds
	case !now.set():
		return fmt.Errorf("%w: no clock to count from", ErrUnset)
	case !r.bounded():
		return nil
	}
	end, err := r.end(now)
	if err != nil {
		return err
	}
	if end <= now {
		return fmt.Errorf("%w: %v ended at %v", ErrPast, r, end)
	}
	if b.Min.Valid() {
		if least, err := b.Min.end(now); err != nil || end < least {
			return fmt.Errorf("%w: %v is less than %v", ErrTooShort, r, b.Min)
		}
	}
	return b.within(end, now)
}

// within refuses a deadline beyond the maximum counted from now. A maximum that
// reaches past year 9999 refuses nothing.
func (b Bounds) within(end, now Instant) error {
	if most, err := b.Max.end(now); err == nil && end > most {
		return fmt.Errorf("%w: %v is more than %v away", ErrTooLong, end, b.Max)
	}
	return nil
}
