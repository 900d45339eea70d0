package replication

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
)

// rateOption is a number that `make bench-expiry` is given: how many bundles the
// rates are measured with (COUNT; else a few, which show only that the measurement
// works), on how many nodes (NODES),
// beside how many puts and reads a second (RATE).
func rateOption(name string, least, otherwise int) int {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil || n < least {
		return otherwise
	}
	return n
}

// TestExpiryRates stores bundles of 512 bytes on nodes of this process, lets
// half of them fall due at once, and measures how fast they are decided, destroyed
// and recorded as erased, beside a foreground of puts and recorded reads
// (docs/operations.md, Measuring).
func TestExpiryRates(t *testing.T) {
	count, nodes, rate := rateOption("COUNT", 2, 3000), rateOption("NODES", 1, 3), rateOption("RATE", 1, 100)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as sagod runs
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 4)))
	c := newTestCluster(t, nodes)
	c.timing = Timing{}
	if count < 10_000 {
		c.timing = Timing{Duties: 20 * time.Millisecond, TickBusy: 100 * time.Millisecond}
	}
	c.startAll()
	begin := time.Now()
	c.fill(count)
	t.Logf("filled: %d bundles of %d bytes in %.0f s", count, rateSize, time.Since(begin).Seconds())
	c.takeCheckpoint() // as the policy has them come while so many are stored: before it signs, a node reads what came since the last
	first := c.nodes[0].Store().Summary().Size
	cpu := cpuTime(t)
	quiet := max(time.Second, min(time.Minute, time.Duration(count)*time.Millisecond))
	without := c.foreground(rate, quiet, nil)
	t.Logf("CPU before it: %d us for each put or read, on all nodes together", (cpuTime(t)-cpu).Microseconds()/int64(len(without)))
	watched := c.watchSizes()
	for _, source := range c.times {
		source.set(func(s *testTime) { s.offset += int64(55 * time.Minute / time.Microsecond) })
	}
	erased := make(chan struct{})
	go func() {
		defer close(erased)
		for c.pendingErasures() || !c.allExpired(count/2, first) {
			time.Sleep(20 * time.Millisecond)
		}
	}()
	profiled := profile(t)
	cpu = cpuTime(t)
	during := c.foreground(rate, 0, erased)
	cpu = cpuTime(t) - cpu
	profiled()
	sizes := watched()
	decided := c.reportRates(first, sizes)
	t.Logf("CPU from the first decision on: %.1f s, %d us for each expired bundle and node, foreground included",
		cpu.Seconds(), cpu.Microseconds()/int64(nodes*count/2))
	t.Logf("foreground before: %s", without)
	without = append(without, c.foreground(rate, quiet, nil)...) // a disk has better and worse minutes
	without.sort()
	t.Logf("foreground before and after: %s", without)
	t.Logf("foreground while deciding: %s", during.begun(func(at time.Time) bool { return at.Before(decided) }))
	t.Logf("foreground while erasing: %s", during.begun(decided.Before))
	t.Logf("foreground during both: %s; p99 x %.2f", during, during.at(0.99).Seconds()/without.at(0.99).Seconds())
	c.awaitEqual()
	if count >= 10_000 {
		disk := newDiskAlone(t)
		recorded := func(p pieces) float64 { return disk.rate(p.destroy, p.destroy/p.attest) }
		t.Logf("the disk alone, erasures a second: %.0f one at a time; %.0f and %.0f, %d and %d at once; %.0f and %.0f recorded",
			disk.rate(1, 0), disk.rate(beside.destroy, 0), disk.rate(alone.destroy, 0), beside.destroy, alone.destroy, recorded(beside), recorded(alone))
	}
}

const rateSize = 512

// profile writes a CPU profile to the file PROFILE, if that is set, until it is
// called.
func profile(t *testing.T) (end func()) {
	t.Helper()
	name := os.Getenv("PROFILE")
	if name == "" {
		return func() {}
	}
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// cpuTime is what this process has used: on a machine that others use as well, it
// says more than the clock.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func rateName(n int) string { return fmt.Sprintf("R-%09d", n) }

// fill stores count bundles, every second one due in less than an hour.
func (c *testCluster) fill(count int) {
	c.t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range 96 {
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= count || c.t.Failed() {
					return
				}
				rule := "P5Y"
				if n%2 == 1 {
					rule = "PT50M"
				}
				if _, err := c.put(w%len(c.nodes), rateName(n), rule, make([]byte, rateSize)); err != nil {
					c.t.Errorf("put %d: %v", n, err)
				}
			}
		})
	}
	wg.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// operations are what a foreground did, the fastest first.
type operations []operation

type operation struct {
	due  time.Time // when it should have begun
	took time.Duration
}

func (o operations) sort() {
	slices.SortFunc(o, func(a, b operation) int { return cmp.Compare(a.took, b.took) })
}

// begun are those that were due at such times.
func (o operations) begun(such func(time.Time) bool) (out operations) {
	for _, one := range o {
		if such(one.due) {
			out = append(out, one)
		}
	}
	return out
}

// at is how long all but a share of the operations took at most, 0 for none.
func (o operations) at(p float64) time.Duration {
	if len(o) == 0 {
		return 0
	}
	return o[int(p*float64(len(o)-1))].took
}

func (o operations) String() string {
	ms := func(p float64) float64 { return float64(o.at(p).Microseconds()) / 1000 }
	return fmt.Sprintf("%d operations, p50 %.1f ms, p99 %.1f ms, max %.1f ms", len(o), ms(0.5), ms(0.99), ms(1))
}

var foregroundRound atomic.Int64

// foreground puts and reads in turn at every node, rate times a second, for so long
// or until end is closed. Each is begun at its time, whatever has become of those
// before it, and took what passed since then.
func (c *testCluster) foreground(rate int, within time.Duration, end <-chan struct{}) operations {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	if end == nil {
		ctx, cancel = context.WithTimeout(ctx, within)
	} else {
		go func() { <-end; cancel() }()
	}
	defer cancel()
	round := foregroundRound.Add(1)
	var mu sync.Mutex
	var took operations
	var wg sync.WaitGroup
	begun := time.Now()
	for k := 0; ; k++ {
		due := begun.Add(time.Duration(k) * time.Second / time.Duration(rate))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			if err := c.putOrRead(round, k); err != nil {
				c.t.Errorf("foreground: %v", err)
				return
			}
			mu.Lock()
			took = append(took, operation{due, time.Since(due)})
			mu.Unlock()
		})
	}
	wg.Wait()
	took.sort()
	return took
}

// putOrRead is the k-th operation of a round.
func (c *testCluster) putOrRead(round int64, k int) (err error) {
	if k%2 == 0 {
		_, err = c.put(k/2%len(c.nodes), fmt.Sprintf("F-%d-%d", round, k), "P5Y", make([]byte, rateSize))
	} else {
		_, err = c.read(k/2%len(c.nodes), rateName(2*(k%100)))
	}
	return err
}

// sizeAt is how long the history of the first node was at an instant.
type sizeAt struct {
	at   time.Time
	size uint64
}

// watchSizes notes the size of the history until it is called.
func (c *testCluster) watchSizes() func() []sizeAt {
	var sizes []sizeAt
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				sizes = append(sizes, sizeAt{time.Now(), c.nodes[0].Store().Summary().Size})
			case <-end:
				return
			}
		}
	}()
	return func() []sizeAt { close(end); <-done; return sizes }
}

func (c *testCluster) pendingErasures() bool {
	waiting, _, err := c.nodes[0].Store().PendingErasures(0, ^uint64(0), 0, 1) // of a node that attests nothing: whatever stands
	return err != nil || len(waiting) > 0
}

// allExpired reports whether so many EXPIRE records, and as many ERASE, stand behind a size.
func (c *testCluster) allExpired(want int, first uint64) bool {
	s := c.nodes[0].Store().Summary()
	return s.Size >= first+2*uint64(want)
}

// reportRates says when the first and last record of each step came, and answers when
// the last decision did.
func (c *testCluster) reportRates(first uint64, sizes []sizeAt) (decided time.Time) {
	c.t.Helper()
	type span struct {
		n, bundles  int
		begin, last time.Time
	}
	spans := map[format.Action]*span{format.ActExpire: {}, format.ActErase: {}, format.ActAttest: {}, format.ActCheckpoint: {}}
	when := func(seq uint64) time.Time {
		i, _ := slices.BinarySearchFunc(sizes, seq, func(s sizeAt, seq uint64) int {
			if s.size <= seq {
				return -1
			}
			return 1
		})
		return sizes[min(i, len(sizes)-1)].at
	}
	store := c.nodes[0].Store()
	var ended []uint64
	erased := 0 // since the last decision: a checkpoint that came meanwhile had some erased before
	if err := store.History(c.t.Context(), first, store.Summary().Size, func(seq uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		if err != nil {
			return err
		}
		s := spans[rec.Action]
		if s == nil {
			return nil
		}
		if s.last = when(seq); s.n == 0 {
			s.begin = s.last
		}
		s.n++
		if rec.Action == format.ActExpire {
			ended = append(ended, seq)
			erased = 0
		}
		if rec.Action == format.ActErase {
			erased++
		}
		if rec.Action == format.ActAttest {
			e, err := format.DecodeAttestEffect(rec.Effect)
			if err != nil {
				return err
			}
			from, _ := slices.BinarySearch(ended, e.From)
			to, _ := slices.BinarySearch(ended, e.To)
			s.bundles += to - from
		}
		return nil
	}); err != nil {
		c.t.Error(err)
	}
	say := func(what string, begin, last time.Time, n int) {
		d := max(last.Sub(begin), time.Millisecond)
		c.t.Logf("%s: %d in %.2f s: %.0f/s, %.1f MB/s", what, n, d.Seconds(), float64(n)/d.Seconds(), float64(n*rateSize)/d.Seconds()/1e6)
	}
	expire, erase, attest := spans[format.ActExpire], spans[format.ActErase], spans[format.ActAttest]
	say("decided (EXPIRE records)", expire.begin, expire.last, expire.n)
	say("erased (ERASE records, a majority) once all were decided", expire.last, erase.last, erased)
	say("destroyed and attested (all nodes), from the first on", attest.begin, attest.last, attest.bundles)
	c.t.Logf("%d ATTEST and %d CHECKPOINT records; first decision to last erasure %.2f s", attest.n, spans[format.ActCheckpoint].n,
		erase.last.Sub(expire.begin).Seconds())
	return expire.last
}
