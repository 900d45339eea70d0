package service

import (
	"context"
	"errors"
	"strconv"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// usageServer answers UsageService (이용 내역).
type usageServer struct {
	sagov1.UnimplementedUsageServiceServer
	*Server
}

// Record implements sagov1.UsageServiceServer. Of the six items the bundle's name
// and the time come from the record itself.
func (s *usageServer) Record(ctx context.Context, req *sagov1.RecordRequest) (*sagov1.RecordResponse, error) {
	c := callerOf(ctx)
	key, err := bundleKey(c, req.GetTransaction(), req.GetPart())
	if err != nil {
		return nil, err
	}
	detail, err := actingPerson(c, req.GetWho())
	if err != nil {
		return nil, s.deniedWithout(ctx, c, sagov1.UsageService_Record_FullMethodName, req, err)
	}
	class := format.DetailUse
	tenant, err := s.node.Store().Tenant(c.Institution)
	if err != nil {
		return nil, err
	}
	if tenant.State == format.TenantClosing || tenant.State == format.TenantClosed {
		class = format.DetailOther // its use-record keys may be gone: what Apply refuses is a denial
	}
	result, err := s.about(ctx, store.Op{Kind: store.KindUse}, key, format.ActUse, class, detail)
	if err != nil {
		return nil, err
	}
	return &sagov1.RecordResponse{HistorySequence: result.Sequence, LeafHash: result.Leaf[:], RecordedAt: instant(result.Clock)}, nil
}

// List implements sagov1.UsageServiceServer: the uses of one transaction or of
// one subject, oldest first.
func (s *usageServer) List(ctx context.Context, req *sagov1.UsageServiceListRequest) (*sagov1.UsageServiceListResponse, error) {
	c := callerOf(ctx)
	if (req.GetTransaction() == "") == (req.GetSubjectCi() == "") {
		return nil, invalid(format.ReasonInvalid, "uses are listed by a transaction number or by a subject's CI")
	}
	if req.GetTransaction() != "" {
		if err := checkTransaction(req.GetTransaction()); err != nil {
			return nil, err
		}
	}
	subject, err := s.subject(c, req.GetSubjectCi())
	if err != nil {
		return nil, err
	}
	from, err := sequenceToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	asked := query("transaction", req.GetTransaction(), "subject", subjectText(subject), "limit", req.GetLimit(), "from", from)
	if _, err := s.recordQuery(ctx, format.ListUses, asked); err != nil {
		return nil, err
	}
	answer, limit := &sagov1.UsageServiceListResponse{}, pageSize(req.GetLimit())
	want := func(rec *format.Record) bool { return rec.Action == format.ActUse }
	scan := scan{institution: c.Institution, transaction: req.GetTransaction(), subject: subject, from: from, to: s.node.Store().Summary().Size}
	next, err := s.scan(ctx, scan, limit, want, func(rec *format.Record, _ []byte) error {
		use, err := s.use(rec)
		answer.Uses = append(answer.Uses, use)
		return err
	})
	if next != 0 {
		answer.NextPageToken = strconv.FormatUint(next, 36)
	}
	return answer, err
}

func sequenceToken(token string) (uint64, error) {
	if token == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(token, 36, 64)
	if err != nil {
		return 0, invalid(format.ReasonInvalid, "not a page token of this list")
	}
	return n, nil
}

// use is a USE record, opened. Where the key of the use records is erased its
// items stay unsaid.
func (s *Server) use(rec *format.Record) (*sagov1.Use, error) {
	e, err := format.DecodeUseEffect(rec.Effect)
	if err != nil {
		return nil, err
	}
	u := &sagov1.Use{
		HistorySequence: rec.Sequence, Transaction: rec.Transaction, BundleId: e.Definition, UsedAt: instant(rec.Clock), Actor: s.actorName(rec.Actor),
	}
	d, err := s.node.Store().OpenDetail(rec)
	if errors.Is(err, store.ErrKeyErased) {
		return u, nil
	}
	if err != nil {
		return nil, err
	}
	u.Who = &sagov1.Who{Purpose: d.Purpose, UserName: d.UserName, UserDepartment: d.Department, UserContact: d.Contact}
	return u, nil
}
