package retention

import "fmt"

// RecordID names a record: the history sequence of its STORE record.
type RecordID uint64

// Permit allows the removal of one record. Only a decision of this package
// makes one; the zero Permit covers nothing. It stands for the state it was
// decided on, so decide and act in the same log entry (P27).
type Permit struct {
	id      RecordID
	granted bool
}

// Covers reports whether the permit is for the record with that id.
func (p Permit) Covers(id RecordID) bool { return p.granted && p.id == id }

// Expire decides whether the record with that id, whose retention this is, is
// to be removed when the quorum clock reads now. Errors: ErrLocked, ErrUnset
// where the deadline is not known, ErrActive before it, ErrHeld.
func (r Retention) Expire(id RecordID, now Instant) (Permit, error) {
	switch r.Status(now) {
	case StateExpired:
		return Permit{id: id, granted: true}, nil
	case StateUnset:
		return Permit{}, fmt.Errorf("%w: record %d has no deadline yet", ErrUnset, id)
	case StateActive:
		return Permit{}, fmt.Errorf("%w: record %d is kept until %v", ErrActive, id, r.End())
	case StateHeld:
		return Permit{}, fmt.Errorf("%w: record %d has %d", ErrHeld, id, len(r.Holds))
	}
	return Permit{}, r.Check()
}
