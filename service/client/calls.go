package client

import (
	"cmp"
	"context"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// rpc is a method of a generated client.
type rpc[S, Q, A any] func(S, context.Context, Q, ...grpc.CallOption) (A, error)

// unary calls one method of one service.
func unary[S, Q, A any](ctx context.Context, c *Client, r repeat, service func(grpc.ClientConnInterface) S, method rpc[S, Q, A], req Q) (A, error) {
	return call(ctx, c, r, func(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) (A, error) {
		return method(service(conn), ctx, req, opts...)
	})
}

// Show answers what is known of a bundle without its content.
func (c *Client) Show(ctx context.Context, req *sagov1.ShowRequest) (*sagov1.Bundle, error) {
	resp, err := unary(ctx, c, repeatable, sagov1.NewBundleServiceClient, sagov1.BundleServiceClient.Show, req)
	return resp.GetBundle(), err
}

// List answers one page of the caller's institution's bundles.
func (c *Client) List(ctx context.Context, req *sagov1.ListRequest) (*sagov1.ListResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewBundleServiceClient, sagov1.BundleServiceClient.List, req)
}

// Verify has the node that answers read its copy of a bundle and compare every
// digest. Damage is an answer, not an error.
func (c *Client) Verify(ctx context.Context, req *sagov1.VerifyRequest) (*sagov1.VerifyResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewBundleServiceClient, sagov1.BundleServiceClient.Verify, req)
}

// RecordUse writes one use (이용 내역) of a bundle. It is never sent twice: when
// the connection breaks under it, the error leaves open whether it was written.
func (c *Client) RecordUse(ctx context.Context, req *sagov1.RecordRequest) (*sagov1.RecordResponse, error) {
	return unary(ctx, c, once, sagov1.NewUsageServiceClient, sagov1.UsageServiceClient.Record, req)
}

// ListUses answers one page of the uses of a transaction or of a data subject.
func (c *Client) ListUses(ctx context.Context, req *sagov1.UsageServiceListRequest) (*sagov1.UsageServiceListResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewUsageServiceClient, sagov1.UsageServiceClient.List, req)
}

// ListHistory answers one page of the history, oldest first.
func (c *Client) ListHistory(ctx context.Context, req *sagov1.HistoryServiceListRequest) (*sagov1.HistoryServiceListResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewHistoryServiceClient, sagov1.HistoryServiceClient.List, req)
}

// ClockStatus answers what the quorum clock says.
func (c *Client) ClockStatus(ctx context.Context) (*sagov1.ClockServiceStatusResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewClockServiceClient, sagov1.ClockServiceClient.Status, &sagov1.ClockServiceStatusRequest{})
}

// ClusterStatus answers about the nodes.
func (c *Client) ClusterStatus(ctx context.Context) (*sagov1.ClusterServiceStatusResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewClusterServiceClient, sagov1.ClusterServiceClient.Status, &sagov1.ClusterServiceStatusRequest{})
}

// Bundles yields the bundles of all pages, at most req.Limit of them when that
// is not 0. It ends after the first error.
func (c *Client) Bundles(ctx context.Context, req *sagov1.ListRequest) iter.Seq2[*sagov1.Bundle, error] {
	req = proto.CloneOf(req)
	return pages(req.Limit, func(limit uint32, token string) ([]*sagov1.Bundle, string, error) {
		req.Limit, req.PageToken = limit, cmp.Or(token, req.PageToken)
		resp, err := c.List(ctx, req)
		return resp.GetBundles(), resp.GetNextPageToken(), err
	})
}

// Uses yields the uses of all pages, at most req.Limit of them when that is not
// 0. It ends after the first error.
func (c *Client) Uses(ctx context.Context, req *sagov1.UsageServiceListRequest) iter.Seq2[*sagov1.Use, error] {
	req = proto.CloneOf(req)
	return pages(req.Limit, func(limit uint32, token string) ([]*sagov1.Use, string, error) {
		req.Limit, req.PageToken = limit, cmp.Or(token, req.PageToken)
		resp, err := c.ListUses(ctx, req)
		return resp.GetUses(), resp.GetNextPageToken(), err
	})
}

// Acts yields the acts of all pages, at most req.Limit of them when that is not
// 0. It ends after the first error.
func (c *Client) Acts(ctx context.Context, req *sagov1.ActServiceListRequest) iter.Seq2[*sagov1.Act, error] {
	req = proto.CloneOf(req)
	return pages(req.Limit, func(limit uint32, token string) ([]*sagov1.Act, string, error) {
		req.Limit, req.PageToken = limit, cmp.Or(token, req.PageToken)
		resp, err := c.ListActs(ctx, req)
		return resp.GetActs(), resp.GetNextPageToken(), err
	})
}

// pageSize is how many rows a page is asked for.
const pageSize = 500

// pages asks for page after page until the last one or until limit rows came.
func pages[T any](limit uint32, ask func(limit uint32, token string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		token, left := "", limit
		for {
			size := uint32(pageSize)
			if limit != 0 {
				size = min(size, left)
			}
			rows, next, err := ask(size, token)
			if err == nil && next != "" && next == token {
				err = integrity("the list does not move on from page %q", token)
			}
			if err != nil {
				yield(none, err)
				return
			}
			if limit != 0 {
				rows = rows[:min(len(rows), int(left))]
				left -= uint32(len(rows))
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
			if next == "" || (limit != 0 && left == 0) {
				return
			}
			token = next
		}
	}
}
