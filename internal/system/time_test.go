package system_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/testcluster"
	"github.com/sago-worm/sago/internal/testntp"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// shift moves the true time of all time servers.
func (s *site) shift(by time.Duration) {
	for i := range s.sources {
		s.TimeSource(i).Set(func(b *testntp.Behaviour) { b.Epoch = b.Epoch.Add(by) })
	}
}

// lie has time server i add this to true time; 0 is the truth.
func (s *site) lie(i int, offset time.Duration) {
	s.TimeSource(i).Set(func(b *testntp.Behaviour) { b.Offset = offset })
}

// boottime is CLOCK_BOOTTIME: what has passed, whatever the host's date says.
func boottime(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	must(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &now))
	return time.Duration(now.Nano())
}

// clockOf is what node i says of the clock.
func (s *site) clockOf(ctx context.Context, i int) *sagov1.ClockServiceStatusResponse {
	s.t.Helper()
	call, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	answer, err := s.client(ctx, i, "auditor").ClockStatus(call)
	must(s.t, err)
	return answer
}

// awaitClocks waits until every node says this of its clock.
func (s *site) awaitClocks(ctx context.Context, what string, is func(*sagov1.ClockServiceStatusResponse) bool) {
	s.t.Helper()
	for i := range s.Size() {
		cl := s.client(ctx, i, "auditor")
		await(s.t, ctx, s.Name(i)+": "+what, func(ctx context.Context) (bool, string, error) {
			call, cancel := context.WithTimeout(ctx, callWithin)
			defer cancel()
			answer, err := cl.ClockStatus(call)
			if err != nil {
				return false, err.Error(), nil
			}
			return is(answer), answer.String(), nil
		})
	}
}

func synchronized(a *sagov1.ClockServiceStatusResponse) bool {
	return a.GetStatus() == "synchronized" && a.GetClock() != nil
}

// fourSources are of four operators, as production asks.
func fourSources() []testcluster.Source {
	var all []testcluster.Source
	for _, name := range []string{"a", "b", "c", "d"} {
		all = append(all, testcluster.Source{Name: "time-" + name, Operator: "operator-" + name})
	}
	return all
}

// slack is what the policy of these tests allows.
const slack = time.Minute

// watch is a clock that must not gain: what it said, when.
type watch struct {
	s     *site
	clock time.Time
	at    time.Duration
}

// watched begins a watch at node 0.
func (s *site) watched(ctx context.Context) watch {
	s.t.Helper()
	return watch{s, s.clockOf(ctx, 0).GetClock().AsTime(), boottime(s.t)}
}

// gained fails the test when any node's clock went back, or ran ahead of what has
// passed by more than the slack.
func (w watch) gained(ctx context.Context) {
	w.s.t.Helper()
	for i := range w.s.Size() {
		now := w.s.clockOf(ctx, i).GetClock().AsTime()
		// Two ticks may lie between the nodes' answers.
		most := boottime(w.s.t) - w.at + slack + 2*time.Second
		if ran := now.Sub(w.clock); ran < 0 || ran > most {
			w.s.t.Errorf("%s: the clock went from %v to %v: by %v, at most %v", w.s.Name(i), w.clock, now, ran, most)
		}
	}
}

// stored puts bundles whose period would end under the lies of a test.
func (s *site) stored(ctx context.Context, rules ...string) {
	s.t.Helper()
	app := s.client(ctx, 0, "app")
	for _, r := range rules {
		if _, err := put(ctx, app, "T-"+r, r, contentOf(r)); err != nil {
			s.t.Fatal(err)
		}
		// The period begins with the next clock entry.
		await(s.t, ctx, r+" has begun", func(ctx context.Context) (bool, string, error) {
			b, err := s.client(ctx, 0, "auditor").Show(ctx, &sagov1.ShowRequest{Transaction: "T-" + r, Part: 1})
			if err != nil {
				return false, "", err
			}
			return b.GetDeadline() != nil, b.String(), nil
		})
	}
}

// kept reads the bundles of stored at every node.
func (s *site) kept(ctx context.Context, rules ...string) {
	s.t.Helper()
	for i := range s.Size() {
		officer := s.client(ctx, i, "officer")
		for _, r := range rules {
			if _, data, err := read(ctx, officer, "T-"+r); err != nil || !bytes.Equal(data, contentOf(r)) {
				s.t.Errorf("%s at %s: equal bytes: %v, error: %v", r, s.Name(i), bytes.Equal(data, contentOf(r)), err)
			}
		}
	}
}

// TestOneLiarOfFour: the clock is right, and the status names the liar.
func TestOneLiarOfFour(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, time.Minute)
	sources := fourSources()
	sources[2].Offset = 24 * time.Hour
	s := startSite(t, ctx, testcluster.Options{Sources: sources})
	s.awaitClocks(ctx, "one falseticker", func(a *sagov1.ClockServiceStatusResponse) bool {
		for _, src := range a.GetSources() {
			if (src.GetState() == "falseticker") != (src.GetName() == "time-c") {
				return false
			}
		}
		return synchronized(a) && len(a.GetSources()) == 4
	})
	before := s.Now()
	clock := s.clockOf(ctx, 1).GetClock().AsTime()
	if off := before.Sub(clock); off < -time.Second || off > 70*time.Second { // an idle clock ticks once a minute
		t.Errorf("the clock says %v at %v", clock, before)
	}
}

const longEnough = 100 * time.Second

// TestTwoOfFourLieByADay: no majority of sources agrees; the nodes go on by
// what they knew, and nothing ends early.
func TestTwoOfFourLieByADay(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, longEnough)
	s := startSite(t, ctx, testcluster.Options{Sources: fourSources(), Policy: testcluster.Policy{Slack: slack}})
	s.stored(ctx, "PT20H")
	w := s.watched(ctx)
	s.lie(0, 24*time.Hour)
	s.lie(3, 24*time.Hour)
	s.awaitClocks(ctx, "holdover with a reason", inHoldover)
	s.kept(ctx, "PT20H")
	w.gained(ctx)
	if _, err := put(ctx, s.client(ctx, 2, "app"), "T-later", "P1Y", contentOf("later")); err != nil {
		t.Errorf("put in holdover: %v", err)
	}
	s.lie(0, 0)
	s.lie(3, 0)
	s.awaitClocks(ctx, "synchronized again", synchronized)
	w.gained(ctx)
	s.kept(ctx, "PT20H")
}

func inHoldover(a *sagov1.ClockServiceStatusResponse) bool {
	return a.GetStatus() == "holdover" && a.GetDetail() != ""
}

// TestP02_P07_AllSourcesLieByAMonth: the jump is refused while the nodes run; nodes
// that start under the lie gain the slack, all together and once.
func TestP02_P07_AllSourcesLieByAMonth(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, longEnough)
	s := startSite(t, ctx, testcluster.Options{Sources: fourSources(), Policy: testcluster.Policy{Slack: slack}})
	s.stored(ctx, "P1D", "PT30M")
	w := s.watched(ctx)
	for i := range s.sources {
		s.lie(i, 30*24*time.Hour)
	}
	s.awaitClocks(ctx, "holdover with a reason", inHoldover)
	w.gained(ctx)
	for range 2 {
		for i := range s.Size() {
			must(t, s.Kill(i))
			must(t, s.Start(i))
			must(t, s.ReadyAt(ctx, i))
		}
		w.gained(ctx)
	}
	s.kept(ctx, "P1D", "PT30M")
	w.gained(ctx)
	for i := range s.Size() {
		a := s.clockOf(ctx, i)
		if lag := a.GetLagSeconds(); lag < (29*24*time.Hour).Seconds() || a.GetBudget().GetUsedSeconds() < slack.Seconds() {
			t.Errorf("%s: lag %v, budget %v", s.Name(i), lag, a.GetBudget())
		}
		if a.GetDetail() == "" {
			t.Errorf("%s does not say why its clock stands still: %v", s.Name(i), a)
		}
	}
	for i := range s.sources {
		s.lie(i, 0)
	}
	for i := range s.Size() { // the nodes have known nothing but the lie since they began
		must(t, s.Stop(ctx, i))
		must(t, s.Start(i))
		must(t, s.ReadyAt(ctx, i))
	}
	// The clock is ahead of truth by the slack: until truth has caught up, the nodes
	// believe no source, and say so.
	if a := s.clockOf(ctx, 0); a.GetStatus() != "synchronized" && a.GetDetail() == "" {
		t.Errorf("%s does not say why it has no time: %v", s.Name(0), a)
	}
	s.kept(ctx, "P1D", "PT30M")
	s.awaitClocks(ctx, "synchronized again", synchronized)
	s.kept(ctx, "P1D", "PT30M")
	w.gained(ctx)
}
