package main

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// The history as checkpoints cover it: sizes 2 and 3. The caller older is shown
// the history as it was at 2, the caller forked another record 2, and the caller
// fresh no checkpoint.

// treeOf answers a hash reader over the leaf hashes of the records that the
// caller is shown.
func treeOf(ctx context.Context) tlog.HashReader {
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, _ error) {
		for _, i := range indexes {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for n, r := range records {
		if n == 2 && caller(ctx) == "forked" {
			r.Transaction = "T9"
		}
		added, err := tlog.StoredHashes(int64(n), r.Encode(), read)
		if err != nil {
			panic(err)
		}
		hashes = append(hashes, added...)
	}
	return read
}

// shown is how many records the caller's checkpoints cover.
func shown(ctx context.Context) uint64 {
	if caller(ctx) == "older" {
		return 2
	}
	return 3
}

func (h historyServer) signedNote(ctx context.Context, size uint64) (string, error) {
	root, err := tlog.TreeHash(int64(size), treeOf(ctx))
	if err != nil {
		return "", err
	}
	cp := format.Checkpoint{Cluster: testCluster, Size: size, Root: format.Digest(root), Entry: 3 * size, Clock: at.AsTime().UnixMicro()}
	signatures := 2
	if caller(ctx) == "unsigned" {
		signatures = 1
	}
	return h.pki.note(cp.Text(), signatures)
}

// Checkpoint implements the service.
func (h historyServer) Checkpoint(ctx context.Context, r *sagov1.CheckpointRequest) (*sagov1.CheckpointResponse, error) {
	size := shown(ctx)
	switch {
	case caller(ctx) == "fresh":
		return nil, refusal(codes.Unavailable, "NO_CHECKPOINT", "there is none")
	case r.Size != nil:
		size = r.GetSize()
	case r.Covering != nil && r.GetCovering() >= uint64(len(records)):
		return nil, refusal(codes.NotFound, "NOT_FOUND", "no record has this number")
	case r.Covering != nil:
		size = max(r.GetCovering()+1, 2)
	}
	note, err := h.signedNote(ctx, size)
	if err != nil {
		return nil, err
	}
	out := &sagov1.CheckpointResponse{Note: note}
	if r.GetKnown() > 0 && r.GetKnown() < size {
		out.Consistency, err = consistency(ctx, r.GetKnown(), size)
	}
	return out, err
}

func consistency(ctx context.Context, old, size uint64) (out [][]byte, err error) {
	p, err := tlog.ProveTree(int64(size), int64(old), treeOf(ctx))
	for i := range p {
		out = append(out, p[i][:])
	}
	return out, err
}

// Consistency implements the service.
func (h historyServer) Consistency(ctx context.Context, r *sagov1.ConsistencyRequest) (*sagov1.ConsistencyResponse, error) {
	if r.GetNew() > shown(ctx) {
		return nil, refusal(codes.NotFound, "NOT_FOUND", "no record has this number")
	}
	p, err := consistency(ctx, r.GetOld(), r.GetNew())
	return &sagov1.ConsistencyResponse{Proof: p, New: r.GetNew()}, err
}

func (h historyServer) proof(ctx context.Context, sequence, size uint64) (*sagov1.RecordProof, error) {
	path, err := tlog.ProveRecord(int64(size), int64(sequence), treeOf(ctx))
	if err != nil {
		return nil, err
	}
	leaf := format.LeafHash(records[sequence].Encode())
	out := &sagov1.RecordProof{Sequence: sequence, LeafHash: leaf[:]}
	for i := range path {
		out.Path = append(out.Path, path[i][:])
	}
	out.Checkpoint, err = h.signedNote(ctx, size)
	return out, err
}

// Prove implements the service. The caller damaged gets other bytes.
func (h historyServer) Prove(ctx context.Context, r *sagov1.ProveRequest) (*sagov1.ProveResponse, error) {
	size := r.GetSize()
	if size == 0 {
		size = max(r.GetSequence()+1, 2)
	}
	p, err := h.proof(ctx, r.GetSequence(), size)
	out := &sagov1.ProveResponse{Encoded: records[r.GetSequence()].Encode(), Proof: p}
	if caller(ctx) == "damaged" {
		out.Encoded[20] ^= 1
	}
	return out, err
}

// Receipt implements the service. Nothing covers record 2 of the caller older.
func (h historyServer) Receipt(ctx context.Context, r *sagov1.ReceiptRequest) (*sagov1.ReceiptResponse, error) {
	leaf := format.LeafHash(records[r.GetSequence()].Encode())
	if string(leaf[:]) != string(r.GetLeafHash()) {
		return nil, refusal(codes.NotFound, "NOT_FOUND", "no record has this number")
	}
	if r.GetSequence() >= shown(ctx) {
		return nil, refusal(codes.Unavailable, "NOT_COVERED", "no checkpoint covers it")
	}
	p, err := h.proof(ctx, r.GetSequence(), shown(ctx))
	return &sagov1.ReceiptResponse{Proof: p}, err
}
