package client

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// Receipt names the record that a call left in the history.
type Receipt struct {
	Sequence uint64
	LeafHash format.Digest
}

// Recorded is an answer that says what it left in the history: a *sagov1.Receipt
// of a put, a *sagov1.GetHeader of a read, a *sagov1.RecordResponse of a use.
type Recorded interface {
	GetHistorySequence() uint64
	GetLeafHash() []byte
}

// ReceiptOf takes the receipt out of an answer. The error wraps [ErrIntegrity]
// when the answer has no leaf hash.
func ReceiptOf(a Recorded) (Receipt, error) {
	r := Receipt{Sequence: a.GetHistorySequence()}
	if len(a.GetLeafHash()) != len(r.LeafHash) {
		return r, integrity("a leaf hash of %d bytes", len(a.GetLeafHash()))
	}
	copy(r.LeafHash[:], a.GetLeafHash())
	return r, nil
}

// Proof is that a record is in the history that a majority of the pinned nodes
// signed. Encode (of the embedded [format.Proof]) makes it a file that proves it
// to others.
type Proof struct {
	format.Proof
	Checkpoint SignedCheckpoint
}

// How long to wait before asking again for what no checkpoint covers yet.
const (
	firstWait = 50 * time.Millisecond
	worstWait = 2 * time.Second
)

// Receipt answers the proof of what a put, read or use of the caller left in the
// history. It waits until a checkpoint covers it: that is at most the policy's
// interval, a minute by default; nothing is taken for it. When ctx ends before,
// the error's reason is NOT_COVERED.
//
// The proof was verified as by [VerifyProof], for exactly this receipt, and its
// checkpoint was held against the memory as by [Client.Checkpoint]. What the
// appliance does not know, or knows otherwise, is NOT_FOUND.
func (c *Client) Receipt(ctx context.Context, r Receipt) (*Proof, error) {
	resp, err := covered(ctx, func() (*sagov1.ReceiptResponse, error) {
		return unary(ctx, c, repeatable, sagov1.NewHistoryServiceClient, sagov1.HistoryServiceClient.Receipt,
			&sagov1.ReceiptRequest{Sequence: r.Sequence, LeafHash: r.LeafHash[:]})
	})
	if err != nil {
		return nil, err
	}
	return c.proven(ctx, r, resp.GetProof(), nil)
}

// Prove answers one record with its proof under the checkpoint of that size, or
// under the least that covers it when size is 0; then it waits for one as
// [Client.Receipt] does. The record's bytes decode to the record of that sequence
// and hash to the proven leaf; all the rest is verified as a receipt's.
func (c *Client) Prove(ctx context.Context, sequence, size uint64) (*Proof, error) {
	if size == 0 {
		// A proof goes on record, so it is not what is asked again and again.
		_, err := covered(ctx, func() (*SignedCheckpoint, error) {
			return c.Checkpoint(ctx, CheckpointQuery{Covering: &sequence})
		})
		if err != nil {
			return nil, err
		}
	}
	resp, err := unary(ctx, c, repeatable, sagov1.NewHistoryServiceClient, sagov1.HistoryServiceClient.Prove,
		&sagov1.ProveRequest{Sequence: sequence, Size: size})
	if err != nil {
		return nil, err
	}
	if len(resp.GetEncoded()) == 0 {
		return nil, integrity("record %d without its bytes", sequence)
	}
	p, err := c.proven(ctx, Receipt{sequence, format.LeafHash(resp.GetEncoded())}, resp.GetProof(), resp.GetEncoded())
	if err == nil && size != 0 && p.Checkpoint.Checkpoint.Size != size {
		return nil, integrity("asked for a proof in the tree of %d records, answered was one of %d", size, p.Checkpoint.Checkpoint.Size)
	}
	return p, err
}

// covered asks until the answer is another one than NOT_COVERED.
func covered[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	for wait := firstWait; ; wait = min(2*wait, worstWait) {
		answer, err := ask()
		if ReasonOf(err) != "NOT_COVERED" {
			return answer, err
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return answer, err
		}
	}
}

// proven verifies an answered proof of exactly this record and holds its
// checkpoint against the memory.
func (c *Client) proven(ctx context.Context, r Receipt, answered *sagov1.RecordProof, record []byte) (*Proof, error) {
	path, err := hashesOf(answered.GetPath())
	if err != nil {
		return nil, err
	}
	if answered.GetSequence() != r.Sequence || string(answered.GetLeafHash()) != string(r.LeafHash[:]) {
		return nil, integrity("asked for a proof of record %d with leaf %x, answered was one of %d with %x",
			r.Sequence, r.LeafHash, answered.GetSequence(), answered.GetLeafHash())
	}
	p := &Proof{Proof: format.Proof{Sequence: r.Sequence, LeafHash: r.LeafHash, Record: record, Note: answered.GetCheckpoint()}}
	for _, h := range path {
		p.Path = append(p.Path, format.Digest(h))
	}
	s, err := VerifyProof(p.Proof, c.cluster, c.nodes)
	if err != nil {
		return nil, err
	}
	p.Checkpoint = *s
	had, err := c.remembered()
	if err != nil {
		return nil, err
	}
	return p, c.hold(ctx, s, had, nil)
}

// VerifyProof verifies a proof from its own bytes, the cluster's id and its
// pinned node keys alone: a majority of the nodes signed its checkpoint, its path
// leads from the leaf hash to the signed root at the place that its sequence
// says, and its record, if it shows one, is the one of that sequence and hashes
// to that leaf. Errors wrap [ErrIntegrity].
func VerifyProof(p format.Proof, cluster [16]byte, nodes []NodeKey) (*SignedCheckpoint, error) {
	s, err := signed(p.Note, cluster, nodes)
	if err != nil {
		return nil, err
	}
	path := make(tlog.RecordProof, len(p.Path))
	for i, h := range p.Path {
		path[i] = tlog.Hash(h)
	}
	cp := s.Checkpoint
	if err := tlog.CheckRecord(path, int64(cp.Size), tlog.Hash(cp.Root), int64(p.Sequence), tlog.Hash(p.LeafHash)); err != nil {
		return nil, integrity("record %d is not proven to be in the signed tree of %d records", p.Sequence, cp.Size)
	}
	if len(p.Record) == 0 {
		return s, nil
	}
	rec, err := format.DecodeRecord(p.Record)
	switch {
	case err != nil:
		return nil, integrity("record %d: %v", p.Sequence, err)
	case rec.Sequence != p.Sequence:
		return nil, integrity("the proof of record %d shows record %d", p.Sequence, rec.Sequence)
	case format.LeafHash(p.Record) != p.LeafHash:
		return nil, integrity("record %d does not hash to its leaf", p.Sequence)
	}
	return s, nil
}
