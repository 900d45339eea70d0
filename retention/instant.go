package retention

import (
	"math"
	"time"
)

// Instant is a point in time in microseconds since 1970-01-01T00:00:00Z, the
// unit that reaches year 9999 in an int64. Zero means unset; an unset instant
// is never reached, so what depends on it is kept.
type Instant int64

// MaxInstant is the end of the day 9999-12-31 in Korea, the last deadline there
// is (9999-12-31T15:00:00Z).
const MaxInstant Instant = 253402268400 * microsPerSecond

const (
	microsPerSecond = 1_000_000
	microsPerDay    = 86_400 * microsPerSecond
	// kstOffset is Korean time (KST), a fixed +09:00: there is no daylight
	// saving time in the rules, and no time zone database to disagree about.
	kstOffset = 9 * 3600 * microsPerSecond
)

// FromTime is the instant of t, cut to whole microseconds. A time at or before
// the epoch gives the unset instant, a time after MaxInstant gives MaxInstant.
func FromTime(t time.Time) Instant {
	switch s := t.Unix(); {
	case s < 0:
		return 0
	case s >= int64(MaxInstant)/microsPerSecond:
		return MaxInstant
	}
	return Instant(t.UnixMicro())
}

// Time is the instant in UTC; of the unset instant it is the epoch.
func (i Instant) Time() time.Time { return time.UnixMicro(int64(i)).UTC() }

// String writes the instant as RFC 3339 in UTC with as many decimals as it
// needs, or "unset".
func (i Instant) String() string {
	if i == 0 {
		return "unset"
	}
	return i.Time().Format(time.RFC3339Nano)
}

// Add is the instant d later, d cut to whole microseconds. It saturates at
// MaxInstant and, for a negative d, at the first microsecond after the epoch;
// an unset instant stays unset.
func (i Instant) Add(d time.Duration) Instant {
	if i == 0 {
		return 0
	}
	return i.plus(d.Microseconds())
}

// plus adds microseconds to a set instant without leaving [1, MaxInstant].
func (i Instant) plus(micros int64) Instant {
	switch {
	case i > MaxInstant || micros > 0 && micros > int64(MaxInstant-i):
		return MaxInstant
	case i < 1 || micros < 0 && micros < 1-int64(i):
		return 1
	}
	return i + Instant(micros)
}

// set reports whether the instant is a point in time that the rules can use.
func (i Instant) set() bool { return i > 0 && i <= MaxInstant }

// since is i-j, saturating at the longest Duration (292 years); zero when i is
// not after j.
func (i Instant) since(j Instant) time.Duration {
	if i <= j {
		return 0
	}
	if micros := int64(i - j); micros <= math.MaxInt64/1000 {
		return time.Duration(micros) * time.Microsecond
	}
	return math.MaxInt64
}
