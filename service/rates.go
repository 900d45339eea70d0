package service

import (
	"sync"

	"golang.org/x/time/rate"

	"github.com/sago-worm/sago/store/format"
)

// rates holds a limiter for each identity that calls.
type rates struct {
	limit rate.Limit
	burst int

	mu sync.Mutex
	of map[format.Digest]*rate.Limiter
}

func newRates(limit rate.Limit, burst int) *rates {
	return &rates{limit: limit, burst: burst, of: map[format.Digest]*rate.Limiter{}}
}

// allow takes one call of an identity's share.
func (r *rates) allow(identity format.Digest) bool {
	r.mu.Lock()
	l, ok := r.of[identity]
	if !ok {
		l = rate.NewLimiter(r.limit, r.burst)
		r.of[identity] = l
	}
	r.mu.Unlock()
	return l.Allow()
}

// forget drops the limiters of those who have not called: a full one says
// nothing that a new one does not.
func (r *rates) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, l := range r.of {
		if l.Tokens() >= float64(r.burst) {
			delete(r.of, id)
		}
	}
}
