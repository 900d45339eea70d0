package service

import (
	"context"
	"encoding/hex"
	"errors"

	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// actServer answers ActService (결재 행위).
type actServer struct {
	sagov1.UnimplementedActServiceServer
	*Server
}

// newAct is an act before it has a document.
type newAct struct {
	kind        format.ActKind
	object      format.ActObject
	particulars format.Particulars // without its salt
	// params makes the parameters, which begin with the particulars' digest.
	params func(particulars format.Digest) []byte
	// nonce is drawn where it is zero.
	nonce format.ID
}

// proposeAct builds an act's document and opens it. The proposal's record holds
// the particulars, sealed.
func (s *Server) proposeAct(ctx context.Context, a newAct) (*sagov1.Act, error) {
	c, sum := callerOf(ctx), s.node.Store().Summary()
	p := a.particulars
	if err := checkParticulars(p); err != nil {
		return nil, err
	}
	p.Salt = s.node.NewID()
	doc := format.Act{
		Cluster: sum.Cluster, Kind: a.kind, Object: a.object.Encode(), Params: a.params(p.Digest()), Nonce: a.nonce,
		Expires: sum.Clock.Now + sum.Policy.CoolingOff + store.ActTime,
	}
	if doc.Nonce == (format.ID{}) {
		doc.Nonce = s.node.NewID()
	}
	d := c.detail()
	d.Requester, d.Basis, d.Reason, d.Salt = p.Requester, p.Basis, p.Reason, hex.EncodeToString(p.Salt[:])
	op := store.Op{
		Kind: store.KindPropose, Transaction: a.object.Transaction, Part: a.object.Part,
		Body: format.EncodeEffect(format.ProposeEffect{Document: doc.Encode()}),
	}
	if _, err := s.propose(ctx, op, format.DetailOther, d); err != nil {
		return nil, err
	}
	return s.actNow(c, doc.Nonce)
}

func checkParticulars(p format.Particulars) error {
	if !printable(p.Requester, maxField) || !printable(p.Basis, maxBasis) || !printable(p.Reason, maxPurpose) {
		return invalid(format.ReasonInvalid, "requester, basis and reason have at most %d, %d and %d bytes without control characters", maxField, maxBasis, maxPurpose)
	}
	return nil
}

// actNow is an act as this node's state shows it.
func (s *Server) actNow(c *caller, nonce format.ID) (*sagov1.Act, error) {
	v, err := s.node.Store().Act(c.Institution, nonce)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, refusal(format.ReasonNotFound, "no act has this id")
	}
	return s.actOf(c, v)
}

// actOf is an act as its reader sees it.
func (s *Server) actOf(c *caller, v *store.ActView) (*sagov1.Act, error) {
	out := &sagov1.Act{
		Id: hex.EncodeToString(v.Doc.Nonce[:]), Kind: v.Doc.Kind.String(), State: v.State.String(), Document: v.Row.Document,
		Transaction: v.Object.Transaction, Part: v.Object.Part, Proposer: s.actorName(v.Row.Proposer), ProposedAt: instant(v.Row.At),
		ExpiresAt: instant(v.Doc.Expires), Needed: uint32(v.Needed), CoolingOffUntil: instant(v.Row.CoolingEnd),
		HistorySequence: v.Row.Proposed, Executed: v.Row.Executed, Vetoed: v.Row.Vetoed,
	}
	if v.Row.Executed != 0 { // the rule is judged by today's policy, which may ask for more
		out.Needed = min(out.Needed, uint32(len(v.Row.Signatures)))
	}
	for _, p := range v.Row.Signatures {
		rec, _, err := s.node.Store().Record(p.Sequence)
		if err != nil && !errors.Is(err, store.ErrPruned) {
			return nil, err
		}
		out.Signatures = append(out.Signatures, &sagov1.ActSignature{
			Actor: s.actorName(p.Person), Person: p.Person, SignedAt: instant(rec.Clock), HistorySequence: p.Sequence,
		})
	}
	var err error
	if out.Particulars, err = s.particularsOf(v.Row.Proposed); err != nil {
		return nil, err
	}
	if v.Doc.Kind == format.ActKindPolicy {
		if out.ReplacedPolicy, err = s.replacedPolicy(v.Doc); err != nil {
			return nil, err
		}
	}
	if err = s.showObstacle(out, v); err != nil {
		return nil, err
	}
	if v.Object.Institution != 0 {
		inst, err := s.node.Store().Institution(v.Object.Institution)
		if err != nil {
			return nil, err
		}
		out.Institution = inst.Code
	}
	out.MaySign, err = s.node.Store().MaySign(v, c.ID)
	return out, err
}

// showObstacle says whether the state lets an act be executed that is not ended.
func (s *Server) showObstacle(out *sagov1.Act, v *store.ActView) error {
	switch v.State {
	case retention.ActExecuted, retention.ActVetoed, retention.ActLapsed:
		return nil
	}
	blocked, why, err := s.node.Store().Blocked(v.Doc.Nonce)
	if err != nil {
		return err
	}
	out.Executable = proto.Bool(blocked == format.ReasonOK)
	if blocked != format.ReasonOK {
		out.NotExecutable = blocked.String() + ": " + why
	}
	if v.Doc.Kind == format.ActKindSpecialDelete {
		out.BlockedBy = blockedBy(blocked)
	}
	return nil
}

// replacedPolicy is the policy that an act replaces, so that who signs sees what
// changes; nil when no version has the digest in the document.
func (s *Server) replacedPolicy(doc format.Act) ([]byte, error) {
	p, err := format.DecodePolicyParams(doc.Params)
	if err != nil {
		return nil, err
	}
	versions, err := s.node.Store().PolicyVersions()
	for _, v := range versions {
		if store.PolicyDigest(v.Policy) == p.Replaces {
			return format.EncodePolicy(v.Policy), err
		}
	}
	return nil, err
}

// said opens the detail of a record; nil where its key or the record is erased.
func (s *Server) said(sequence uint64) (*format.Detail, error) {
	rec, _, err := s.node.Store().Record(sequence)
	if errors.Is(err, store.ErrPruned) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d, err := s.node.Store().OpenDetail(&rec)
	if errors.Is(err, store.ErrKeyErased) {
		return nil, nil
	}
	return &d, err
}

// particularsOf opens what a proposal says of people and reasons; none where its
// key or record is erased.
func (s *Server) particularsOf(proposed uint64) (*sagov1.ActParticulars, error) {
	d, err := s.said(proposed)
	if err != nil || d == nil {
		return nil, err
	}
	salt, err := hex.DecodeString(d.Salt)
	return &sagov1.ActParticulars{Salt: salt, Requester: d.Requester, Basis: d.Basis, Reason: d.Reason}, err
}

// actID reads an act's id.
func actID(text string) (id format.ID, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return id, invalid(format.ReasonInvalid, "an act's id has 32 hexadecimal digits")
	}
	copy(id[:], raw)
	return id, nil
}

// actText is an act's id as text; "" for none.
func actText(id format.ID) string {
	if id == (format.ID{}) {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// actToken reads a page token of a list of acts: the id to go on from, zero for none.
func actToken(token string) (format.ID, error) {
	if token == "" {
		return format.ID{}, nil
	}
	return actID(token)
}

// List implements sagov1.ActServiceServer.
func (s *actServer) List(ctx context.Context, req *sagov1.ActServiceListRequest) (*sagov1.ActServiceListResponse, error) {
	c := callerOf(ctx)
	if req.GetKind() != "" && !format.ActKindNamed(req.GetKind()) {
		return nil, invalid(format.ReasonInvalid, "no kind of act has that name")
	}
	from, err := actToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	asked := query("acts", req.GetKind(), "open", req.GetOpen(), "limit", req.GetLimit(), "from", req.GetPageToken())
	if _, err := s.recordQuery(ctx, format.ListActs, asked); err != nil {
		return nil, err
	}
	views, next, err := s.node.Store().Acts(c.Institution, req.GetOpen(), from, pageSize(req.GetLimit()))
	if err != nil {
		return nil, err
	}
	answer := &sagov1.ActServiceListResponse{NextPageToken: actText(next)}
	for i := range views {
		if req.GetKind() != "" && views[i].Doc.Kind.String() != req.GetKind() {
			continue
		}
		a, err := s.actOf(c, &views[i])
		if err != nil {
			return nil, err
		}
		answer.Acts = append(answer.Acts, a)
	}
	return answer, nil
}

// Show implements sagov1.ActServiceServer.
func (s *actServer) Show(ctx context.Context, req *sagov1.ActServiceShowRequest) (*sagov1.ActServiceShowResponse, error) {
	id, err := actID(req.GetId())
	if err != nil {
		return nil, err
	}
	if _, err := s.recordQuery(ctx, format.ListActs, query("act", req.GetId())); err != nil {
		return nil, err
	}
	a, err := s.actNow(callerOf(ctx), id)
	return &sagov1.ActServiceShowResponse{Act: a}, err
}

// Sign implements sagov1.ActServiceServer. Who may sign what, Apply decides.
func (s *actServer) Sign(ctx context.Context, req *sagov1.ActServiceSignRequest) (*sagov1.ActServiceSignResponse, error) {
	a, err := s.bring(ctx, store.KindSign, req.GetId(), req.GetSignature(), "")
	return &sagov1.ActServiceSignResponse{Act: a}, err
}

// Veto implements sagov1.ActServiceServer.
func (s *actServer) Veto(ctx context.Context, req *sagov1.ActServiceVetoRequest) (*sagov1.ActServiceVetoResponse, error) {
	a, err := s.bring(ctx, store.KindVeto, req.GetId(), req.GetSignature(), req.GetReason())
	return &sagov1.ActServiceVetoResponse{Act: a}, err
}

// bring proposes one person's signature or veto.
func (s *actServer) bring(ctx context.Context, kind store.Kind, text string, signature []byte, reason string) (*sagov1.Act, error) {
	c := callerOf(ctx)
	id, err := actID(text)
	if err != nil {
		return nil, err
	}
	if len(signature) > maxField || !printable(reason, maxPurpose) {
		return nil, invalid(format.ReasonInvalid, "not a signature, or a reason that is too long")
	}
	v, err := s.node.Store().Act(c.Institution, id)
	if err != nil {
		return nil, err
	}
	op := store.Op{Kind: kind, Body: format.EncodeEffect(format.SignEffect{Act: id, Person: c.ID, Signature: signature})}
	if v != nil {
		op.Transaction, op.Part = v.Object.Transaction, v.Object.Part
	}
	d := c.detail()
	d.Reason = reason
	if _, err := s.propose(ctx, op, format.DetailOther, d); err != nil {
		return nil, err
	}
	return s.actNow(c, id)
}
