package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// ListActs answers one page of the caller's institution's acts.
func (c *Client) ListActs(ctx context.Context, req *sagov1.ActServiceListRequest) (*sagov1.ActServiceListResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewActServiceClient, sagov1.ActServiceClient.List, req)
}

// ShowAct answers one act, checked: the document is of this cluster, has that id,
// and the particulars shown beside it are those that its digest is of. Errors
// wrap [ErrIntegrity] where the answer does not fit together.
func (c *Client) ShowAct(ctx context.Context, id string) (*sagov1.Act, error) {
	resp, err := unary(ctx, c, repeatable, sagov1.NewActServiceClient, sagov1.ActServiceClient.Show, &sagov1.ActServiceShowRequest{Id: id})
	if err != nil {
		return nil, err
	}
	return resp.GetAct(), c.checkAct(resp.GetAct(), id)
}

// SignAct looks at an act, lets agree decide on what it says, and signs its
// document with the caller's own key. agree may be nil. A signature is never made
// over a document that was not shown.
func (c *Client) SignAct(ctx context.Context, id string, agree func(*sagov1.Act) error) (*sagov1.Act, error) {
	act, err := c.ShowAct(ctx, id)
	if err != nil {
		return nil, err
	}
	if act.GetKind() == format.ActKindSpecialDelete.String() {
		return nil, ErrOpening
	}
	if agree != nil {
		if err := agree(act); err != nil {
			return nil, err
		}
	}
	return c.signShown(ctx, act)
}

// ErrOpening is the answer to signing a special deletion as any act:
// [Client.ApproveSpecialDelete] is its one way, which checks what is deleted.
var ErrOpening = errors.New("a special deletion is approved, once its fingerprint opened the commitment")

func (c *Client) signShown(ctx context.Context, act *sagov1.Act) (*sagov1.Act, error) {
	if act.GetParticulars() == nil {
		return nil, integrity("act %s: its requester, basis and reason were not shown", act.GetId())
	}
	signature, err := c.sign(act.GetDocument())
	if err != nil {
		return nil, err
	}
	req := &sagov1.ActServiceSignRequest{Id: act.GetId(), Signature: signature}
	resp, err := unary(ctx, c, once, sagov1.NewActServiceClient, sagov1.ActServiceClient.Sign, req)
	return resp.GetAct(), err
}

// SignOwn signs an act that the caller just proposed, as answered by the call
// that opened it.
func (c *Client) SignOwn(ctx context.Context, act *sagov1.Act) (*sagov1.Act, error) {
	if err := c.checkAct(act, act.GetId()); err != nil {
		return nil, err
	}
	return c.signShown(ctx, act)
}

// VetoAct ends an act that is not executed.
func (c *Client) VetoAct(ctx context.Context, id, reason string) (*sagov1.Act, error) {
	act, err := c.ShowAct(ctx, id)
	if err != nil {
		return nil, err
	}
	signature, err := c.sign(format.VetoMessage(act.GetDocument()))
	if err != nil {
		return nil, err
	}
	req := &sagov1.ActServiceVetoRequest{Id: id, Signature: signature, Reason: reason}
	resp, err := unary(ctx, c, once, sagov1.NewActServiceClient, sagov1.ActServiceClient.Veto, req)
	return resp.GetAct(), err
}

func (c *Client) checkAct(act *sagov1.Act, id string) error {
	doc, err := format.DecodeAct(act.GetDocument())
	if err != nil {
		return integrity("act %s: %v", id, err)
	}
	if doc.Cluster != c.cluster || hex.EncodeToString(doc.Nonce[:]) != id || doc.Kind.String() != act.GetKind() {
		return integrity("act %s: the document is of another cluster or act", id)
	}
	digest, err := format.ActParticulars(doc.Params)
	if err != nil {
		return integrity("act %s: %v", id, err)
	}
	shown := act.GetParticulars()
	if shown == nil {
		return nil // erased since: the act has ended
	}
	p := format.Particulars{Requester: shown.GetRequester(), Basis: shown.GetBasis(), Reason: shown.GetReason()}
	copy(p.Salt[:], shown.GetSalt())
	if d := p.Digest(); len(shown.GetSalt()) != len(p.Salt) || !bytes.Equal(d[:], digest[:]) {
		return integrity("act %s: the particulars shown are not those of the document", id)
	}
	return nil
}

// sign signs with the key of the caller's certificate.
func (c *Client) sign(message []byte) ([]byte, error) {
	key, ok := c.key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: its key cannot sign", ErrContext)
	}
	digest := sha256.Sum256(message)
	return key.Sign(rand.Reader, digest[:], crypto.SHA256)
}
