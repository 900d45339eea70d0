package service

import (
	"context"
	"slices"
	"strconv"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// Show implements sagov1.BundleServiceServer. It answers for what has expired or
// was erased as well.
func (s *bundleServer) Show(ctx context.Context, req *sagov1.ShowRequest) (*sagov1.ShowResponse, error) {
	c := callerOf(ctx)
	key, err := bundleKey(c, req.GetTransaction(), req.GetPart())
	if err != nil {
		return nil, err
	}
	detail := c.detail()
	if detail.Purpose = req.GetPurpose(); !printable(detail.Purpose, maxPurpose) {
		return nil, invalid(format.ReasonInvalid, "a purpose has at most %d bytes without control characters", maxPurpose)
	}
	result, err := s.about(ctx, store.Op{Kind: store.KindShow}, key, format.ActShow, format.DetailOther, detail)
	if err != nil {
		return nil, err
	}
	row := result.Bundle
	b, err := s.bundle(key, row)
	if err != nil {
		return nil, err
	}
	if !s.ended(key, row) {
		if open, err := s.open(ctx, key, row); err == nil {
			d := open.Description
			b.Documents, b.Receipt.Fingerprint = documentsOf(d), fingerprintText(d.Fingerprint)
		} else if p := problemOf(err); p.reason != reasonDamage && s.alive(key) == nil {
			return nil, err
		}
	}
	b.Replicas, err = s.replicas(row)
	return &sagov1.ShowResponse{Bundle: b}, err
}

// bundle is what the state and the STORE record say of a bundle.
func (s *Server) bundle(key format.BundleKey, row *format.BundleRow) (*sagov1.Bundle, error) {
	rec, encoded, err := s.node.Store().Record(row.Store)
	if err != nil {
		return nil, err
	}
	receipt, err := s.receipt(key, row, format.LeafHash(encoded))
	if err != nil {
		return nil, err
	}
	state, err := s.stateOf(key, row)
	if err != nil {
		return nil, err
	}
	b := &sagov1.Bundle{
		Receipt: receipt, State: state, BundleId: row.Definition, RetentionRule: row.Retention.Rule,
		BasisKind: retention.BasisKind(row.Retention.Basis).String(),
	}
	if receipt.GetRetentionState() == "set" {
		b.Deadline = receipt.GetRetainUntil()
	}
	if b.HoldDetails, err = s.holdsOver(key, row); err != nil {
		return nil, err
	}
	for _, h := range b.HoldDetails {
		b.Holds = append(b.Holds, h.GetName())
	}
	if rec, err = s.basisRecord(key, row, rec); err != nil {
		return nil, err
	}
	stop, err := s.node.Store().Stop(key)
	if err != nil {
		return nil, err
	}
	if stop != nil {
		b.CirculationStop = &sagov1.BundleStop{Order: stop.Order, At: instant(stop.At)}
	}
	// The basis can name a case, so it is sealed; where its key is gone it stays unsaid.
	if d, err := s.node.Store().OpenDetail(&rec); err == nil {
		b.RetentionBasis = d.Basis
	}
	return b, nil
}

// stateOf names a bundle's state. A special deletion is told from its decision on;
// the replicas say who has destroyed it.
func (s *Server) stateOf(key format.BundleKey, row *format.BundleRow) (string, error) {
	if row.Expire != 0 {
		exit, err := s.node.Store().Exit(key)
		if err != nil || exit != nil && retention.Exit(exit.Exit) == retention.ExitSpecial {
			return "special_deleted", err
		}
	}
	switch {
	case row.Erase != 0:
		return "erased", nil
	case s.ended(key, row):
		return "expired", nil
	case s.node.Store().Status(key, row) == retention.StateHeld:
		return "held", nil
	}
	return "active", nil
}

// replicas says for each node whether it holds the bundle or, once it is to be
// erased, whether the node has attested that.
func (s *Server) replicas(row *format.BundleRow) ([]*sagov1.Replica, error) {
	attested, err := s.node.Store().AttestedBy(row)
	if err != nil {
		return nil, err
	}
	var out []*sagov1.Replica
	for _, m := range s.node.Store().Members() {
		r := &sagov1.Replica{Node: m.Name, State: "stored"}
		switch {
		case slices.Contains(attested, m.Number):
			r.State = "erased"
		case row.Expire != 0:
			r.State = "pending"
		case m.Number == s.node.Number():
			if _, err := s.node.Store().BundleChunks(row); err != nil {
				r.State = "damaged"
			}
		}
		out = append(out, r)
	}
	return out, nil
}
