package retention

import (
	"fmt"
	"time"
)

// ActState is where an act (결재 행위) stands. The numbers are stored and never
// change.
type ActState uint8

// The states of an act.
const (
	ActPending  ActState = 1 // waits for signatures
	ActCooling  ActState = 2 // signed; its cooling-off (숙려 기간) runs
	ActReady    ActState = 3 // may be executed
	ActExecuted ActState = 4
	ActVetoed   ActState = 5
	ActLapsed   ActState = 6 // its expiry passed before it was executed
)

// String is the state's name as answers show it.
func (s ActState) String() string {
	switch s {
	case ActPending:
		return "pending"
	case ActCooling:
		return "cooling_off"
	case ActReady:
		return "ready"
	case ActExecuted:
		return "executed"
	case ActVetoed:
		return "vetoed"
	case ActLapsed:
		return "lapsed"
	}
	return "unknown"
}

// Act is what of an act the clock judges.
type Act struct {
	// Expires is the instant from which on it can be neither signed nor executed.
	Expires Instant
	// Cooling is how long it waits once all signatures are there; 0 for not at all.
	Cooling time.Duration
	// Complete says that all signatures are there.
	Complete bool
	// CoolingEnd is unset until the first clock entry of a later round than the
	// last signature's: the wait counts from the greatest latest bound, so that it
	// is never shorter than what was promised.
	CoolingEnd Instant
	// Executed and Vetoed end it for good.
	Executed, Vetoed bool
}

// State is where the act stands when the quorum clock reads now. Before the
// first clock entry (now unset) nothing has cooled off and nothing lapses.
func (a Act) State(now Instant) ActState {
	switch {
	case a.Executed:
		return ActExecuted
	case a.Vetoed:
		return ActVetoed
	case now >= a.Expires:
		return ActLapsed
	case !a.Complete:
		return ActPending
	case a.Cooling > 0 && (a.CoolingEnd == 0 || now < a.CoolingEnd):
		return ActCooling
	}
	return ActReady
}

// Cooled is the act after a clock entry whose greatest latest bound is latest:
// a wait that has not begun begins there. Asking twice changes nothing.
func (a Act) Cooled(latest Instant) Act {
	if a.Complete && a.Cooling > 0 && a.CoolingEnd == 0 && latest.set() {
		a.CoolingEnd = latest.Add(a.Cooling)
	}
	return a
}

// Exit is a way out of the store before the deadline. There are two, both acts.
// The numbers are stored and never change.
type Exit uint8

// The exits.
const (
	ExitSpecial Exit = 1 // special deletion (특수삭제)
	ExitClose   Exit = 2 // closing of the institution (폐지)
)

// Leave decides whether the record with that id, whose retention this is, may be
// removed by an act that was executed, when the quorum clock reads now. A hold
// beats both exits; what has expired goes by its expiry; what is locked stays.
// Errors: ErrLocked, ErrHeld, ErrExpired, ErrKind for no such exit.
func (r Retention) Leave(id RecordID, e Exit, now Instant) (Permit, error) {
	if err := r.Check(); err != nil {
		return Permit{}, err
	}
	switch {
	case e != ExitSpecial && e != ExitClose:
		return Permit{}, fmt.Errorf("%w: exit %d", ErrKind, e)
	case len(r.Holds) > 0:
		return Permit{}, fmt.Errorf("%w: record %d has %d", ErrHeld, id, len(r.Holds))
	case r.Status(now) == StateExpired:
		return Permit{}, fmt.Errorf("%w: at %v", ErrExpired, r.End())
	}
	return Permit{id: id, granted: true}, nil
}

// Left is Leave for a destruction that was decided earlier: by now the deadline
// may have passed as well, which takes nothing back.
func (r Retention) Left(id RecordID, e Exit) (Permit, error) {
	return r.Leave(id, e, 0)
}
