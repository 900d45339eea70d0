package service

import (
	"cmp"
	"context"
	"encoding/hex"
	"slices"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// keyArchiveServer answers KeyArchiveService: periods of key archives.
type keyArchiveServer struct {
	sagov1.UnimplementedKeyArchiveServiceServer
	*Server
}

// Open implements sagov1.KeyArchiveServiceServer. Who may hold a key, and whether
// each word is its holder's own, Apply decides.
func (s *keyArchiveServer) Open(ctx context.Context, req *sagov1.KeyArchiveServiceOpenRequest) (*sagov1.KeyArchiveServiceOpenResponse, error) {
	p := format.ArchiveParams{Step: format.ArchiveOpen, Period: s.node.NewID(), Needed: uint8(req.GetNeeded()), Days: uint16(req.GetDays())}
	if uint32(p.Needed) != req.GetNeeded() || uint32(p.Days) != req.GetDays() || len(req.GetHolders()) > store.MaxHolders {
		return nil, invalid(format.ReasonInvalid, "at most %d holders, and 1 to 90 days", store.MaxHolders)
	}
	for _, h := range req.GetHolders() {
		if len(h.GetPublicKey()) > maxField || len(h.GetSignature()) > maxField {
			return nil, invalid(format.ReasonInvalid, "not a recovery key, or not a signature")
		}
		p.Holders = append(p.Holders, format.ArchiveHolder{Person: h.GetPerson(), PublicKey: h.GetPublicKey(), Signature: h.GetSignature()})
	}
	slices.SortStableFunc(p.Holders, func(a, b format.ArchiveHolder) int { return cmp.Compare(a.Person, b.Person) })
	a, err := s.archiveAct(ctx, p, req.GetReason())
	return &sagov1.KeyArchiveServiceOpenResponse{Act: a, Period: hex.EncodeToString(p.Period[:])}, err
}

// Destroyed implements sagov1.KeyArchiveServiceServer.
func (s *keyArchiveServer) Destroyed(ctx context.Context, req *sagov1.KeyArchiveServiceDestroyedRequest) (*sagov1.KeyArchiveServiceDestroyedResponse, error) {
	p := format.ArchiveParams{Step: format.ArchiveDestroyed}
	raw, err := hex.DecodeString(req.GetPeriod())
	if err != nil || len(raw) != len(p.Period) {
		return nil, invalid(format.ReasonInvalid, "a period has 32 hexadecimal digits")
	}
	copy(p.Period[:], raw)
	a, err := s.archiveAct(ctx, p, req.GetReason())
	return &sagov1.KeyArchiveServiceDestroyedResponse{Act: a}, err
}

func (s *keyArchiveServer) archiveAct(ctx context.Context, p format.ArchiveParams, reason string) (*sagov1.Act, error) {
	return s.proposeAct(ctx, newAct{kind: format.ActKindKeyArchive, particulars: format.Particulars{Reason: reason}, params: func(d format.Digest) []byte {
		p.Particulars = d
		return p.Encode()
	}})
}

// List implements sagov1.KeyArchiveServiceServer.
func (s *keyArchiveServer) List(ctx context.Context, _ *sagov1.KeyArchiveServiceListRequest) (*sagov1.KeyArchiveServiceListResponse, error) {
	if _, err := s.recordQuery(ctx, format.ListArchives, "key-archives"); err != nil {
		return nil, err
	}
	views, err := s.node.Store().Archives()
	if err != nil {
		return nil, err
	}
	answer := &sagov1.KeyArchiveServiceListResponse{Caller: callerOf(ctx).ID}
	for _, v := range views {
		row := v.Row
		p := &sagov1.KeyArchivePeriod{
			Period: hex.EncodeToString(row.Period[:]), State: v.State.String(), Needed: uint32(row.Needed), Since: instant(row.From), Until: instant(row.Until),
			Opened: row.Opened, Destroyed: row.Destroyed, Begin: row.Begin, End: row.End, Ending: v.Ending,
		}
		for _, h := range row.Holders {
			p.Holders = append(p.Holders, &sagov1.KeyArchiveHolder{Person: h.Person, PublicKey: h.PublicKey, Signature: h.Signature, Name: s.actorName(h.Person)})
		}
		answer.Periods = append(answer.Periods, p)
	}
	return answer, nil
}

// keyArchiveState is the newest period, while its recovery keys may exist.
func (s *Server) keyArchiveState() (*sagov1.KeyArchiveState, error) {
	views, err := s.node.Store().Archives()
	if err != nil || len(views) == 0 {
		return nil, err
	}
	v := views[len(views)-1]
	if v.State == store.ArchiveIsDestroyed {
		return nil, nil
	}
	return &sagov1.KeyArchiveState{Period: hex.EncodeToString(v.Row.Period[:]), Until: instant(v.Row.Until), Ending: v.Ending}, nil
}
