package timesource

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// kissError is a server's kiss-o'-death (RFC 5905, section 7.4).
type kissError string

func (k kissError) Error() string {
	if k.final() {
		return fmt.Sprintf("kiss-o'-death %q: the server refuses us, polling stopped", string(k))
	}
	return fmt.Sprintf("kiss-o'-death %q", string(k))
}

// final says whether the server asks never to be asked again.
func (k kissError) final() bool { return k == "DENY" || k == "RSTR" }

// pace decides when a source is polled next.
type pace struct {
	next, most time.Duration
	rated      int // RATE answers so far; each doubles the longest interval
}

// maxRated bounds what RATE answers can do to 16 times the longest interval.
const maxRated = 4

func newPace(least, most time.Duration) *pace { return &pace{next: least, most: most} }

// after returns how long to wait after a poll that ended with err; false means
// that the source must not be polled again.
func (p *pace) after(err error) (time.Duration, bool) {
	var kiss kissError
	if errors.As(err, &kiss) {
		if kiss.final() {
			return 0, false
		}
		if kiss == "RATE" {
			p.rated = min(p.rated+1, maxRated)
			p.next *= 2
		}
	}
	wait := min(p.next, p.most<<p.rated)
	p.next = min(2*wait, p.most<<p.rated)
	return wait, true
}

// poller asks one source, again and again.
type poller struct {
	ntp        *NTP
	generation int
	index      int
	pace       *pace
	client     *client
}

// run polls until ctx ends or the server refuses us. A refusal holds until the
// source list changes or the process starts again.
func (p *poller) run(ctx context.Context) {
	for ctx.Err() == nil {
		m, err := p.client.query(ctx)
		if ctx.Err() != nil {
			return
		}
		err = p.ntp.record(p, m, err)
		wait, again := p.pace.after(err)
		p.ntp.paced(p, wait)
		if !again {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
