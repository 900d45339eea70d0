package service

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// deniedSingly is how many denials a minute, for one principal and reason, are
// records of their own. What is more is counted.
const deniedSingly = 10

// denials counts refusals by principal and reason over one minute.
type denials struct {
	mu     sync.Mutex
	minute int64 // quorum clock when the minute opened, microseconds
	seen   map[denialKey]int
	excess map[denialKey]*denial
}

type denialKey struct {
	identity format.Digest
	reason   format.Reason
}

// denial is what a DENY record says, sealed parts in the clear.
type denial struct {
	reason      format.Reason
	verb        format.Action
	actor       uint64
	institution uint32
	transaction string
	part        uint32
	count       uint32
	minute      int64
	detail      format.Detail
}

func newDenials(clock int64) *denials {
	return &denials{minute: clock, seen: map[denialKey]int{}, excess: map[denialKey]*denial{}}
}

// count takes one refusal. It answers true when the refusal wants a record of
// its own; otherwise it is in the minute's count.
func (d *denials) count(k denialKey, one denial) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[k]++; d.seen[k] <= deniedSingly {
		return true
	}
	d.add(k, one)
	return false
}

// only counts a refusal that never has a record of its own; first describes the
// minute's first one.
func (d *denials) only(k denialKey, first func() denial) {
	d.mu.Lock()
	sum, ok := d.excess[k]
	if ok {
		sum.count++
	}
	d.mu.Unlock()
	if ok {
		return
	}
	one := first()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(k, one)
}

// note counts a refusal that Apply has recorded already.
func (d *denials) note(k denialKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[k]++
}

// flooding reports whether the next refusal of that kind would only be counted.
func (d *denials) flooding(k denialKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen[k] >= deniedSingly
}

// add joins a denial with those counted already. What differs between them
// (verb, transaction number) stays the first one's, or is left out.
func (d *denials) add(k denialKey, one denial) {
	sum, ok := d.excess[k]
	if !ok {
		one.transaction, one.part, one.minute = "", 0, d.minute
		d.excess[k] = &one
		return
	}
	sum.count += one.count
}

// take ends the minute: it answers what was counted and opens the next minute
// at the given clock.
func (d *denials) take(clock int64) map[denialKey]*denial {
	d.mu.Lock()
	defer d.mu.Unlock()
	counted := d.excess
	d.seen, d.excess, d.minute = map[denialKey]int{}, map[denialKey]*denial{}, clock
	return counted
}

// giveBack returns a count that could not be written to the running minute.
func (d *denials) giveBack(k denialKey, one denial) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sum, ok := d.excess[k]; ok {
		one.count += sum.count
	}
	d.excess[k] = &one
}

// flushDenials writes one record for each principal and reason that was counted.
// What cannot be written now is kept for the next minute.
func (s *Server) flushDenials(ctx context.Context) {
	lost := 0
	for k, one := range s.denials.take(s.node.Store().Summary().Clock.Now) {
		if err := s.record(ctx, *one); err != nil {
			s.denials.giveBack(k, *one)
			lost++
		}
	}
	if lost > 0 {
		s.log.Warn("counted denials could not be recorded yet", "principals and reasons", lost)
	}
}

// record proposes a DENY and waits for it.
func (s *Server) record(ctx context.Context, d denial) error {
	op := store.Op{
		Kind: store.KindDeny, ID: s.node.NewID(), Actor: d.actor, Institution: d.institution, Transaction: d.transaction, Part: d.part,
		Reason: d.reason, Body: format.EncodeEffect(format.DenyEffect{Verb: d.verb, Count: d.count, Minute: d.minute}),
	}
	err := s.seal(&op, format.DetailOther, d.detail)
	if err != nil && !errors.Is(err, store.ErrNoKeys) {
		return err
	}
	// Without keys yet the envelope is recorded alone: a denial without names is
	// better than none.
	ctx, cancel := context.WithTimeout(ctx, proposeWithin)
	defer cancel()
	result, err := s.node.Submit(ctx, op)
	if err == nil && !result.Recorded {
		err = refusedBy(result)
	}
	return err
}

// denied records that a call was refused before anything was done, and answers
// what the caller is told: why, or that not even the refusal could be recorded.
func (s *Server) denied(ctx context.Context, c *caller, m method, req any, why error) error {
	reason := reasonOf(why)
	if reason == format.ReasonOK || reason == format.ReasonNotReady {
		return why // a failure, not a denial
	}
	one := denial{reason: reason, verb: m.action, actor: c.ID, institution: c.Institution, count: 1, detail: c.detail()}
	if put, ok := req.(*sagov1.PutRequest); ok {
		req = put.GetHeader()
	}
	about, ok := req.(interface {
		GetTransaction() string
		GetPart() uint32
	})
	if ok && c.ID != 0 && checkTransaction(about.GetTransaction()) == nil {
		one.transaction, one.part = about.GetTransaction(), max(about.GetPart(), 1)
	}
	if err := s.deny(ctx, c, one); err != nil {
		s.log.Warn("a denial could not be recorded", "error", problemOf(err).logged())
		if !m.unrecorded {
			return &problem{reason: reasonUnavailable, code: codes.Unavailable, why: "the refusal could not be recorded", err: err}
		}
	}
	return why
}

// deniedWithout records that a call was refused in its own code, as for want of a
// reason or of the acting person (R92), and answers what the caller is told.
func (s *Server) deniedWithout(ctx context.Context, c *caller, full string, req any, why error) error {
	m, _ := methodOf(full)
	return s.denied(ctx, c, m, req, why)
}

// deny records one denial, or counts it in a flood.
func (s *Server) deny(ctx context.Context, c *caller, one denial) error {
	k := denialKey{c.identity, one.reason}
	if !s.denials.count(k, one) {
		return nil
	}
	return s.record(ctx, one)
}
