package retention

import "fmt"

// Check reports why the metadata cannot be what operations of this package
// left, as ErrLocked, or nil. A record whose metadata fails is locked (P24). It
// is no checksum: a changed value that the rules could have produced passes, so
// the store adds one.
func (r Retention) Check() error {
	switch {
	case !r.Rule.Valid():
		return locked("no rule")
	case !r.Basis.Valid():
		return locked("unknown basis")
	case !unsetOr(r.Start) || !unsetOr(r.Deadline) || !unsetOr(r.Event) || !unsetOr(r.View.GraceEnd):
		return locked("an instant out of range")
	}
	for _, err := range []error{r.checkPrior(), r.checkPeriod(), r.checkView(), r.checkHolds()} {
		if err != nil {
			return err
		}
	}
	return nil
}

func locked(why string) error { return fmt.Errorf("%w (%s)", ErrLocked, why) }

func unsetOr(i Instant) bool { return i == 0 || i.set() }

// checkPeriod holds the deadline against the rule it came from.
func (r Retention) checkPeriod() error {
	isEvent := r.Rule.kind == RuleEvent
	switch {
	case r.Event != 0 && !isEvent:
		return locked("an event without an event rule")
	case isEvent && r.Start != 0 && (r.Event == 0 || r.Start < r.Event):
		return locked("the period starts before its event")
	case !r.Rule.bounded() || isEvent && r.Start == 0:
		if r.Start != 0 || r.Deadline != 0 {
			return locked("a deadline that no rule gave")
		}
		return nil
	case r.Start == 0 && r.Rule.NeedsStart():
		return nil // waiting; a deadline is then only a floor
	}
	if end, err := r.Rule.end(r.Start); err != nil || r.Deadline < end {
		return locked("the deadline lies before the end of the rule's period")
	}
	return nil
}

// checkPrior: superseded rules are kept only until the period has a start, and
// are of a kind that the present rule can have replaced.
func (r Retention) checkPrior() error {
	if len(r.Prior) > 0 && r.Start != 0 || len(r.Prior) > MaxPrior {
		return locked("superseded rules beside a started period")
	}
	for _, p := range r.Prior {
		if !p.Valid() || !p.bounded() || family(p) != family(r.Rule) {
			return locked("a superseded rule of another kind")
		}
	}
	return nil
}

func (r Retention) checkView() error {
	v := r.View
	switch {
	case v == View{}:
		return nil
	case r.Rule.kind != RuleOneTime:
		return locked("a view without a one-time rule")
	case !v.taken() || v.Reads > MaxReads || v.Actor == 0 || v.Request == [16]byte{}:
		return locked("a view without its reader")
	}
	return nil
}

func (r Retention) checkHolds() error {
	if len(r.Holds) > MaxHolds {
		return locked("too many holds")
	}
	for i, h := range r.Holds {
		if i > 0 && h.ID <= r.Holds[i-1].ID {
			return locked("holds out of order")
		}
		if h.Check() != nil {
			return locked("a damaged hold")
		}
	}
	return nil
}
