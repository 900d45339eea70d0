package service

import (
	"context"
	"errors"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// specialServer answers SpecialDeleteService (특수삭제).
type specialServer struct {
	sagov1.UnimplementedSpecialDeleteServiceServer
	*Server
}

// Request implements sagov1.SpecialDeleteServiceServer. What cannot be deleted is
// refused before anything is registered; Apply decides the same again.
func (s *specialServer) Request(ctx context.Context, req *sagov1.SpecialDeleteServiceRequestRequest) (*sagov1.SpecialDeleteServiceRequestResponse, error) {
	c := callerOf(ctx)
	key, err := bundleKey(c, req.GetTransaction(), req.GetPart())
	if err != nil {
		return nil, err
	}
	o, err := orderOf(req.GetOrder(), req.GetDocumentDigest(), req.GetRequester(), req.GetBasis(), req.GetReason())
	if err != nil {
		return nil, err
	}
	if err := s.current(ctx); err != nil {
		return nil, err
	}
	row, err := s.deletable(key)
	if err != nil {
		return nil, s.deniedWithout(ctx, c, sagov1.SpecialDeleteService_Request_FullMethodName, req, err)
	}
	_, encoded, err := s.node.Store().Record(row.Store)
	if err != nil {
		return nil, err
	}
	nonce, err := s.underOrder(ctx, key, o)
	if err != nil {
		return nil, err
	}
	act, err := s.proposeAct(ctx, newAct{
		kind: format.ActKindSpecialDelete, object: format.ActObject(key), particulars: o.Particulars, nonce: nonce,
		params: func(d format.Digest) []byte {
			return format.SpecialParams{Particulars: d, Store: row.Store, Leaf: format.LeafHash(encoded), Order: o.number, Document: o.document}.Encode()
		},
	})
	if err != nil {
		return nil, err
	}
	out, err := s.specialOf(act)
	return &sagov1.SpecialDeleteServiceRequestResponse{Request: out}, err
}

// deletable is the bundle's row, as long as this node's state lets it be
// specially deleted.
func (s *Server) deletable(key format.BundleKey) (*format.BundleRow, error) {
	row, err := s.node.Store().Bundle(key)
	if err != nil {
		return nil, err
	}
	reason, why, err := s.node.Store().Removable(key)
	if err == nil && reason != format.ReasonOK {
		err = refusal(reason, why)
	}
	return row, err
}

// underOrder sees to it that the order stands on the bundle, and answers the
// nonce of the act that rests on it: the one that the order was registered with,
// while no act has it.
func (s *specialServer) underOrder(ctx context.Context, key format.BundleKey, o order) (format.ID, error) {
	fresh := s.node.NewID()
	stop, err := s.node.Store().Stop(key)
	switch {
	case err != nil:
		return fresh, err
	case stop == nil:
		return fresh, s.register(ctx, key, o, fresh)
	case stop.Order != o.number:
		return fresh, refusal(format.ReasonState, "another order stands on it")
	case stop.Act == format.ID{}:
		return fresh, nil
	}
	before, err := s.node.Store().Act(key.Institution, stop.Act)
	if err == nil && before == nil {
		fresh = stop.Act // the order was registered, and then its request failed
	}
	return fresh, err
}

// specialOf is a request as answers show it.
func (s *Server) specialOf(a *sagov1.Act) (*sagov1.SpecialDelete, error) {
	doc, err := format.DecodeAct(a.GetDocument())
	if err != nil {
		return nil, err
	}
	p, err := format.DecodeSpecialParams(doc.Params)
	if err != nil {
		return nil, err
	}
	out := &sagov1.SpecialDelete{Act: a, State: a.GetState(), BlockedBy: a.GetBlockedBy(), Order: p.Order}
	if out.State == retention.ActReady.String() {
		out.State = retention.ActCooling.String() // until it is executed, by the leader or by nobody
	}
	object, err := format.DecodeActObject(doc.Object)
	if err != nil {
		return nil, err
	}
	row, err := s.node.Store().Bundle(object.Key())
	if err == nil && row != nil {
		out.BundleState, err = s.stateOf(object.Key(), row)
	}
	return out, err
}

// blockedBy names what keeps a request from going on.
func blockedBy(r format.Reason) string {
	switch r {
	case format.ReasonOK:
		return ""
	case format.ReasonHeld:
		return "hold"
	case format.ReasonPolicy:
		return "disabled"
	}
	return r.String()
}

// special finds a request of the caller's institution.
func (s *specialServer) special(ctx context.Context, text string) (*store.ActView, error) {
	id, err := actID(text)
	if err != nil {
		return nil, err
	}
	v, err := s.node.Store().Act(callerOf(ctx).Institution, id)
	if err == nil && (v == nil || v.Doc.Kind != format.ActKindSpecialDelete) {
		err = refusal(format.ReasonNotFound, "no request has this id")
	}
	return v, err
}

// Show implements sagov1.SpecialDeleteServiceServer.
func (s *specialServer) Show(ctx context.Context, req *sagov1.SpecialDeleteServiceShowRequest) (*sagov1.SpecialDeleteServiceShowResponse, error) {
	if _, err := s.recordQuery(ctx, format.ListSpecial, query("request", req.GetId())); err != nil {
		return nil, err
	}
	v, err := s.special(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	a, err := s.actOf(callerOf(ctx), v)
	if err != nil {
		return nil, err
	}
	out, err := s.specialOf(a)
	return &sagov1.SpecialDeleteServiceShowResponse{Request: out}, err
}

// List implements sagov1.SpecialDeleteServiceServer.
func (s *specialServer) List(ctx context.Context, req *sagov1.SpecialDeleteServiceListRequest) (*sagov1.SpecialDeleteServiceListResponse, error) {
	from, err := actToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if _, err := s.recordQuery(ctx, format.ListSpecial, query("open", req.GetOpen(), "limit", req.GetLimit(), "from", req.GetPageToken())); err != nil {
		return nil, err
	}
	views, next, err := s.node.Store().Acts(callerOf(ctx).Institution, req.GetOpen(), from, pageSize(req.GetLimit()))
	if err != nil {
		return nil, err
	}
	answer := &sagov1.SpecialDeleteServiceListResponse{NextPageToken: actText(next)}
	for i := range views {
		if views[i].Doc.Kind != format.ActKindSpecialDelete {
			continue
		}
		a, err := s.actOf(callerOf(ctx), &views[i])
		if err != nil {
			return nil, err
		}
		one, err := s.specialOf(a)
		if err != nil {
			return nil, err
		}
		answer.Requests = append(answer.Requests, one)
	}
	return answer, nil
}

// Disable implements sagov1.SpecialDeleteServiceServer. It is for one's own
// institution only, and nothing undoes it.
func (s *specialServer) Disable(ctx context.Context, req *sagov1.SpecialDeleteServiceDisableRequest) (*sagov1.SpecialDeleteServiceDisableResponse, error) {
	c := callerOf(ctx)
	own, err := s.node.Store().Institution(c.Institution)
	if err != nil {
		return nil, err
	}
	if req.GetInstitution() != own.Code {
		return nil, s.deniedWithout(ctx, c, sagov1.SpecialDeleteService_Disable_FullMethodName, nil,
			refusal(format.ReasonNotFound, "special deletion is disabled by the institution's own persons"))
	}
	i, at, err := s.changeInstitution(ctx, format.InstitutionNoSpecial, own.Code, 0, req.GetReason())
	return &sagov1.SpecialDeleteServiceDisableResponse{Institution: i, HistorySequence: at}, err
}

// Opening implements sagov1.SpecialDeleteServiceServer.
func (s *specialServer) Opening(ctx context.Context, req *sagov1.SpecialDeleteServiceOpeningRequest) (*sagov1.SpecialDeleteServiceOpeningResponse, error) {
	if _, err := s.recordQuery(ctx, format.ListSpecial, query("opening", req.GetId())); err != nil {
		return nil, err
	}
	v, err := s.special(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	switch v.State {
	case retention.ActPending, retention.ActCooling, retention.ActReady:
	default: // who has nothing to decide learns nothing of what is in it
		return nil, refusal(format.ReasonState, "the request is "+v.State.String())
	}
	key := v.Object.Key()
	row, err := s.node.Store().Bundle(key)
	if err == nil && row == nil {
		err = errors.New("a request is about a bundle that is not there")
	}
	if err == nil {
		err = s.alive(key)
	}
	if err != nil {
		return nil, err
	}
	if s.node.Store().Status(key, row) == retention.StateHeld { // no order removes it, and its content is for the hold's purpose only
		return nil, refusal(format.ReasonHeld, "its retention has ended: it is kept for a hold's purpose only")
	}
	open, err := s.open(ctx, key, row)
	if err != nil {
		return nil, err
	}
	secret, err := s.node.Store().CommitmentKey(row.Slot)
	if err != nil {
		return nil, s.readProblem(key, err)
	}
	_, encoded, err := s.node.Store().Record(row.Store)
	if err != nil {
		return nil, err
	}
	answer := &sagov1.SpecialDeleteServiceOpeningResponse{Fingerprint: fingerprintText(open.Description.Fingerprint), CommitmentKey: secret[:], StoreRecord: encoded}
	for _, d := range open.Description.Documents {
		answer.Documents = append(answer.Documents, d.Name)
	}
	return answer, nil
}
