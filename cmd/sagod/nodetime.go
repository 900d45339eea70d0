package main

import (
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/timesource"
)

// nodeTime is a node's trusted time. The clock comes after the node's state,
// which holds the policy and the floor that the clock needs; until then there is
// no time.
type nodeTime struct {
	clock atomic.Pointer[timesource.Clock]
}

func (t *nodeTime) set(c timesource.Clock) { t.clock.Store(&c) }

// Now implements replication.TimeSource.
func (t *nodeTime) Now() (replication.Interval, error) {
	c := t.clock.Load()
	if c == nil {
		return replication.Interval{}, timesource.ErrNoTime
	}
	r, err := (*c).Now()
	if err != nil {
		return replication.Interval{}, err
	}
	return replication.Interval{
		Earliest: r.Earliest.UnixMicro(), Latest: r.Latest.UnixMicro(), BootID: r.Boot.ID, BootReading: r.Boot.Reading,
		Evidence: r.EvidenceID, Votes: r.Status == timesource.Synchronized || r.Status == timesource.Holdover,
	}, nil
}

// report is the node's own part of `clock status`.
func (t *nodeTime) report() *sagov1.ClockServiceStatusResponse {
	c := t.clock.Load()
	if c == nil {
		return &sagov1.ClockServiceStatusResponse{Status: timesource.Unsynchronized.String(), Detail: timesource.ErrNoTime.Error()}
	}
	report := (*c).Report()
	now := report.Reading
	out := &sagov1.ClockServiceStatusResponse{
		Status: now.Status.String(), Development: now.Development, Detail: report.Reason,
		Earliest: timestamp(now.Earliest), Latest: timestamp(now.Latest),
	}
	for _, s := range report.Sources {
		out.Sources = append(out.Sources, sourceReport(s, now))
	}
	return out
}

// sourceReport gives a source's distance from the node's interval, middle to
// middle, and half its own width.
func sourceReport(s timesource.SourceReport, now timesource.Reading) *sagov1.ClockSource {
	out := &sagov1.ClockSource{Name: s.Name, Operator: s.Operator, Auth: string(s.Auth), Selected: s.Selected, Detail: s.Reason}
	switch {
	case s.Falseticker:
		out.State = "falseticker"
	case s.Selected:
		out.State = "selected"
	case s.Reach == 0:
		out.State = "unreachable"
	default:
		out.State = "reachable"
	}
	if !s.Earliest.IsZero() {
		half := s.Latest.Sub(s.Earliest) / 2
		out.ErrorSeconds = half.Seconds()
		if !now.Earliest.IsZero() {
			middle := now.Earliest.Add(now.Latest.Sub(now.Earliest) / 2)
			out.OffsetSeconds = s.Earliest.Add(half).Sub(middle).Seconds()
		}
	}
	return out
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// timePolicy is the part of the replicated policy that a node's clock obeys.
func timePolicy(p format.Policy) timesource.Policy {
	out := timesource.Policy{MinSources: int(p.MinSources), ClosedNetwork: p.ClosedNetwork}
	for _, s := range p.Sources {
		out.Sources = append(out.Sources, timesource.Source{Name: s.Name, Operator: s.Operator, Auth: timesource.AuthKind(s.Auth),
			KeyID: uint16(s.KeyID), NTSName: s.NTSName})
	}
	return out
}
