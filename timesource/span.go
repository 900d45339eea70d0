package timesource

import "time"

// span is a closed interval of true time, in microseconds since the Unix epoch
// (UTC). Rounding always widens it.
type span struct{ lo, hi int64 }

func (s span) meets(o span) bool { return s.lo <= o.hi && o.lo <= s.hi }

func (s span) within(o span) span { return span{max(s.lo, o.lo), min(s.hi, o.hi)} }

func (s span) width() time.Duration { return time.Duration(s.hi-s.lo) * time.Microsecond }

func (s span) earliest() time.Time { return time.UnixMicro(s.lo).UTC() }
func (s span) latest() time.Time   { return time.UnixMicro(s.hi).UTC() }

// after moves a span that held at one stamp to a later one. The lower end moves by
// the slower of the two clocks less drift, the upper end by the faster one plus
// drift: whatever was done to the boot clock, truth stays inside as long as the
// raw clock's oscillator keeps within ppm. An earlier stamp moves nothing.
func (s span) after(from, to stamp, ppm int64) span {
	boot, raw := max(to.boot-from.boot, 0), max(to.raw-from.raw, 0)
	slow, fast := min(boot, raw), max(boot, raw)
	return span{
		lo: s.lo + floorMicros(slow-drift(slow, ppm)),
		hi: s.hi + ceilMicros(fast+drift(fast, ppm)),
	}
}

// drift is ppm of elapsed nanoseconds, rounded up, without an intermediate overflow.
// Of nothing it is nothing, so that a new selection never sets Earliest back.
func drift(elapsed, ppm int64) int64 {
	const million = 1_000_000
	return elapsed/million*ppm + (elapsed%million*ppm+million-1)/million
}

func floorMicros(ns int64) int64 {
	if ns < 0 {
		return -((-ns + 999) / 1000)
	}
	return ns / 1000
}

func ceilMicros(ns int64) int64 { return -floorMicros(-ns) }
