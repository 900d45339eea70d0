package client

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// RegisterInstitution adds an institution with its first persons. It is never sent
// twice.
func (c *Client) RegisterInstitution(ctx context.Context, req *sagov1.RegisterRequest) (*sagov1.RegisterResponse, error) {
	return unary(ctx, c, once, sagov1.NewInstitutionServiceClient, sagov1.InstitutionServiceClient.Register, req)
}

// SuspendInstitution suspends an institution (휴지).
func (c *Client) SuspendInstitution(ctx context.Context, req *sagov1.SuspendRequest) (*sagov1.SuspendResponse, error) {
	return unary(ctx, c, once, sagov1.NewInstitutionServiceClient, sagov1.InstitutionServiceClient.Suspend, req)
}

// ResumeInstitution ends a suspension.
func (c *Client) ResumeInstitution(ctx context.Context, req *sagov1.ResumeRequest) (*sagov1.ResumeResponse, error) {
	return unary(ctx, c, once, sagov1.NewInstitutionServiceClient, sagov1.InstitutionServiceClient.Resume, req)
}

// CloseInstitution opens the act by which the caller's institution closes (폐지).
// [Client.SignOwn] signs it.
func (c *Client) CloseInstitution(ctx context.Context, req *sagov1.CloseRequest) (*sagov1.Act, error) {
	resp, err := unary(ctx, c, once, sagov1.NewInstitutionServiceClient, sagov1.InstitutionServiceClient.Close, req)
	return resp.GetAct(), err
}

// ListInstitutions answers the institutions that the caller may see.
func (c *Client) ListInstitutions(ctx context.Context) ([]*sagov1.Institution, error) {
	resp, err := unary(ctx, c, repeatable, sagov1.NewInstitutionServiceClient, sagov1.InstitutionServiceClient.List, &sagov1.InstitutionServiceListRequest{})
	return resp.GetInstitutions(), err
}

// subjectsAtOnce is how many CIs go in one message.
const subjectsAtOnce = 10_000

// MatchSubjects matches a list of CIs against the subjects of the institution's
// bundles: how many bundles each has, in the order of the list, and what follows.
// req names the institution and the day. Errors wrap [ErrIntegrity] where the
// answer is not of the whole list.
func (c *Client) MatchSubjects(ctx context.Context, req *sagov1.SubjectsRequest, cis []string) ([]uint32, *sagov1.SubjectsSummary, error) {
	type answer struct {
		bundles []uint32
		summary *sagov1.SubjectsSummary
	}
	a, err := call(ctx, c, repeatable, func(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) (a answer, err error) {
		stream, err := sagov1.NewInstitutionServiceClient(conn).Subjects(ctx, opts...)
		if err != nil {
			return a, err
		}
		if err := sendSubjects(stream, req, cis); err != nil && !errors.Is(err, io.EOF) {
			return a, err
		}
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return a, nil
			}
			if err != nil {
				return a, err
			}
			a.bundles = append(a.bundles, m.GetBundles()...)
			if m.GetSummary() != nil {
				a.summary = m.GetSummary()
			}
		}
	})
	if err == nil && (a.summary == nil || len(a.bundles) != len(cis) || a.summary.GetListed() != uint64(len(cis))) {
		err = integrity("the answer is of %d CIs where %d were sent", len(a.bundles), len(cis))
	}
	return a.bundles, a.summary, err
}

// sendSubjects sends the whole list. io.EOF says that the server's answer, an
// error, is there before.
func sendSubjects(stream grpc.BidiStreamingClient[sagov1.SubjectsRequest, sagov1.SubjectsResponse], req *sagov1.SubjectsRequest, cis []string) error {
	if err := stream.Send(&sagov1.SubjectsRequest{Institution: req.GetInstitution(), Suspend: req.GetSuspend(), Close: req.GetClose()}); err != nil {
		return err
	}
	for len(cis) > 0 {
		n := min(len(cis), subjectsAtOnce)
		if err := stream.Send(&sagov1.SubjectsRequest{SubjectCis: cis[:n]}); err != nil {
			return err
		}
		cis = cis[n:]
	}
	return stream.CloseSend()
}
