package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// holdServer answers HoldService (보존 조치).
type holdServer struct {
	sagov1.UnimplementedHoldServiceServer
	*Server
}

// heldThing is what a request about a hold names.
type heldThing interface {
	GetTransaction() string
	GetPart() uint32
	GetSubjectCi() string
	GetBundleId() string
	GetName() string
}

// holdOn reads what a hold is on and its name: scope, what and id of the effect,
// and the bundle for one on a bundle. A bundle that is not there has Store 0.
func (s *Server) holdOn(c *caller, req heldThing) (e format.HoldEffect, key format.BundleKey, err error) {
	if req.GetName() == "" || !printable(req.GetName(), maxField) {
		return e, key, invalid(format.ReasonInvalid, "a hold's name has 1 to %d bytes without control characters", maxField)
	}
	key.Institution = c.Institution
	named := 0
	if req.GetTransaction() != "" {
		named, e.Scope = named+1, format.HoldBundle
		if key, err = bundleKey(c, req.GetTransaction(), req.GetPart()); err != nil {
			return e, key, err
		}
		row, err := s.node.Store().Bundle(key)
		if err != nil {
			return e, key, err
		}
		if row != nil {
			e.Store = row.Store
		}
	}
	if req.GetSubjectCi() != "" {
		named, e.Scope = named+1, format.HoldSubject
		if e.Subject, err = s.subject(c, req.GetSubjectCi()); err != nil {
			return e, key, err
		}
	}
	if req.GetBundleId() != "" {
		named, e.Scope, e.Definition = named+1, format.HoldDefinition, req.GetBundleId()
	}
	if named != 1 || !printable(e.Definition, maxBundleID) {
		return e, key, invalid(format.ReasonInvalid, "a hold is on a transaction, or on a subject's CI, or on a bundle id")
	}
	e.ID, err = s.node.Store().HoldRef(c.Institution, e.Scope, req.GetName())
	return e, key, err
}

// Place implements sagov1.HoldServiceServer.
func (s *holdServer) Place(ctx context.Context, req *sagov1.HoldServicePlaceRequest) (*sagov1.HoldServicePlaceResponse, error) {
	c := callerOf(ctx)
	e, key, err := s.holdOn(c, req)
	if err != nil {
		return nil, err
	}
	switch req.GetBasisKind() {
	case "", "law":
		e.Basis = uint8(retention.HoldLaw)
	case "court":
		e.Basis = uint8(retention.HoldCourt)
	default:
		return nil, invalid(format.ReasonBasis, "a hold rests on law or court")
	}
	if req.GetBasis() == "" || !printable(req.GetBasis(), maxBasis) {
		return nil, invalid(format.ReasonBasis, "a basis has 1 to %d bytes without control characters", maxBasis)
	}
	if e.Review, err = micros(req.GetReview()); err != nil {
		return nil, err
	}
	e.Store = 0 // Apply finds it
	op := store.Op{Kind: store.KindHold, Transaction: key.Transaction, Part: key.Part, Body: format.EncodeEffect(e)}
	d := c.detail()
	d.Name, d.Basis = req.GetName(), req.GetBasis()
	result, err := s.propose(ctx, op, format.DetailOther, d)
	if err != nil {
		return nil, err
	}
	row, err := s.node.Store().Hold(c.Institution, result.Sequence)
	if err != nil || row == nil {
		return nil, errors.Join(err, errors.New("a hold that was placed is not there"))
	}
	h, err := s.hold(*row)
	return &sagov1.HoldServicePlaceResponse{Hold: h, LeafHash: result.Leaf[:]}, err
}

// Release implements sagov1.HoldServiceServer. A hold that is not there is refused
// by Apply, on record.
func (s *holdServer) Release(ctx context.Context, req *sagov1.HoldServiceReleaseRequest) (*sagov1.HoldServiceReleaseResponse, error) {
	c := callerOf(ctx)
	e, key, err := s.holdOn(c, req)
	if err != nil {
		return nil, err
	}
	if req.GetReason() == "" {
		return nil, invalid(format.ReasonInvalid, "a release has a reason")
	}
	row, err := s.node.Store().HoldOn(c.Institution, e)
	if err != nil {
		return nil, err
	}
	params := format.HoldReleaseParams{Hold: e.ID}
	particulars := format.Particulars{Basis: clip(req.GetName(), maxBasis), Reason: req.GetReason()}
	if row != nil {
		h, err := s.hold(*row)
		if err != nil {
			return nil, err
		}
		params.Placed, particulars.Basis = row.Placed, clip(req.GetName()+": "+h.GetBasis(), maxBasis)
	}
	act, err := s.proposeAct(ctx, newAct{
		kind: format.ActKindHoldRelease, object: format.ActObject(key), particulars: particulars,
		params: func(d format.Digest) []byte {
			params.Particulars = d
			return params.Encode()
		},
	})
	return &sagov1.HoldServiceReleaseResponse{Act: act}, err
}

// List implements sagov1.HoldServiceServer.
func (s *holdServer) List(ctx context.Context, req *sagov1.HoldServiceListRequest) (*sagov1.HoldServiceListResponse, error) {
	c := callerOf(ctx)
	from, err := sequenceToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	var key format.BundleKey
	if req.GetTransaction() != "" {
		if key, err = bundleKey(c, req.GetTransaction(), req.GetPart()); err != nil {
			return nil, err
		}
	}
	asked := query("holds", key.Transaction, "part", key.Part, "limit", req.GetLimit(), "from", from)
	if _, err := s.recordQuery(ctx, format.ListHolds, asked); err != nil {
		return nil, err
	}
	answer := &sagov1.HoldServiceListResponse{}
	if key.Transaction != "" {
		row, err := s.node.Store().Bundle(key)
		if err == nil && row == nil {
			err = refusal(format.ReasonNotFound, "")
		}
		if err == nil {
			answer.Holds, err = s.holdsOver(key, row)
		}
		return answer, err
	}
	rows, next, err := s.node.Store().Holds(c.Institution, from, pageSize(req.GetLimit()))
	if err != nil {
		return nil, err
	}
	if next != 0 {
		answer.NextPageToken = strconv.FormatUint(next, 36)
	}
	answer.Holds, err = s.holds(rows)
	return answer, err
}

// holdsOver says which holds are in force on a bundle.
func (s *Server) holdsOver(key format.BundleKey, row *format.BundleRow) ([]*sagov1.Hold, error) {
	if row.Expire != 0 {
		return nil, nil
	}
	rows, err := s.node.Store().HoldsOver(key, row)
	if err != nil {
		return nil, err
	}
	return s.holds(rows)
}

func (s *Server) holds(rows []format.HeldRow) ([]*sagov1.Hold, error) {
	var out []*sagov1.Hold
	for _, row := range rows {
		h, err := s.hold(row)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// hold is a hold with what its record says sealed. Where that key is erased the
// name stays unsaid.
func (s *Server) hold(row format.HeldRow) (*sagov1.Hold, error) {
	h := &sagov1.Hold{
		Transaction: row.Bundle.Transaction, Part: row.Bundle.Part, BundleId: row.Definition, Subject: subjectText(row.Subject),
		BasisKind: "law", Review: instant(row.Review), ReviewDue: s.node.Store().ReviewDue(row), Owner: s.actorName(row.Owner),
		PlacedAt: instant(row.At), HistorySequence: row.Placed, Id: fmt.Sprintf("%016x", row.ID), State: "in_place",
	}
	h.Scope = map[format.HoldScope]string{format.HoldBundle: "bundle", format.HoldSubject: "subject", format.HoldDefinition: "definition"}[row.Scope]
	if row.Basis == uint8(retention.HoldCourt) {
		h.BasisKind = "court"
	}
	if row.Released != 0 {
		h.State = "releasing"
	}
	d, err := s.said(row.Placed)
	if err == nil && d != nil {
		h.Name, h.Basis = d.Name, d.Basis
	}
	return h, err
}

// readFor is the id of the hold on a bundle that a read is for, and what its record
// says of it, sealed. Apply refuses a name that no hold on the bundle has.
func (s *Server) readFor(key format.BundleKey, name string) (id uint64, said string, err error) {
	if !printable(name, maxField) {
		return 0, "", invalid(format.ReasonInvalid, "a hold's name has at most %d bytes without control characters", maxField)
	}
	row, err := s.node.Store().Bundle(key)
	if err != nil {
		return 0, "", err
	}
	if row != nil {
		id, err = s.node.Store().HoldNamed(key, row, name)
	}
	if err == nil && id == 0 {
		id, err = s.node.Store().HoldRef(key.Institution, format.HoldBundle, name)
	}
	return id, query("hold", fmt.Sprintf("%016x", id), "name", name), err
}
