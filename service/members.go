package service

import (
	"context"
	"slices"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// memberServer answers MemberService: acts about nodes, their media, the clock
// and a restore.
type memberServer struct {
	sagov1.UnimplementedMemberServiceServer
	*Server
}

// Add implements sagov1.MemberServiceServer.
func (s *memberServer) Add(ctx context.Context, req *sagov1.MemberServiceAddRequest) (*sagov1.MemberServiceAddResponse, error) {
	incarnation, err := idBytes(req.GetIncarnation())
	if err != nil {
		return nil, err
	}
	node := format.CeremonyNode{Number: req.GetNumber(), Name: req.GetName(), Incarnation: incarnation, PublicKey: req.GetPublicKey()}
	if err := format.CheckNodes([]format.CeremonyNode{node}); err != nil || len(node.PublicKey) > maxName {
		return nil, invalid(format.ReasonInvalid, "not the request of a node")
	}
	a, err := s.memberAct(ctx, format.MemberParams{Node: node}, req.GetReason())
	return &sagov1.MemberServiceAddResponse{Act: a}, err
}

// Remove implements sagov1.MemberServiceServer.
func (s *memberServer) Remove(ctx context.Context, req *sagov1.MemberServiceRemoveRequest) (*sagov1.MemberServiceRemoveResponse, error) {
	row, err := s.memberNamed(req.GetName())
	if err != nil {
		return nil, err
	}
	node := format.CeremonyNode{Number: row.Number, Name: row.Name, PublicKey: row.PublicKey}
	a, err := s.memberAct(ctx, format.MemberParams{Remove: true, Node: node}, req.GetReason())
	return &sagov1.MemberServiceRemoveResponse{Act: a}, err
}

func (s *memberServer) memberAct(ctx context.Context, p format.MemberParams, reason string) (*sagov1.Act, error) {
	return s.proposeAct(ctx, newAct{kind: format.ActKindMember, particulars: format.Particulars{Reason: reason}, params: func(d format.Digest) []byte {
		p.Particulars = d
		return p.Encode()
	}})
}

// memberNamed finds a node, also one that was removed, by its name.
func (s *memberServer) memberNamed(name string) (format.MemberRow, error) {
	members := s.node.Store().EveryMember()
	i := slices.IndexFunc(members, func(m format.MemberRow) bool { return m.Name == name })
	if i < 0 {
		return format.MemberRow{}, refusal(format.ReasonNotFound, "no node has this name")
	}
	return members[i], nil
}

// Medium implements sagov1.MemberServiceServer.
func (s *memberServer) Medium(ctx context.Context, req *sagov1.MemberServiceMediumRequest) (*sagov1.MemberServiceMediumResponse, error) {
	row, err := s.memberNamed(req.GetName())
	if err != nil {
		return nil, err
	}
	incarnation, err := idBytes(req.GetIncarnation())
	if err != nil {
		return nil, err
	}
	a, err := s.proposeAct(ctx, newAct{
		kind: format.ActKindMedium, particulars: format.Particulars{Basis: req.GetBasis(), Reason: req.GetReason()},
		params: func(d format.Digest) []byte {
			return format.MediumParams{Particulars: d, Node: row.Number, Incarnation: incarnation}.Encode()
		},
	})
	return &sagov1.MemberServiceMediumResponse{Act: a}, err
}

// Resync implements sagov1.MemberServiceServer: it gathers fresh votes of the open
// round, which go into the document.
func (s *memberServer) Resync(ctx context.Context, req *sagov1.MemberServiceResyncRequest) (*sagov1.MemberServiceResyncResponse, error) {
	votes, to, err := s.node.Votes(ctx)
	if err != nil {
		return nil, err
	}
	a, err := s.proposeAct(ctx, newAct{kind: format.ActKindResync, particulars: format.Particulars{Reason: req.GetReason()}, params: func(d format.Digest) []byte {
		return format.ResyncParams{Particulars: d, Votes: votes}.Encode()
	}})
	return &sagov1.MemberServiceResyncResponse{Act: a, To: instant(to)}, err
}

// ConfirmRestore implements sagov1.MemberServiceServer.
func (s *memberServer) ConfirmRestore(ctx context.Context, req *sagov1.MemberServiceConfirmRestoreRequest) (*sagov1.MemberServiceConfirmRestoreResponse, error) {
	a, err := s.proposeAct(ctx, newAct{
		kind: format.ActKindRestoreConfirm, particulars: format.Particulars{Reason: req.GetReason()},
		params: func(d format.Digest) []byte { return d[:] },
	})
	return &sagov1.MemberServiceConfirmRestoreResponse{Act: a}, err
}

func idBytes(b []byte) (id format.ID, err error) {
	if len(b) != len(id) {
		return id, invalid(format.ReasonInvalid, "an incarnation has 16 bytes")
	}
	copy(id[:], b)
	return id, nil
}
