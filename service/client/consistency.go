package client

import (
	"context"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// ConsistencyProof asks for the RFC 6962 proof that the first old records are the
// beginning of the first size, to be shown to somebody who knows both roots, as a
// witness does. It was not verified here.
func (c *Client) ConsistencyProof(ctx context.Context, old, size uint64) ([]format.Digest, error) {
	resp, err := unary(ctx, c, repeatable, sagov1.NewHistoryServiceClient, sagov1.HistoryServiceClient.Consistency,
		&sagov1.ConsistencyRequest{Old: old, New: size})
	if err != nil {
		return nil, err
	}
	hashes, err := hashesOf(resp.GetProof())
	if err != nil {
		return nil, err
	}
	var proof []format.Digest
	for _, h := range hashes {
		proof = append(proof, format.Digest(h))
	}
	return proof, nil
}
