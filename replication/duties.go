package replication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// What every node does for itself: join, copy, keep in keys, destroy what is
// due, and report its start.

// destroyFor is how long a node goes on destroying before it looks after its other
// duties.
const destroyFor = 3 * time.Second

// ticks goes on at every tick until ctx ends.
func ticks(ctx context.Context, every time.Duration) func(yield func() bool) {
	return func(yield func() bool) {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if !yield() {
				return
			}
		}
	}
}

// serveDuties runs this node's own duties until ctx ends.
func (n *Node) serveDuties(ctx context.Context) {
	d := &duties{node: n}
	for range ticks(ctx, n.timing.Duties) {
		if n.failed() != nil {
			return
		}
		if err := d.round(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("node's duty", "error", err)
		}
	}
}

// serveCopy copies the state whenever the node has fallen behind the log. It is
// apart from the other duties, which wait for operations that only a whole node
// hears the outcome of.
func (n *Node) serveCopy(ctx context.Context) {
	for range ticks(ctx, n.timing.Duties) {
		if n.failed() != nil {
			return
		}
		if !n.fsm.copying.Load() {
			continue
		}
		if err := n.copyState(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("copying", "error", err)
		}
	}
}

// aheadEvery is how often a node looks whether sweeps have come near to what it has read
// ahead for them.
const aheadEvery = 20 * time.Millisecond

// serveAhead reads what sweeps will need before they do, until ctx ends.
func (n *Node) serveAhead(ctx context.Context) {
	ahead, tries := n.store.Ahead(), pause{}
	for range ticks(ctx, aheadEvery) {
		if n.failed() != nil {
			return
		}
		if n.fsm.copying.Load() || !tries.over() {
			continue
		}
		if err := tries.took(ahead.Read(ctx)); err != nil && ctx.Err() == nil {
			n.log.Warn("reading ahead", "error", err)
		}
	}
}

type duties struct {
	node    *Node
	started bool      // NODE_START is recorded
	retired time.Time // when blocks were last retired
	spent   time.Time // when spent slots were last reported
	cleared bool      // data directories put aside are destroyed
	// destroyed is the size of the checkpoint of which nothing is left to destroy
	// here: all that becomes due later stands under a greater one. pass is the
	// checkpoint of the present pass through what stands, from where that goes on.
	destroyed, pass, from uint64
	swept                 time.Time // when leftovers were last looked for, from the first range to the last
	leftFrom              []byte    // from where that goes on
	sweeps                pause     // between two tries to go on
	began                 bool      // this incarnation may attest ranges, or has
	// asked is when the others were asked whether they have a history, lost what
	// followed from it, said when it was logged.
	asked, said time.Time
	lost        string
	blocks      pause     // between two searches for blocks that nobody may have
	absent      filler    // of key slots that this node was restored without
	warned      time.Time // when an overdue backup was last logged
}

// pause grows with each failure, up to pauseMost.
type pause struct {
	next  time.Time
	every time.Duration
}

const (
	pauseLeast = 200 * time.Millisecond
	pauseMost  = 30 * time.Second
)

// over reports whether it is time to try again.
func (p *pause) over() bool { return !time.Now().Before(p.next) }

// took notes how a try ended, and passes its error on.
func (p *pause) took(err error) error {
	if err == nil {
		*p = pause{}
		return nil
	}
	p.every = min(max(2*p.every, pauseLeast), pauseMost)
	p.next = time.Now().Add(p.every)
	return err
}

// overdueEvery is how often an overdue backup is logged.
const overdueEvery = time.Hour

// sayOverdue logs, on the node that leads, that there should be a newer backup.
func (d *duties) sayOverdue() error {
	n := d.node
	row, overdue, err := n.store.LastBackup()
	if err != nil || !overdue || n.raft.State() != raft.Leader || time.Since(d.warned) < overdueEvery {
		return err
	}
	d.warned = time.Now()
	last := "none"
	if row != nil {
		last = time.UnixMicro(row.Clock).UTC().Format(time.RFC3339)
	}
	n.log.Warn("the backup is overdue: run `sago cluster backup`", "last", last)
	return nil
}

// retireEvery is how often a node looks for blocks to retire.
const retireEvery = 5 * time.Minute

// leftoversEvery is how often a node looks through its ranges for ciphertext
// that should be gone.
const leftoversEvery = 10 * time.Minute

// leftoversLimit is how many ranges a node looks through in one round of its duties:
// it takes less than a second.
const leftoversLimit = 100_000

func (d *duties) round(whole context.Context) error {
	n := d.node
	if n.fsm.copying.Load() {
		return nil // serveCopy is at it
	}
	member, voter := n.ownRow()
	if !voter {
		d.sayLost(whole)
		return n.join(whole, member)
	}
	ctx, cancel := context.WithTimeout(whole, 10*time.Second)
	defer cancel()
	if n.leader() == "" || !n.store.Summary().Begun {
		return nil
	}
	var errs []error
	if n.supply.low() {
		errs = append(errs, n.supply.refill(ctx))
	}
	if d.blocks.over() {
		nowhere, err := n.fetchBlocks(ctx)
		if len(nowhere) > 0 {
			err = errors.Join(err, fmt.Errorf("%d key blocks: %w", len(nowhere), errNowhere))
		}
		errs = append(errs, d.blocks.took(err))
	}
	errs = append(errs, d.absent.round(ctx, n))
	may, err := d.mayAttest()
	if may {
		err = d.destroyDue(ctx)
	}
	errs = append(errs, err, n.writeDown(), d.sayOverdue())
	if !d.started && n.supply.ready() {
		e := format.NodeStartEffect{Node: n.own.number, Incarnation: n.own.incarnation, BootID: n.bootID(), Version: n.cfg.Version}
		_, err := n.duty(ctx, store.KindNodeStart, format.EncodeEffect(e))
		d.started = err == nil
		errs = append(errs, err)
	}
	if time.Since(d.spent) >= spentEvery {
		some, err := n.reportSpent(ctx)
		if some {
			d.spent = time.Now()
		}
		errs = append(errs, err)
	}
	if time.Since(d.retired) >= retireEvery {
		err := n.retire(ctx)
		if err == nil {
			d.retired = time.Now()
		}
		errs = append(errs, err)
	}
	if !d.cleared {
		err := errors.Join(n.clearAside(), n.attestor.settled())
		d.cleared = err == nil
		errs = append(errs, err)
	}
	// Last, in a time of its own: a look through very many keys that is cut begins anew.
	return errors.Join(append(errs, d.sweep(whole))...)
}

func (n *Node) bootID() format.ID {
	t, err := n.cfg.Time.Now()
	if err != nil {
		return format.ID{}
	}
	return t.BootID
}

// ownRow is this node's row, and whether this incarnation votes.
func (n *Node) ownRow() (format.MemberRow, bool) {
	for _, m := range n.members() {
		if m.Number == n.own.number {
			return m, m.Current == n.own.incarnation
		}
	}
	return format.MemberRow{}, false
}

// writeDown keeps the values outside the data directory near what is durable.
func (n *Node) writeDown() error {
	_, _, err := n.durable()
	return err
}

// mayAttest reports whether nothing is left over that this incarnation's first range
// could lie over: an end that everybody else settled before it voted.
func (d *duties) mayAttest() (may bool, err error) {
	if d.began = d.began || !d.swept.IsZero(); !d.began {
		d.began, err = d.node.store.HasAttested(d.node.own.number, d.node.own.incarnation)
	}
	return d.began, err
}

// sweep destroys leftovers, with those of keys after a start, and again every while:
// some in each round, for the other duties wait.
func (d *duties) sweep(ctx context.Context) error {
	if d.leftFrom == nil && time.Since(d.swept) < leftoversEvery || !d.sweeps.over() {
		return nil
	}
	next, err := d.node.destroyLeftovers(ctx, d.swept.IsZero() && d.leftFrom == nil, d.leftFrom)
	var refused *store.RefusedError
	if err != nil && !errors.As(err, &refused) {
		return d.sweeps.took(err)
	}
	d.sweeps = pause{}
	if d.leftFrom = next; next == nil { // all that could go is gone: looking again takes long
		d.swept = time.Now()
	}
	return err
}

// destroyLeftovers destroys what reached this node after its erasure had been
// attested for it, by an earlier incarnation, or settled without it: some of it, and
// it answers where to go on. keys has it look for keys too, once a start.
func (n *Node) destroyLeftovers(ctx context.Context, keys bool, from []byte) (next []byte, err error) {
	l, err := n.store.Leftovers(ctx, n.own.number, n.store.Summary().Checkpoint.Checkpoint.Size, keys, from, leftoversLimit)
	bundles, blocks := l.Bundles, l.Blocks
	if err != nil || len(bundles)+len(blocks) == 0 {
		return l.Next, err
	}
	n.logs.recent.drop()
	slices.SortFunc(bundles, func(a, b store.PendingErasure) int { return cmp.Compare(a.Decision, b.Decision) })
	var kept error
	for len(bundles)+len(blocks) > 0 {
		some := min(len(bundles), n.pieces().destroy)
		n.requests.giveWay(ctx, giveWayMost)
		err := n.store.Destroy(ctx, bundles[:some], blocks)
		var refused *store.RefusedError
		if err != nil {
			err = fmt.Errorf("destroying leftovers: %w", err)
		}
		if err != nil && !errors.As(err, &refused) {
			return nil, err
		}
		bundles, blocks, kept = bundles[some:], nil, errors.Join(kept, err)
	}
	return l.Next, kept
}

// clearAside destroys data directories that were put aside: this incarnation is
// whole and votes, so they are nobody's last copy.
func (n *Node) clearAside() error { return n.store.DestroyAside(goneSuffix) }
