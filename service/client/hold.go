package client

import (
	"cmp"
	"context"
	"iter"

	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// PlaceHold places a legal hold (보존 조치). It is never sent twice.
func (c *Client) PlaceHold(ctx context.Context, req *sagov1.HoldServicePlaceRequest) (*sagov1.HoldServicePlaceResponse, error) {
	return unary(ctx, c, once, sagov1.NewHoldServiceClient, sagov1.HoldServiceClient.Place, req)
}

// ReleaseHold opens the act that releases a hold once it is signed.
func (c *Client) ReleaseHold(ctx context.Context, req *sagov1.HoldServiceReleaseRequest) (*sagov1.Act, error) {
	resp, err := unary(ctx, c, once, sagov1.NewHoldServiceClient, sagov1.HoldServiceClient.Release, req)
	return resp.GetAct(), err
}

// ListHolds answers one page of the holds of the caller's institution.
func (c *Client) ListHolds(ctx context.Context, req *sagov1.HoldServiceListRequest) (*sagov1.HoldServiceListResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewHoldServiceClient, sagov1.HoldServiceClient.List, req)
}

// Holds yields the holds of all pages, at most req.Limit of them when that is not
// 0. It ends after the first error.
func (c *Client) Holds(ctx context.Context, req *sagov1.HoldServiceListRequest) iter.Seq2[*sagov1.Hold, error] {
	req = proto.CloneOf(req)
	return pages(req.Limit, func(limit uint32, token string) ([]*sagov1.Hold, string, error) {
		req.Limit, req.PageToken = limit, cmp.Or(token, req.PageToken)
		resp, err := c.ListHolds(ctx, req)
		return resp.GetHolds(), resp.GetNextPageToken(), err
	})
}

// Extend makes a bundle's retention longer. It is never sent twice.
func (c *Client) Extend(ctx context.Context, req *sagov1.ExtendRequest) (*sagov1.ExtendResponse, error) {
	return unary(ctx, c, once, sagov1.NewBundleServiceClient, sagov1.BundleServiceClient.Extend, req)
}

// Event records the event that a bundle's rule waits for. It is never sent twice.
func (c *Client) Event(ctx context.Context, req *sagov1.EventRequest) (*sagov1.EventResponse, error) {
	return unary(ctx, c, once, sagov1.NewBundleServiceClient, sagov1.BundleServiceClient.Event, req)
}

// Preview answers until when a put of this header would make its bundle
// undeletable. It stores nothing.
func (c *Client) Preview(ctx context.Context, header *sagov1.BundleHeader) (*sagov1.PreviewResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewBundleServiceClient, sagov1.BundleServiceClient.Preview, &sagov1.PreviewRequest{Header: header})
}
