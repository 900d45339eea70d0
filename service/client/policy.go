package client

import (
	"context"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// Policy answers every value of the policy in force, with source and version.
func (c *Client) Policy(ctx context.Context) (*sagov1.PolicyServiceShowResponse, error) {
	return unary(ctx, c, repeatable, sagov1.NewPolicyServiceClient, sagov1.PolicyServiceClient.Show, &sagov1.PolicyServiceShowRequest{})
}

// PolicyHistory answers every version of the policy, oldest first.
func (c *Client) PolicyHistory(ctx context.Context) ([]*sagov1.PolicyVersion, error) {
	r, err := unary(ctx, c, repeatable, sagov1.NewPolicyServiceClient, sagov1.PolicyServiceClient.History, &sagov1.PolicyServiceHistoryRequest{})
	return r.GetVersions(), err
}

// ProposePolicy opens an act that sets some values.
func (c *Client) ProposePolicy(ctx context.Context, req *sagov1.PolicyServiceProposeRequest) (*sagov1.Act, error) {
	r, err := unary(ctx, c, once, sagov1.NewPolicyServiceClient, sagov1.PolicyServiceClient.Propose, req)
	return r.GetAct(), err
}

// AddMember opens the act that admits a node by its own request.
func (c *Client) AddMember(ctx context.Context, req *sagov1.MemberServiceAddRequest) (*sagov1.Act, error) {
	r, err := unary(ctx, c, once, sagov1.NewMemberServiceClient, sagov1.MemberServiceClient.Add, req)
	return r.GetAct(), err
}

// RemoveMember opens the act that lets a node go for good.
func (c *Client) RemoveMember(ctx context.Context, req *sagov1.MemberServiceRemoveRequest) (*sagov1.Act, error) {
	r, err := unary(ctx, c, once, sagov1.NewMemberServiceClient, sagov1.MemberServiceClient.Remove, req)
	return r.GetAct(), err
}

// RecordMedium opens the act that records a medium's destruction.
func (c *Client) RecordMedium(ctx context.Context, req *sagov1.MemberServiceMediumRequest) (*sagov1.Act, error) {
	r, err := unary(ctx, c, once, sagov1.NewMemberServiceClient, sagov1.MemberServiceClient.Medium, req)
	return r.GetAct(), err
}

// Resync opens the act that sets the clock to what fresh votes of a majority say.
func (c *Client) Resync(ctx context.Context, req *sagov1.MemberServiceResyncRequest) (*sagov1.MemberServiceResyncResponse, error) {
	return unary(ctx, c, once, sagov1.NewMemberServiceClient, sagov1.MemberServiceClient.Resync, req)
}

// ConfirmRestore opens the act after which a restore with a declared loss lets
// bundles expire again.
func (c *Client) ConfirmRestore(ctx context.Context, req *sagov1.MemberServiceConfirmRestoreRequest) (*sagov1.Act, error) {
	r, err := unary(ctx, c, once, sagov1.NewMemberServiceClient, sagov1.MemberServiceClient.ConfirmRestore, req)
	return r.GetAct(), err
}
