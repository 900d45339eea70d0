package replication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// keeper erases history records at the end of their retention, quarter by quarter.
// The leader proposes the steps, each begun from replicated rows; every node
// destroys its own files, and the keys of epochs that ended. While no quarter is
// old enough it looks at one number.
type keeper struct {
	node *Node

	// The leader's: the bound that was looked at, the quorum clock at which the
	// quarter of the record there has had its time, and how far the carried records
	// were looked through in this quarter.
	looked  bool
	bound   uint64
	due     retention.Instant
	quarter uint32
	from    uint64
	rest    time.Time // when nothing could be pruned though a quarter has had its time
	stated  time.Time // when a digest of all rows was last asked for

	institution uint32 // where the next step with keys is looked for first

	failed time.Time // when this node last failed to destroy
}

// keepEvery is how long a node waits after a failure to erase, which may be dear
// to find.
const keepEvery = time.Minute

// run erases on this node until ctx ends.
func (k *keeper) run(ctx context.Context) {
	k.every(ctx, func() {
		if time.Since(k.failed) < k.pause() {
			return
		}
		if err := k.own(ctx); err != nil && ctx.Err() == nil {
			k.failed = time.Now()
			k.node.log.Warn("erasing history", "error", err)
		}
	})
}

// runLead takes one of the leader's steps after the other until ctx ends.
func (k *keeper) runLead(ctx context.Context) {
	k.every(ctx, func() {
		if k.node.raft.State() != raft.Leader {
			return
		}
		if err := k.lead(ctx); err != nil && ctx.Err() == nil {
			k.node.log.Warn("history retention", "error", err)
		}
	})
}

// every calls step while this node is whole.
func (k *keeper) every(ctx context.Context, step func()) {
	for range ticks(ctx, k.node.timing.Keep) {
		n := k.node
		if n.failed() != nil || n.fsm.copying.Load() || !n.store.Summary().Begun {
			continue
		}
		step()
	}
}

// lead proposes one step, if there is one.
func (k *keeper) lead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, scrubTime)
	defer cancel()
	s, p := k.node.store.Summary(), k.node.store.Pruned()
	if s.Clock.Now == 0 {
		return nil
	}
	if !k.looked || k.bound != p.Bound {
		if err := k.look(s, p.Bound); err != nil {
			return err
		}
	}
	now := retention.Instant(s.Clock.Now)
	if now >= k.due && time.Since(k.rest) >= k.pause() {
		return k.prune(ctx, s)
	}
	if p.Decision == 0 {
		return nil
	}
	if quarter := store.EpochAt(s.Clock.Now); quarter != k.quarter {
		return k.again(ctx, quarter)
	}
	if e, ok := k.node.store.StateRecord(); !ok || e.Mark.Size < p.Decision {
		return k.state(ctx) // for the bases of all nodes
	}
	return k.keys(ctx)
}

// look finds out when the quarter of the oldest record that no PRUNE has gone over
// has had its time.
func (k *keeper) look(s store.Summary, bound uint64) error {
	rec, _, err := k.node.store.Record(bound)
	if err != nil {
		return err
	}
	// Records from before the first tick are as old as the ceremony, at least.
	end := quarterEnd(max(rec.Clock, s.Ceremony))
	due, err := retention.HistoryEnd(end, s.Policy.HistoryYears)
	if err != nil {
		due = retention.MaxInstant
	}
	k.looked, k.bound, k.due = true, bound, due
	return nil
}

// quarterEnd is the beginning of the quarter, in UTC, behind that of an instant.
func quarterEnd(us int64) retention.Instant {
	t := retention.Instant(us).Time()
	return retention.FromTime(time.Date(t.Year(), t.Month()-(t.Month()-1)%3+3, 1, 0, 0, 0, 0, time.UTC))
}

// prune goes over the next records of a quarter that has had its time.
func (k *keeper) prune(ctx context.Context, s store.Summary) error {
	n := k.node
	rec, _, err := n.store.Record(k.bound)
	if err != nil {
		return err
	}
	end := quarterEnd(max(rec.Clock, s.Ceremony))
	for next := end; err == nil && next != 0; { // as many quarters as have had their time
		end = next
		next = quarterEnd(int64(end))
		if over, err := retention.HistoryEnd(next, s.Policy.HistoryYears); err != nil || over > retention.Instant(s.Clock.Now) {
			next = 0
		}
	}
	cut, err := n.store.PruneCut(end)
	if err != nil {
		return err
	}
	body, _, err := n.store.NextPrune(cut, k.from)
	if err != nil {
		return err
	}
	if e, derr := format.DecodePruneEffect(body); body == nil || derr != nil || e.Again {
		if cut <= k.bound {
			// No clock record behind the oldest one is old enough, or what it did may
			// still be repeated.
			k.rest = time.Now()
			return nil
		}
		return k.state(ctx) // no digest or no checkpoint covers it yet
	}
	if _, err = n.duty(ctx, store.KindPrune, body); err != nil {
		k.looked, k.rest = false, time.Now() // the policy may be another one
	}
	return err
}

// again goes over carried records, once a quarter, whose time may have come since.
func (k *keeper) again(ctx context.Context, quarter uint32) error {
	body, next, err := k.node.store.NextPrune(0, k.from)
	if err == nil && body != nil {
		_, err = k.node.duty(ctx, store.KindPrune, body)
	}
	if err != nil {
		return err
	}
	if k.from = next; next == 0 {
		k.quarter = quarter
	}
	return nil
}

// pause is how long what could not be done, or is dear, waits.
func (k *keeper) pause() time.Duration { return min(keepEvery, 10*k.node.timing.Keep) }

// state asks for a digest of all rows and a checkpoint, not too often.
func (k *keeper) state(ctx context.Context) error {
	if time.Since(k.stated) < k.pause() {
		return nil
	}
	k.stated = time.Now()
	_, err := k.node.TakeState(ctx)
	if err == nil {
		_, err = k.node.takeCheckpoint(ctx)
	}
	return err
}

// own does this node's part: a base, then the files, then ended epochs' keys.
func (k *keeper) own(ctx context.Context) error {
	if _, voter := k.node.ownRow(); !voter {
		return nil
	}
	if k.node.store.Room() > 0 { // second copies of much are written, for which a full disk has no room
		if err := k.ownFiles(ctx); err != nil {
			return err
		}
	}
	return k.ownKeys(ctx)
}

// ownFiles destroys what was dropped of the history, and what derives from it.
func (k *keeper) ownFiles(ctx context.Context) error {
	n := k.node
	wants, err := n.store.WantsBase()
	if err != nil {
		return err
	}
	if e, ok := n.store.StateRecord(); wants && ok && e.Mark.Size >= n.store.Pruned().Decision {
		err := n.scrub.at(ctx, e.Mark.Entry, func(v *store.StateView, d store.StateDigest) error {
			if d.Digest != e.Rows || d.Count != e.Count {
				return errors.New("this node's rows are not the majority's")
			}
			return n.store.WriteBase(ctx, v, e)
		})
		if err != nil && !errors.Is(err, errNoView) { // the next STATE record comes with another view
			return fmt.Errorf("base: %w", err)
		}
	}
	if err := n.store.EraseHistory(ctx); err != nil {
		return err
	}
	if n.store.WantsRewrite() {
		n.scrub.drop(0) // it would be waited for
		if err := n.store.RewriteIndex(); err != nil {
			return fmt.Errorf("rewriting the index: %w", err)
		}
	}
	return nil
}

// ownKeys destroys the keys of ended epochs on this node and attests it.
func (k *keeper) ownKeys(ctx context.Context) error {
	n := k.node
	pending, err := n.store.PendingEpochs(n.own.number, n.store.Summary().Checkpoint.Checkpoint.Size)
	if err != nil || len(pending) == 0 {
		return err
	}
	pending = pending[:min(len(pending), n.pieces().attest)]
	if err := n.store.DestroyEpochs(ctx, pending); err != nil {
		var damage *format.DamageError
		if errors.As(err, &damage) {
			n.heal.add(wound{kind: format.DamageHistory, where: damage.Error()})
		}
		return fmt.Errorf("destroying the keys of ended epochs: %w", err)
	}
	var e format.AttestEffect
	for _, p := range pending {
		e.Keys = append(e.Keys, p.Decision)
	}
	return n.attest(ctx, e)
}
