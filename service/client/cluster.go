package client

import (
	"bytes"
	"context"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// VerifyCluster has every reachable node check all its files. The error wraps
// [ErrIntegrity] when a node found damage or the histories differ; the roots
// are compared here as well. The answer is returned beside such an error.
func (c *Client) VerifyCluster(ctx context.Context) (*sagov1.ClusterServiceVerifyResponse, error) {
	resp, err := unary(ctx, c, repeatable, sagov1.NewClusterServiceClient, sagov1.ClusterServiceClient.Verify, &sagov1.ClusterServiceVerifyRequest{})
	if err != nil {
		return nil, err
	}
	var root []byte
	var rootOf string
	for _, n := range resp.GetNodes() {
		if len(n.GetDamage()) > 0 {
			return resp, integrity("%s: %s", n.GetNode(), n.GetDamage()[0])
		}
		if !n.GetReachable() || len(n.GetRootAtCompared()) == 0 {
			continue
		}
		if root == nil {
			root, rootOf = n.GetRootAtCompared(), n.GetNode()
		}
		if !bytes.Equal(root, n.GetRootAtCompared()) {
			return resp, integrity("at %d records %s and %s have different roots", resp.GetComparedSize(), rootOf, n.GetNode())
		}
	}
	switch {
	case !resp.GetRootsEqual():
		return resp, integrity("the nodes' histories differ")
	case !resp.GetIntact():
		return resp, integrity("the cluster is not intact")
	}
	return resp, nil
}
