package sink

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sago-worm/sago/store/format"
)

// Status is how far a sink is.
type Status struct {
	// Behind is how many durable records are not yet safe at the target. Since is
	// the quorum clock in the first of them, microseconds; 0 when there is none, or
	// before the first tick.
	Behind uint64
	Since  int64
	// Lags says that records have waited longer than Patience.
	Lags bool
	// Erased counts the records that history retention took before they were sent,
	// since Start.
	Erased uint64
	// Err is why nothing is sent at present, or nil.
	Err error
}

// Status answers from memory, and from one record of the history.
func (s *Sink) Status(ctx context.Context) Status {
	size := s.size()
	s.mu.Lock()
	st := Status{Lags: s.lags, Erased: s.erased, Err: s.err}
	next := s.cursor.next
	s.mu.Unlock()
	if next >= size {
		return st
	}
	st.Behind = size - next
	// What cannot be read is what Err says; since when stays unknown.
	_ = s.opts.History.Kept(ctx, next, next+1, func(_ uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		st.Since = rec.Clock
		return err
	})
	return st
}

// String is a line for people; empty when nothing is amiss.
func (st Status) String() string {
	var parts []string
	if st.Lags {
		part := fmt.Sprintf("%d records behind", st.Behind)
		if st.Since != 0 {
			part += " since " + instant(st.Since)
		}
		if st.Err != nil {
			part += ": " + st.Err.Error()
		}
		parts = append(parts, part)
	}
	if st.Erased > 0 {
		parts = append(parts, fmt.Sprintf("%d records were erased before they were sent", st.Erased))
	}
	if len(parts) == 0 {
		return ""
	}
	return "history sink: " + strings.Join(parts, "; ")
}

// watchEvery is how often the lag is judged.
const watchEvery = 500 * time.Millisecond

// watch says when the sink begins to lag and when it has caught up, also while
// the sending hangs.
func (s *Sink) watch(ctx context.Context) {
	recent := s.size()
	goal, since := recent, time.Now() // what is to be safe, and when it was there
	for pause(ctx, watchEvery) == nil {
		next, lags := s.position().next, s.lagging()
		switch {
		case lags && next >= recent:
			s.setLags(false)
			s.opts.Log.Info("history sink has caught up", "next", next)
		case !lags && next < goal && time.Since(since) > s.opts.Patience:
			s.setLags(true)
			st := s.Status(ctx)
			s.opts.Log.Warn("history sink lags", "behind", st.Behind, "since", instant(st.Since), "error", st.Err)
		}
		recent = s.size()
		if next >= goal {
			goal, since = recent, time.Now()
		}
	}
}

func (s *Sink) lagging() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lags
}

func (s *Sink) setLags(lags bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lags = lags
}
