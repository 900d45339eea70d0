package service

import (
	"context"
	"io"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Node is the node that the front stands before: a *replication.Node.
type Node interface {
	// Submit hands an operation to the proposer and waits for this node's own
	// Apply of it. ID, BuiltAt, Front and the front's interval are filled in when
	// zero; chunks travel beside it. Errors wrap replication.ErrUnavailable or
	// replication.ErrStorageFull.
	Submit(ctx context.Context, op store.Op, chunks ...format.Chunk) (store.Result, error)
	// NewID draws a random operation id.
	NewID() format.ID
	// Slot answers a key slot that nothing was sealed under, of a block that this
	// node announced.
	Slot(ctx context.Context) (format.Slot, error)
	// SlotDone gives a slot back: its caller seals and proposes nothing more under
	// it. If no bundle took it, what was sealed under it is destroyed everywhere.
	SlotDone(slot format.Slot)
	// Store is the node's state, for reading, sealing and opening.
	Store() *store.Store
	// FetchChunk reads a chunk's ciphertext here, or from a peer when the copy
	// here is damaged or missing. A *format.DamageError when nobody has it.
	FetchChunk(ctx context.Context, row *format.BundleRow, h format.ChunkHeader) ([]byte, error)
	// ChunkHeaders lists a bundle's chunks, in order, from here or from peers.
	ChunkHeaders(ctx context.Context, row *format.BundleRow) ([]format.ChunkHeader, error)
	// Archive writes a key archive with the keys of what is named and of bundles
	// stored in the head's range.
	Archive(ctx context.Context, w io.Writer, head format.ArchiveHead, holders []format.ArchiveHolder, of replication.ArchiveOf) (replication.Archived, error)
	// Status asks the peers, with a short time-out, and never fails.
	Status(ctx context.Context) replication.Status
	// VerifyAll has every reachable node check all its files.
	VerifyAll(ctx context.Context) (replication.ClusterVerification, error)
	// Checkpoint returns once this node has applied the newest checkpoint that the
	// leader knows of; with fresh, one that covers what this node has applied.
	// Errors wrap replication.ErrUnavailable.
	Checkpoint(ctx context.Context, fresh bool) error
	// Votes gathers fresh signed votes of the open round from a majority, and what
	// the clock would read after a resync by them, microseconds.
	Votes(ctx context.Context) ([]format.SignedVote, int64, error)
	// Name and Number are this node's in the member table.
	Name() string
	Number() uint32
	// Ready reports whether the node serves: whole, caught up, with a leader.
	Ready() bool
}

var _ Node = (*replication.Node)(nil)

// Clock answers this node's own part of `clock status`: status, development,
// earliest, latest, sources and detail. The front adds the quorum clock's part.
type Clock func() *sagov1.ClockServiceStatusResponse
