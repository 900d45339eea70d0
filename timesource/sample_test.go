package timesource

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testntp"
	"pgregory.net/rapid"
)

const limit = 1500 * time.Millisecond

func judge(h header, floor time.Time) (span, error) {
	m := sample{header: h, sent: stamp{1000, 1000}, got: stamp{2_001_000, 2_001_000}}
	return m.at(m.got, floor.UnixMicro(), 200, limit)
}

func TestP09_ErasAreJudgedByTheFloor(t *testing.T) {
	date := func(year int, month time.Month, day int) time.Time {
		return time.Date(year, month, day, 6, 28, 14, 123456000, time.UTC)
	}
	for _, c := range []struct {
		server, floor time.Time
		ok            bool
	}{
		{date(2026, 12, 1), date(2026, 11, 1), true},
		{date(2036, 2, 7), date(2036, 2, 6), true},
		{date(2036, 2, 8), date(2036, 2, 6), true}, // after the wrap at 06:28:16 on the 7th
		{date(2036, 2, 6), date(2036, 2, 8), false},
		{date(2038, 1, 20), date(2026, 11, 1), true}, // alone; a lone liar is outvoted
		{date(2090, 1, 1), date(2026, 11, 1), true},
		{date(2100, 1, 1), date(2026, 11, 1), false}, // more than 68 years ahead reads as the past
		{date(1970, 1, 1), date(2026, 11, 1), false},
		{date(2000, 1, 1), date(2026, 11, 1), false},
		{date(2026, 10, 31), date(2026, 11, 1), false},
		{date(2100, 1, 1), date(2099, 12, 31), true},
		{date(2180, 6, 1), date(2172, 3, 15), true}, // era 2
		{date(9999, 12, 30), date(9999, 12, 29), true},
	} {
		s, err := judge(answerAt(c.server), c.floor)
		if (err == nil) != c.ok {
			t.Errorf("server %v, floor %v: %v", c.server, c.floor, err)
			continue
		}
		if at := c.server.UnixMicro(); c.ok && (at < s.lo || at > s.hi) {
			t.Errorf("server %v, floor %v: interval from %v", c.server, c.floor, s.earliest())
		}
	}
}

func TestP09_RefusedAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*header)
		reason string
	}{
		"leap 3":          {func(h *header) { h[0] |= 3 << 6 }, "not synchronized"},
		"stratum 0":       {func(h *header) { h[1] = 0 }, "stratum 0"},
		"stratum 16":      {func(h *header) { h[1] = 16 }, "stratum 16"},
		"zero transmit":   {func(h *header) { clear(h[40:48]) }, "zero server time"},
		"zero receive":    {func(h *header) { clear(h[32:40]) }, "zero server time"},
		"root delay":      {func(h *header) { binary.BigEndian.PutUint32(h[4:], 4<<16) }, "root distance"},
		"root dispersion": {func(h *header) { binary.BigEndian.PutUint32(h[8:], 2<<16) }, "root distance"},
		"huge distance":   {func(h *header) { binary.BigEndian.PutUint32(h[8:], 0xffffffff) }, "root distance"},
		"precision":       {func(h *header) { h[3] = 1 }, "root distance"},
		"wild precision":  {func(h *header) { h[3] = 100 }, "precision"},
		"old reference":   {func(h *header) { copy(h[16:24], answerTime(newYear.Add(-37*time.Hour))) }, "last set"},
		"new reference":   {func(h *header) { copy(h[16:24], answerTime(newYear.Add(time.Minute))) }, "last set"},
		"backwards":       {func(h *header) { copy(h[32:40], answerTime(newYear.Add(time.Second))) }, "before it received"},
		"slow inside":     {func(h *header) { copy(h[32:40], answerTime(newYear.Add(-time.Second))) }, "longer than the round trip"},
	} {
		h := answerAt(newYear)
		c.change(&h)
		if _, err := judge(h, newYear.Add(-fortnight)); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v, want %q", name, err, c.reason)
		}
	}
	if _, err := judge(answerAt(newYear), newYear); err != nil {
		t.Errorf("the honest answer: %v", err)
	}
	slow := sample{header: answerAt(newYear), got: stamp{int64(4 * time.Second), int64(4 * time.Second)}}
	if _, err := slow.interval(0, 200, limit); err == nil {
		t.Error("a round trip of 4 s was taken")
	}
}

func answerTime(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, testntp.Timestamp(t))
}

// However the way is split, however far the server's own root error carries it and
// whatever was done to the boot clock, the interval holds the truth.
func TestSampleIntervalHoldsTruth(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		there := time.Duration(rapid.Int64Range(0, int64(700*time.Millisecond)).Draw(r, "there"))
		back := time.Duration(rapid.Int64Range(0, int64(700*time.Millisecond)).Draw(r, "back"))
		inside := time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(r, "inside"))
		dispersion := time.Duration(rapid.Int64Range(0, int64(100*time.Millisecond)).Draw(r, "dispersion"))
		wrong := time.Duration(rapid.Int64Range(-int64(dispersion), int64(dispersion)).Draw(r, "wrong"))
		slew := rapid.Int64Range(-100_000, 100_000).Draw(r, "slew ppm")
		received := newYear.Add(wrong)
		h := answerAt(received)
		copy(h[40:48], answerTime(received.Add(inside)))
		binary.BigEndian.PutUint32(h[8:], uint32((dispersion<<16+time.Second-1)/time.Second))
		trip := int64(there + inside + back)
		m := sample{header: h, got: stamp{boot: trip + trip*slew/1_000_000, raw: trip}}
		s, err := m.interval(newYear.Add(-fortnight).UnixMicro(), 200, 10*time.Second)
		if err != nil {
			r.Fatal(err)
		}
		if truth := newYear.Add(inside + back).UnixMicro(); truth < s.lo || truth > s.hi {
			r.Fatalf("truth %d is not within %v", truth, s)
		}
	})
}

func TestP16_SpanArithmetic(t *testing.T) {
	for _, c := range []struct{ ns, down, up int64 }{
		{0, 0, 0}, {1, 0, 1}, {999, 0, 1}, {1000, 1, 1}, {1001, 1, 2}, {-1, -1, 0}, {-1000, -1, -1}, {-1001, -2, -1},
	} {
		if floorMicros(c.ns) != c.down || ceilMicros(c.ns) != c.up {
			t.Errorf("%d ns: %d, %d", c.ns, floorMicros(c.ns), ceilMicros(c.ns))
		}
	}
	for _, c := range []struct{ elapsed, want int64 }{
		{0, 0}, {1, 1}, {5000, 1}, {5001, 2}, {1_000_000, 200}, {maxStamp, 922_337_203_685_478},
	} {
		if got := drift(c.elapsed, 200); got != c.want {
			t.Errorf("drift of %d is %d, want %d", c.elapsed, got, c.want)
		}
	}
	end := span{maxMicros - 1, maxMicros - 1}
	if s := end.after(stamp{}, stamp{maxStamp, maxStamp}, 1000); s.hi < maxMicros || s.lo < maxMicros {
		t.Errorf("year 9999 overflowed: %v", s)
	}
	if s := end.after(stamp{5, 5}, stamp{1, 1}, 200); s != end {
		t.Errorf("an earlier stamp moved the span to %v", s)
	}
}
