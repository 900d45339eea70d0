package timesource

import (
	"encoding/binary"
	"fmt"
	"time"
)

// headerSize is the size of an NTPv4 packet without extension fields (RFC 5905,
// section 7.3).
const headerSize = 48

// header is a server's answer as it came over the wire.
type header [headerSize]byte

func (h *header) leap() uint8         { return h[0] >> 6 }
func (h *header) stratum() uint8      { return h[1] }
func (h *header) kiss() string        { return string(h[12:16]) }
func (h *header) reference() uint64   { return binary.BigEndian.Uint64(h[16:]) }
func (h *header) received() uint64    { return binary.BigEndian.Uint64(h[32:]) }
func (h *header) transmitted() uint64 { return binary.BigEndian.Uint64(h[40:]) }

// rootDelay and rootDispersion are in nanoseconds, rounded up.
func (h *header) rootDelay() int64      { return shortNanos(binary.BigEndian.Uint32(h[4:])) }
func (h *header) rootDispersion() int64 { return shortNanos(binary.BigEndian.Uint32(h[8:])) }

// precision is in nanoseconds, rounded up; the bool is false for an absurd value.
func (h *header) precision() (int64, bool) {
	switch exponent := int8(h[3]); {
	case exponent > 4:
		return 0, false
	case exponent >= 0:
		return int64(time.Second) << exponent, true
	case exponent < -30:
		return 1, true
	default:
		return int64(time.Second)>>-exponent + 1, true
	}
}

// shortNanos turns an NTP short (16.16 seconds) into nanoseconds, rounded up.
func shortNanos(v uint32) int64 {
	return int64((uint64(v)*uint64(time.Second) + 0xffff) >> 16)
}

// sample is one answer and the node's clocks before the query and after it.
type sample struct {
	header    header
	sent, got stamp
}

// at judges the sample and returns the span in which true time is at a stamp after
// it. A span that lies wholly below floor, the least possible time by then, is
// refused.
func (s *sample) at(now stamp, floor, ppm int64, limit time.Duration) (span, error) {
	got, err := s.interval(floor, ppm, limit)
	if err != nil {
		return span{}, err
	}
	moved := got.after(s.got, now, ppm)
	if moved.hi < floor {
		return span{}, refusef("server time %s is below the floor %s",
			moved.latest().Format(time.RFC3339), time.UnixMicro(floor).UTC().Format(time.RFC3339))
	}
	return moved, nil
}

// interval judges the sample alone and returns the span in which true time was at
// the stamp got. The era of the server's 32-bit seconds (they wrap in 2036) is
// the one that brings them nearest to pivot.
func (s *sample) interval(pivot, ppm int64, limit time.Duration) (span, error) {
	h := &s.header
	if h.leap() == 3 {
		return span{}, refusef("server says that it is not synchronized")
	}
	if h.stratum() < 1 || h.stratum() > 15 {
		return span{}, refusef("stratum %d", h.stratum())
	}
	if h.received() == 0 || h.transmitted() == 0 {
		return span{}, refusef("zero server time")
	}
	precision, ok := h.precision()
	if !ok {
		return span{}, refusef("server precision of 2^%d s", int8(h[3]))
	}
	if err := checkReference(h); err != nil {
		return span{}, err
	}
	trip, err := s.roundTrip(ppm, precision)
	if err != nil {
		return span{}, err
	}
	root := h.rootDelay()/2 + 1 + h.rootDispersion() + precision
	if distance := time.Duration(trip/2 + root); distance > limit {
		return span{}, refusef("root distance %v exceeds %v", distance.Round(time.Millisecond), limit)
	}
	at := ntpMicros(h.transmitted(), pivot)
	return span{lo: at + floorMicros(-root), hi: at + 1 + ceilMicros(trip+root)}, nil
}

// checkReference refuses a server that has not been set for 36 hours (2^17 s, the
// longest poll of RFC 5905) or was set after it answered; zero means not told.
func checkReference(h *header) error {
	if h.reference() == 0 {
		return nil
	}
	age := int32(uint32(h.transmitted()>>32) - uint32(h.reference()>>32)) // modulo the era
	if age < -1 || age > 1<<17 {
		return refusef("server was last set %d s before its answer", age)
	}
	return nil
}

// roundTrip is the greatest time that answer and query can have spent on the way,
// in nanoseconds: the faster clock's, less the server's own time between them.
func (s *sample) roundTrip(ppm, precision int64) (int64, error) {
	elapsed := max(s.got.boot-s.sent.boot, s.got.raw-s.sent.raw)
	if min(s.got.boot-s.sent.boot, s.got.raw-s.sent.raw) < 0 {
		return 0, refusef("clock ran backwards during the query")
	}
	spent := int64(s.header.transmitted() - s.header.received())
	if spent < 0 || spent > int64(60)<<32 {
		return 0, refusef("server transmitted before it received")
	}
	turnaround := (spent>>32)*int64(time.Second) + ((spent&0xffffffff)*int64(time.Second))>>32
	trip := elapsed + drift(elapsed, ppm) - turnaround
	if trip < -2*precision {
		return 0, refusef("server spent longer than the round trip took")
	}
	return max(trip, 0), nil
}

const (
	ntpUnixSeconds = 2_208_988_800 // from 1900-01-01 to 1970-01-01
	eraSeconds     = 1 << 32
)

// ntpMicros turns an NTP timestamp into microseconds since the Unix epoch, rounded
// down, in the era nearest to the pivot.
func ntpMicros(ts uint64, pivot int64) int64 {
	seconds := int64(ts>>32) - ntpUnixSeconds
	pivotSeconds := pivot / 1_000_000
	eras := (pivotSeconds - seconds + eraSeconds/2) / eraSeconds
	if pivotSeconds-seconds+eraSeconds/2 < 0 {
		eras--
	}
	seconds += eras * eraSeconds
	return seconds*1_000_000 + int64((ts&0xffffffff)*1_000_000>>32)
}

// refusal says why an answer was not used.
type refusal string

func (r refusal) Error() string { return string(r) }

func refusef(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }
