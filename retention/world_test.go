package retention

import (
	"testing"
	"time"
)

// world is a cluster outside the rules: true time, and voters with boot clocks.
type world struct {
	t      testing.TB
	now    Instant // true time
	origin Instant
	clock  Clock
	policy ClockPolicy
	nodes  []*node
}

// node is one voter. Its boot clock is honest unless a test says otherwise; what
// it says of the time is the test's choice.
type node struct {
	id     uint32
	boot   uint64 // counts its boots
	bootAt Instant
	drift  int64 // ppm of its boot clock
}

const epoch2026 Instant = 1_770_000_000 * microsPerSecond

func newWorld(t testing.TB, n int) *world {
	w := &world{t: t, now: epoch2026, origin: epoch2026, policy: DefaultClockPolicy(), clock: NewClock(epoch2026.Add(-time.Minute))}
	for i := range n {
		w.nodes = append(w.nodes, &node{id: uint32(i + 1), boot: 1, bootAt: epoch2026.Add(-time.Hour)})
	}
	return w
}

func (w *world) voters() []uint32 {
	var ids []uint32
	for _, n := range w.nodes {
		ids = append(ids, n.id)
	}
	return ids
}

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

func (w *world) reboot(n *node) { n.boot++; n.bootAt = w.now }

// vote is what node i says when its sources are off by so much.
func (w *world) vote(i int, off time.Duration) Vote {
	n := w.nodes[i]
	up := int64(w.now - n.bootAt)
	return Vote{
		Voter: n.id, Round: w.clock.Round,
		Earliest: w.now.plus(off.Microseconds() - 50_000), Latest: w.now.plus(off.Microseconds() + 50_000),
		BootID: [16]byte{byte(n.id), 1, byte(n.boot), byte(n.boot >> 8)}, BootReading: (up + up/1_000_000*n.drift) * 1000,
	}
}

// tick enters votes of the given nodes, all with sources off by so much.
func (w *world) tick(off time.Duration, nodes ...int) Tick {
	w.t.Helper()
	var votes []Vote
	for _, i := range nodes {
		votes = append(votes, w.vote(i, off))
	}
	return w.enter(votes)
}

// enter advances the clock by votes that must be valid, and checks what holds
// after every entry.
func (w *world) enter(votes []Vote) Tick {
	w.t.Helper()
	before := w.clock
	next, tick, err := w.clock.Advance(w.voters(), votes, w.policy)
	if err != nil {
		w.t.Fatalf("entry of round %d: %v", w.clock.Round, err)
	}
	if next.Now < before.Now || next.Floor < before.Floor || next.Round != before.Round+1 {
		w.t.Fatalf("went back: %+v after %+v", next, before)
	}
	if err := next.check(); err != nil {
		w.t.Fatalf("left %+v: %v", next, err)
	}
	w.clock = next
	return tick
}

// gain is how far the clock is ahead of true time.
func (w *world) gain() time.Duration {
	return time.Duration(w.clock.Now-w.now) * time.Microsecond
}

// allowed is the most that sources lying together may have gained by now.
func (w *world) allowed() time.Duration {
	elapsed := w.now.since(w.origin)
	return w.policy.Slack + elapsed/1_000_000*growthPPM + time.Millisecond
}
