package main

import (
	"context"
	"encoding/hex"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// keyArchiveAppliance has two periods, of which the newer ends soon. Callers have
// the numbers of their names' lengths.
type keyArchiveAppliance struct {
	sagov1.UnimplementedKeyArchiveServiceServer
}

var thePeriod = format.ID{0x70, 0x01}

// archiveAct is an act about a period as it was asked for; nobody has signed.
func archiveAct(p format.ArchiveParams, reason string) *sagov1.Act {
	said := format.Particulars{Salt: format.ID{1}, Reason: reason}
	p.Particulars = said.Digest()
	doc := format.Act{Cluster: testCluster, Kind: format.ActKindKeyArchive, Object: format.ActObject{}.Encode(), Params: p.Encode(), Nonce: format.ID{10}, Expires: 1}
	return &sagov1.Act{
		Id: hex.EncodeToString(doc.Nonce[:]), Kind: doc.Kind.String(), State: "pending", Document: doc.Encode(), Proposer: "admin/4", ProposedAt: at, ExpiresAt: at,
		Needed: 2, HistorySequence: 50, Particulars: &sagov1.ActParticulars{Salt: said.Salt[:], Reason: reason},
	}
}

// Open implements the service.
func (keyArchiveAppliance) Open(_ context.Context, r *sagov1.KeyArchiveServiceOpenRequest) (*sagov1.KeyArchiveServiceOpenResponse, error) {
	p := format.ArchiveParams{Step: format.ArchiveOpen, Period: thePeriod, Needed: uint8(r.GetNeeded()), Days: uint16(r.GetDays())}
	for _, h := range r.GetHolders() {
		p.Holders = append(p.Holders, format.ArchiveHolder{Person: h.GetPerson(), PublicKey: h.GetPublicKey(), Signature: h.GetSignature()})
	}
	return &sagov1.KeyArchiveServiceOpenResponse{Act: archiveAct(p, r.GetReason()), Period: hex.EncodeToString(thePeriod[:])}, nil
}

// Destroyed implements the service: exactly the one period.
func (keyArchiveAppliance) Destroyed(_ context.Context, r *sagov1.KeyArchiveServiceDestroyedRequest) (*sagov1.KeyArchiveServiceDestroyedResponse, error) {
	if r.GetPeriod() != hex.EncodeToString(thePeriod[:]) {
		return nil, refusal(codes.NotFound, "NOT_FOUND", "no such period of key archives")
	}
	return &sagov1.KeyArchiveServiceDestroyedResponse{Act: archiveAct(format.ArchiveParams{Step: format.ArchiveDestroyed, Period: thePeriod}, r.GetReason())}, nil
}

// List implements the service.
func (keyArchiveAppliance) List(ctx context.Context, _ *sagov1.KeyArchiveServiceListRequest) (*sagov1.KeyArchiveServiceListResponse, error) {
	if err := refuse(ctx, ""); err != nil {
		return nil, err
	}
	until := timestamppb.New(at.AsTime().AddDate(0, 0, 10))
	holders := []*sagov1.KeyArchiveHolder{{Person: 7, PublicKey: []byte{2, 7}, Name: "officer/7"}, {Person: 8, PublicKey: []byte{2, 8}, Name: "approver/8"}}
	return &sagov1.KeyArchiveServiceListResponse{Caller: uint64(len(caller(ctx))), Periods: []*sagov1.KeyArchivePeriod{
		{Period: "6000", State: "superseded", Since: at, Until: at, Opened: 39, Begin: 39, End: 39},
		{Period: "6001", State: "superseded", Needed: 2, Holders: holders, Since: at, Until: at, Opened: 40, Begin: 44, End: 61},
		{Period: hex.EncodeToString(thePeriod[:]), State: "open", Needed: 2, Holders: holders, Since: at, Until: until, Opened: 80, Ending: true},
	}}, nil
}
