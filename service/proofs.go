package service

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/sago-worm/sago/access"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// The calls of this file answer checkpoints and proofs. Checkpoint, Receipt and
// Consistency leave no record: they show the tree's size and hashes, and of
// records only that one is there which the caller named by its own leaf hash.
// Prove shows a record and is recorded as Show is (I3).

// The reasons of what is not there yet and will be.
const (
	reasonNotCovered   = "NOT_COVERED"
	reasonNoCheckpoint = "NO_CHECKPOINT"
)

// catchUp is how long a call waits for what may come at any moment: this node
// applies what another node has answered already, or a checkpoint is being signed.
const catchUp = 2 * time.Second

func notYet(reason string) error { return &problem{reason: reason, code: codes.Unavailable} }

// Checkpoint implements sagov1.HistoryServiceServer. A node that has less than
// the caller remembers asks the leader before it says so. Where the records are there
// and no checkpoint over them is, the log was just restored and its first one is on its
// way, or another history has grown as long: whoever asks is told of what there is then.
func (s *historyServer) Checkpoint(ctx context.Context, req *sagov1.CheckpointRequest) (*sagov1.CheckpointResponse, error) {
	if req.GetFresh() && (req.Covering != nil || req.Size != nil) || req.Covering != nil && req.Size != nil {
		return nil, invalid(format.ReasonInvalid, "fresh, covering and size exclude each other")
	}
	newest := func() uint64 { return s.node.Store().Summary().Checkpoint.Checkpoint.Size }
	if req.GetFresh() || req.GetKnown() > newest() {
		if err := s.node.Checkpoint(ctx, req.GetFresh()); err != nil {
			return nil, err
		}
	}
	if known := req.GetKnown(); req.Size == nil && req.Covering == nil && known <= s.node.Store().Summary().Size {
		soon(ctx, func() bool { return known <= newest() })
	}
	e, err := s.checkpoint(ctx, req)
	if err != nil {
		return nil, err
	}
	answer := &sagov1.CheckpointResponse{Note: s.note(e), Witnesses: uint32(len(s.cfg.Cosignatures(e.Checkpoint))),
		WitnessesNeeded: uint32(s.node.Store().Summary().Policy.WitnessesNeeded)}
	if known := req.GetKnown(); known > 0 && known < e.Checkpoint.Size {
		proof, err := s.node.Store().ProveConsistency(known, e.Checkpoint.Size)
		if err != nil {
			return nil, err
		}
		answer.Consistency = slicesOf(proof)
	}
	return answer, nil
}

// checkpoint finds the one that is asked for.
func (s *historyServer) checkpoint(ctx context.Context, req *sagov1.CheckpointRequest) (format.CheckpointEffect, error) {
	st := s.node.Store()
	switch {
	case req.Size != nil:
		return s.ofSize(req.GetSize())
	case req.Covering != nil:
		if err := s.awaitRecord(ctx, req.GetCovering()); err != nil {
			return format.CheckpointEffect{}, err
		}
		return s.covering(req.GetCovering())
	}
	e := st.Summary().Checkpoint
	if e.Checkpoint.Size == 0 {
		return e, notYet(reasonNoCheckpoint)
	}
	return e, nil
}

// covering is the least checkpoint over a record that is there.
func (s *historyServer) covering(sequence uint64) (format.CheckpointEffect, error) {
	e, err := s.node.Store().CheckpointCovering(sequence)
	if errors.Is(err, store.ErrNoCheckpoint) {
		err = notYet(reasonNotCovered)
	}
	return e, err
}

// awaitRecord waits a moment for a record that this node may not have applied
// yet. One that does not come does not exist.
func (s *Server) awaitRecord(ctx context.Context, sequence uint64) error {
	if !soon(ctx, func() bool { return s.node.Store().Summary().Size > sequence }) {
		return refusal(format.ReasonNotFound, "")
	}
	return nil
}

// soon waits until something is there, catchUp at most, and reports whether it is.
func soon(ctx context.Context, there func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !there() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// Prove implements sagov1.HistoryServiceServer: what Show shows, with its proof.
func (s *historyServer) Prove(ctx context.Context, req *sagov1.ProveRequest) (*sagov1.ProveResponse, error) {
	result, err := s.recordQuery(ctx, format.ListHistory, query("prove", "#"+number(req.GetSequence()), "size", req.GetSize()))
	if err != nil {
		return nil, err
	}
	_, encoded, err := s.visible(ctx, req.GetSequence(), result.Sequence)
	if err != nil {
		return nil, err
	}
	e, err := s.over(req.GetSequence(), req.GetSize())
	if err != nil {
		return nil, err
	}
	proof, err := s.prove(req.GetSequence(), e)
	return &sagov1.ProveResponse{Encoded: encoded, Proof: proof}, err
}

// over is the checkpoint to prove a record under: of that size, or the least
// that covers it when that is 0.
func (s *historyServer) over(sequence, size uint64) (format.CheckpointEffect, error) {
	if size == 0 {
		return s.covering(sequence)
	}
	if sequence >= size {
		return format.CheckpointEffect{}, invalid(format.ReasonInvalid, "a tree of %d records does not hold record %d", size, sequence)
	}
	return s.ofSize(size)
}

// ofSize is the checkpoint of exactly that size.
func (s *historyServer) ofSize(size uint64) (format.CheckpointEffect, error) {
	e, err := s.node.Store().CheckpointAt(size)
	if errors.Is(err, store.ErrNoCheckpoint) {
		err = refusal(format.ReasonNotFound, "no checkpoint has that size")
	}
	return e, err
}

// prove is a record's proof under a checkpoint.
func (s *Server) prove(sequence uint64, e format.CheckpointEffect) (*sagov1.RecordProof, error) {
	leaf, err := s.node.Store().LeafHash(sequence)
	if err != nil {
		return nil, err
	}
	path, err := s.node.Store().Prove(sequence, e.Checkpoint.Size)
	if err != nil {
		return nil, err
	}
	return &sagov1.RecordProof{Sequence: sequence, LeafHash: leaf[:], Path: slicesOf(path), Checkpoint: s.note(e)}, nil
}

// Receipt implements sagov1.HistoryServiceServer. Another institution's record,
// another leaf hash and a sequence that does not exist answer alike. It reads
// index and tree alone, never a record, except for an access manager: who decides
// over others gets receipts of what they did themselves.
func (s *historyServer) Receipt(ctx context.Context, req *sagov1.ReceiptRequest) (*sagov1.ReceiptResponse, error) {
	sequence, st := req.GetSequence(), s.node.Store()
	if err := s.awaitRecord(ctx, sequence); err != nil {
		return nil, err
	}
	leaf, err := st.LeafHash(sequence)
	if err != nil {
		return nil, err
	}
	own, err := st.Sequences(callerOf(ctx).Institution, "", format.Digest{}, sequence, 1)
	if err != nil {
		return nil, err
	}
	if string(leaf[:]) != string(req.GetLeafHash()) || len(own) == 0 || own[0] != sequence {
		return nil, refusal(format.ReasonNotFound, "")
	}
	if c := callerOf(ctx); c.Role == access.RoleManager {
		if rec, _, err := st.Record(sequence); err != nil {
			return nil, err
		} else if rec.Actor != c.ID {
			return nil, refusal(format.ReasonNotFound, "")
		}
	}
	e, err := s.covering(sequence)
	if err != nil {
		return nil, err
	}
	proof, err := s.prove(sequence, e)
	return &sagov1.ReceiptResponse{Proof: proof}, err
}

// Consistency implements sagov1.HistoryServiceServer.
func (s *historyServer) Consistency(ctx context.Context, req *sagov1.ConsistencyRequest) (*sagov1.ConsistencyResponse, error) {
	st := s.node.Store()
	size := req.GetNew()
	if size == 0 {
		size = st.Summary().Checkpoint.Checkpoint.Size
	}
	if req.GetOld() == 0 || req.GetOld() > size {
		return nil, invalid(format.ReasonInvalid, "a tree of %d records is not the beginning of one of %d", req.GetOld(), size)
	}
	if err := s.awaitRecord(ctx, size-1); err != nil {
		return nil, err
	}
	proof, err := st.ProveConsistency(req.GetOld(), size)
	if err != nil {
		return nil, err
	}
	answer := &sagov1.ConsistencyResponse{Proof: slicesOf(proof), New: size}
	switch e, err := st.CheckpointAt(size); {
	case err == nil:
		answer.Checkpoint = s.note(e)
	case !errors.Is(err, store.ErrNoCheckpoint):
		return nil, err
	}
	return answer, nil
}

// slicesOf is a proof as the API carries it.
func slicesOf(hashes []format.Digest) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}
