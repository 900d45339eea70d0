package timesource

import (
	"context"
	"crypto/sha256"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testntp"
)

// cluster is a node's clock over four servers of its own on one epoch.
type cluster struct {
	*testing.T
	servers []*testntp.Server
	policy  Policy
	ends    []Endpoint
	opts    Options
	clock   *NTP
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{T: t, policy: fourSources()}
	epoch := testntp.EpochOf(newYear)
	for _, s := range c.policy.Sources {
		server, err := testntp.Start(context.Background(), "127.0.0.1:0", testntp.Behaviour{Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		c.servers = append(c.servers, server)
		c.ends = append(c.ends, Endpoint{Name: s.Name, Address: server.Addr()})
	}
	c.opts = fastOptions(newYear.Add(-fortnight))
	return c
}

func fastOptions(floor time.Time) Options {
	return Options{
		Floor:   func() time.Time { return floor },
		MinPoll: 10 * time.Millisecond, MaxPoll: 20 * time.Millisecond, Timeout: 300 * time.Millisecond,
	}
}

// run creates and runs the clock until the test ends.
func (c *cluster) run() {
	c.Helper()
	clock, err := New(c.policy, c.ends, c.opts)
	if err != nil {
		c.Fatal(err)
	}
	c.clock = clock
	runClock(c.T, clock)
}

func runClock(t *testing.T, clock *NTP) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- clock.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// eventually polls a condition for ten seconds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("never: %s", what)
		}
	}
}

func (c *cluster) reaches(status Status, reason string) {
	c.Helper()
	var report Report
	defer func() {
		if c.Failed() {
			c.Logf("last report: %+v", report)
		}
	}()
	eventually(c.T, status.String()+" "+reason, func() bool {
		report = c.clock.Report()
		c.holdsTruth()
		return report.Reading.Status == status && strings.Contains(report.Reason, reason)
	})
}

// holdsTruth demands that the clock, if it has an interval, holds true time.
func (c *cluster) holdsTruth() {
	c.Helper()
	before := c.servers[0].Now()
	r, err := c.clock.Now()
	after := c.servers[0].Now()
	if err != nil {
		return
	}
	if r.Latest.Before(before) || r.Earliest.After(after) {
		c.Fatalf("true time %v is not within %v..%v (%v)", before, r.Earliest, r.Latest, r.Status)
	}
}

func (c *cluster) lie(offset time.Duration, which ...int) {
	for _, i := range which {
		c.servers[i].Set(func(b *testntp.Behaviour) { b.Offset = offset })
	}
}

func (c *cluster) source(i int) SourceReport { return c.clock.Report().Sources[i] }

func TestFourHonestSources(t *testing.T) {
	c := newCluster(t)
	c.run()
	c.reaches(Synchronized, "")
	eventually(t, "all four selected", func() bool {
		for _, s := range c.clock.Report().Sources {
			if !s.Selected || s.Falseticker || s.Reason != "" || s.Reach&1 == 0 || s.Stratum != 1 {
				return false
			}
		}
		return true
	})
	eventually(t, "reading and evidence of one selection", func() bool {
		r, err := c.clock.Now()
		if err != nil {
			t.Fatal(err)
		}
		evidence := c.clock.Evidence()
		if sha256.Sum256(evidence) != r.EvidenceID {
			return false // a selection came between
		}
		if _, _, err := CheckEvidence(evidence); err != nil {
			t.Fatal(err)
		}
		earliest, latest, err := EvidenceAt(evidence, r.Boot)
		if err != nil {
			return false // likewise: the reading is older
		}
		if !earliest.Equal(r.Earliest) || !latest.Equal(r.Latest) {
			t.Fatalf("the auditor gets %v..%v, the reading %v..%v", earliest, latest, r.Earliest, r.Latest)
		}
		return true
	})
}

// Readings from many goroutines during selections: each holds the truth, and none
// mistakes the order of locks for a clock that runs backwards.
func TestConcurrentReadings(t *testing.T) {
	c := newCluster(t)
	c.opts.MinPoll, c.opts.MaxPoll = time.Millisecond, time.Millisecond
	c.run()
	c.reaches(Synchronized, "")
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 10_000 {
				before := c.servers[0].Now()
				r, err := c.clock.Now()
				after := c.servers[0].Now()
				if err != nil || r.Status == Fault || r.Latest.Before(before) || r.Earliest.After(after) {
					t.Errorf("%v..%v: %+v %v", before, after, r, err)
					return
				}
			}
		})
	}
	readers.Wait()
}

func TestLiesOverTheWire(t *testing.T) {
	c := newCluster(t)
	c.lie(month, 3)
	c.run()
	c.reaches(Synchronized, "")
	eventually(t, "one of four is outvoted", func() bool {
		s := c.source(3)
		return s.Falseticker && !s.Selected && strings.Contains(s.Reason, "disagrees")
	})
	c.lie(month, 2)
	c.reaches(Holdover, "no majority")
	c.lie(month, 0, 1)
	c.reaches(Holdover, "jump refused")
	if report := c.clock.Report(); !report.JumpRefused || report.Jumps != 1 {
		t.Errorf("report of a jump: %+v", report)
	}
	c.lie(-time.Hour, 0, 1, 2, 3)
	eventually(t, "a second jump", func() bool { return c.clock.Report().Jumps >= 1 })
	c.lie(0, 0, 1, 2, 3)
	c.reaches(Synchronized, "")
	if c.clock.Report().JumpRefused {
		t.Error("the jump is still reported")
	}
}

func TestP09_ExoticAnswersAreRefused(t *testing.T) {
	c := newCluster(t)
	c.opts.Timeout = 50 * time.Millisecond
	c.run()
	honest := testntp.Behaviour{Epoch: testntp.EpochOf(newYear)}
	c.servers[3].Set(func(b *testntp.Behaviour) { honest = *b })
	year := func(y int) time.Duration { return time.Date(y, 6, 1, 0, 0, 0, 0, time.UTC).Sub(newYear) }
	for _, x := range []struct {
		name   string
		change func(*testntp.Behaviour)
		reason string
	}{
		{"1970", func(b *testntp.Behaviour) { b.Offset = year(1970) }, "below the floor"},
		{"2036", func(b *testntp.Behaviour) { b.Offset = year(2036) }, "disagrees"},
		{"2038", func(b *testntp.Behaviour) { b.Offset = year(2038) }, "disagrees"},
		{"2100", func(b *testntp.Behaviour) { b.Offset = year(2100) }, "below the floor"},
		{"leap second", func(b *testntp.Behaviour) { b.Offset = -time.Second }, "disagrees"},
		{"leap 3", func(b *testntp.Behaviour) { b.Leap = 3 }, "not synchronized"},
		{"stratum 16", func(b *testntp.Behaviour) { b.Stratum = 16 }, "stratum 16"},
		{"RATE", func(b *testntp.Behaviour) { b.Kiss = "STEP" }, `"STEP"`},
		{"zero origin", func(b *testntp.Behaviour) { b.ZeroOrigin = true }, "without our origin"},
		{"zero transmit", func(b *testntp.Behaviour) { b.ZeroTransmit = true }, "transmit time"},
		{"root delay", func(b *testntp.Behaviour) { b.RootDelay = 4 * time.Second }, "root distance"},
		{"root dispersion", func(b *testntp.Behaviour) { b.RootDispersion = 1000 * time.Second }, "root distance"},
		{"old reference", func(b *testntp.Behaviour) { b.StaleReference = 40 * time.Hour }, "last set"},
		{"silence", func(b *testntp.Behaviour) { b.Silent = true }, "timeout"},
	} {
		c.servers[3].Set(func(b *testntp.Behaviour) { *b = honest; x.change(b) })
		var got string
		for deadline := time.Now().Add(5 * time.Second); !strings.Contains(got, x.reason); got = c.source(3).Reason {
			if time.Now().After(deadline) {
				t.Fatalf("%s: reason %q, want %q", x.name, got, x.reason)
			}
			c.holdsTruth()
		}
		c.reaches(Synchronized, "")
		c.servers[3].Set(func(b *testntp.Behaviour) { *b = honest })
		eventually(t, x.name+": trusted again", func() bool { return c.source(3).Selected })
	}
}

func TestAsymmetricDelayWidensAndHolds(t *testing.T) {
	c := newCluster(t)
	for i, s := range c.servers {
		s.Set(func(b *testntp.Behaviour) {
			b.ResponseDelay, b.RequestDelay = 60*time.Millisecond, 0
			if i%2 == 0 {
				b.ResponseDelay, b.RequestDelay = 0, 60*time.Millisecond
			}
		})
	}
	c.run()
	c.reaches(Synchronized, "")
	eventually(t, "the slow source is selected", func() bool { return c.source(1).Selected })
	s := c.source(1)
	if s.Latest.Sub(s.Earliest) < 60*time.Millisecond {
		t.Errorf("interval of a slow source is only %v wide", s.Latest.Sub(s.Earliest))
	}
}

func TestPolicyThatDiffersFromTheNodeFile(t *testing.T) {
	c := newCluster(t)
	c.run()
	c.reaches(Synchronized, "")
	other := fourSources()
	other.Sources[0].Name = "elsewhere"
	if err := c.clock.ApplyPolicy(other); err == nil {
		t.Error("a policy that differs was taken without an error")
	}
	c.reaches(Unsynchronized, "differs from policy")
	if err := c.clock.ApplyPolicy(Policy{}); err == nil {
		t.Error("an invalid policy was taken")
	}
	if err := c.clock.ApplyPolicy(fourSources()); err != nil {
		t.Fatal(err)
	}
	c.reaches(Synchronized, "")
}

func TestStrayPacketsDoNotSpoilAPoll(t *testing.T) {
	c := newCluster(t)
	stray, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stray.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := stray.ReadFrom(b)
			if err != nil {
				return
			}
			forged := answerAt(c.servers[0].Now().Add(month))
			good := answerAt(c.servers[0].Now())
			copy(good[24:32], b[40:n])
			for _, packet := range [][]byte{{}, {1, 2, 3}, forged[:], good[:]} {
				_, _ = stray.WriteTo(packet, from)
			}
		}
	}()
	c.ends[0].Address = stray.LocalAddr().String()
	c.run()
	c.reaches(Synchronized, "")
	eventually(t, "the right answer is found among the strays", func() bool { return c.source(0).Selected })
}
