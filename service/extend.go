package service

import (
	"context"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Extend implements sagov1.BundleServiceServer.
func (s *bundleServer) Extend(ctx context.Context, req *sagov1.ExtendRequest) (*sagov1.ExtendResponse, error) {
	c := callerOf(ctx)
	key, err := bundleKey(c, req.GetTransaction(), req.GetPart())
	if err != nil {
		return nil, err
	}
	rule, kind, err := checkBasis(req.GetRetain(), req.GetBasisKind(), req.GetBasis())
	if err != nil {
		return nil, err
	}
	d := c.detail()
	d.Basis = req.GetBasis()
	op := store.Op{Kind: store.KindExtend, Body: format.EncodeEffect(format.ExtendEffect{Rule: rule.String(), BasisKind: uint8(kind)})}
	result, err := s.about(ctx, op, key, format.ActExtend, format.DetailOther, d)
	if err != nil {
		return nil, err
	}
	b, err := s.bundle(key, result.Bundle)
	return &sagov1.ExtendResponse{Bundle: b, HistorySequence: result.Sequence, LeafHash: result.Leaf[:]}, err
}

// Event implements sagov1.BundleServiceServer.
func (s *bundleServer) Event(ctx context.Context, req *sagov1.EventRequest) (*sagov1.EventResponse, error) {
	c := callerOf(ctx)
	key, err := bundleKey(c, req.GetTransaction(), req.GetPart())
	if err != nil {
		return nil, err
	}
	at, err := micros(req.GetAt())
	if err != nil {
		return nil, err
	}
	if req.GetAt() == nil { // it happened now
		at = s.node.Store().Summary().Clock.Now
	}
	op := store.Op{Kind: store.KindEvent, Body: format.EncodeEffect(format.EventEffect{At: at})}
	result, err := s.about(ctx, op, key, format.ActEvent, format.DetailOther, c.detail())
	if err != nil {
		return nil, err
	}
	b, err := s.bundle(key, result.Bundle)
	return &sagov1.EventResponse{Bundle: b, HistorySequence: result.Sequence, LeafHash: result.Leaf[:]}, err
}

// Preview implements sagov1.BundleServiceServer: what a put of this header would
// make undeletable, and until when (P29).
func (s *bundleServer) Preview(ctx context.Context, req *sagov1.PreviewRequest) (*sagov1.PreviewResponse, error) {
	c, h := callerOf(ctx), req.GetHeader()
	rule, kind, err := checkBasis(h.GetRetain(), h.GetBasisKind(), h.GetBasis())
	if err != nil {
		return nil, err
	}
	if !printable(h.GetBundleId(), maxBundleID) {
		return nil, invalid(format.ReasonInvalid, "a bundle id has 1 to %d bytes", maxBundleID)
	}
	e := format.StoreEffect{Definition: h.GetBundleId(), Rule: rule.String(), BasisKind: uint8(kind)}
	if e.Subject, err = s.subject(c, h.GetSubjectCi()); err != nil {
		return nil, err
	}
	f, reason, why, err := s.node.Store().Foresee(c.Institution, e)
	if err != nil {
		return nil, err
	}
	if reason != format.ReasonOK {
		return nil, refusal(reason, why)
	}
	answer := &sagov1.PreviewResponse{
		Retain: rule.String(), UndeletableUntil: instant(f.Floor), RetentionState: "unset", Longest: instant(f.Longest), Held: f.Held,
	}
	switch {
	case f.Floor != 0 && f.Waits:
		answer.RetentionState = "starting"
	case f.Floor != 0:
		answer.RetentionState = "set"
	}
	return answer, nil
}

// basisRecord is the record that says what a bundle's present rule rests on: its
// STORE record, or the newest extension.
func (s *Server) basisRecord(key format.BundleKey, row *format.BundleRow, stored format.Record) (format.Record, error) {
	e, err := format.DecodeStoreEffect(stored.Effect)
	if err != nil || e.Rule == row.Retention.Rule {
		return stored, err
	}
	for from := row.Store + 1; ; {
		sequences, err := s.node.Store().Sequences(key.Institution, key.Transaction, format.Digest{}, from, maxPage)
		if err != nil || len(sequences) == 0 {
			return stored, err
		}
		for _, n := range sequences {
			rec, _, err := s.node.Store().Record(n)
			if err != nil {
				return stored, err
			}
			if rec.Action == format.ActExtend && rec.Part == key.Part {
				stored = rec
			}
		}
		from = sequences[len(sequences)-1] + 1
	}
}
