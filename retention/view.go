package retention

import (
	"fmt"
	"time"
)

const (
	// Grace is how long the reader of a one-time view may repeat it, counted
	// from the first clock entry after the first read.
	Grace = 10 * time.Minute
	// MaxReads is how often a one-time view can be read in all: once, and three
	// repeats of the same request.
	MaxReads = 4
)

// View is the state of a one-time view (1회성 열람): the actor and request that
// the first committed read bound it to. The zero View is not taken.
type View struct {
	Actor    uint64
	Request  [16]byte
	Reads    uint8   // reads so far, repeats included
	GraceEnd Instant // unset until the first clock entry after the first read
}

func (v View) taken() bool { return v.Reads > 0 }

// Read decides whether the actor may read the record with this request when the
// quorum clock reads now, and is the retention after that read. The first read
// of a one-time view binds it; from then on, whatever the clock's state, only
// the same actor may repeat the same request, three times within the grace.
// Other rules are unchanged by reads.
//
// Errors: ErrLocked; ErrExpired past the end; ErrHeld past the end of a held
// record, which may be read for the hold's purpose only, as the caller decides;
// ErrViewed for a view taken by another, or used up; ErrUnset for a one-time
// read without an actor or request id.
func (r Retention) Read(actor uint64, request [16]byte, now Instant) (Retention, error) {
	if err := r.Check(); err != nil {
		return r, err
	}
	switch r.Status(now) {
	case StateExpired:
		return r, fmt.Errorf("%w: at %v", ErrExpired, r.End())
	case StateHeld:
		return r, fmt.Errorf("%w: retention ended at %v", ErrHeld, r.End())
	}
	if r.Rule.kind != RuleOneTime {
		return r, nil
	}
	switch v := r.View; {
	case actor == 0 || request == [16]byte{}:
		return r, fmt.Errorf("%w: a one-time view needs an actor and a request id", ErrUnset)
	case v.taken() && (v.Actor != actor || v.Request != request):
		return r, ErrViewed
	case v.Reads == MaxReads:
		return r, fmt.Errorf("%w: repeated %d times", ErrViewed, MaxReads-1)
	}
	r.View.Actor, r.View.Request = actor, request
	r.View.Reads++
	return r, nil
}
