package client

import (
	"context"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// OpenKeyArchive opens the act that begins a period of key archives.
func (c *Client) OpenKeyArchive(ctx context.Context, req *sagov1.KeyArchiveServiceOpenRequest) (*sagov1.Act, error) {
	r, err := unary(ctx, c, once, sagov1.NewKeyArchiveServiceClient, sagov1.KeyArchiveServiceClient.Open, req)
	return r.GetAct(), err
}

// KeyArchiveDestroyed opens the act that records that the holders of a period
// destroyed their recovery keys.
func (c *Client) KeyArchiveDestroyed(ctx context.Context, req *sagov1.KeyArchiveServiceDestroyedRequest) (*sagov1.Act, error) {
	r, err := unary(ctx, c, once, sagov1.NewKeyArchiveServiceClient, sagov1.KeyArchiveServiceClient.Destroyed, req)
	return r.GetAct(), err
}

// KeyArchives answers every period of key archives, oldest first, and the caller's
// own number.
func (c *Client) KeyArchives(ctx context.Context) (*sagov1.KeyArchiveServiceListResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewKeyArchiveServiceClient, sagov1.KeyArchiveServiceClient.List, &sagov1.KeyArchiveServiceListRequest{})
}

// SignRecoveryKey makes the caller a holder of a recovery key: publicKey, P-256
// compressed, in their own word, signed with the key of their certificate.
func (c *Client) SignRecoveryKey(ctx context.Context, publicKey []byte) (*sagov1.KeyArchiveHolder, error) {
	if _, err := format.RecoveryPublicKey(publicKey); err != nil {
		return nil, err
	}
	known, err := c.KeyArchives(ctx)
	if err != nil {
		return nil, err
	}
	signature, err := c.sign(format.RecoveryKeyMessage(c.cluster, known.GetCaller(), publicKey))
	return &sagov1.KeyArchiveHolder{Person: known.GetCaller(), PublicKey: publicKey, Signature: signature}, err
}
