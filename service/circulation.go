package service

import (
	"context"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// circulationServer answers CirculationService (유통정지).
type circulationServer struct {
	sagov1.UnimplementedCirculationServiceServer
	*Server
}

// maxOrder bounds an order's number, bytes, as Apply does.
const maxOrder = 128

// order is an order of circulation stop as a call brings it.
type order struct {
	number   string
	document format.Digest
	format.Particulars
}

// orderOf reads an order. digest may be empty.
func orderOf(number string, digest []byte, requester, basis, reason string) (o order, err error) {
	o = order{number: number, Particulars: format.Particulars{Requester: requester, Basis: basis, Reason: reason}}
	switch {
	case number == "" || !printable(number, maxOrder):
		return o, invalid(format.ReasonInvalid, "an order has a number of 1 to %d bytes without control characters", maxOrder)
	case len(digest) != 0 && len(digest) != len(o.document):
		return o, invalid(format.ReasonInvalid, "the digest of an order's document has 32 bytes")
	}
	copy(o.document[:], digest)
	return o, checkParticulars(o.Particulars)
}

// register proposes the stop. act is the request that brings it; zero for none.
func (s *Server) register(ctx context.Context, key format.BundleKey, o order, act format.ID) error {
	d := callerOf(ctx).detail()
	d.Requester, d.Basis, d.Reason = o.Requester, o.Basis, o.Reason
	op := store.Op{Kind: store.KindStop, Transaction: key.Transaction, Part: key.Part,
		Body: format.EncodeEffect(format.StopEffect{Order: o.number, Document: o.document, Act: act})}
	_, err := s.propose(ctx, op, format.DetailOther, d)
	return err
}

// standing is the order that stands on a bundle; none is a refusal.
func (s *Server) standing(key format.BundleKey) (*format.StopRow, error) {
	stop, err := s.node.Store().Stop(key)
	if err == nil && stop == nil {
		err = refusal(format.ReasonState, "no order stands on it")
	}
	return stop, err
}

// Stop implements sagov1.CirculationServiceServer.
func (s *circulationServer) Stop(ctx context.Context, req *sagov1.CirculationServiceStopRequest) (*sagov1.CirculationServiceStopResponse, error) {
	key, err := bundleKey(callerOf(ctx), req.GetTransaction(), req.GetPart())
	if err != nil {
		return nil, err
	}
	o, err := orderOf(req.GetOrder(), req.GetDocumentDigest(), req.GetRequester(), req.GetBasis(), req.GetReason())
	if err != nil {
		return nil, err
	}
	if err := s.register(ctx, key, o, format.ID{}); err != nil {
		return nil, err
	}
	stop, err := s.standing(key)
	if err != nil {
		return nil, err
	}
	return &sagov1.CirculationServiceStopResponse{Stop: stopOf(key, stop)}, nil
}

func stopOf(key format.BundleKey, row *format.StopRow) *sagov1.CirculationStop {
	out := &sagov1.CirculationStop{Transaction: key.Transaction, Part: key.Part, Order: row.Order, At: instant(row.At), HistorySequence: row.Sequence, RequestId: actText(row.Act)}
	if row.Document != (format.Digest{}) {
		out.DocumentDigest = row.Document[:]
	}
	return out
}

// Lift implements sagov1.CirculationServiceServer.
func (s *circulationServer) Lift(ctx context.Context, req *sagov1.CirculationServiceLiftRequest) (*sagov1.CirculationServiceLiftResponse, error) {
	c := callerOf(ctx)
	key, err := bundleKey(c, req.GetTransaction(), req.GetPart())
	if err != nil {
		return nil, err
	}
	o, err := orderOf(req.GetOrder(), nil, req.GetRequester(), req.GetBasis(), req.GetReason())
	if err != nil {
		return nil, err
	}
	if err := s.current(ctx); err != nil {
		return nil, err
	}
	stop, err := s.standing(key)
	if err != nil {
		return nil, err
	}
	act, err := s.proposeAct(ctx, newAct{
		kind: format.ActKindLiftStop, object: format.ActObject(key), particulars: o.Particulars,
		params: func(d format.Digest) []byte {
			return format.LiftParams{Particulars: d, Stop: stop.Sequence, Order: o.number}.Encode()
		},
	})
	return &sagov1.CirculationServiceLiftResponse{Act: act}, err
}

// List implements sagov1.CirculationServiceServer.
func (s *circulationServer) List(ctx context.Context, req *sagov1.CirculationServiceListRequest) (*sagov1.CirculationServiceListResponse, error) {
	c := callerOf(ctx)
	cursor, err := openCursor(c, format.Digest{}, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if _, err := s.recordQuery(ctx, format.ListStops, query("stops", "all", "limit", req.GetLimit())); err != nil {
		return nil, err
	}
	stops, next, err := s.node.Store().Stops(c.Institution, cursor, pageSize(req.GetLimit()))
	if err != nil {
		return nil, err
	}
	answer := &sagov1.CirculationServiceListResponse{NextPageToken: sealCursor(c, format.Digest{}, next)}
	for i := range stops {
		answer.Stops = append(answer.Stops, stopOf(stops[i].Key, &stops[i].Row))
	}
	return answer, nil
}
