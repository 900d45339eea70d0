package client

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// SignedCheckpoint is a checkpoint of this cluster that a majority of the pinned
// nodes signed.
type SignedCheckpoint struct {
	// Note is the whole signed note (C2SP), as it is kept.
	Note       string
	Checkpoint format.Checkpoint
	// Signers are the pinned nodes whose signature verified, in the context's order,
	// and Needed is how many of them are a majority.
	Signers []string
	Needed  int
	// Witnesses is how many of the policy's witnesses have cosigned it, and
	// WitnessesNeeded how many must, as the appliance says.
	Witnesses, WitnessesNeeded uint32
}

// CheckpointQuery says which checkpoint is wanted; the zero value is the newest
// that there is. At most one field may be set.
type CheckpointQuery struct {
	// Fresh has a new one taken, if there is a record that none covers.
	Fresh bool
	// Covering asks for the least one whose tree holds this sequence.
	Covering *uint64
	// Size asks for the one of exactly this size.
	Size *uint64
}

// Checkpoint answers a checkpoint that a majority of the pinned nodes signed. It
// is held against the context's memory, and remembered there when it is newer.
//
// The error wraps [ErrIntegrity] when it does not verify; it is a
// *[RollbackError] or *[ForkError] when it contradicts what is remembered. Its
// reason is NO_CHECKPOINT while the appliance has none, NOT_COVERED while none
// covers the sequence, and NOT_FOUND for a size or sequence that does not exist.
func (c *Client) Checkpoint(ctx context.Context, q CheckpointQuery) (*SignedCheckpoint, error) {
	had, err := c.remembered()
	if err != nil {
		return nil, err
	}
	s, consistency, err := c.askCheckpoint(ctx, q, had)
	if err != nil {
		return nil, err
	}
	return s, c.hold(ctx, s, had, consistency)
}

// askCheckpoint asks for a checkpoint, with the consistency proof from had, and
// verifies its signatures.
func (c *Client) askCheckpoint(ctx context.Context, q CheckpointQuery, had *SignedCheckpoint) (*SignedCheckpoint, [][]byte, error) {
	req := &sagov1.CheckpointRequest{Fresh: q.Fresh, Covering: q.Covering, Size: q.Size}
	if had != nil {
		req.Known = had.Checkpoint.Size
	}
	resp, err := unary(ctx, c, repeatable, sagov1.NewHistoryServiceClient, sagov1.HistoryServiceClient.Checkpoint, req)
	if ReasonOf(err) == "NO_CHECKPOINT" && had != nil {
		return nil, nil, &RollbackError{Had: had.Checkpoint.Size, Note: had.Note}
	}
	if err != nil {
		return nil, nil, err
	}
	s, err := c.signed(resp.GetNote())
	if err != nil {
		return nil, nil, err
	}
	s.Witnesses, s.WitnessesNeeded = resp.GetWitnesses(), resp.GetWitnessesNeeded()
	size := s.Checkpoint.Size
	switch {
	case q.Size != nil && size != *q.Size:
		return nil, nil, integrity("asked for the checkpoint of size %d, answered was %d", *q.Size, size)
	case q.Covering != nil && size <= *q.Covering:
		return nil, nil, integrity("the checkpoint of size %d does not cover record %d", size, *q.Covering)
	case had != nil && q.Size == nil && q.Covering == nil && size < had.Checkpoint.Size:
		return nil, nil, &RollbackError{Had: had.Checkpoint.Size, Has: size, Note: had.Note}
	}
	return s, resp.GetConsistency(), nil
}

// signed verifies a note: this cluster's, and signed by a majority of the pinned
// nodes.
func (c *Client) signed(note string) (*SignedCheckpoint, error) {
	return signed(note, c.cluster, c.nodes)
}

func signed(note string, cluster [16]byte, nodes []NodeKey) (*SignedCheckpoint, error) {
	cp, signers, err := VerifyCheckpoint(note, nodes)
	if err != nil {
		return nil, err
	}
	s := &SignedCheckpoint{Note: note, Checkpoint: cp, Signers: signers, Needed: len(nodes)/2 + 1}
	switch {
	case cp.Cluster != format.ID(cluster):
		return nil, integrity("the checkpoint is of cluster %x", cp.Cluster)
	case len(signers) < s.Needed:
		return nil, integrity("%d of %d pinned nodes signed the checkpoint, %d are needed", len(signers), len(nodes), s.Needed)
	case cp.Size == 0:
		return nil, integrity("the checkpoint covers no record")
	}
	return s, nil
}

// Consistency verifies that the tree of the older checkpoint is the beginning of
// the newer one's, by a proof that the appliance is asked for. Both must have
// been verified. The error is a *[ForkError] when the proof does not hold, and a
// *[RollbackError] when the appliance has fewer records than the newer one.
func (c *Client) Consistency(ctx context.Context, older, newer *SignedCheckpoint) error {
	if older.Checkpoint.Size > newer.Checkpoint.Size {
		older, newer = newer, older
	}
	if older.Checkpoint.Size == newer.Checkpoint.Size {
		return c.consistent(older, newer, nil)
	}
	ask := func() (*sagov1.ConsistencyResponse, error) {
		return unary(ctx, c, repeatable, sagov1.NewHistoryServiceClient, sagov1.HistoryServiceClient.Consistency,
			&sagov1.ConsistencyRequest{Old: older.Checkpoint.Size, New: newer.Checkpoint.Size})
	}
	resp, err := ask()
	if ReasonOf(err) == "NOT_FOUND" {
		// The node has fewer records. Its newest checkpoint says whether it lags or
		// the appliance has lost them.
		if _, _, err := c.askCheckpoint(ctx, CheckpointQuery{}, newer); err != nil {
			return err
		}
		resp, err = ask()
	}
	if err != nil {
		return err
	}
	return c.consistent(older, newer, resp.GetProof())
}

// consistent holds two checkpoints against each other.
func (c *Client) consistent(older, newer *SignedCheckpoint, proof [][]byte) error {
	a, b := older.Checkpoint, newer.Checkpoint
	path, err := hashesOf(proof)
	switch {
	case err != nil:
		return err
	case a.Size == b.Size && a.Root != b.Root:
		return c.forked(older.Note, newer.Note, "two signed roots of the same number of records")
	case a.Size == b.Size && len(path) > 0:
		return integrity("a proof where none is needed")
	case a.Size == b.Size:
		return nil
	}
	if tlog.CheckTree(path, int64(b.Size), tlog.Hash(b.Root), int64(a.Size), tlog.Hash(a.Root)) != nil {
		return c.forked(older.Note, newer.Note, fmt.Sprintf("the appliance does not prove that its first %d of %d records are those that were signed", a.Size, b.Size))
	}
	return nil
}

// VerifyKept holds a checkpoint that was kept outside the memory (a file, a
// printed line) against the running appliance: the note must be this cluster's
// and signed by a majority of the pinned nodes, and the appliance must prove that
// its newest checkpoint contains it. It answers the newest and the kept one, as
// far as they verified. Errors are as those of [Client.Checkpoint].
func (c *Client) VerifyKept(ctx context.Context, note string) (newest, kept *SignedCheckpoint, err error) {
	if kept, err = c.signed(note); err != nil {
		return nil, nil, err
	}
	newest, proof, err := c.askCheckpoint(ctx, CheckpointQuery{}, kept)
	if err != nil {
		return nil, kept, err
	}
	if err := c.consistent(kept, newest, proof); err != nil {
		return newest, kept, err
	}
	had, err := c.remembered()
	if err != nil {
		return newest, kept, err
	}
	return newest, kept, c.hold(ctx, newest, had, nil)
}

func hashesOf(raw [][]byte) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(raw))
	for i, h := range raw {
		if len(h) != tlog.HashSize {
			return nil, integrity("a hash of %d bytes", len(h))
		}
		out[i] = tlog.Hash(slices.Clone(h))
	}
	return out, nil
}
