package retention

import "slices"

// growthPPM is how much faster than its boot clock a line grows: more than any
// sound crystal errs, so that an honest clock is not held back.
const growthPPM = 200

// Line is the course of one voter under one boot id: it was at Base when the
// voter's boot clock read BootAt, and grows with that boot clock. It stands
// where the voter's last vote left it, since nothing is known of it after that.
type Line struct {
	Voter  uint32
	BootID [16]byte
	Base   Instant
	BootAt int64 // nanoseconds of CLOCK_BOOTTIME at Base
	Last   int64 // nanoseconds of CLOCK_BOOTTIME at the last vote
}

// Value is where the line stood at the voter's last vote, rounded down.
func (l Line) Value() Instant {
	const nanosPerSecond, microsPerBootSecond = 1_000_000_000, microsPerSecond + growthPPM
	grown := l.Last - l.BootAt
	return l.Base.plus(grown/nanosPerSecond*microsPerBootSecond +
		grown%nanosPerSecond*microsPerBootSecond/nanosPerSecond)
}

func (l Line) valid() bool {
	return l.Base.set() && l.BootID != [16]byte{} && l.BootAt >= 0 && l.Last >= l.BootAt
}

// extended is the lines after a tally: a line under the same boot id grows, one
// under a new boot id starts over, one without a vote stays, and that of a
// former voter is dropped.
func (c Clock) extended(t tally) ([]Line, error) {
	base := min(c.Now, c.Floor)
	var lines []Line
	for _, voter := range t.voters {
		line, known := lineOf(c.Lines, voter)
		if i := slices.IndexFunc(t.votes, func(v Vote) bool { return v.Voter == voter }); i >= 0 {
			v := t.votes[i]
			switch {
			case !known || line.BootID != v.BootID:
				line = v.line(base)
			case v.BootReading < line.Last:
				return nil, &VoteError{voter, ErrBackward}
			}
			line.Last, known = v.BootReading, true
		}
		if known {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// rebased is one line per vote, at base when it was cast. Voters without a vote
// get none and start over at their next one, which gains nothing. A later
// reading that is already known under the same boot id counts on from there.
func rebased(old []Line, votes []Vote, base Instant) []Line {
	lines := make([]Line, len(votes))
	for i, v := range votes {
		lines[i] = v.line(base)
		if l, known := lineOf(old, v.Voter); known && l.BootID == v.BootID {
			lines[i].Last = max(v.BootReading, l.Last)
		}
	}
	return lines
}

func (v Vote) line(base Instant) Line {
	return Line{Voter: v.Voter, BootID: v.BootID, Base: base, BootAt: v.BootReading, Last: v.BootReading}
}

func lineOf(lines []Line, voter uint32) (Line, bool) {
	i := slices.IndexFunc(lines, func(l Line) bool { return l.Voter == voter })
	if i < 0 {
		return Line{}, false
	}
	return lines[i], true
}

// reached is the greatest value that a majority of lines reach, unset where too
// few voters have a line.
func reached(lines []Line, majority int) Instant {
	if len(lines) < majority {
		return 0
	}
	values := make([]Instant, len(lines))
	for i, l := range lines {
		values[i] = l.Value()
	}
	slices.Sort(values)
	return values[len(values)-majority]
}
