package main

import (
	"context"
	"encoding/hex"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// holdAppliance answers about holds; it has one, named 소송 2026-7.
type holdAppliance struct {
	sagov1.UnimplementedHoldServiceServer
}

// holdActs takes signatures of the act that releases it.
type holdActs struct {
	sagov1.UnimplementedActServiceServer
}

func theHold() *sagov1.Hold {
	return &sagov1.Hold{
		Name: "소송 2026-7", Scope: "bundle", Transaction: "T1", Part: 1, BasisKind: "court", Basis: "서울중앙지법 2026가합1", Owner: "manager/3",
		PlacedAt: at, Review: timestamppb.New(at.AsTime().Add(-time.Hour)), ReviewDue: true, HistorySequence: 44, Id: "0102030405060708", State: "in_place",
	}
}

// Place implements the service: what was asked for, placed.
func (holdAppliance) Place(ctx context.Context, r *sagov1.HoldServicePlaceRequest) (*sagov1.HoldServicePlaceResponse, error) {
	if err := refuse(ctx, r.GetTransaction()); err != nil {
		return nil, err
	}
	h := &sagov1.Hold{
		Name: r.GetName(), Scope: "bundle", Transaction: r.GetTransaction(), BundleId: r.GetBundleId(), BasisKind: r.GetBasisKind(), Basis: r.GetBasis(),
		Owner: "manager/3", PlacedAt: at, Review: r.GetReview(), HistorySequence: 45, Id: "0102030405060709", State: "in_place",
	}
	switch {
	case r.GetTransaction() != "":
		h.Part = r.GetPart()
	case r.GetBundleId() != "":
		h.Scope = "definition"
	default:
		h.Scope, h.Subject = "subject", "aabbccddeeff0011"
	}
	return &sagov1.HoldServicePlaceResponse{Hold: h, LeafHash: []byte{0xcd}}, nil
}

// List implements the service.
func (holdAppliance) List(ctx context.Context, r *sagov1.HoldServiceListRequest) (*sagov1.HoldServiceListResponse, error) {
	return &sagov1.HoldServiceListResponse{Holds: []*sagov1.Hold{theHold()}}, refuse(ctx, r.GetTransaction())
}

// releaseAct is the act that releases theHold, with so many signatures.
func releaseAct(signed uint32) *sagov1.Act {
	p := format.Particulars{Salt: format.ID{1}, Basis: "소송 2026-7: 서울중앙지법 2026가합1", Reason: "사건 종결"}
	doc := format.Act{
		Cluster: testCluster, Kind: format.ActKindHoldRelease, Object: format.ActObject{Institution: 1, Transaction: "T1", Part: 1}.Encode(),
		Params: format.HoldReleaseParams{Particulars: p.Digest(), Hold: 0x0102030405060708, Placed: 44}.Encode(), Nonce: format.ID{9}, Expires: 1,
	}
	a := &sagov1.Act{
		Id: hex.EncodeToString(doc.Nonce[:]), Kind: doc.Kind.String(), State: "pending", Document: doc.Encode(), Transaction: "T1", Part: 1,
		Proposer: "manager/3", ProposedAt: at, ExpiresAt: at, Needed: 2, MaySign: signed == 0, HistorySequence: 46,
		Particulars: &sagov1.ActParticulars{Salt: p.Salt[:], Basis: p.Basis, Reason: p.Reason},
	}
	for range signed {
		a.Signatures = append(a.Signatures, &sagov1.ActSignature{Actor: "manager/3", Person: 3, SignedAt: at, HistorySequence: 47})
	}
	return a
}

// Release implements the service: exactly the one hold that there is.
func (holdAppliance) Release(ctx context.Context, r *sagov1.HoldServiceReleaseRequest) (*sagov1.HoldServiceReleaseResponse, error) {
	if r.GetName() != theHold().GetName() || r.GetTransaction() != "T1" {
		return nil, refusal(codes.NotFound, "NOT_FOUND", "no such hold is in place")
	}
	return &sagov1.HoldServiceReleaseResponse{Act: releaseAct(0)}, nil
}

// Sign implements the service.
func (holdActs) Sign(context.Context, *sagov1.ActServiceSignRequest) (*sagov1.ActServiceSignResponse, error) {
	return &sagov1.ActServiceSignResponse{Act: releaseAct(1)}, nil
}

func changed(transaction, rule string) *sagov1.Bundle {
	return &sagov1.Bundle{
		Receipt: &sagov1.Receipt{Institution: "demo", Transaction: transaction, Part: 1, StoredAt: at, RetainUntil: at, RetentionState: "set", HistorySequence: 41},
		State:   "active", BundleId: "MDS0000001", RetentionRule: rule, RetentionBasis: "새 요청", BasisKind: "subject", Deadline: at,
	}
}

// Extend implements the service.
func (a *appliance) Extend(ctx context.Context, r *sagov1.ExtendRequest) (*sagov1.ExtendResponse, error) {
	return &sagov1.ExtendResponse{Bundle: changed(r.GetTransaction(), r.GetRetain()), HistorySequence: 48, LeafHash: []byte{0xee}}, refuse(ctx, r.GetTransaction())
}

// Event implements the service.
func (a *appliance) Event(ctx context.Context, r *sagov1.EventRequest) (*sagov1.EventResponse, error) {
	return &sagov1.EventResponse{Bundle: changed(r.GetTransaction(), "event:P3Y"), HistorySequence: 49, LeafHash: []byte{0xee}}, refuse(ctx, r.GetTransaction())
}

// Preview implements the service.
func (a *appliance) Preview(ctx context.Context, r *sagov1.PreviewRequest) (*sagov1.PreviewResponse, error) {
	h := r.GetHeader()
	return &sagov1.PreviewResponse{Retain: h.GetRetain(), UndeletableUntil: at, RetentionState: "starting", Longest: at, Held: true}, refuse(ctx, h.GetTransaction())
}
