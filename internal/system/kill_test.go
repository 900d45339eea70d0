package system_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sago-worm/sago/internal/testcluster"
)

// unavailable says whether a call failed as one does whose node is away, or that
// could not tell what became of it.
func unavailable(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true
	default:
		return false
	}
}

// TestP65_KillNine kills nodes under load, again and again: what was acknowledged
// is there afterwards, once, at every node.
func TestP65_KillNine(t *testing.T) {
	ctx := bounded(t, 4*time.Minute)
	s := startSite(t, ctx, testcluster.Options{})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := startLoad(ctx, s)
	l.flows(ctx, 0, 1, 2)
	begun := time.Now()
	n := rounds(50)
	for range n {
		victim := random.IntN(s.Size())
		must(t, s.Kill(victim))
		l.flows(ctx, (victim+1)%3, (victim+2)%3)
		must(t, s.Start(victim))
		must(t, s.ReadyAt(ctx, victim))
		l.flows(ctx, victim)
	}
	t.Logf("%d kills in %v", n, time.Since(begun))
	s.healthy(ctx)
	l.end()
	l.recorded(ctx, s)
	l.readable(ctx, s)
	s.intact(ctx)
}
