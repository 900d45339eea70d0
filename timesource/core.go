package timesource

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// core is the state of a node's trusted time and its only rules: it does no I/O
// and reads no clock. NTP guards it with a mutex.
type core struct {
	policy  Policy // with defaults
	bootID  [16]byte
	maxAge  time.Duration // of the last selection, for a status of synchronized
	sources []sourceState

	held     *span // nil until the first selection
	heldAt   stamp
	agreed   bool   // the last attempt at a selection succeeded
	reason   string // why it did not
	jumps    uint64 // refused jumps, each counted when it begins
	inJump   bool
	evidence []byte
	id       [32]byte
	cross    crossCheck
}

// sourceState is what a node knows of one source.
type sourceState struct {
	source   Source
	address  string
	sample   *sample // the newest, while the source is reachable
	reach    uint8   // the last eight polls, newest in bit 0 (RFC 5905)
	reason   string  // why the last poll gave nothing
	interval time.Duration
	selected bool
}

func newCore(policy Policy, bootID [16]byte, now stamp, maxAge time.Duration) *core {
	c := &core{bootID: bootID, maxAge: maxAge, reason: "no selection yet", cross: crossCheck{start: now}}
	c.setPolicy(policy)
	return c
}

// setPolicy forgets all samples and keeps the held interval: another list of
// sources must still meet it.
func (c *core) setPolicy(policy Policy) {
	c.policy = policy
	c.sources = make([]sourceState, len(policy.Sources))
	for i, s := range policy.Sources {
		c.sources[i] = sourceState{source: s, reason: "not polled yet"}
	}
	c.agreed, c.reason = false, "no selection under this policy yet"
}

// answered takes a sample of source i. An answer that is refused withdraws the
// source's earlier one: the server speaks and must not be used.
func (c *core) answered(i int, m sample, now stamp, floor int64) error {
	s := &c.sources[i]
	if _, err := m.at(now, floor, c.policy.DriftPPM, c.policy.MaxRootDistance); err != nil {
		c.missed(i, err, now, floor)
		return err
	}
	s.sample, s.reach, s.reason = &m, s.reach<<1|1, ""
	c.reselect(now, floor)
	return nil
}

// missed records a poll without a usable answer. The earlier sample stays, ever
// wider, until eight polls in a row have failed.
func (c *core) missed(i int, why error, now stamp, floor int64) {
	s := &c.sources[i]
	s.reach <<= 1
	s.reason = why.Error()
	var refused refusal
	var kissed kissError
	if errors.As(why, &refused) || errors.As(why, &kissed) || s.reach == 0 {
		s.sample = nil
	}
	c.reselect(now, floor)
}

// reselect runs a selection over the present samples and narrows the held interval
// by it, or says why not.
func (c *core) reselect(now stamp, floor int64) {
	if c.held != nil && now.before(c.heldAt) {
		c.agreed, c.reason = false, errBackward.Error()
		return
	}
	s := c.selection(now, floor)
	err := s.decide()
	for i := range c.sources {
		c.sources[i].selected = s.entries[i].selected && (err == nil || errors.Is(err, errJump))
	}
	if err != nil {
		c.agreed, c.reason = false, err.Error()
		if jump := errors.Is(err, errJump); jump && !c.inJump {
			c.inJump, c.jumps = true, c.jumps+1
		}
		return
	}
	c.agreed, c.inJump, c.reason = true, false, ""
	c.held, c.heldAt = &s.result, now
	c.evidence = s.encode()
	c.id = sha256.Sum256(c.evidence)
}

func (c *core) selection(now stamp, floor int64) *selection {
	s := &selection{
		bootID: c.bootID, at: now, floor: floor,
		ppm: c.policy.DriftPPM, limit: c.policy.MaxRootDistance,
		majority: c.policy.majority(), closed: c.policy.ClosedNetwork,
		entries: make([]entry, len(c.sources)),
	}
	if c.held != nil {
		moved := c.held.after(c.heldAt, now, c.policy.DriftPPM)
		s.held = &moved
	}
	for i, src := range c.sources {
		s.entries[i] = entry{source: src.source, sample: src.sample}
	}
	return s
}

// now moves the held interval to the given stamp and judges it. The bool is false
// before the first selection.
func (c *core) now(at stamp) (span, Status, string, bool) {
	fault := c.cross.observe(at)
	if c.held != nil && at.before(c.heldAt) {
		fault = errBackward.Error()
	}
	if c.held == nil {
		if fault != "" {
			return span{}, Fault, fault, false
		}
		return span{}, Unsynchronized, c.reason, false
	}
	s := c.held.after(c.heldAt, at, c.policy.DriftPPM)
	age := time.Duration(at.boot - c.heldAt.boot)
	switch {
	case fault != "":
		return s, Fault, fault, true
	case s.width() > c.policy.MaxWidth:
		return s, Unsynchronized, fmt.Sprintf("interval is wider than %v; %s", c.policy.MaxWidth, c.reason), true
	case !c.agreed:
		return s, Holdover, c.reason, true
	case age > c.maxAge:
		return s, Holdover, fmt.Sprintf("no selection for %v", age.Round(time.Second)), true
	}
	return s, Synchronized, "", true
}

// sourceReports describes each source at the given stamp.
func (c *core) sourceReports(at stamp, floor int64) []SourceReport {
	reports := make([]SourceReport, len(c.sources))
	for i, s := range c.sources {
		r := SourceReport{
			Name: s.source.Name, Operator: s.source.Operator, Auth: s.source.Auth, Address: s.address,
			Reach: s.reach, PollInterval: s.interval, Selected: s.selected, Reason: s.reason,
		}
		if s.sample != nil {
			r.Stratum = s.sample.header.stratum()
			if moved, err := s.sample.at(at, floor, c.policy.DriftPPM, c.policy.MaxRootDistance); err == nil {
				r.Earliest, r.Latest = moved.earliest(), moved.latest()
				r.Falseticker = !s.selected && (c.agreed || c.inJump)
			}
			if r.Falseticker && r.Reason == "" {
				r.Reason = "disagrees with the majority"
			}
		}
		reports[i] = r
	}
	return reports
}
