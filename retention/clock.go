package retention

import (
	"fmt"
	"slices"
	"time"
)

// The quorum clock. It moves only by a log entry with votes of voters, and
// every node computes it from the log alone. Two rules bound it:
//
//   - it goes no further than the greatest instant that a majority of all
//     voters place at or before their earliest bound, so with a minority of
//     liars at least one honest voter vouches for it;
//   - it never passes the floor plus the slack, where the floor is the greatest
//     value that a majority of the voters' lines reach, and a line grows with
//     its voter's boot clock only. So sources that all lie together gain at most
//     the slack and 200 ppm of uptime, once: a new boot id starts its line at
//     the lesser of clock and floor, which keeps used slack used.
//
// Both only ever lag: an error or an outage keeps records longer.

// Limits of the clock's policy and of its first setting.
const (
	MaxSlack     = 24 * time.Hour   // the most that sources lying together may ever gain
	MaxAgreement = 10 * time.Minute // the widest that the votes of one entry may lie apart
	FirstWindow  = 24 * time.Hour   // the first entry lies at most so long after the ceremony
)

// ClockPolicy is the replicated policy of the quorum clock.
type ClockPolicy struct {
	Slack     time.Duration // 0..MaxSlack
	Agreement time.Duration // above 0, at most MaxAgreement
}

// DefaultClockPolicy is a slack of one hour and an agreement of ten seconds.
func DefaultClockPolicy() ClockPolicy {
	return ClockPolicy{Slack: time.Hour, Agreement: 10 * time.Second}
}

// Check refuses a policy out of its limits with ErrPolicy.
func (p ClockPolicy) Check() error {
	if p.Slack < 0 || p.Slack > MaxSlack || p.Agreement <= 0 || p.Agreement > MaxAgreement {
		return fmt.Errorf("%w: slack %v (0..%v), agreement %v (above 0, at most %v)",
			ErrPolicy, p.Slack, MaxSlack, p.Agreement, MaxAgreement)
	}
	return nil
}

// Clock is the state of the quorum clock as of the last clock entry. It is
// plain data: equal histories give equal clocks.
type Clock struct {
	// Round is the round to be answered next; votes for any other are refused.
	Round uint64
	// Now is the clock: true time is at or after it. Unset before the first entry.
	Now Instant
	// Floor is the floor line: the greatest value that a majority of the voters'
	// lines have reached.
	Floor Instant
	// Ceremony is the time that two people compared; the first entry lies at most
	// FirstWindow after it.
	Ceremony Instant
	// Lines are the voters' lines, by ascending voter; a voter that has never
	// voted has none.
	Lines []Line
}

// Tick is what one clock entry did.
type Tick struct {
	Round uint64  // the round it answered
	Now   Instant // the clock after it
	// Start is where relative periods (and graces and cooling-offs) that this
	// entry starts count from: the greatest latest bound among its votes, and
	// never before the clock itself.
	Start     Instant
	Floor     Instant       // the floor line after it
	Candidate Instant       // what a majority of all voters vouch for
	Capped    bool          // the slack held the clock back from the candidate
	Lag       time.Duration // by how much; zero when not capped
	Budget    time.Duration // slack left: how far the clock may still go at this floor
}

// Starts reports whether this entry may start a period that was committed while
// open was the round to be answered. Votes of the open round may have been cast
// before that commit and held back; those of a later round were cast after it,
// so the start is not before the commit however long the entry was stalled.
func (t Tick) Starts(open uint64) bool { return t.Round > open }

// NewClock is the clock of a new cluster whose ceremony names that time.
func NewClock(ceremony Instant) Clock { return Clock{Round: 1, Ceremony: ceremony} }

// AtLeast is the best lower bound for true time that the clock has: its reading,
// or before the first entry the ceremony's time.
func (c Clock) AtLeast() Instant { return max(c.Now, c.Ceremony) }

// Advance is the clock after a log entry with these votes, for the voters of
// that moment. The order of voters and votes does not matter. On an error the
// clock returned is the one before, unchanged: ErrRound, ErrMajority,
// ErrDisagree, ErrCeremony (first entry only), a *VoteError that names the voter
// whose vote is at fault, ErrVoters, ErrPolicy, ErrClockState.
func (c Clock) Advance(voters []uint32, votes []Vote, p ClockPolicy) (Clock, Tick, error) {
	t, err := c.count(voters, votes, c.Round, p)
	if err != nil {
		return c, Tick{}, err
	}
	next := c
	next.Round++
	if c.Now == 0 {
		if t.candidate < c.Ceremony || t.candidate > c.Ceremony.Add(FirstWindow) {
			return c, Tick{}, fmt.Errorf("%w: votes say %v, the ceremony %v", ErrCeremony, t.candidate, c.Ceremony)
		}
		next.Now, next.Floor = t.candidate, t.candidate
		next.Lines = rebased(nil, t.votes, t.candidate)
	} else {
		if next.Lines, err = c.extended(t); err != nil {
			return c, Tick{}, err
		}
		next.Floor = max(c.Floor, reached(next.Lines, t.majority))
		next.Now = max(c.Now, min(t.candidate, next.Floor.Add(p.Slack)))
	}
	return next, next.tick(c.Round, t, p), nil
}

func (c Clock) tick(round uint64, t tally, p ClockPolicy) Tick {
	return Tick{
		Round:     round,
		Now:       c.Now,
		Start:     max(t.latest, c.Now),
		Floor:     c.Floor,
		Candidate: t.candidate,
		Capped:    t.candidate > c.Now,
		Lag:       t.candidate.since(c.Now),
		Budget:    c.Floor.Add(p.Slack).since(c.Now),
	}
}

// Resync is the pure rule of the act clock resync: votes of the round at which
// the act was written set clock and floor together, forward only, and restart
// all lines there. Its votes may be older than the open round, because an
// earliest bound stays true; so it starts no period. The voters' agreement is
// judged as in Advance; who may sign the act is not judged here.
//
// Errors are those of Advance, and ErrNotForward for votes that do not vouch for
// more than the clock has. The first setting is the ceremony's: ErrCeremony.
func (c Clock) Resync(voters []uint32, votes []Vote, round uint64, p ClockPolicy) (Clock, error) {
	if round > c.Round {
		return c, fmt.Errorf("%w: round %d is not open yet, %d is", ErrRound, round, c.Round)
	}
	t, err := c.count(voters, votes, round, p)
	switch {
	case err != nil:
		return c, err
	case c.Now == 0:
		return c, fmt.Errorf("%w: the clock has not been set", ErrCeremony)
	case t.candidate <= c.Now:
		return c, fmt.Errorf("%w: votes say %v, the clock %v", ErrNotForward, t.candidate, c.Now)
	}
	next := c
	next.Round++
	next.Now = t.candidate
	next.Floor = max(c.Floor, t.candidate)
	next.Lines = rebased(c.Lines, t.votes, t.candidate)
	return next, nil
}

// check refuses a clock that no operation can have left.
func (c Clock) check() error {
	bad := !c.Ceremony.set() || !unsetOr(c.Now) || !unsetOr(c.Floor) ||
		(c.Now == 0) != (c.Floor == 0) || c.Now == 0 && len(c.Lines) > 0
	for i, l := range c.Lines {
		bad = bad || !l.valid() || i > 0 && l.Voter <= c.Lines[i-1].Voter
	}
	if bad {
		return ErrClockState
	}
	return nil
}

// count judges the votes of one entry against the voters and the policy.
func (c Clock) count(voters []uint32, votes []Vote, round uint64, p ClockPolicy) (tally, error) {
	if err := p.Check(); err != nil {
		return tally{}, err
	}
	if err := c.check(); err != nil {
		return tally{}, err
	}
	voters = slices.Sorted(slices.Values(voters))
	if len(voters) == 0 || len(slices.Compact(slices.Clone(voters))) < len(voters) {
		return tally{}, ErrVoters
	}
	return countVotes(voters, votes, round, p.Agreement)
}
