package retention

import (
	"fmt"
	"slices"
)

// MaxPrior is how many rules can be replaced before the first of them has a
// start; further extensions wait for the next clock entry.
const MaxPrior = 16

// family groups the rules that can replace each other. A one-time view and an
// event rule end by something else than time alone, so replacing one by another
// kind, or the other way round, could end a record's keeping early.
func family(r Rule) RuleKind {
	if r.kind == RuleOneTime || r.kind == RuleEvent {
		return r.kind
	}
	return RuleDate
}

// Extend is the retention after an extension committed when the quorum clock
// reads now; nothing else changes a deadline, and it only moves it later. A
// period of the new rule counts from where the old one did, or where that has no
// start yet from the next clock entry; the old rule binds on until then. The
// longest deadline is the policy's maximum counted from now.
//
// Errors: ErrLocked; ErrExpired from the tick on that passed the deadline, held
// or not; ErrViewed; ErrUnset without a clock; ErrRule, ErrBasis; ErrKind between
// rules that do not compare; ErrPrecedence for a basis below the present one;
// ErrNotLater, ErrTooLong, ErrRange, ErrBounds.
func (r Retention) Extend(rule Rule, basis BasisKind, bounds Bounds, now Instant) (Retention, error) {
	if err := r.mayExtend(rule, basis, bounds, now); err != nil {
		return r, err
	}
	present, err := r.reach(now)
	if err != nil {
		return r, err
	}
	end, err := rule.end(r.startOr(now))
	switch {
	case err != nil:
		return r, err
	case end <= present:
		return r, fmt.Errorf("%w: %v is not after %v", ErrNotLater, end, present)
	}
	if err := bounds.within(end, now); err != nil {
		return r, err
	}
	return r.replaced(rule, basis, end)
}

func (r Retention) mayExtend(rule Rule, basis BasisKind, bounds Bounds, now Instant) error {
	if err := r.Check(); err != nil {
		return err
	}
	switch s := r.Status(now); {
	case s == StateExpired || s == StateHeld:
		return fmt.Errorf("%w: at %v", ErrExpired, r.End())
	case r.View.taken():
		return ErrViewed
	case !now.set():
		return fmt.Errorf("%w: no clock to judge an extension", ErrUnset)
	case !rule.Valid():
		return fmt.Errorf("%w: nothing to extend to", ErrRule)
	case !basis.Valid():
		return fmt.Errorf("%w: kind %d", ErrBasis, basis)
	case !bounds.Valid():
		return ErrBounds
	case family(rule) != family(r.Rule):
		return fmt.Errorf("%w: from %v to %v", ErrKind, r.Rule, rule)
	case !rule.bounded():
		return fmt.Errorf("%w: %v has no limit", ErrTooLong, rule)
	case !r.Rule.bounded():
		return fmt.Errorf("%w: %v has no limit to move", ErrNotLater, r.Rule)
	case !r.Basis.Yields(basis):
		return fmt.Errorf("%w: %v over %v", ErrPrecedence, r.Basis, basis)
	}
	return nil
}

// startOr is the start of the period, or now where it has none: a start to
// come is never before now.
func (r Retention) startOr(now Instant) Instant {
	if r.Start != 0 {
		return r.Start
	}
	return max(now, r.Event)
}

// reach is the deadline as far as it is known: of what still waits for a start,
// the least it can become.
func (r Retention) reach(now Instant) (Instant, error) {
	if r.Start != 0 {
		return r.Deadline, nil
	}
	reach := r.Deadline
	for _, rule := range append(slices.Clone(r.Prior), r.Rule) {
		end, err := rule.end(r.startOr(now))
		if err != nil {
			return 0, err
		}
		reach = max(reach, end)
	}
	return reach, nil
}

// replaced puts the new rule in the place of the old, which stays among the
// prior ones while its own end is not fixed.
func (r Retention) replaced(rule Rule, basis BasisKind, end Instant) (Retention, error) {
	if r.Start == 0 && !r.Rule.span.isZero() {
		if len(r.Prior) == MaxPrior {
			return r, fmt.Errorf("%w: %d rules wait for a clock entry", ErrUnset, len(r.Prior))
		}
		r.Prior = append(slices.Clone(r.Prior), r.Rule)
	}
	if r.Start != 0 || rule.span.isZero() {
		r.Deadline = end
	}
	r.Rule, r.Basis = rule, basis
	return r, nil
}
