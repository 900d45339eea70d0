package service

import (
	"context"
	"errors"
	"strconv"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// historyServer answers HistoryService (이력).
type historyServer struct {
	sagov1.UnimplementedHistoryServiceServer
	*Server
}

// List implements sagov1.HistoryServiceServer: the caller's institution's
// records up to and with the LIST record of the query itself.
func (s *historyServer) List(ctx context.Context, req *sagov1.HistoryServiceListRequest) (*sagov1.HistoryServiceListResponse, error) {
	c := callerOf(ctx)
	since, err := micros(req.GetSince())
	if err != nil {
		return nil, err
	}
	until, err := micros(req.GetUntil())
	if err != nil {
		return nil, err
	}
	if t := req.GetTransaction(); t != "" {
		if err := checkTransaction(t); err != nil {
			return nil, err
		}
	}
	if _, known := format.ActionNamed(req.GetAction()); req.GetAction() != "" && !known {
		return nil, invalid(format.ReasonInvalid, "no action has that name")
	}
	asked := query("transaction", req.GetTransaction(), "action", req.GetAction(), "since", since, "until", until, "from", req.GetFrom(),
		"limit", req.GetLimit(), "all", req.GetAll())
	result, err := s.recordQuery(ctx, format.ListHistory, asked)
	if err != nil {
		return nil, err
	}
	all := req.GetAll() || req.GetAction() == format.ActClock.String() || req.GetAction() == format.ActCheckpoint.String()
	want := func(rec *format.Record) bool {
		return (all || !isPublic(rec.Action)) && (req.GetAction() == "" || rec.Action.String() == req.GetAction()) &&
			(since == 0 || rec.Clock >= since) && (until == 0 || rec.Clock < until)
	}
	q := scan{institution: c.Institution, transaction: req.GetTransaction(), from: req.GetFrom(), to: result.Sequence + 1, appliance: all && req.GetTransaction() == ""}
	answer := &sagov1.HistoryServiceListResponse{}
	answer.Next, err = s.scan(ctx, q, pageSize(req.GetLimit()), want, func(rec *format.Record, encoded []byte) error {
		row, err := s.historyRecord(rec, encoded)
		answer.Records = append(answer.Records, row)
		return err
	})
	return answer, err
}

// Show implements sagov1.HistoryServiceServer. Another institution's record and
// one that does not exist answer alike.
func (s *historyServer) Show(ctx context.Context, req *sagov1.HistoryServiceShowRequest) (*sagov1.HistoryServiceShowResponse, error) {
	result, err := s.recordQuery(ctx, format.ListHistory, query("sequence", "#"+number(req.GetSequence())))
	if err != nil {
		return nil, err
	}
	rec, encoded, err := s.visible(ctx, req.GetSequence(), result.Sequence)
	if err != nil {
		return nil, err
	}
	row, err := s.historyRecord(&rec, encoded)
	return &sagov1.HistoryServiceShowResponse{Record: row, Encoded: encoded}, err
}

// visible reads a record that the caller may see: one of its institution's, or a
// public one of the appliance's, up to the record of the query itself.
func (s *historyServer) visible(ctx context.Context, sequence, query uint64) (format.Record, []byte, error) {
	nothing := refusal(format.ReasonNotFound, "")
	if sequence > query {
		return format.Record{}, nil, nothing
	}
	rec, encoded, err := s.node.Store().Record(sequence)
	if err != nil {
		return rec, nil, err
	}
	if rec.Institution != callerOf(ctx).Institution && !(rec.Institution == 0 && isPublic(rec.Action)) {
		return format.Record{}, nil, nothing
	}
	return rec, encoded, nil
}

// envelope is what a record says without who and why.
func (s *Server) envelope(rec *format.Record, encoded []byte) (*sagov1.HistoryRecord, error) {
	inst, err := s.node.Store().Institution(rec.Institution)
	if err != nil {
		return nil, err
	}
	leaf := format.LeafHash(encoded)
	return &sagov1.HistoryRecord{
		Sequence: rec.Sequence, Time: instant(rec.Clock), Action: rec.Action.String(), Institution: inst.Code,
		InstitutionSequence: rec.InstitutionSequence, Transaction: rec.Transaction, Part: rec.Part,
		Result: rec.Result.String(), Detail: map[string]string{}, LeafHash: leaf[:],
	}, nil
}

// historyRecord is a record, readable as far as its key lives.
func (s *Server) historyRecord(rec *format.Record, encoded []byte) (*sagov1.HistoryRecord, error) {
	row, err := s.envelope(rec, encoded)
	if err != nil {
		return nil, err
	}
	row.Actor = s.actorName(rec.Actor)
	effectDetail(rec, row.Detail)
	d, err := s.node.Store().OpenDetail(rec)
	switch {
	case errors.Is(err, store.ErrKeyErased):
		row.Detail["sealed"] = "key erased"
		return row, nil
	case errors.Is(err, store.ErrKeyMissing):
		return nil, err // another node has the key
	case err != nil:
		// One detail that does not open hides no other record.
		s.log.Error("a sealed detail does not open", "sequence", rec.Sequence, "error", err.Error())
		row.Detail["sealed"] = "does not open"
		return row, nil
	}
	row.Purpose = d.Purpose
	for name, value := range map[string]string{
		"user_name": d.UserName, "department": d.Department, "contact": d.Contact, "basis": d.Basis, "reason": d.Reason,
		"subject": d.Subject, "issuer": d.Issuer, "origin": d.Origin, "query": d.Query, "name": d.Name,
	} {
		if value != "" {
			row.Detail[name] = value
		}
	}
	return row, nil
}

// effectDetail adds what the envelope's own effect says to people. A record of a
// kind that has nothing to add, or whose effect does not decode, adds nothing:
// its exact bytes are in the answer of Show.
func effectDetail(rec *format.Record, to map[string]string) {
	switch rec.Action {
	case format.ActStore:
		if e, err := format.DecodeStoreEffect(rec.Effect); err == nil {
			to["bundle_id"], to["retention_rule"] = e.Definition, e.Rule
			to["basis_kind"], to["size"] = retention.BasisKind(e.BasisKind).String(), number(e.Size)
		}
	case format.ActDeny:
		if e, err := format.DecodeDenyEffect(rec.Effect); err == nil {
			to["attempted"], to["count"] = e.Verb.String(), strconv.FormatUint(uint64(e.Count), 10)
		}
	case format.ActUse:
		if e, err := format.DecodeUseEffect(rec.Effect); err == nil {
			to["bundle_id"] = e.Definition
		}
	}
}
