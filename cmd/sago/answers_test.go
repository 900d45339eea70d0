package main

import (
	"context"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

type usageServer struct {
	sagov1.UnimplementedUsageServiceServer
}

// Record implements the service.
func (usageServer) Record(ctx context.Context, r *sagov1.RecordRequest) (*sagov1.RecordResponse, error) {
	if err := refuse(ctx, r.GetTransaction()); err != nil {
		return nil, err
	}
	return &sagov1.RecordResponse{HistorySequence: 44, LeafHash: []byte{1}, RecordedAt: at}, nil
}

// List implements the service.
func (usageServer) List(ctx context.Context, r *sagov1.UsageServiceListRequest) (*sagov1.UsageServiceListResponse, error) {
	if err := refuse(ctx, r.GetTransaction()); err != nil {
		return nil, err
	}
	return &sagov1.UsageServiceListResponse{Uses: []*sagov1.Use{{
		HistorySequence: 44, Transaction: "T1", BundleId: "MDS0000001", UsedAt: at, Actor: "2",
		Who: &sagov1.Who{Purpose: "대출 심사", UserName: "홍길동", UserDepartment: "여신", UserContact: "02-000-0000"},
	}}}, nil
}

type historyServer struct {
	sagov1.UnimplementedHistoryServiceServer
	pki *pki
}

// records are the whole history.
var records = []format.Record{
	{Sequence: 0, Action: format.ActStore, Transaction: "T1", Part: 1, Institution: 1},
	{Sequence: 1, Action: format.ActRead, Transaction: "T1", Part: 1, Institution: 1, InstitutionSequence: 1},
	{Sequence: 2, Action: format.ActDeny, Institution: 1, InstitutionSequence: 2, Result: format.ReasonNotPermitted},
}

func readable(r format.Record) *sagov1.HistoryRecord {
	leaf := format.LeafHash(r.Encode())
	h := &sagov1.HistoryRecord{
		Sequence: r.Sequence, Time: at, Action: r.Action.String(), Institution: "demo", InstitutionSequence: r.InstitutionSequence,
		Transaction: r.Transaction, Part: r.Part, Actor: "2", Result: r.Result.String(), LeafHash: leaf[:],
	}
	switch r.Action {
	case format.ActRead:
		h.Purpose, h.Detail = "대출 심사", map[string]string{"user_name": "홍길동", "origin": "10.0.0.7"}
	case format.ActStore:
		h.Time = nil // before the first tick
	}
	return h
}

// List implements the service: two records a page.
func (historyServer) List(ctx context.Context, r *sagov1.HistoryServiceListRequest) (*sagov1.HistoryServiceListResponse, error) {
	if err := refuse(ctx, r.GetTransaction()); err != nil {
		return nil, err
	}
	out := &sagov1.HistoryServiceListResponse{}
	for i := int(r.GetFrom()); i < len(records); i++ {
		if len(out.Records) == min(2, int(r.GetLimit())) {
			out.Next = uint64(i)
			break
		}
		out.Records = append(out.Records, readable(records[i]))
	}
	return out, nil
}

// Show implements the service. The caller damaged gets other bytes.
func (historyServer) Show(ctx context.Context, r *sagov1.HistoryServiceShowRequest) (*sagov1.HistoryServiceShowResponse, error) {
	rec := records[r.GetSequence()]
	out := &sagov1.HistoryServiceShowResponse{Record: readable(rec), Encoded: rec.Encode()}
	if caller(ctx) == "damaged" {
		out.Encoded[20] ^= 1
	}
	return out, nil
}

// Verify implements the service.
func (h historyServer) Verify(ctx context.Context, _ *sagov1.HistoryServiceVerifyRequest) (*sagov1.HistoryServiceVerifyResponse, error) {
	cp := format.Checkpoint{Cluster: testCluster, Size: 3, Root: format.Digest{0xaa}, Entry: 9, Clock: at.AsTime().UnixMicro()}
	out := &sagov1.HistoryServiceVerifyResponse{Size: 3, Root: cp.Root[:], Intact: true}
	signatures := 2
	switch caller(ctx) {
	case "fresh":
		return out, nil
	case "unsigned":
		signatures = 1
	case "damaged":
		out.Intact, out.Damage = false, []string{"history/000001.his record 2: leaf hash"}
	}
	var err error
	out.Checkpoint, err = h.pki.note(cp.Text(), signatures)
	return out, err
}

type clockServer struct {
	sagov1.UnimplementedClockServiceServer
}

// Status implements the service.
func (clockServer) Status(ctx context.Context, _ *sagov1.ClockServiceStatusRequest) (*sagov1.ClockServiceStatusResponse, error) {
	if caller(ctx) == "fresh" {
		return &sagov1.ClockServiceStatusResponse{Status: "unsynchronized"}, nil
	}
	return &sagov1.ClockServiceStatusResponse{
		Clock: at, Status: "synchronized", Development: true, Earliest: at, Latest: at, LagSeconds: 0.25,
		Budget:  &sagov1.ClockBudget{FloorLine: at, SlackSeconds: 3600, UsedSeconds: 1.5},
		Sources: []*sagov1.ClockSource{{Name: "time1", Operator: "KRISS", Auth: "nts", State: "reachable", Selected: true, OffsetSeconds: 0.001, ErrorSeconds: 0.01}},
	}, nil
}

type clusterServer struct {
	sagov1.UnimplementedClusterServiceServer
}

// Status implements the service.
func (clusterServer) Status(context.Context, *sagov1.ClusterServiceStatusRequest) (*sagov1.ClusterServiceStatusResponse, error) {
	return &sagov1.ClusterServiceStatusResponse{
		Leader: "node1", Term: 3, Ready: true, Single: true, ClusterId: "c1", AnsweredBy: "node1",
		Checkpoint: &sagov1.CheckpointState{Size: 3, Clock: at, WitnessesNeeded: 2, Witnesses: []*sagov1.WitnessState{
			{Name: "w.example/1", Size: 2, CosignedAt: at}, {Name: "w.example/2", Detail: "not cosigned: connection refused"},
		}},
		Nodes: []*sagov1.Node{{
			Number: 1, Id: "node1", Address: "127.0.0.1:7401", State: "leader", AppliedIndex: 9, HistorySize: 3,
			HistoryRoot: []byte{0xaa, 0xbb}, Reachable: true, Protection: "append-only,immutable", Incarnation: "0f", StateHash: []byte{0xcc},
		}},
	}, nil
}

// Verify implements the service.
func (clusterServer) Verify(ctx context.Context, _ *sagov1.ClusterServiceVerifyRequest) (*sagov1.ClusterServiceVerifyResponse, error) {
	out := &sagov1.ClusterServiceVerifyResponse{Intact: true, RootsEqual: true, ComparedSize: 3, Nodes: []*sagov1.NodeVerification{
		{Node: "node1", Reachable: true, HistorySize: 3, Root: []byte{1}, RootAtCompared: []byte{1}, Chunks: 7, KeySlots: 5, Rows: 11},
		{Node: "node2", Reachable: true, HistorySize: 3, Root: []byte{1}, RootAtCompared: []byte{1}, Chunks: 7, KeySlots: 5, Rows: 11},
	}}
	if caller(ctx) == "damaged" {
		out.Intact, out.Nodes[1].Damage = false, []string{"keys/02.key slot 5: tag"}
	}
	return out, nil
}
