package replication

import "time"

// Timing holds the intervals that tests shorten. Zero values take the defaults.
type Timing struct {
	Heartbeat, Election, Lease time.Duration
	// TickIdle and TickBusy are the intervals between clock entries.
	TickIdle, TickBusy time.Duration
	// Duties is how often a node looks after what it has to do.
	Duties time.Duration
	// StateEvery is the time on the quorum clock between two digests over all rows.
	StateEvery time.Duration
	// Keep is how often a node looks after the retention of history.
	Keep time.Duration
	// SnapshotThreshold and TrailingLogs are raft's.
	SnapshotThreshold, TrailingLogs uint64
	SnapshotInterval                time.Duration
	// BlockSlots is the size of a key block.
	BlockSlots int
}

func (t Timing) withDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.Heartbeat, time.Second)
	def(&t.Election, time.Second)
	def(&t.Lease, 500*time.Millisecond)
	def(&t.TickIdle, time.Minute)
	def(&t.TickBusy, time.Second)
	def(&t.Duties, 200*time.Millisecond)
	def(&t.SnapshotInterval, 30*time.Second)
	def(&t.StateEvery, 24*time.Hour)
	def(&t.Keep, 5*t.Duties)
	if t.SnapshotThreshold == 0 {
		t.SnapshotThreshold = 8192
	}
	if t.TrailingLogs == 0 {
		t.TrailingLogs = 10240
	}
	if t.BlockSlots == 0 {
		t.BlockSlots = 4096
	}
	return t
}
