package timesource

import (
	"errors"
	"time"
)

// ErrNoTime says that the node has not acquired time since it started.
var ErrNoTime = errors.New("timesource: no time acquired yet")

// Status says how good a reading is. Its zero value is not a status.
type Status uint8

// The statuses of a reading, best first.
const (
	Synchronized   Status = iota + 1 // a majority of the sources agrees with the interval now
	Holdover                         // it does not; the interval widens and still holds
	Unsynchronized                   // no interval, or one too wide to be of use
	Fault                            // the machine's own clocks contradict each other
)

// String returns the status in lower case, as commands and logs show it.
func (s Status) String() string {
	switch s {
	case Synchronized:
		return "synchronized"
	case Holdover:
		return "holdover"
	case Unsynchronized:
		return "unsynchronized"
	case Fault:
		return "fault"
	}
	return "invalid"
}

// Reading is the trusted time of this node at one instant of its boot clock: true
// time is between Earliest and Latest (UTC, to the microsecond).
type Reading struct {
	Earliest, Latest time.Time
	Status           Status
	Boot             Boot
	Development      bool     // from the development clock, never for production
	EvidenceID       [32]byte // SHA-256 of the evidence of the selection that it rests on; zero in development
}

// Clock is trusted time. Implementations are safe for concurrent use.
type Clock interface {
	// Now reads the clock. With an error there is no interval; the reading then
	// still carries status and, if it could be read, the boot clock.
	Now() (Reading, error)
	// Report describes the clock for people and for alarms.
	Report() Report
}

// Report is the state of a clock for `clock status` and alarms.
type Report struct {
	Reading       Reading
	Reason        string // why the status is not Synchronized, or ""
	ClosedNetwork bool   // fewer sources or operators than the rules ask, by an act
	MinSources    int
	Majority      int    // sources that must agree
	JumpRefused   bool   // the sources agree, now, on a time that the interval excludes
	Jumps         uint64 // such events since start
	Sources       []SourceReport
}

// SourceReport is the state of one source.
type SourceReport struct {
	Name, Operator   string
	Auth             AuthKind
	Address          string // resolved address of the last query
	Reach            uint8  // the last eight polls, newest in bit 0
	Stratum          uint8
	Earliest, Latest time.Time // true time now according to this source; zero without a usable sample
	Selected         bool
	Falseticker      bool // answers, and is outvoted
	PollInterval     time.Duration
	Reason           string // why its last poll gave nothing, or why it is outvoted
}
