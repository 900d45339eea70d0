package service

import (
	"context"
	"errors"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Errors of a Node that the front decides on.
var (
	// ErrUnavailable: no leader, no majority, or the context ended. Whether the
	// operation takes place is not known.
	ErrUnavailable = errors.New("no majority answers")
	// ErrStorageFull: the nodes have no room for new bundles.
	ErrStorageFull = errors.New("no room for new bundles")
)

// Node is the replication node that the front stands before.
type Node interface {
	// Submit hands an operation to the proposer and waits for this node's own
	// Apply of it. ID, BuiltAt, Front and the front's interval are filled in when
	// zero; chunks travel beside it. Errors wrap ErrUnavailable or ErrStorageFull.
	Submit(ctx context.Context, op store.Op, chunks ...format.Chunk) (store.Result, error)
	// NewID draws a random operation id.
	NewID() format.ID
	// Slot answers a key slot that nothing was sealed under, of a block that this
	// node announced.
	Slot(ctx context.Context) (format.Slot, error)
	// Store is the node's state, for reading, sealing and opening.
	Store() *store.Store
	// FetchChunk reads a chunk's ciphertext here, or from a peer when the copy
	// here is damaged or missing. A *format.DamageError when nobody has it.
	FetchChunk(ctx context.Context, row *format.BundleRow, h format.ChunkHeader) ([]byte, error)
	// ChunkHeaders lists a bundle's chunks, in order, from here or from peers.
	ChunkHeaders(ctx context.Context, row *format.BundleRow) ([]format.ChunkHeader, error)
	// Status asks the peers, with a short time-out, and never fails.
	Status(ctx context.Context) Status
	// VerifyAll has every reachable node check all its files.
	VerifyAll(ctx context.Context) (ClusterVerification, error)
	// Name and Number are this node's in the member table.
	Name() string
	Number() uint32
	// Ready reports whether the node serves: whole, caught up, with a leader.
	Ready() bool
}

// Clock answers this node's own part of `clock status`: status, development,
// earliest, latest, sources and detail. The front adds the quorum clock's part.
type Clock func() *sagov1.ClockServiceStatusResponse

// Status is where the nodes stand, as one of them sees it.
type Status struct {
	Leader string
	Term   uint64
	Ready  bool
	Detail string
	Nodes  []NodeStatus
}

// NodeStatus is one node's part of a Status.
type NodeStatus struct {
	Number             uint32
	Name, Address      string
	State, Incarnation string
	Applied            uint64
	HistorySize        uint64
	Root, StateHash    format.Digest
	Reachable          bool
	Protection, Detail string
}

// ClusterVerification is what all nodes found in their files.
type ClusterVerification struct {
	Intact, RootsEqual bool
	ComparedSize       uint64
	Nodes              []NodeVerification
}

// NodeVerification is what one node found in its files.
type NodeVerification struct {
	Node                 string
	Reachable            bool
	HistorySize          uint64
	Root, RootAtCompared format.Digest
	Chunks, KeySlots     uint64
	Rows                 uint64
	Damage               []string
}
