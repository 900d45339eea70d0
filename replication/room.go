package replication

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
)

// Room for payload on the disks of all nodes. Each node looks at its own several
// times a second and tells the others, at once when it became full or has room
// again. A put is refused where it is made, and once more by the leader, before a
// majority lacks the room: an entry that no majority can take would keep all
// behind it from being committed.

const (
	// roomEvery is how often a node looks at its disk, roomTold how often it tells
	// the others though nothing has changed.
	roomEvery = 100 * time.Millisecond
	roomTold  = time.Second
	// roomOld is how long what a node told counts. One that is silent is taken to
	// have room: whether it answers is for raft to find out.
	roomOld = 5 * time.Second
	// handOnEvery is how often a leader without room tries to hand leadership on.
	handOnEvery = 5 * time.Second
)

// errOwnFull says that the leader has no room, though a majority may have, and that
// nothing of the batch is in its log.
var errOwnFull = fmt.Errorf("%w: the leader has no room for new bundles and hands leadership on", ErrUnavailable)

// roomBook is what the other nodes told about their room.
type roomBook struct {
	mu   sync.Mutex
	told map[uint32]toldRoom
}

type toldRoom struct {
	bytes uint64
	at    time.Time
}

func (b *roomBook) note(node uint32, bytes uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told == nil {
		b.told = map[uint32]toldRoom{}
	}
	b.told[node] = toldRoom{bytes, time.Now()}
}

func (b *roomBook) full(node uint32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.told[node]
	return ok && t.bytes == 0 && time.Since(t.at) < roomOld
}

// majorityFull reports whether a majority of the nodes has no room for a put.
func (n *Node) majorityFull() bool {
	members := n.members()
	full := 0
	for _, m := range members {
		if m.Number == n.own.number && n.store.Room() == 0 || m.Number != n.own.number && n.rooms.full(m.Number) {
			full++
		}
	}
	return len(members)-full < len(members)/2+1
}

// roomToPut refuses payload that this node is asked to propose.
func (n *Node) roomToPut() error {
	if n.store.Room() == 0 || n.majorityFull() {
		return ErrStorageFull
	}
	return nil
}

// roomToLead refuses payload for the log of this leader.
func (n *Node) roomToLead() error {
	if n.majorityFull() {
		return ErrStorageFull
	}
	if n.store.Room() == 0 {
		return errOwnFull
	}
	return nil
}

// serveRoom keeps the reserve and the others informed until ctx ends.
func (n *Node) serveRoom(ctx context.Context) {
	var told, handed time.Time
	full := false
	for range ticks(ctx, roomEvery) {
		if n.failed() != nil {
			return
		}
		room, err := n.store.KeepRoom()
		if err != nil {
			n.fail(err)
			return
		}
		if changed := full != (room == 0); changed || time.Since(told) >= roomTold {
			full, told = room == 0, time.Now()
			n.tellRoom(ctx, room)
			if changed {
				n.log.Warn("room on this node's disk", "full", full)
			}
		}
		if full && n.raft.State() == raft.Leader && !n.majorityFull() && time.Since(handed) >= handOnEvery {
			handed = time.Now()
			if err := n.handOn(); err != nil {
				n.log.Warn("handing leadership on for want of room", "error", err)
			}
		}
	}
}

// tellRoom tells every other node; one that does not hear it is told again soon.
func (n *Node) tellRoom(ctx context.Context, room uint64) {
	for _, m := range n.others() {
		c, err := n.peers.get(m.Name)
		if err != nil {
			continue
		}
		n.wg.Add(1)
		go func() {
			defer n.wg.Done()
			ctx, cancel := context.WithTimeout(ctx, roomTold)
			defer cancel()
			if _, err := c.Room(ctx, &nodev1.RoomRequest{Bytes: room}); err != nil {
				n.log.Debug("telling room", "node", m.Name, "error", err)
			}
		}()
	}
}

// Room takes in what another node tells of its disk.
func (s *nodeService) Room(ctx context.Context, r *nodev1.RoomRequest) (*nodev1.RoomResponse, error) {
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "no caller")
	}
	s.node.rooms.note(c.member.Number, r.Bytes)
	return &nodev1.RoomResponse{}, nil
}

// logRoom is about what storing entries in the raft log needs on disk, in bytes:
// bbolt writes pages anew.
func logRoom(rows []*raft.Log) int {
	need := 0
	for _, l := range rows {
		need += 2*(len(l.Data)+len(l.Extensions)) + 4096
	}
	return need
}

// fullAnswer tells a proposer, behind Propose, that its payload is refused for
// want of room: nothing of the batch is in the log.
func fullAnswer(err error) error {
	switch {
	case errors.Is(err, ErrStorageFull):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, errOwnFull):
		return status.Error(codes.Aborted, err.Error())
	}
	return answer(err)
}

// proposeError is what Propose's answer means to the proposer.
func proposeError(err error) error {
	switch status.Code(err) {
	case codes.FailedPrecondition:
		return fmt.Errorf("%w: %w", ErrStorageFull, err)
	case codes.Aborted:
		return fmt.Errorf("%w: %w", errOwnFull, err)
	}
	return err
}
