package replication

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Membership by incarnation: the MEMBER record comes first, raft's configuration
// follows it. An enrolled node key may rejoin with a new, empty data directory
// without a person; it copies, and votes only once it is whole.

// callTimeout bounds one call to a peer.
const callTimeout = 15 * time.Second

// joinEvery is how often a joining node asks again.
const joinEvery = 500 * time.Millisecond

// join asks whoever leads to take this incarnation in, and says when it is whole.
func (n *Node) join(ctx context.Context, own format.MemberRow) error {
	e := format.MemberEffect{Node: n.own.number, Incarnation: n.own.incarnation, State: format.MemberJoining}
	whole := false
	if own.Joining == n.own.incarnation {
		var err error
		if whole, err = n.whole(ctx); err != nil {
			return err
		}
	}
	if whole {
		e.State = format.MemberVoter
	}
	sig, err := n.keys.sign(e.Message(n.own.cluster))
	if err != nil {
		return err
	}
	req := &nodev1.JoinRequest{Signature: sig, Whole: whole, Applied: n.store.Summary().Applied}
	var errs []error
	for _, m := range n.members() {
		if m.Number == n.own.number {
			continue
		}
		c, err := n.peers.get(m.Name)
		if err == nil {
			asked, cancel := context.WithTimeout(ctx, callTimeout)
			_, err = c.Join(asked, req)
			cancel()
		}
		if err == nil {
			break
		}
		errs = append(errs, err)
	}
	select {
	case <-time.After(joinEvery):
	case <-ctx.Done():
	}
	if len(errs) == len(n.members())-1 {
		return fmt.Errorf("joining: %w", errors.Join(errs...))
	}
	return nil
}

// whole reports whether everything that lives is here: blocks, keys, payload. It
// fetches what is missing. What no voting member has keeps nobody from being whole.
func (n *Node) whole(ctx context.Context) (bool, error) {
	nowhere, err := n.fetchBlocks(ctx)
	if err != nil {
		return false, err
	}
	blocks, bundles, err := n.store.Wanting(ctx)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(blocks, func(id format.ID) bool { return !nowhere[id] }) {
		return false, nil
	}
	lost := 0
	var errs []error
	for i := range bundles {
		if err := n.fetchBundle(ctx, &bundles[i]); errors.Is(err, errNowhere) {
			lost++
		} else {
			errs = append(errs, err)
		}
	}
	if lost < len(bundles) {
		return false, errors.Join(errs...) // look once more at the next round
	}
	if lost+len(blocks) > 0 {
		n.log.Warn("whole but for what no voting member has", "key_blocks", len(blocks), "bundles", lost)
	}
	return true, nil
}

// accept is the leader's part in a join.
func (n *Node) accept(ctx context.Context, c caller, req *nodev1.JoinRequest) (format.MemberState, error) {
	if n.raft.State() != raft.Leader {
		return 0, errNotLeader
	}
	row := c.member
	switch c.hello.From {
	case row.Current:
		return format.MemberVoter, nil
	case row.Joining:
		if !req.Whole || req.Applied+256 < n.store.Summary().Applied {
			return format.MemberJoining, nil
		}
		e := format.MemberEffect{Node: row.Number, Incarnation: c.hello.From, State: format.MemberVoter, Signature: req.Signature}
		_, err := n.duty(ctx, store.KindMember, format.EncodeEffect(e))
		return format.MemberVoter, err
	}
	e := format.MemberEffect{Node: row.Number, Incarnation: c.hello.From, State: format.MemberJoining, Signature: req.Signature}
	_, err := n.duty(ctx, store.KindMember, format.EncodeEffect(e))
	return format.MemberJoining, err
}

var errNotLeader = errors.New("not the leader")

// settleMembers brings raft's configuration to what the member table says:
// current incarnations vote, joining ones follow, others go.
func (n *Node) settleMembers(ctx context.Context) error {
	f := n.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return err
	}
	servers := f.Configuration().Servers
	want := map[raft.ServerID]raft.ServerSuffrage{}
	for _, m := range n.store.Members() {
		if m.Current != (format.ID{}) {
			want[raft.ServerID(serverID(m.Name, m.Current))] = raft.Voter
		}
		if m.Joining != (format.ID{}) {
			want[raft.ServerID(serverID(m.Name, m.Joining))] = raft.Nonvoter
		}
	}
	for _, s := range servers {
		if _, ok := want[s.ID]; !ok {
			n.log.Info("member leaves raft", "id", string(s.ID))
			return n.raft.RemoveServer(s.ID, 0, 5*time.Second).Error()
		}
	}
	for id, suffrage := range want {
		i := slices.IndexFunc(servers, func(s raft.Server) bool { return s.ID == id })
		if i >= 0 && servers[i].Suffrage == suffrage {
			continue
		}
		n.log.Info("member enters raft", "id", string(id), "suffrage", suffrage.String())
		if suffrage == raft.Voter {
			return n.raft.AddVoter(id, raft.ServerAddress(id), 0, 5*time.Second).Error()
		}
		return n.raft.AddNonvoter(id, raft.ServerAddress(id), 0, 5*time.Second).Error()
	}
	return ctx.Err()
}

func shortID(id format.ID) string { return hex.EncodeToString(id[:]) }
