package retention

import "errors"

// The refusals of this package. Every error it returns wraps one of them, or is
// a [VoteError].
var (
	ErrRule       = errors.New("not a retention rule")
	ErrRange      = errors.New("outside the calendar range 1970..9999")
	ErrUnset      = errors.New("not set")
	ErrKind       = errors.New("not possible with this kind of rule")
	ErrBasis      = errors.New("not a retention basis")
	ErrPrecedence = errors.New("the present basis takes precedence")
	ErrBounds     = errors.New("retention bounds are damaged")
	ErrTooLong    = errors.New("longer than the policy allows")
	ErrTooShort   = errors.New("shorter than the policy allows")
	ErrPast       = errors.New("the deadline has already passed")
	ErrNotLater   = errors.New("not later than the present deadline")

	ErrLocked      = errors.New("locked: retention metadata missing, unknown or damaged")
	ErrActive      = errors.New("retention has not ended")
	ErrHeld        = errors.New("kept by a hold")
	ErrExpired     = errors.New("retention has ended")
	ErrHold        = errors.New("not a hold")
	ErrHoldExists  = errors.New("a hold with this id exists")
	ErrHoldUnknown = errors.New("no hold with this id")
	ErrViewed      = errors.New("the one-time view is taken")
	ErrEventSet    = errors.New("the event is already set")

	ErrPolicy     = errors.New("clock policy out of range")
	ErrVoters     = errors.New("no voters, or one named twice")
	ErrClockState = errors.New("clock state is damaged")
	ErrMajority   = errors.New("votes of less than a majority of all voters")
	ErrDisagree   = errors.New("votes disagree by more than the policy allows")
	ErrCeremony   = errors.New("first clock entry not within 24 hours after the ceremony")
	ErrRound      = errors.New("votes answer another round")
	ErrNotForward = errors.New("resync would not move the clock forward")
)
