package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Votes about time: this node's own, and how whoever leads gathers them.

// tick gathers votes and proposes a clock entry.
func (n *Node) tick(ctx context.Context, s store.Summary) error {
	votes, err := n.votes(ctx, s.Clock.Round)
	chosen := n.store.ChooseVotes(votes)
	if len(chosen) == 0 {
		return errors.Join(fmt.Errorf("no agreeing majority among %d votes for round %d", len(votes), s.Clock.Round), err)
	}
	_, err = n.duty(ctx, store.KindClock, format.EncodeEffect(format.ClockEffect{Votes: chosen}))
	return err
}

// votes asks every voter for its vote on a round. The error says who gave none.
func (n *Node) votes(ctx context.Context, round uint64) ([]format.SignedVote, error) {
	members := votersOf(n.store.Members())
	asked, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	answers := askAll(members, func(m format.MemberRow) (format.SignedVote, error) { return n.voteOf(asked, m, round) })
	var votes []format.SignedVote
	var errs []error
	for range members {
		a := <-answers
		if a.err != nil {
			errs = append(errs, a.err)
			continue
		}
		if votes = append(votes, a.what); len(votes) == len(members)/2+1 {
			// A majority is enough; the others have a moment longer.
			time.AfterFunc(lateVotes, cancel)
		}
	}
	return votes, errors.Join(errs...)
}

// votersOf are the members whose present incarnation votes.
func votersOf(members []format.MemberRow) []format.MemberRow {
	return slices.DeleteFunc(members, func(m format.MemberRow) bool { return m.Current == format.ID{} })
}

// said is what a member answered, or why it did not.
type said[T any] struct {
	what T
	err  error
}

// askAll asks every member at once. There is one answer from each; who has enough
// of them need not wait for the rest.
func askAll[T any](members []format.MemberRow, ask func(format.MemberRow) (T, error)) <-chan said[T] {
	answers := make(chan said[T], len(members))
	for _, m := range members {
		go func() {
			what, err := ask(m)
			answers <- said[T]{what, err}
		}()
	}
	return answers
}

// lateVotes is how long a clock entry waits for votes beyond a majority's.
const lateVotes = 200 * time.Millisecond

func (n *Node) voteOf(ctx context.Context, m format.MemberRow, round uint64) (format.SignedVote, error) {
	if m.Number == n.own.number {
		return n.vote(round)
	}
	c, err := n.peers.get(m.Name)
	if err != nil {
		return format.SignedVote{}, err
	}
	r, err := c.Vote(ctx, &nodev1.VoteRequest{Round: round})
	if err != nil {
		return format.SignedVote{}, fmt.Errorf("node %s: %w", m.Name, err)
	}
	e, err := format.DecodeClockEffect(r.Vote)
	if err != nil || len(e.Votes) != 1 || e.Votes[0].Voter != m.Number {
		return format.SignedVote{}, fmt.Errorf("node %s answers no vote of its own", m.Name)
	}
	return e.Votes[0], nil
}

// errNoVote says why a node does not vote.
var errNoVote = errors.New("does not vote")

// vote is this node's signed word about time.
func (n *Node) vote(round uint64) (format.SignedVote, error) {
	if n.failed() != nil || n.fsm.copying.Load() {
		return format.SignedVote{}, fmt.Errorf("%w: its state is not whole", errNoVote)
	}
	t, err := n.cfg.Time.Now()
	if err != nil {
		return format.SignedVote{}, fmt.Errorf("%w: %w", errNoVote, err)
	}
	if !t.Votes {
		return format.SignedVote{}, fmt.Errorf("%w: it has no trusted time", errNoVote)
	}
	commit, size, err := n.durable()
	if err != nil {
		return format.SignedVote{}, err
	}
	v := format.SignedVote{Voter: n.own.number, Incarnation: n.own.incarnation, Round: round, Earliest: t.Earliest, Latest: t.Latest,
		BootID: t.BootID, BootReading: t.BootReading, Evidence: t.Evidence, Commit: commit, Size: size, Room: n.store.Room()}
	v.Signature, err = n.keys.sign(v.Message(n.own.cluster))
	return v, err
}
