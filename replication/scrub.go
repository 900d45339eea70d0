package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// The scrubber finds rows that were altered at rest. From time to time the leader
// takes a MARK that keeps a view of all rows on every node, gathers the nodes'
// signed digests over it and records the one that a majority has. Every node then
// holds its own digest against the record.

// viewLease is how long an unused view stays open: while it is, the index file
// cannot use freed pages again.
const viewLease = 2 * time.Minute

// viewAge is how old a view gets, whoever uses it.
const viewAge = 5 * time.Minute

// scrubTime bounds one gathering, or one comparison, of all rows.
const scrubTime = 10 * time.Minute

// errNoView says that this node has no view of the rows at that entry.
var errNoView = errors.New("keeps no view of the rows there")

// errNoMajority says that no majority of the nodes has the same rows.
var errNoMajority = errors.New("no majority of the nodes has the same rows")

// scrubber keeps the view of this node's newest MARK that asked for one.
type scrubber struct {
	node *Node

	mu     sync.Mutex // held while the view is read
	view   *store.StateView
	digest *store.StateDigest // of view, once somebody asked
	taken  time.Time
	used   time.Time
	ended  bool // no view is taken any more

	judged uint64    // entry of the newest STATE record that was held against
	tried  time.Time // when this leader last gathered
}

// run scrubs until ctx ends, and then closes the view.
func (s *scrubber) run(ctx context.Context) {
	defer s.end()
	for range ticks(ctx, s.node.timing.Duties) {
		if s.node.failed() != nil || s.node.fsm.copying.Load() {
			s.drop(0)
			continue
		}
		s.drop(viewLease)
		if err := s.round(ctx); err != nil && ctx.Err() == nil {
			s.node.log.Warn("scrubbing", "error", err)
		}
	}
}

func (s *scrubber) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, scrubTime)
	defer cancel()
	if err := s.judge(ctx); err != nil {
		return err
	}
	if s.node.raft.State() != raft.Leader || !s.due() {
		return nil
	}
	s.tried = time.Now()
	_, err := s.node.TakeState(ctx)
	return err
}

// due reports whether the interval has passed on the quorum clock with something
// new since the last digest.
func (s *scrubber) due() bool {
	n := s.node
	sum := n.store.Summary()
	if sum.Clock.Now == 0 || !n.store.Changed() || !s.tried.IsZero() && time.Since(s.tried) < min(n.timing.StateEvery, time.Minute) {
		return false
	}
	last := sum.Ceremony
	if e, ok := n.store.StateRecord(); ok {
		last = e.Mark.Clock
	}
	return micros(sum.Clock.Now-last) >= n.timing.StateEvery
}

func micros(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// take takes over the view that the Machine has kept. The caller holds mu.
func (s *scrubber) take() {
	if s.ended {
		return
	}
	v := s.node.store.TakeView()
	if v == nil {
		return
	}
	s.close()
	now := time.Now()
	s.view, s.taken, s.used = v, now, now
}

// close closes the view. The caller holds mu.
func (s *scrubber) close() {
	if s.view != nil {
		if err := s.view.Close(); err != nil {
			s.node.log.Warn("closing a view of the rows", "error", err)
		}
	}
	s.view, s.digest = nil, nil
}

// end closes the view for good: an open one would keep the store from closing.
func (s *scrubber) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close()
	s.ended = true
}

// drop closes a view that nobody has used for that long, or that is too old.
func (s *scrubber) drop(unused time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.take(); s.view != nil && (time.Since(s.used) >= unused || time.Since(s.taken) >= viewAge) {
		s.close()
	}
}

// at runs fn on this node's view of the rows at a MARK that kept one, with its
// digest: that of the newest STATE record, for some minutes after it. One at a time;
// fn must not keep the view.
func (s *scrubber) at(ctx context.Context, entry uint64, fn func(*store.StateView, store.StateDigest) error) error {
	mark, err := s.node.awaitMark(ctx, entry)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoView, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.take(); s.view == nil || s.view.Mark != mark {
		return fmt.Errorf("entry %d: %w", entry, errNoView)
	}
	if s.digest == nil {
		d, err := s.view.Digest(ctx)
		if err != nil {
			return err
		}
		s.digest = &d
	}
	err = fn(s.view, *s.digest)
	s.used = time.Now()
	return err
}

// state is this node's own digest at a MARK, signed.
func (n *Node) state(ctx context.Context, entry uint64) (e format.StateEffect, err error) {
	if n.failed() != nil || n.fsm.copying.Load() {
		return e, errors.New("does not sign: its state is not whole")
	}
	err = n.scrub.at(ctx, entry, func(v *store.StateView, d store.StateDigest) error {
		e.Mark, e.Rows, e.Count = v.Mark, d.Digest, d.Count
		return nil
	})
	if err != nil {
		return e, err
	}
	if err := n.settleHistory(); err != nil {
		return e, err
	}
	// Who signs a digest vouches for the history below it as well.
	if err := n.signer.vouch(ctx, n.store, n.own.incarnation, e.Mark); err != nil {
		n.refused(err)
		return e, err
	}
	s := format.NodeSignature{Node: n.own.number, Incarnation: n.own.incarnation}
	s.Signature, err = n.keys.sign(e.Message())
	e.Signatures = []format.NodeSignature{s}
	return e, err
}

// stateOf asks a member for its digest at a MARK and checks the signature.
func (n *Node) stateOf(ctx context.Context, m format.MemberRow, entry uint64) (format.StateEffect, error) {
	if m.Number == n.own.number {
		return n.state(ctx, entry)
	}
	c, err := n.peers.get(m.Name)
	if err != nil {
		return format.StateEffect{}, err
	}
	r, err := c.State(ctx, &nodev1.StateRequest{Entry: entry})
	if err != nil {
		return format.StateEffect{}, fmt.Errorf("node %s: %w", m.Name, err)
	}
	e, err := format.DecodeStateEffect(r.Effect)
	if err == nil && len(e.Signatures) != 1 {
		err = errors.New("it has not signed what it answers")
	}
	if err != nil {
		return e, fmt.Errorf("node %s: %w", m.Name, err)
	}
	return e, holds(m, e.Message(), e.Signatures[0])
}

// TakeState takes a digest over all rows now, if this node leads: a MARK, the
// digests of all nodes that answer, and the STATE record of the one that a majority
// has. Where no majority agrees nothing is recorded and the first differences
// are logged.
func (n *Node) TakeState(ctx context.Context) (format.StateEffect, error) {
	if n.raft.State() != raft.Leader {
		return format.StateEffect{}, errNotLeader
	}
	r, err := n.duty(ctx, store.KindMark, store.MarkRows())
	if err != nil {
		return format.StateEffect{}, err
	}
	states, err := n.gatherStates(ctx, r.Entry)
	members := votersOf(n.store.Members())
	for _, e := range states {
		if len(e.Signatures) < len(members)/2+1 {
			continue
		}
		_, err := n.duty(ctx, store.KindState, format.EncodeEffect(e))
		return e, err
	}
	if len(states) > 1 {
		n.reportDifferences(ctx, r.Entry, states)
		err = errors.Join(errNoMajority, err)
	}
	return format.StateEffect{}, fmt.Errorf("digest of all rows at entry %d: %w", r.Entry, err)
}

// gatherStates asks every member for its digest, and answers each digest with the
// signatures of those who have it, ascending.
func (n *Node) gatherStates(ctx context.Context, entry uint64) ([]format.StateEffect, error) {
	ctx, cancel := context.WithTimeout(ctx, scrubTime)
	defer cancel()
	members := votersOf(n.store.Members())
	answers := askAll(members, func(m format.MemberRow) (format.StateEffect, error) { return n.stateOf(ctx, m, entry) })
	var out []format.StateEffect
	var errs []error
	for range members {
		a := <-answers
		if a.err != nil {
			errs = append(errs, a.err)
			continue
		}
		i := slices.IndexFunc(out, func(e format.StateEffect) bool { return sameState(e, a.what) })
		if i < 0 {
			out, i = append(out, format.StateEffect{Mark: a.what.Mark, Rows: a.what.Rows, Count: a.what.Count}), len(out)
		}
		if out[i].Signatures = append(out[i].Signatures, a.what.Signatures...); len(out[i].Signatures) == len(members)/2+1 {
			// A majority is enough; who comes later finds its own difference.
			time.AfterFunc(lateStates, cancel)
		}
	}
	for _, e := range out {
		slices.SortFunc(e.Signatures, func(a, b format.NodeSignature) int { return int(a.Node) - int(b.Node) })
	}
	return out, errors.Join(errs...)
}

// lateStates is how long a STATE record waits for signatures beyond a majority's.
const lateStates = time.Second

func sameState(a, b format.StateEffect) bool {
	return a.Mark == b.Mark && a.Rows == b.Rows && a.Count == b.Count
}
