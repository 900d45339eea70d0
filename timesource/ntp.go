package timesource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Options are the parts of a node's clock that are neither policy nor endpoint.
type Options struct {
	// Floor is the least possible time: the last trusted time or the build date,
	// whichever is later. Required. It judges certificates and eras and refuses
	// sources below it; while it is ahead of true time, no honest source counts.
	// It must be safe for concurrent use.
	Floor func() time.Time
	// MinPoll and MaxPoll bound the poll interval: default 2 s after a start,
	// doubling to 64 s. KoD RATE may raise it to sixteen times MaxPoll.
	MinPoll, MaxPoll time.Duration
	// Timeout bounds one query, and one NTS key exchange; default 2 s.
	Timeout time.Duration
	// Resolver resolves host names; default is the system's. However many addresses
	// it returns, the name is one vote.
	Resolver func(ctx context.Context, host string) ([]string, error)
	// Dial opens "udp" and "tcp" connections to a resolved address; default is the
	// system's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	clock func() (stamp, error) // tests only
}

func (o Options) withDefaults() (Options, error) {
	if o.Floor == nil {
		return o, errors.New("timesource: options need a floor")
	}
	if o.MinPoll <= 0 {
		o.MinPoll = 2 * time.Second
	}
	if o.MaxPoll <= 0 {
		o.MaxPoll = 64 * time.Second
	}
	o.MaxPoll = max(o.MaxPoll, o.MinPoll)
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver.LookupHost
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.clock == nil {
		o.clock = readStamp
	}
	return o, nil
}

// NTP is the production Clock. Create it with New, and Run it.
type NTP struct {
	opts      Options
	endpoints []Endpoint
	changed   chan struct{} // holds one signal that the policy changed

	// mu guards what follows. The clocks are read while it is held: with stamps in
	// another order than the changes, an interval of a later instant would be taken
	// for one of an earlier instant, and run ahead.
	mu         sync.Mutex
	core       *core
	matched    []Endpoint // in the order of the policy
	mismatch   error
	generation int            // of the policy; pollers of an older one are ignored
	claims     map[string]int // resolved address -> source that uses it
}

// New prepares the clock of a node. It fails on an invalid policy, on options
// without a floor, and when the kernel's clocks cannot be trusted (ReadBoot).
// When only the endpoints differ from the policy it returns both an error that
// wraps ErrPolicyMismatch and a clock: that node runs, tells no time, says so in
// its reports, and recovers when a policy that fits is applied.
func New(policy Policy, endpoints []Endpoint, opts Options) (*NTP, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := policy.Validate(); err != nil {
		return nil, err
	}
	boot, err := ReadBoot()
	if err != nil {
		return nil, err
	}
	start, err := opts.clock()
	if err != nil {
		return nil, err
	}
	policy = policy.withDefaults()
	n := &NTP{
		opts: opts, endpoints: slices.Clone(endpoints), changed: make(chan struct{}, 1),
		core: newCore(policy, boot.ID, start, 4*opts.MaxPoll+2*opts.Timeout), claims: map[string]int{},
	}
	n.matched, n.mismatch = matchEndpoints(policy, n.endpoints)
	return n, n.mismatch
}

// ApplyPolicy follows a change of the replicated policy. The interval is kept, so
// that new sources cannot move it by a jump; the sources are polled afresh. It
// fails with ErrPolicy and changes nothing, or with ErrPolicyMismatch, from when
// on the node tells no time until a policy fits its file.
func (n *NTP) ApplyPolicy(policy Policy) error {
	if err := policy.Validate(); err != nil {
		return err
	}
	policy = policy.withDefaults()
	n.mu.Lock()
	defer n.mu.Unlock()
	if samePolicy(policy, n.core.policy) {
		return n.mismatch
	}
	n.generation++
	n.claims = map[string]int{}
	n.core.setPolicy(policy)
	n.matched, n.mismatch = matchEndpoints(policy, n.endpoints)
	select {
	case n.changed <- struct{}{}:
	default: // a signal is waiting already
	}
	return n.mismatch
}

func samePolicy(a, b Policy) bool {
	return slices.Equal(a.Sources, b.Sources) && a.MinSources == b.MinSources && a.ClosedNetwork == b.ClosedNetwork &&
		a.DriftPPM == b.DriftPPM && a.MaxRootDistance == b.MaxRootDistance && a.MaxWidth == b.MaxWidth
}

// Run polls the sources until ctx ends, which is its only way to return, with nil.
// It must run once at a time.
func (n *NTP) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		n.runPolicy(ctx)
	}
	return nil
}

// runPolicy polls the sources of one policy until it changes or ctx ends.
func (n *NTP) runPolicy(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var pollers sync.WaitGroup
	for _, p := range n.pollers(ctx) {
		pollers.Go(func() { p.run(ctx) })
	}
	select {
	case <-ctx.Done():
	case <-n.changed:
	}
	cancel()
	pollers.Wait()
}

func (n *NTP) pollers(ctx context.Context) []*poller {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mismatch != nil {
		return nil
	}
	pollers := make([]*poller, len(n.matched))
	for i, e := range n.matched {
		generation := n.generation
		pollers[i] = &poller{
			ntp: n, generation: generation, index: i,
			pace: newPace(n.opts.MinPoll, n.opts.MaxPoll),
			client: &client{
				life: ctx, opts: n.opts, source: n.core.policy.Sources[i], endpoint: e,
				trusted: n.trusted,
				claim:   func(address string) error { return n.claim(generation, i, address) },
			},
		}
	}
	return pollers
}

// claim gives a resolved address to one source: two names that lead to one server
// are not two votes.
func (n *NTP) claim(generation, index int, address string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if generation != n.generation {
		return nil
	}
	if owner, taken := n.claims[address]; taken && owner != index {
		return refusef("address %s already answers for source %q", address, n.core.policy.Sources[owner].Name)
	}
	for other, owner := range n.claims {
		if owner == index {
			delete(n.claims, other)
		}
	}
	n.claims[address] = index
	n.core.sources[index].address = address
	return nil
}

// trusted is the instant at which certificates are judged: the floor, or the held
// interval's earliest end once there is one.
func (n *NTP) trusted() time.Time {
	floor := n.opts.Floor()
	n.mu.Lock()
	defer n.mu.Unlock()
	at, err := n.opts.clock()
	if err != nil || n.core.held == nil {
		return floor
	}
	if earliest := n.core.held.after(n.core.heldAt, at, n.core.policy.DriftPPM).earliest(); earliest.After(floor) {
		return earliest
	}
	return floor
}

// record takes the outcome of one poll and returns the error that the pace of
// polling is to judge: the poll's own, or why its sample was refused.
func (n *NTP) record(p *poller, m sample, err error) error {
	floor := n.opts.Floor().UnixMicro()
	n.mu.Lock()
	defer n.mu.Unlock()
	now, clockErr := n.opts.clock()
	if clockErr != nil {
		return clockErr
	}
	if p.generation != n.generation {
		return err
	}
	n.core.cross.observe(now)
	if err != nil {
		n.core.missed(p.index, err, now, floor)
		return err
	}
	return n.core.answered(p.index, m, now, floor)
}

// paced notes when a source is polled again.
func (n *NTP) paced(p *poller, interval time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.generation == n.generation {
		n.core.sources[p.index].interval = interval
	}
}

// Now returns the node's interval, in every status: whether one that is
// Unsynchronized (too wide) or at Fault may vote is the caller's rule. It fails with ErrPolicyMismatch, with ErrNoTime
// before the first selection, or with the kernel's error.
func (n *NTP) Now() (Reading, error) {
	reading, _, err := n.read()
	return reading, err
}

func (n *NTP) read() (Reading, string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, err := n.opts.clock()
	if err != nil {
		return Reading{Status: Fault}, err.Error(), err
	}
	r := Reading{Boot: Boot{ID: n.core.bootID, Reading: at.boot, Raw: at.raw}}
	if n.mismatch != nil {
		r.Status = Unsynchronized
		return r, n.mismatch.Error(), n.mismatch
	}
	s, status, reason, has := n.core.now(at)
	r.Status = status
	if !has {
		return r, reason, fmt.Errorf("%w: %s", ErrNoTime, reason)
	}
	r.Earliest, r.Latest, r.EvidenceID = s.earliest(), s.latest(), n.core.id
	return r, reason, nil
}

// Report describes the clock and each source.
func (n *NTP) Report() Report {
	reading, reason, _ := n.read()
	floor := n.opts.Floor().UnixMicro()
	n.mu.Lock()
	defer n.mu.Unlock()
	return Report{
		Reading: reading, Reason: reason,
		ClosedNetwork: n.core.policy.ClosedNetwork, MinSources: n.core.policy.MinSources,
		Majority: n.core.policy.majority(), JumpRefused: n.core.inJump && !n.core.agreed, Jumps: n.core.jumps,
		Sources: n.core.sourceReports(stamp{boot: reading.Boot.Reading, raw: reading.Boot.Raw}, floor),
	}
}

// Evidence returns the bytes whose SHA-256 the present readings carry, or nil
// before the first selection. CheckEvidence judges them.
func (n *NTP) Evidence() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.core.evidence)
}
