package client

import (
	"bytes"
	"context"

	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// Records answers the records of all pages from req.From on, at most req.Limit
// of them when that is not 0, and the sequence to go on from; 0 at the end.
func (c *Client) Records(ctx context.Context, req *sagov1.HistoryServiceListRequest) (records []*sagov1.HistoryRecord, next uint64, err error) {
	req = proto.CloneOf(req)
	limit := int(req.Limit)
	for {
		req.Limit = pageSize
		if limit != 0 {
			req.Limit = uint32(min(pageSize, limit-len(records)))
		}
		page, err := c.ListHistory(ctx, req)
		if err != nil {
			return nil, 0, err
		}
		records = append(records, page.GetRecords()...)
		next = page.GetNext()
		if next == 0 || (limit != 0 && len(records) >= limit) {
			return records, next, nil
		}
		if next <= req.From {
			return nil, 0, integrity("the history does not move on from record %d", req.From)
		}
		req.From = next
	}
}

// ShowRecord answers one record with its exact bytes. They were decoded and
// hashed here: they are the record of that sequence and hash to its leaf.
func (c *Client) ShowRecord(ctx context.Context, sequence uint64) (*sagov1.HistoryServiceShowResponse, error) {
	resp, err := unary(ctx, c, repeatable, sagov1.NewHistoryServiceClient, sagov1.HistoryServiceClient.Show,
		&sagov1.HistoryServiceShowRequest{Sequence: sequence})
	if err != nil {
		return nil, err
	}
	shown := resp.GetRecord()
	rec, err := format.DecodeRecord(resp.GetEncoded())
	if err != nil {
		return nil, integrity("record %d: %v", sequence, err)
	}
	leaf := format.LeafHash(resp.GetEncoded())
	if !bytes.Equal(leaf[:], shown.GetLeafHash()) {
		return nil, integrity("record %d hashes to %x, the answer says %x", sequence, leaf, shown.GetLeafHash())
	}
	if rec.Sequence != sequence || shown.GetSequence() != sequence || rec.Action.String() != shown.GetAction() || rec.Transaction != shown.GetTransaction() {
		return nil, integrity("record %d: its bytes say %d %s %q", sequence, rec.Sequence, rec.Action, rec.Transaction)
	}
	return resp, nil
}

// HistoryProof is what VerifyHistory found out.
type HistoryProof struct {
	// Answer is what the node says of its own history.
	Answer *sagov1.HistoryServiceVerifyResponse
	// Checkpoint was signed by a majority of the pinned nodes; nil when the
	// appliance has none yet.
	Checkpoint *format.Checkpoint
	// Signers are the pinned nodes whose signature verified, in the context's order.
	Signers []string
	// Needed is how many of them are a majority.
	Needed int
}

// VerifyHistory has the answering node hash its whole history, and holds the
// checkpoint it shows against the node keys of the context. The error wraps
// [ErrIntegrity] when the node found damage, or the checkpoint is not this
// cluster's, is not signed by a majority of the pinned nodes, or contradicts
// the node's own tree. The proof is returned beside such an error as far as it
// goes.
func (c *Client) VerifyHistory(ctx context.Context) (*HistoryProof, error) {
	resp, err := unary(ctx, c, repeatable, sagov1.NewHistoryServiceClient, sagov1.HistoryServiceClient.Verify, &sagov1.HistoryServiceVerifyRequest{})
	if err != nil {
		return nil, err
	}
	p := &HistoryProof{Answer: resp, Needed: len(c.nodes)/2 + 1}
	if !resp.GetIntact() || len(resp.GetDamage()) > 0 {
		return p, integrity("the node's history does not hash to its checkpoint: %v", resp.GetDamage())
	}
	if resp.GetCheckpoint() == "" {
		return p, nil
	}
	cp, signers, err := VerifyCheckpoint(resp.GetCheckpoint(), c.nodes)
	if err != nil {
		return p, err
	}
	p.Checkpoint, p.Signers = &cp, signers
	switch {
	case cp.Cluster != format.ID(c.cluster):
		return p, integrity("the checkpoint is of cluster %x", cp.Cluster)
	case len(signers) < p.Needed:
		return p, integrity("%d of %d pinned nodes signed the checkpoint, %d are needed", len(signers), len(c.nodes), p.Needed)
	case cp.Size > resp.GetSize():
		return p, integrity("a majority signed %d records, the node has %d", cp.Size, resp.GetSize())
	case cp.Size == resp.GetSize() && !bytes.Equal(cp.Root[:], resp.GetRoot()):
		return p, integrity("a majority signed root %x, the node has %x", cp.Root, resp.GetRoot())
	}
	return p, nil
}
