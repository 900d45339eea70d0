package retention

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Vote is what one voter says of the time in answer to a round: true time lay in
// [Earliest, Latest] when its boot clock read BootReading. Signatures and source
// evidence are checked elsewhere.
type Vote struct {
	Voter            uint32
	Round            uint64
	Earliest, Latest Instant
	BootID           [16]byte
	BootReading      int64 // nanoseconds of CLOCK_BOOTTIME
}

// The faults of a single vote, wrapped in a VoteError.
var (
	ErrNotVoter = errors.New("not a voter")
	ErrTwice    = errors.New("voted twice")
	ErrInterval = errors.New("not an interval of time")
	ErrBoot     = errors.New("no boot id or boot clock reading")
	ErrBackward = errors.New("the boot clock went backward under one boot id")
)

// VoteError says which voter's vote spoils an entry; without it the others may
// still make one.
type VoteError struct {
	Voter uint32
	Err   error
}

// Error names the voter and the fault.
func (e *VoteError) Error() string { return fmt.Sprintf("vote of voter %d: %v", e.Voter, e.Err) }

// Unwrap is the fault alone.
func (e *VoteError) Unwrap() error { return e.Err }

// tally is what the votes of one entry say together.
type tally struct {
	voters    []uint32 // ascending, distinct
	votes     []Vote   // by ascending voter
	majority  int      // of all voters, not of those who voted
	candidate Instant  // the greatest value that a majority place at or before their earliest
	latest    Instant  // the greatest latest bound
}

// countVotes takes ascending, distinct voters.
func countVotes(voters []uint32, votes []Vote, round uint64, agreement time.Duration) (tally, error) {
	t := tally{
		voters:   voters,
		votes:    slices.SortedFunc(slices.Values(votes), func(a, b Vote) int { return cmp.Compare(a.Voter, b.Voter) }),
		majority: len(voters)/2 + 1,
	}
	earliest := make([]Instant, len(votes))
	for i, v := range t.votes {
		if i > 0 && v.Voter == t.votes[i-1].Voter {
			return tally{}, &VoteError{v.Voter, ErrTwice}
		}
		if err := v.check(voters, round); err != nil {
			return tally{}, &VoteError{v.Voter, err}
		}
		earliest[i] = v.Earliest
		t.latest = max(t.latest, v.Latest)
	}
	if len(votes) < t.majority {
		return tally{}, fmt.Errorf("%w: %d of %d voters, %d needed", ErrMajority, len(votes), len(voters), t.majority)
	}
	slices.Sort(earliest)
	if apart := t.latest.since(earliest[0]); apart > agreement {
		return tally{}, fmt.Errorf("%w: %v apart, at most %v", ErrDisagree, apart, agreement)
	}
	t.candidate = earliest[len(earliest)-t.majority]
	return t, nil
}

func (v Vote) check(voters []uint32, round uint64) error {
	if _, found := slices.BinarySearch(voters, v.Voter); !found {
		return ErrNotVoter
	}
	switch {
	case v.Round != round:
		return fmt.Errorf("%w: %d, not %d", ErrRound, v.Round, round)
	case !v.Earliest.set() || !v.Latest.set() || v.Earliest > v.Latest:
		return fmt.Errorf("%w: [%d, %d]", ErrInterval, v.Earliest, v.Latest)
	case v.BootID == [16]byte{} || v.BootReading < 0:
		return ErrBoot
	}
	return nil
}
