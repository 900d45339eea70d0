package system_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

// TestRoot_P01_WallClock moves the host's date by 20 years both ways, under
// running nodes and across a restart of one: nothing notices.
func TestRoot_P01_WallClock(t *testing.T) {
	move := movingWallClock(t)
	ctx := bounded(t, 90*time.Second)
	s := startSite(t, ctx, testcluster.Options{Policy: testcluster.Policy{Slack: slack}})
	rules := []string{"P5Y", "PT1H"}
	s.stored(ctx, rules...)
	deadlines := s.deadlines(ctx, rules)
	w := s.watched(ctx)
	for k, years := range []int{20, -20} {
		move(years)
		s.kept(ctx, rules...)
		s.stored(ctx, fmt.Sprintf("PT%dM", 30+k)) // its period begins with a tick of now
		w.gained(ctx)
		must(t, s.Kill(k))
		must(t, s.Start(k))
		must(t, s.ReadyAt(ctx, k))
		s.kept(ctx, rules...)
		s.awaitClocks(ctx, "synchronized", synchronized)
		s.sago(ctx, 0, k, "officer", "bundle", "get", "--transaction", "T-P5Y", "--purpose", "시험", "-o", os.DevNull)
		w.gained(ctx)
		move(0)
	}
	w.gained(ctx)
	if now := s.deadlines(ctx, rules); now != deadlines {
		t.Errorf("the deadlines were %s and are %s", deadlines, now)
	}
	s.healthy(ctx)
	s.intact(ctx)
}

// deadlines are those of the bundles of stored, as every node shows them.
func (s *site) deadlines(ctx context.Context, rules []string) (all string) {
	s.t.Helper()
	for i := range s.Size() {
		for _, r := range rules {
			all += fmt.Sprint(s.sago(ctx, 0, i, "auditor", "bundle", "show", "--transaction", "T-"+r)["deadline"], " ")
		}
	}
	return all
}
