package client

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"strings"

	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// StopCirculation registers an order of circulation stop (유통정지).
func (c *Client) StopCirculation(ctx context.Context, req *sagov1.CirculationServiceStopRequest) (*sagov1.CirculationStop, error) {
	resp, err := unary(ctx, c, once, sagov1.NewCirculationServiceClient, sagov1.CirculationServiceClient.Stop, req)
	return resp.GetStop(), err
}

// LiftCirculation opens the act that lifts an order.
func (c *Client) LiftCirculation(ctx context.Context, req *sagov1.CirculationServiceLiftRequest) (*sagov1.Act, error) {
	resp, err := unary(ctx, c, once, sagov1.NewCirculationServiceClient, sagov1.CirculationServiceClient.Lift, req)
	return resp.GetAct(), err
}

// Stops yields the orders in force. It ends after the first error.
func (c *Client) Stops(ctx context.Context, req *sagov1.CirculationServiceListRequest) iter.Seq2[*sagov1.CirculationStop, error] {
	req = proto.CloneOf(req)
	return pages(req.Limit, func(limit uint32, token string) ([]*sagov1.CirculationStop, string, error) {
		req.Limit, req.PageToken = limit, cmp.Or(token, req.PageToken)
		resp, err := unary(ctx, c, repeatable, sagov1.NewCirculationServiceClient, sagov1.CirculationServiceClient.List, req)
		return resp.GetStops(), resp.GetNextPageToken(), err
	})
}

// RequestSpecialDelete asks for a special deletion (특수삭제). The answered act is
// checked as [Client.ShowAct] checks one.
func (c *Client) RequestSpecialDelete(ctx context.Context, req *sagov1.SpecialDeleteServiceRequestRequest) (*sagov1.SpecialDelete, error) {
	resp, err := unary(ctx, c, once, sagov1.NewSpecialDeleteServiceClient, sagov1.SpecialDeleteServiceClient.Request, req)
	if err != nil {
		return nil, err
	}
	a := resp.GetRequest().GetAct()
	return resp.GetRequest(), c.checkAct(a, a.GetId())
}

// ShowSpecialDelete answers one request, its act checked as [Client.ShowAct]
// checks one.
func (c *Client) ShowSpecialDelete(ctx context.Context, id string) (*sagov1.SpecialDelete, error) {
	resp, err := unary(ctx, c, repeatable, sagov1.NewSpecialDeleteServiceClient, sagov1.SpecialDeleteServiceClient.Show,
		&sagov1.SpecialDeleteServiceShowRequest{Id: id})
	if err != nil {
		return nil, err
	}
	a := resp.GetRequest().GetAct()
	if a.GetKind() != format.ActKindSpecialDelete.String() {
		return nil, integrity("act %s is none of special deletion", id)
	}
	return resp.GetRequest(), c.checkAct(a, id)
}

// DisableSpecialDelete ends special deletion for the caller's own institution, for
// good. It is never sent twice.
func (c *Client) DisableSpecialDelete(ctx context.Context, institution, reason string) (*sagov1.SpecialDeleteServiceDisableResponse, error) {
	return unary(ctx, c, once, sagov1.NewSpecialDeleteServiceClient, sagov1.SpecialDeleteServiceClient.Disable,
		&sagov1.SpecialDeleteServiceDisableRequest{Institution: institution, Reason: reason})
}

// SpecialDeletes yields the institution's requests. It ends after the first error.
func (c *Client) SpecialDeletes(ctx context.Context, req *sagov1.SpecialDeleteServiceListRequest) iter.Seq2[*sagov1.SpecialDelete, error] {
	req = proto.CloneOf(req)
	return pages(req.Limit, func(limit uint32, token string) ([]*sagov1.SpecialDelete, string, error) {
		req.Limit, req.PageToken = limit, cmp.Or(token, req.PageToken)
		resp, err := unary(ctx, c, repeatable, sagov1.NewSpecialDeleteServiceClient, sagov1.SpecialDeleteServiceClient.List, req)
		return resp.GetRequests(), resp.GetNextPageToken(), err
	})
}

// ApproveSpecialDelete approves a request: it checks that what is shown of the
// bundle is what the document is about ([CheckOpening]), lets agree decide on it,
// and signs the document with the caller's own key. agree may be nil. Nothing is
// signed where the check fails; the error wraps [ErrIntegrity].
func (c *Client) ApproveSpecialDelete(ctx context.Context, id string, agree func(*sagov1.SpecialDelete, *sagov1.SpecialDeleteServiceOpeningResponse) error) error {
	open, err := unary(ctx, c, repeatable, sagov1.NewSpecialDeleteServiceClient, sagov1.SpecialDeleteServiceClient.Opening,
		&sagov1.SpecialDeleteServiceOpeningRequest{Id: id})
	if err != nil {
		return err
	}
	shown, err := c.ShowSpecialDelete(ctx, id)
	if err != nil {
		return err
	}
	if err := CheckOpening(shown.GetAct().GetDocument(), open); err != nil {
		return err
	}
	if agree != nil {
		if err := agree(shown, open); err != nil {
			return err
		}
	}
	_, err = c.signShown(ctx, shown.GetAct())
	return err
}

// CheckOpening verifies that a fingerprint is the one of the bundle that a
// document of special deletion is about: the STORE record that is shown hashes to
// the document's leaf and is the one that it names, and the fingerprint opens the
// commitment in that record. Errors wrap [ErrIntegrity].
func CheckOpening(document []byte, open *sagov1.SpecialDeleteServiceOpeningResponse) error {
	doc, err := format.DecodeAct(document)
	if err != nil {
		return integrity("the document: %v", err)
	}
	p, err := format.DecodeSpecialParams(doc.Params)
	if err != nil {
		return integrity("the document: %v", err)
	}
	object, err := format.DecodeActObject(doc.Object)
	if err != nil {
		return integrity("the document: %v", err)
	}
	rec, err := format.DecodeRecord(open.GetStoreRecord())
	if err != nil {
		return integrity("the STORE record: %v", err)
	}
	e, err := format.DecodeStoreEffect(rec.Effect)
	about := format.ActObject{Institution: rec.Institution, Transaction: rec.Transaction, Part: rec.Part}
	switch {
	case err != nil || rec.Action != format.ActStore:
		return integrity("record %d is no STORE", rec.Sequence)
	case rec.Sequence != p.Store || format.LeafHash(open.GetStoreRecord()) != p.Leaf || about != object:
		return integrity("the document is not about the bundle that is shown")
	}
	text, ok := strings.CutPrefix(open.GetFingerprint(), "sha256:")
	fingerprint, err := hex.DecodeString(text)
	if !ok || err != nil || len(fingerprint) != sha256.Size || len(open.GetCommitmentKey()) != sha256.Size {
		return integrity("no fingerprint, or no key to check it by")
	}
	mac := hmac.New(sha256.New, open.GetCommitmentKey())
	mac.Write(fingerprint)
	if !hmac.Equal(mac.Sum(nil), e.Commitment[:]) {
		return integrity("the fingerprint shown is not the stored bundle's")
	}
	return nil
}

// SpecialLedger answers one page of the answering node's special-deletion ledger,
// with what its comparison with the other two records found.
func (c *Client) SpecialLedger(ctx context.Context, from uint64, limit uint32) (*sagov1.SpecialDeleteServiceLedgerResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewSpecialDeleteServiceClient, sagov1.SpecialDeleteServiceClient.Ledger,
		&sagov1.SpecialDeleteServiceLedgerRequest{From: from, Limit: limit})
}
