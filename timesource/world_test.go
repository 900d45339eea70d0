package timesource

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testntp"
)

var (
	newYear   = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	fortnight = 14 * 24 * time.Hour
)

// answerAt is an honest header that says the given time.
func answerAt(t time.Time) header {
	var h header
	h[0] = 4<<3 | 4
	h[1] = 1
	h[3] = 0xe9 // 2^-23 s
	binary.BigEndian.PutUint64(h[16:], testntp.Timestamp(t.Add(-time.Second)))
	binary.BigEndian.PutUint64(h[32:], testntp.Timestamp(t))
	binary.BigEndian.PutUint64(h[40:], testntp.Timestamp(t))
	return h
}

func fourSources() Policy {
	p := Policy{}
	for i := range 4 {
		p.Sources = append(p.Sources, Source{
			Name: fmt.Sprintf("source-%d", i), Operator: fmt.Sprintf("operator-%d", i), Auth: AuthNone,
		})
	}
	return p
}

// world is a core among sources on simulated clocks: nothing in it waits.
type world struct {
	testing.TB
	core  *core
	now   stamp
	true0 time.Time // true time when the boot clock was zero
	trip  time.Duration
	floor time.Time
}

func newWorld(t testing.TB, policy Policy) *world {
	t.Helper()
	if err := policy.Validate(); err != nil {
		t.Fatal(err)
	}
	start := stamp{boot: int64(time.Hour), raw: int64(50 * time.Minute)}
	return &world{
		TB: t, core: newCore(policy.withDefaults(), [16]byte{1}, start, 10*time.Minute), now: start,
		true0: newYear, trip: 2 * time.Millisecond, floor: newYear.Add(-fortnight),
	}
}

func (w *world) truth() time.Time { return w.true0.Add(time.Duration(w.now.boot)) }

func (w *world) pass(d time.Duration) {
	w.now.boot += int64(d)
	w.now.raw += int64(d)
}

// poll lets each source answer with its offset, in order.
func (w *world) poll(offsets ...time.Duration) {
	for i, offset := range offsets {
		sent := w.now
		w.pass(w.trip / 2)
		h := answerAt(w.truth().Add(offset))
		w.pass(w.trip / 2)
		_ = w.core.answered(i, sample{header: h, sent: sent, got: w.now}, w.now, w.floor.UnixMicro())
	}
}

// want demands a status and, when there is an interval, that it holds the truth.
func (w *world) want(status Status) span {
	w.Helper()
	s, got, reason, has := w.core.now(w.now)
	if got != status {
		w.Errorf("status %v (%s), want %v", got, reason, status)
	}
	if truth := w.truth().UnixMicro(); has && (truth < s.lo || truth > s.hi) {
		w.Errorf("truth %d is not within %v", truth, s)
	}
	return s
}
