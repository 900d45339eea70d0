package service

import (
	"context"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// policyServer answers PolicyService (I10, P32).
type policyServer struct {
	sagov1.UnimplementedPolicyServiceServer
	*Server
}

// Show implements sagov1.PolicyServiceServer: each value with the version that
// set it.
func (s *policyServer) Show(ctx context.Context, _ *sagov1.PolicyServiceShowRequest) (*sagov1.PolicyServiceShowResponse, error) {
	versions, err := s.versions(ctx)
	if err != nil {
		return nil, err
	}
	newest := versions[len(versions)-1]
	answer := &sagov1.PolicyServiceShowResponse{Version: newest.Version}
	for _, f := range policyFields() {
		value := f.get(&newest.Policy)
		from := len(versions) - 1
		for from > 0 && f.get(&versions[from-1].Policy) == value {
			from--
		}
		answer.Values = append(answer.Values, f.value(versions[from], value))
	}
	return answer, nil
}

// History implements sagov1.PolicyServiceServer.
func (s *policyServer) History(ctx context.Context, _ *sagov1.PolicyServiceHistoryRequest) (*sagov1.PolicyServiceHistoryResponse, error) {
	versions, err := s.versions(ctx)
	if err != nil {
		return nil, err
	}
	answer := &sagov1.PolicyServiceHistoryResponse{}
	for i, v := range versions {
		row := &sagov1.PolicyVersion{Version: v.Version, Since: instant(v.Clock), HistorySequence: v.Sequence, Act: actText(v.Act)}
		for _, f := range policyFields() {
			if value := f.get(&v.Policy); i == 0 || f.get(&versions[i-1].Policy) != value {
				row.Changed = append(row.Changed, f.value(v, value))
			}
		}
		answer.Versions = append(answer.Versions, row)
	}
	return answer, nil
}

// versions records the query and answers every version of the policy.
func (s *policyServer) versions(ctx context.Context) ([]store.PolicyChange, error) {
	if _, err := s.recordQuery(ctx, format.ListPolicy, "policy"); err != nil {
		return nil, err
	}
	versions, err := s.node.Store().PolicyVersions()
	if err == nil && len(versions) == 0 {
		err = refusal(format.ReasonNotReady, "the ceremony has not taken place")
	}
	return versions, err
}

// Propose implements sagov1.PolicyServiceServer.
func (s *policyServer) Propose(ctx context.Context, req *sagov1.PolicyServiceProposeRequest) (*sagov1.PolicyServiceProposeResponse, error) {
	now := s.node.Store().Summary().Policy
	next, err := changedPolicy(now, req.GetSet())
	if err != nil {
		return nil, err
	}
	a, err := s.proposeAct(ctx, newAct{
		kind: format.ActKindPolicy, particulars: format.Particulars{Basis: req.GetBasis(), Reason: req.GetReason()},
		params: func(d format.Digest) []byte {
			return format.PolicyParams{Particulars: d, Replaces: store.PolicyDigest(now), Policy: next}.Encode()
		},
	})
	return &sagov1.PolicyServiceProposeResponse{Act: a}, err
}
