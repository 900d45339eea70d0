package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/internal/crashpoint"
	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// What the leader of the day does. Every step is begun from replicated rows, so
// the next leader goes on where this one stopped; a step that fails is tried
// again at the next round.

// sweepFor is how long the leader ends what is due, and as long what holds had
// reached, before it looks after its other duties.
const sweepFor = 3 * time.Second

// lead runs the leader's duties while this node leads, until ctx ends.
func (n *Node) lead(ctx context.Context) {
	var last time.Time // of the last tick, on this process's monotonic clock
	tick := time.NewTicker(n.timing.Duties)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-n.wake:
			// Rows changed: look at once, but not more often than ten times a second.
			select {
			case <-time.After(n.timing.Duties / 2):
			case <-ctx.Done():
				return
			}
		}
		if n.failed() != nil || n.raft.State() != raft.Leader {
			continue
		}
		if n.fsm.copying.Load() {
			// Only another leader can give this node the checkpoint that it needs.
			if err := n.handOn(); err != nil {
				n.log.Warn("handing leadership on", "error", err)
			}
			continue
		}
		if err := n.leadOnce(ctx, &last); err != nil && ctx.Err() == nil {
			n.log.Warn("leader's duty", "error", err)
		}
	}
}

func (n *Node) leadOnce(ctx context.Context, last *time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s := n.store.Summary()
	if !s.Begun {
		_, err := n.duty(ctx, store.KindCeremony, n.cfg.Ceremony.Encode())
		return err
	}
	var errs []error
	errs = append(errs, n.settleMembers(ctx), n.openEpochs(ctx, s))
	// The clock stands where the last tick left it: what falls due before the next
	// busy tick is judged from there on by the time that has passed since.
	horizon := 2 * n.timing.TickBusy
	if !last.IsZero() {
		horizon += time.Since(*last)
	}
	due, wanted, err := n.store.Due(horizon.Microseconds())
	errs = append(errs, err)
	_, cooling, err := n.store.ReadyActs(horizon.Microseconds())
	errs = append(errs, err)
	every := n.timing.TickIdle
	if wanted || cooling || s.Clock.Now == 0 {
		every = n.timing.TickBusy
	}
	if last.IsZero() || time.Since(*last) >= every {
		if err := n.tick(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("clock: %w", err))
		}
		*last = time.Now()
		due, _, err = n.store.Due(0)
		errs = append(errs, err)
	}
	if due {
		due, err = n.sweep(ctx, time.Now().Add(sweepFor))
		errs = append(errs, err)
	}
	errs = append(errs, n.endHolds(ctx, time.Now().Add(sweepFor)), n.executeActs(ctx), n.closeInstitutions(ctx), n.keepCheckpoints(ctx, due))
	return errors.Join(errs...)
}

// duty proposes an operation of the cluster's own, once no request is on its way here,
// and waits for it.
func (n *Node) duty(ctx context.Context, kind store.Kind, body []byte) (store.Result, error) {
	step := "duty " + strconv.Itoa(int(kind))
	crashpoint.Reached(step, false)
	n.requests.giveWay(ctx, giveWayMost)
	r, err := n.Submit(ctx, store.Op{Kind: kind, Body: body})
	if err == nil && r.Outcome == store.Refused {
		err = fmt.Errorf("refused: %s: %s", r.Reason, r.Why)
	}
	if err == nil {
		crashpoint.Reached(step, true)
	}
	return r, err
}

// sweep ends what is due, and reports whether there was more when its time was up.
func (n *Node) sweep(ctx context.Context, until time.Time) (more bool, err error) {
	for time.Now().Before(until) {
		var w format.Writer
		w.U32(n.pieces().sweep)
		if _, err := n.duty(ctx, store.KindSweep, w.Bytes()); err != nil {
			return false, fmt.Errorf("sweep: %w", err)
		}
		if more, _, err := n.store.Due(0); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// durable is what this incarnation durably has, written down outside the data
// directory before anybody is told. After a restart raft learns late what is
// committed; what was written down before is still there.
func (n *Node) durable() (commit, size uint64, err error) {
	size, root := n.store.DurableRoot() // first: its entries are committed by the index read after it
	commit = n.raft.CommitIndex()
	last, err := n.lastIndex()
	if err != nil {
		return 0, 0, err
	}
	commit = max(min(commit, last), n.attestor.commit())
	return commit, size, n.attestor.raise(commit, 0, size, root)
}

// keepCheckpoints takes a checkpoint when one is wanted.
func (n *Node) keepCheckpoints(ctx context.Context, due bool) error {
	s := n.store.Summary()
	backlog, err := n.store.ErasureBacklog()
	if err != nil {
		return err
	}
	if !wantsCheckpoint(s, n.store.Uncovered(), backlog && !due) {
		return nil
	}
	_, err = n.checkpointAt(ctx, s.Applied)
	return err
}

// wantsCheckpoint reports whether a destruction waits for a checkpoint and no more is
// due, the policy's interval has passed with something to cover, or the log was
// restored: until its first checkpoint the newest one is older than the history that was
// restored, and whoever remembers a newer one would be told that the history went back.
func wantsCheckpoint(s store.Summary, uncovered, destruction bool) bool {
	newest := s.Checkpoint.Checkpoint
	restored := s.Applied >= newest.Entry+store.RestoreGap
	stale := restored || s.Clock.Now-newest.Clock >= s.Policy.CheckpointEvery
	return destruction || s.Clock.Now != 0 && uncovered && stale
}

// takeCheckpoint marks an entry, gathers signatures of a majority and proposes
// the CHECKPOINT record.
func (n *Node) takeCheckpoint(ctx context.Context) (format.CheckpointEffect, error) {
	var e format.CheckpointEffect
	entry, err := n.mark(ctx)
	if err != nil {
		return e, err
	}
	mine, ok := n.store.Mark(entry)
	if !ok {
		return e, fmt.Errorf("entry %d is no mark", entry)
	}
	e.Checkpoint = mine
	text := mine.Text()
	e.Signatures, err = n.gather(ctx, []byte(text), func(ctx context.Context, m format.MemberRow) (format.NodeSignature, error) {
		return n.signatureOf(ctx, m, entry, text)
	})
	if err != nil {
		return e, fmt.Errorf("checkpoint at entry %d: %w", entry, err)
	}
	_, err = n.duty(ctx, store.KindCheckpoint, format.EncodeEffect(e))
	return e, err
}

// signTime bounds the gathering of signatures over one message.
const signTime = 3 * time.Second

// gather asks every member for its signature over a message and answers those of a
// majority, ascending by node. One that does not hold counts as none.
func (n *Node) gather(ctx context.Context, message []byte, ask func(context.Context, format.MemberRow) (format.NodeSignature, error)) ([]format.NodeSignature, error) {
	members := votersOf(n.store.Members())
	ctx, cancel := context.WithTimeout(ctx, signTime)
	defer cancel()
	answers := askAll(members, func(m format.MemberRow) (format.NodeSignature, error) {
		s, err := ask(ctx, m)
		if err == nil {
			err = holds(m, message, s)
		}
		return s, err
	})
	var errs []error
	var signed []format.NodeSignature
	need := len(members)/2 + 1
	for range members {
		a := <-answers
		if a.err != nil {
			errs = append(errs, a.err)
			continue
		}
		if signed = append(signed, a.what); len(signed) == need {
			slices.SortFunc(signed, func(a, b format.NodeSignature) int { return int(a.Node) - int(b.Node) })
			return signed, nil
		}
	}
	return nil, fmt.Errorf("%d of %d signatures: %w", len(signed), need, errors.Join(errs...))
}

// mark proposes a MARK and answers its entry.
func (n *Node) mark(ctx context.Context) (uint64, error) {
	r, err := n.duty(ctx, store.KindMark, nil)
	return r.Entry, err
}

func (n *Node) signatureOf(ctx context.Context, m format.MemberRow, entry uint64, text string) (format.NodeSignature, error) {
	if m.Number == n.own.number {
		return n.signMark(ctx, entry, text)
	}
	c, err := n.peers.get(m.Name)
	if err != nil {
		return format.NodeSignature{}, err
	}
	r, err := c.Sign(ctx, &nodev1.SignRequest{Entry: entry, Text: text})
	if err != nil {
		return format.NodeSignature{}, fmt.Errorf("node %s: %w", m.Name, err)
	}
	return signedBy(m, r.Signature, r.Incarnation)
}

// signedBy is a member's answer as a signature.
func signedBy(m format.MemberRow, signature, incarnation []byte) (format.NodeSignature, error) {
	s := format.NodeSignature{Node: m.Number, Signature: signature}
	if len(incarnation) != len(s.Incarnation) {
		return s, fmt.Errorf("node %s: no incarnation", m.Name)
	}
	copy(s.Incarnation[:], incarnation)
	return s, nil
}

// holds says why a signature is not that of a member's present incarnation. Apply
// refuses all signatures for one that does not hold, so one lying node could keep
// every checkpoint and digest from being recorded.
func holds(m format.MemberRow, message []byte, s format.NodeSignature) error {
	if s.Node != m.Number || s.Incarnation != m.Current || !store.VerifyNode(m, message, s.Signature) {
		return fmt.Errorf("node %s: its signature does not hold", m.Name)
	}
	return nil
}

// awaitMark waits until this node has applied a MARK entry.
func (n *Node) awaitMark(ctx context.Context, entry uint64) (format.Checkpoint, error) {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		if c, ok := n.store.Mark(entry); ok {
			return c, nil
		}
		if n.store.Summary().Applied >= entry {
			return format.Checkpoint{}, fmt.Errorf("knows no mark at entry %d", entry)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return format.Checkpoint{}, ctx.Err()
		}
	}
}

// openEpochs gives every institution its history keys of the present quarter.
func (n *Node) openEpochs(ctx context.Context, s store.Summary) error {
	if !n.supply.ready() {
		return nil
	}
	epoch := store.EpochAt(max(s.Clock.Now, s.Ceremony))
	institutions, err := n.store.Institutions()
	if err != nil {
		return err
	}
	for _, i := range institutions {
		if i.Epoch >= epoch {
			continue
		}
		e := format.KeyEffect{Verb: format.KeyEpoch, Institution: i.Number, Epoch: epoch}
		slots := []*format.Slot{&e.Use, &e.Other}
		if i.Epoch == 0 {
			slots = append(slots, &e.Subject)
		}
		for _, slot := range slots {
			if *slot, err = n.Slot(ctx); err != nil {
				return err
			}
		}
		if _, err := n.duty(ctx, store.KindKey, format.EncodeEffect(e)); err != nil {
			return fmt.Errorf("keys of institution %d: %w", i.Number, err)
		}
	}
	return nil
}
