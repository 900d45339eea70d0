package service

import (
	"context"
	"slices"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/ledger"
	"github.com/sago-worm/sago/store/format"
)

// Ledger implements sagov1.SpecialDeleteServiceServer: the caller's institution's
// entries, and the comparison of the whole.
func (s *specialServer) Ledger(ctx context.Context, req *sagov1.SpecialDeleteServiceLedgerRequest) (*sagov1.SpecialDeleteServiceLedgerResponse, error) {
	if _, err := s.recordQuery(ctx, format.ListSpecial, query("ledger", s.node.Name(), "from", req.GetFrom(), "limit", req.GetLimit())); err != nil {
		return nil, err
	}
	r, err := s.cfg.Ledger()
	if err != nil {
		return nil, err
	}
	answer := &sagov1.SpecialDeleteServiceLedgerResponse{
		Node: s.node.Name(), Agrees: len(r.Disagreements) == 0, Disagreements: r.Disagreements,
		InHistory: uint64(r.History), InLedger: uint64(r.Ledger), InOsRecord: uint64(r.System),
	}
	own := slices.DeleteFunc(r.Entries, func(e ledger.Entry) bool {
		return e.Institution != callerOf(ctx).Institution || e.Sequence < req.GetFrom()
	})
	if limit := pageSize(req.GetLimit()); len(own) > limit {
		answer.Next, own = own[limit].Sequence, own[:limit]
	}
	for _, e := range own {
		answer.Entries = append(answer.Entries, &sagov1.LedgerEntry{Sequence: e.Sequence, Time: instant(e.Clock), Action: e.Action,
			Transaction: e.Transaction, Part: e.Part, Order: e.Order, RequestId: e.Request, Actor: s.actorName(e.Actor), LeafHash: e.Leaf[:], LineHash: e.Line[:]})
	}
	return answer, nil
}
