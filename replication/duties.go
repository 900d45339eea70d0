package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// What every node does for itself: join, copy, keep in keys, destroy what is
// due, and report its start.

// erasureLimit is how many bundles one attestation names at most.
const erasureLimit = 400

// serveDuties runs this node's own duties until ctx ends.
func (n *Node) serveDuties(ctx context.Context) {
	d := &duties{node: n}
	tick := time.NewTicker(n.timing.Duties)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
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
	tick := time.NewTicker(n.timing.Duties)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
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

type duties struct {
	node    *Node
	started bool      // NODE_START is recorded
	retired time.Time // when blocks were last retired
	spent   time.Time // when spent slots were last reported
	cleared bool      // data directories put aside are destroyed
	swept   time.Time // when leftovers were last looked for
	// asked is when the others were asked whether they have a history, lost what
	// followed from it, said when it was logged.
	asked, said time.Time
	lost        string
}

// retireEvery is how often a node looks for blocks to retire.
const retireEvery = 5 * time.Minute

// leftoversEvery is how often a node looks through its ranges for ciphertext
// that should be gone.
const leftoversEvery = 10 * time.Minute

func (d *duties) round(ctx context.Context) error {
	n := d.node
	if n.fsm.copying.Load() {
		return nil // serveCopy is at it
	}
	member, voter := n.ownRow()
	if !voter {
		d.sayLost(ctx)
		return n.join(ctx, member)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if n.leader() == "" || !n.store.Summary().Begun {
		return nil
	}
	var errs []error
	if n.supply.low() {
		errs = append(errs, n.supply.refill(ctx))
	}
	errs = append(errs, n.fetchBlocks(ctx), n.destroyDue(ctx), n.writeDown())
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
	if time.Since(d.swept) >= leftoversEvery {
		err := n.destroyLeftovers(ctx, d.swept.IsZero())
		if err == nil {
			d.swept = time.Now()
		}
		errs = append(errs, err)
	}
	if !d.cleared {
		err := errors.Join(n.clearAside(), n.attestor.settled())
		d.cleared = err == nil
		errs = append(errs, err)
	}
	return errors.Join(errs...)
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

// destroyDue destroys on this node what a checkpoint covers and attests it.
func (n *Node) destroyDue(ctx context.Context) error {
	size := n.store.Summary().Checkpoint.Checkpoint.Size
	bundles, err := n.store.PendingErasures(n.own.number, size, erasureLimit)
	if err != nil {
		return err
	}
	blocks, err := n.store.PendingBlocks(n.own.number, size)
	if err != nil {
		return err
	}
	spent, err := n.store.PendingSpent(n.own.number, size, 64)
	if err != nil {
		return err
	}
	if len(bundles)+len(blocks)+len(spent) == 0 {
		return nil
	}
	blocks = blocks[:min(len(blocks), 64)]
	n.logs.recent.drop()
	if err := n.store.Destroy(ctx, bundles, slices.Concat(blocks, spent)); err != nil {
		return fmt.Errorf("destroying: %w", err)
	}
	var e format.AttestEffect
	for _, b := range bundles {
		e.Bundles = append(e.Bundles, b.Store)
	}
	for _, s := range spent {
		e.Bundles = append(e.Bundles, s.Decision)
	}
	slices.Sort(e.Bundles)
	for _, b := range blocks {
		e.Blocks = append(e.Blocks, b.ID)
	}
	return n.attest(ctx, e)
}

// attest signs and records that what e names is destroyed on this node.
func (n *Node) attest(ctx context.Context, e format.AttestEffect) (err error) {
	e.Node, e.Incarnation = n.own.number, n.own.incarnation
	if e.Signature, err = n.keys.sign(e.Message(n.own.cluster)); err != nil {
		return err
	}
	if _, err := n.duty(ctx, store.KindAttest, format.EncodeEffect(e)); err != nil {
		return fmt.Errorf("attesting: %w", err)
	}
	return nil
}

// destroyLeftovers destroys what reached this node after its erasure had been
// attested for it, by an earlier incarnation.
// keys has it look for keys too, once a start.
func (n *Node) destroyLeftovers(ctx context.Context, keys bool) error {
	bundles, blocks, err := n.store.Leftovers(n.store.Summary().Checkpoint.Checkpoint.Size, keys)
	if err != nil || len(bundles)+len(blocks) == 0 {
		return err
	}
	n.logs.recent.drop()
	if err := n.store.Destroy(ctx, bundles, blocks); err != nil {
		return fmt.Errorf("destroying leftovers: %w", err)
	}
	return nil
}

// clearAside destroys data directories that were put aside: this incarnation is
// whole and votes, so they are nobody's last copy.
func (n *Node) clearAside() error { return n.store.DestroyAside(goneSuffix) }
