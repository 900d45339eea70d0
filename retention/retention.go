package retention

import (
	"fmt"
	"slices"
)

// Retention is the retention metadata of one record: everything that decides
// whether it may be read or removed, in numbers and codes only. The zero value
// is invalid and so locked.
//
// The fields are exported so that the store can write and read them; changing
// one by hand is not an operation of this package.
type Retention struct {
	Rule  Rule
	Basis BasisKind
	// Start is where the rule's period counts from: the greatest latest bound of
	// the first clock entry after the commit, for an event rule never before the
	// event. Unset until then, and for a rule that does not count.
	Start Instant
	// Deadline is the end of the period. While Waiting it is a floor that the
	// deadline proper will not fall below.
	Deadline Instant
	// Event is when the event of an event rule happened; unset before.
	Event Instant
	// Prior are rules that an extension replaced before their period had a
	// start. They still bind: the deadline is the latest of all.
	Prior []Rule
	// Holds are the legal holds in place, by ascending id.
	Holds []Hold
	// View is who has taken the one view of a one-time rule.
	View View
}

// State is what a record's retention means for it at an instant.
type State uint8

// The states. The zero State is the locked one.
const (
	StateLocked  State = 0 // metadata missing, unknown or damaged: kept, not readable, alarm (I8)
	StateUnset   State = 1 // kept; the deadline is not known yet
	StateActive  State = 2 // kept until the deadline
	StateHeld    State = 3 // past the deadline, kept by holds, readable for their purpose only
	StateExpired State = 4 // past the deadline: refused to readers, to be removed
)

// String is the state's name as answers show it.
func (s State) String() string {
	switch s {
	case StateUnset:
		return "unset"
	case StateActive:
		return "active"
	case StateHeld:
		return "held"
	case StateExpired:
		return "expired"
	}
	return "locked"
}

// New is the retention of a record that is stored now under the rule. Its
// errors are those of Bounds.Check, and ErrBasis for an unknown basis.
func New(rule Rule, basis BasisKind, bounds Bounds, now Instant) (Retention, error) {
	if !basis.Valid() {
		return Retention{}, fmt.Errorf("%w: kind %d", ErrBasis, basis)
	}
	if err := bounds.Check(rule, now); err != nil {
		return Retention{}, err
	}
	r := Retention{Rule: rule, Basis: basis}
	if rule.last != (date{}) {
		r.Deadline = rule.last.end()
	}
	return r, nil
}

// Status is what the retention means at now, a reading of the quorum clock. A
// deadline has passed when now has reached it. Without a clock (now unset)
// nothing has.
func (r Retention) Status(now Instant) State {
	end := r.End()
	switch {
	case r.Check() != nil:
		return StateLocked
	case end == 0:
		return StateUnset
	case now < end:
		return StateActive
	case len(r.Holds) > 0:
		return StateHeld
	}
	return StateExpired
}

// End is the instant at which the record ceases to be kept, holds aside: the
// deadline, or the end of the grace once a one-time view is taken. Unset while
// that is not known; the record is kept meanwhile.
func (r Retention) End() Instant {
	switch {
	case r.View.taken():
		return r.View.GraceEnd
	case r.Waiting():
		return 0
	}
	return r.Deadline
}

// Waiting reports whether the next clock entry starts something of this record:
// its period, or the grace of its one-time view. See Tick.Starts for which
// entry that is.
func (r Retention) Waiting() bool {
	return r.View.taken() && r.View.GraceEnd == 0 || r.periodWaits()
}

func (r Retention) periodWaits() bool {
	if r.Start != 0 {
		return false
	}
	return r.Event != 0 || r.Rule.NeedsStart() || slices.ContainsFunc(r.Prior, Rule.NeedsStart)
}

// Started is the retention after a clock entry whose greatest latest bound is
// latest: what was waiting counts from there. A retention that does not wait is
// returned as it is, so asking twice changes nothing (P11). On an error
// (ErrLocked, ErrUnset, or ErrRange for a deadline after year 9999) it stays as
// it was, and so kept.
func (r Retention) Started(latest Instant) (Retention, error) {
	if err := r.Check(); err != nil {
		return r, err
	}
	if !r.Waiting() {
		return r, nil
	}
	if !latest.set() {
		return r, fmt.Errorf("%w: a period cannot start at %d", ErrUnset, latest)
	}
	next := r
	if r.periodWaits() {
		next.Start = max(latest, r.Event)
		next.Prior = nil
		for _, rule := range append(slices.Clone(r.Prior), r.Rule) {
			end, err := rule.end(next.Start)
			if err != nil {
				return r, err
			}
			next.Deadline = max(next.Deadline, end)
		}
	}
	if r.View.taken() && r.View.GraceEnd == 0 {
		next.View.GraceEnd = latest.Add(Grace)
	}
	return next, nil
}

// SetEvent records that the event of an event rule happened at at. It can be
// set once. The period counts from the event or from the next clock entry,
// whichever is later: naming a past event never ends a record's keeping early.
// Errors: ErrLocked, ErrKind for another kind of rule, ErrEventSet, ErrUnset.
func (r Retention) SetEvent(at Instant) (Retention, error) {
	switch err := r.Check(); {
	case err != nil:
		return r, err
	case r.Rule.kind != RuleEvent:
		return r, fmt.Errorf("%w: %v", ErrKind, r.Rule)
	case r.Event != 0:
		return r, fmt.Errorf("%w: %v", ErrEventSet, r.Event)
	case !at.set():
		return r, fmt.Errorf("%w: no instant of the event", ErrUnset)
	}
	r.Event = at
	return r, nil
}
