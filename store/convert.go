package store

import (
	"fmt"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// retentionOf gives a row its meaning. A row that package retention does not
// understand is the zero Retention: locked (I8).
func retentionOf(t format.RetentionRow) retention.Retention {
	rule, err := retention.ParseRule(t.Rule)
	if err != nil {
		return retention.Retention{}
	}
	r := retention.Retention{
		Rule: rule, Basis: retention.BasisKind(t.Basis), Start: retention.Instant(t.Start),
		Deadline: retention.Instant(t.Deadline), Event: retention.Instant(t.Event),
		View: retention.View{Actor: t.ViewActor, Request: t.ViewRequest, Reads: t.ViewReads, GraceEnd: retention.Instant(t.ViewGrace)},
	}
	for _, p := range t.Prior {
		rule, err := retention.ParseRule(p)
		if err != nil {
			return retention.Retention{}
		}
		r.Prior = append(r.Prior, rule)
	}
	for _, h := range t.Holds {
		r.Holds = append(r.Holds, retention.Hold{ID: h.ID, Owner: h.Owner, Basis: retention.HoldBasis(h.Basis), Review: retention.Instant(h.Review)})
	}
	return r
}

func retentionRow(r retention.Retention) format.RetentionRow {
	t := format.RetentionRow{
		Rule: r.Rule.String(), Basis: uint8(r.Basis), Start: int64(r.Start), Deadline: int64(r.Deadline), Event: int64(r.Event),
		ViewActor: r.View.Actor, ViewRequest: r.View.Request, ViewReads: r.View.Reads, ViewGrace: int64(r.View.GraceEnd),
	}
	for _, p := range r.Prior {
		t.Prior = append(t.Prior, p.String())
	}
	for _, h := range r.Holds {
		t.Holds = append(t.Holds, format.HoldRow{ID: h.ID, Owner: h.Owner, Basis: uint8(h.Basis), Review: int64(h.Review)})
	}
	return t
}

func clockOf(t format.ClockRow) retention.Clock {
	c := retention.Clock{Round: t.Round, Now: retention.Instant(t.Now), Floor: retention.Instant(t.Floor), Ceremony: retention.Instant(t.Ceremony)}
	for _, l := range t.Lines {
		c.Lines = append(c.Lines, retention.Line{Voter: l.Voter, BootID: l.BootID, Base: retention.Instant(l.Base), BootAt: l.BootAt, Last: l.Reading})
	}
	return c
}

func clockRow(c retention.Clock, start retention.Instant) format.ClockRow {
	t := format.ClockRow{Round: c.Round, Now: int64(c.Now), Floor: int64(c.Floor), Ceremony: int64(c.Ceremony), Start: int64(start)}
	for _, l := range c.Lines {
		t.Lines = append(t.Lines, format.LineRow{Voter: l.Voter, BootID: l.BootID, Base: int64(l.Base), BootAt: l.BootAt, Reading: l.Last})
	}
	return t
}

func votesOf(signed []format.SignedVote) []retention.Vote {
	votes := make([]retention.Vote, len(signed))
	for i, v := range signed {
		votes[i] = retention.Vote{Voter: v.Voter, Round: v.Round, Earliest: retention.Instant(v.Earliest), Latest: retention.Instant(v.Latest),
			BootID: v.BootID, BootReading: v.BootReading}
	}
	return votes
}

func clockPolicy(p format.Policy) retention.ClockPolicy {
	return retention.ClockPolicy{Slack: micros(p.Slack), Agreement: micros(p.Agreement)}
}

func bounds(p format.Policy) (retention.Bounds, error) {
	most, err := retention.ParseRule(fmt.Sprintf("P%dY", p.MaxYears))
	if err != nil {
		return retention.Bounds{}, fmt.Errorf("policy: longest retention: %w", err)
	}
	return retention.Bounds{Max: most}, nil
}
