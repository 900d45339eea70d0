package replication

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store/format"
)

// Status is what `cluster status` shows. It leaves no record and is answered by
// a node that is cut off.
type Status struct {
	Leader string
	Term   uint64
	Ready  bool
	Detail string
	Nodes  []NodeStatus
}

// NodeStatus is one node of a Status.
type NodeStatus struct {
	Number                            uint32
	Name, Address, State, Incarnation string
	Applied, HistorySize              uint64
	// SignedSize is the size of the last checkpoint that the node key signed.
	SignedSize         uint64
	Root, StateHash    format.Digest
	Reachable          bool
	Protection, Detail string
}

// stateJoining is the state of a node that has no vote, or whose state is not
// whole yet.
const stateJoining = "joining"

// stateFenced is the state of a node that has stopped by itself.
const stateFenced = "fenced"

// peerTimeout bounds how long a status waits for a peer.
const peerTimeout = 700 * time.Millisecond

// leader is whom this node follows, itself when it leads; empty while it knows of
// none. A candidate follows nobody, though raft may still name the leader that
// handed over: an entry of that one's that arrives behind its hand-over sets it
// again, for as long as no election is won.
func (n *Node) leader() raft.ServerID {
	if n.raft.State() == raft.Candidate {
		return ""
	}
	_, id := n.raft.LeaderWithID()
	return id
}

func (n *Node) leaderName() string {
	name, _, err := parseServerID(string(n.leader()))
	if err != nil {
		return ""
	}
	return name
}

// self is this node's own line.
func (n *Node) self() NodeStatus {
	s := n.store.Summary()
	st := NodeStatus{Number: n.own.number, Name: n.own.name, Address: n.cfg.Listener.Addr().String(), Incarnation: shortID(n.own.incarnation),
		Applied: s.Applied, HistorySize: s.Size, StateHash: s.State, Reachable: true, Protection: n.store.Protection().String()}
	last, _ := n.signer.newest(n.own.incarnation)
	st.SignedSize = last.Size
	if root, err := n.store.RootAt(s.Size); err == nil {
		st.Root = root
	}
	switch n.raft.State() {
	case raft.Leader:
		st.State = "leader"
	case raft.Candidate:
		st.State = "candidate"
	default:
		st.State = "follower"
	}
	if _, voter := n.ownRow(); !voter || n.fsm.copying.Load() {
		st.State, st.Detail = stateJoining, n.attestor.aside()
		if lost := n.lost.Load(); lost != nil {
			st.Detail = strings.TrimSpace(*lost + " " + st.Detail)
		}
	}
	if n.cfg.Note != nil {
		st.Detail = strings.Trim(st.Detail+"; "+n.cfg.Note(), "; ")
	}
	if err := n.failed(); err != nil {
		st.State, st.Detail = stateFenced, err.Error()
	}
	return st
}

// Status asks every node, with a short timeout.
func (n *Node) Status(ctx context.Context) Status {
	members := n.members()
	out := Status{Leader: n.leaderName(), Term: n.raft.CurrentTerm(), Ready: n.Ready(), Nodes: make([]NodeStatus, len(members))}
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for i, m := range members {
		if m.Number == n.own.number {
			out.Nodes[i] = n.self()
			if s := out.Nodes[i].State; s == stateJoining || s == stateFenced {
				out.Detail = out.Nodes[i].Detail
			}
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			out.Nodes[i] = n.askStatus(ctx, m)
		}()
	}
	wg.Wait()
	return out
}

func (n *Node) askStatus(ctx context.Context, m format.MemberRow) NodeStatus {
	addr, _ := n.address(m.Name)
	st := NodeStatus{Number: m.Number, Name: m.Name, Address: addr, State: "unreachable", Incarnation: shortID(m.Current)}
	c, err := n.peers.get(m.Name)
	if err != nil {
		st.Detail = err.Error()
		return st
	}
	r, err := c.Status(ctx, &nodev1.StatusRequest{})
	if err != nil {
		st.Detail = err.Error()
		return st
	}
	st.Reachable, st.State, st.Applied, st.HistorySize, st.Protection, st.Detail = true, r.State, r.Applied, r.HistorySize, r.Protection, r.Detail
	st.SignedSize = r.SignedSize
	copy(st.Root[:], r.HistoryRoot)
	copy(st.StateHash[:], r.StateHash)
	if id, err := idOf(r.Incarnation); err == nil {
		st.Incarnation = shortID(id)
	}
	return st
}

// ClusterVerification is what every reachable node found in its files, and
// whether their histories are one.
type ClusterVerification struct {
	Intact, RootsEqual bool
	ComparedSize       uint64
	Nodes              []NodeVerification
}

// NodeVerification is one node of a ClusterVerification.
type NodeVerification struct {
	Node                   string
	Reachable              bool
	HistorySize            uint64
	Root, RootAtCompared   format.Digest
	Chunks, KeySlots, Rows uint64
	Damage                 []string
}

// VerifyAll has every reachable node check all its files, and compares the roots
// at the size that this node had at the beginning.
func (n *Node) VerifyAll(ctx context.Context) (ClusterVerification, error) {
	size := n.store.Summary().Size
	members := n.members()
	out := ClusterVerification{Intact: true, RootsEqual: true, ComparedSize: size, Nodes: make([]NodeVerification, len(members))}
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Add(1)
		go func() {
			defer wg.Done()
			out.Nodes[i] = n.verifyOne(ctx, m, size)
		}()
	}
	wg.Wait()
	var first format.Digest
	for _, v := range out.Nodes {
		if !v.Reachable {
			continue
		}
		if len(v.Damage) > 0 {
			out.Intact = false
		}
		if first == (format.Digest{}) {
			first = v.RootAtCompared
		}
		if v.RootAtCompared != first {
			out.RootsEqual, out.Intact = false, false
		}
	}
	return out, ctx.Err()
}

func (n *Node) verifyOne(ctx context.Context, m format.MemberRow, size uint64) NodeVerification {
	v := NodeVerification{Node: m.Name}
	if m.Number == n.own.number {
		own, err := n.verifySelf(ctx)
		if err != nil {
			v.Damage = append(v.Damage, err.Error())
		}
		v.Reachable, v.HistorySize, v.Root, v.Chunks, v.KeySlots, v.Rows = true, own.Size, own.Root, own.Chunks, own.Keys, own.Rows
		for _, d := range own.Damage {
			v.Damage = append(v.Damage, d.Error())
		}
		if root, err := n.store.RootAt(size); err == nil {
			v.RootAtCompared = root
		}
		return v
	}
	c, err := n.peers.get(m.Name)
	if err != nil {
		return v
	}
	if err := n.awaitPeer(ctx, c, size); err != nil {
		return v
	}
	r, err := c.Verify(ctx, &nodev1.VerifyRequest{Size: size})
	if err != nil {
		return v
	}
	v.Reachable, v.HistorySize, v.Chunks, v.KeySlots, v.Rows, v.Damage = true, r.HistorySize, r.Chunks, r.KeySlots, r.Rows, r.Damage
	copy(v.Root[:], r.Root)
	copy(v.RootAtCompared[:], r.RootAtSize)
	return v
}

// awaitPeer gives a follower a moment to apply what this node has applied.
func (n *Node) awaitPeer(ctx context.Context, c nodev1.NodeServiceClient, size uint64) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := c.Status(ctx, &nodev1.StatusRequest{})
		if err != nil || r.HistorySize >= size {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
