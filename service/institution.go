package service

import (
	"context"
	"encoding/hex"
	"fmt"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// institutionServer answers InstitutionService (이용기관).
type institutionServer struct {
	sagov1.UnimplementedInstitutionServiceServer
	*Server
}

// institutionNamed finds an institution that the caller may name: their own, or
// any for those who act for the appliance. Another's code and an unknown one
// answer alike. An empty code is the caller's own.
func (s *Server) institutionNamed(c *caller, code string) (format.InstitutionRow, error) {
	own, err := s.node.Store().Institution(c.Institution)
	if err != nil || code == "" || code == own.Code {
		return own, err
	}
	operator, err := s.node.Store().Operator()
	if err != nil {
		return own, err
	}
	all, err := s.node.Store().Institutions()
	if err != nil {
		return own, err
	}
	for _, i := range all {
		if i.Code == code && c.Institution == operator {
			return i, nil
		}
	}
	return own, refusal(format.ReasonNotFound, "no institution has this code")
}

// Suspend implements sagov1.InstitutionServiceServer.
func (s *institutionServer) Suspend(ctx context.Context, req *sagov1.SuspendRequest) (*sagov1.SuspendResponse, error) {
	until, err := micros(req.GetUntil())
	if err != nil {
		return nil, err
	}
	if req.GetUntil() == nil { // as long as may be
		latest, err := retention.SuspensionLimit(retention.Instant(s.node.Store().Summary().Clock.Now))
		if err != nil {
			return nil, err
		}
		until = int64(latest)
	}
	i, at, err := s.changeInstitution(ctx, format.InstitutionSuspend, req.GetInstitution(), until, req.GetReason())
	return &sagov1.SuspendResponse{Institution: i, HistorySequence: at}, err
}

// Resume implements sagov1.InstitutionServiceServer.
func (s *institutionServer) Resume(ctx context.Context, req *sagov1.ResumeRequest) (*sagov1.ResumeResponse, error) {
	i, at, err := s.changeInstitution(ctx, format.InstitutionResume, req.GetInstitution(), 0, req.GetReason())
	return &sagov1.ResumeResponse{Institution: i, HistorySequence: at}, err
}

// changeInstitution proposes a suspension, its end, or the end of special deletion.
func (s *Server) changeInstitution(ctx context.Context, verb format.InstitutionVerb, code string, until int64, reason string) (*sagov1.Institution, uint64, error) {
	c := callerOf(ctx)
	row, err := s.institutionNamed(c, code)
	if err != nil {
		return nil, 0, s.deniedWithout(ctx, c, sagov1.InstitutionService_Suspend_FullMethodName, nil, err)
	}
	if !printable(reason, maxPurpose) {
		return nil, 0, invalid(format.ReasonInvalid, "a reason has at most %d bytes", maxPurpose)
	}
	d := c.detail()
	d.Reason = reason
	op := store.Op{Kind: store.KindInstitution, Body: format.EncodeEffect(format.InstitutionEffect{Verb: verb, Number: row.Number, Until: until})}
	result, err := s.propose(ctx, op, format.DetailOther, d)
	if err != nil {
		return nil, 0, err
	}
	i, err := s.institution(c, row)
	return i, result.Sequence, err
}

// Close implements sagov1.InstitutionServiceServer. What was handed over is what
// an EXPORT record of the institution says; Apply judges whether it is all.
func (s *institutionServer) Close(ctx context.Context, req *sagov1.CloseRequest) (*sagov1.CloseResponse, error) {
	c := callerOf(ctx)
	own, err := s.node.Store().Institution(c.Institution)
	if err != nil {
		return nil, err
	}
	if req.GetInstitution() != "" && req.GetInstitution() != own.Code {
		return nil, s.deniedWithout(ctx, c, sagov1.InstitutionService_Close_FullMethodName, nil, refusal(format.ReasonNotFound, "an institution is closed by its own persons"))
	}
	p := format.CloseParams{}
	if p.Date, err = micros(req.GetDate()); err != nil {
		return nil, err
	}
	if len(req.GetReceipt()) != 0 && len(req.GetReceipt()) != len(p.Receipt) {
		return nil, invalid(format.ReasonInvalid, "a receipt's digest has 32 bytes")
	}
	copy(p.Receipt[:], req.GetReceipt())
	if err := s.handedOver(&p, own.Number, req.GetExportSequence()); err != nil {
		return nil, err
	}
	act, err := s.proposeAct(ctx, newAct{
		kind: format.ActKindClose, object: format.ActObject{Institution: own.Number},
		particulars: format.Particulars{Requester: req.GetRequester(), Basis: req.GetBasis(), Reason: req.GetReason()},
		params:      func(d format.Digest) []byte { p.Particulars = d; return p.Encode() },
	})
	return &sagov1.CloseResponse{Act: act}, err
}

// handedOver fills in what an EXPORT record says, and the newest checkpoint.
func (s *institutionServer) handedOver(p *format.CloseParams, institution uint32, sequence uint64) error {
	st := s.node.Store()
	var e format.ExportEffect
	if sequence == 0 {
		newest, found, err := st.NewestExport(institution)
		if err != nil {
			return err
		}
		if !found {
			return refusal(format.ReasonState, "the use records were not exported: history export --institution comes first")
		}
		e = newest
	} else {
		rec, _, err := st.Record(sequence)
		if err != nil || rec.Action != format.ActExport || rec.Institution != institution {
			return refusal(format.ReasonNotFound, "no such export of this institution")
		}
		if e, err = format.DecodeExportEffect(rec.Effect); err != nil {
			return err
		}
	}
	c := st.Summary().Checkpoint.Checkpoint
	p.First, p.End, p.Size, p.Root = e.First, e.End, c.Size, c.Root
	return nil
}

// List implements sagov1.InstitutionServiceServer.
func (s *institutionServer) List(ctx context.Context, _ *sagov1.InstitutionServiceListRequest) (*sagov1.InstitutionServiceListResponse, error) {
	c := callerOf(ctx)
	if _, err := s.recordQuery(ctx, format.ListInstitutions, "institutions"); err != nil {
		return nil, err
	}
	operator, err := s.node.Store().Operator()
	if err != nil {
		return nil, err
	}
	all, err := s.node.Store().Institutions()
	if err != nil {
		return nil, err
	}
	answer := &sagov1.InstitutionServiceListResponse{}
	for _, row := range all {
		if row.Number == 0 || row.Number != c.Institution && c.Institution != operator {
			continue
		}
		i, err := s.institution(c, row)
		if err != nil {
			return nil, err
		}
		answer.Institutions = append(answer.Institutions, i)
	}
	return answer, nil
}

// maxKeptShown bounds the names of bundles that a closing keeps in one answer.
const maxKeptShown = 1000

// institution is an institution as the caller may see it.
func (s *Server) institution(c *caller, row format.InstitutionRow) (*sagov1.Institution, error) {
	t, err := s.node.Store().Tenant(row.Number)
	if err != nil {
		return nil, err
	}
	out := &sagov1.Institution{
		Code: row.Code, Number: row.Number, State: t.State.String(), Since: instant(t.Since), SuspendedUntil: instant(t.Until),
		Overdue: store.TenantOverdue(t, s.node.Store().Summary().Clock.Now), Quota: t.Quota, Used: t.Used, SpecialDeleteDisabled: t.NoSpecial,
	}
	if t.Close == 0 {
		return out, nil
	}
	out.Closing = &sagov1.Closing{Act: hex.EncodeToString(t.Act[:]), Due: instant(t.Date), Latest: instant(t.Date + store.CloseLatest), Swept: t.Swept, HistorySequence: t.Close - 1}
	if c.Institution != row.Number {
		return out, nil
	}
	kept, err := s.node.Store().KeptByClosing(row.Number, maxKeptShown)
	if err != nil {
		return nil, err
	}
	for _, k := range kept {
		out.Closing.Kept = append(out.Closing.Kept, fmt.Sprintf("%s/%d", k.Transaction, k.Part))
	}
	v, err := s.node.Store().Act(row.Number, t.Act)
	if err != nil || v == nil {
		return out, err
	}
	p, err := format.DecodeCloseParams(v.Doc.Params)
	out.Closing.Receipt = p.Receipt[:]
	return out, err
}
