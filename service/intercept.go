package service

import (
	"context"
	"crypto/x509"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/sago-worm/sago/access"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// method is what a call asks for: the verb that access decides on, and the
// action that a DENY record of it names.
type method struct {
	verb   access.Verb
	action format.Action
	// within bounds the call.
	within time.Duration
	// unrecorded calls are answered by a node that is cut off, so a record of
	// their denial is tried and not waited on for the answer.
	unrecorded bool
}

// methodOf knows every call of the API. One that is not here is denied.
func methodOf(full string) (method, bool) {
	switch full {
	case sagov1.BundleService_Put_FullMethodName:
		return method{access.VerbPut, format.ActStore, callWithin, false}, true
	case sagov1.BundleService_PutStream_FullMethodName:
		return method{access.VerbPut, format.ActStore, streamWithin, false}, true
	case sagov1.BundleService_Get_FullMethodName:
		return method{access.VerbGet, format.ActRead, streamWithin, false}, true
	case sagov1.BundleService_Show_FullMethodName:
		return method{access.VerbShow, format.ActShow, callWithin, false}, true
	case sagov1.BundleService_List_FullMethodName:
		return method{access.VerbList, format.ActList, callWithin, false}, true
	case sagov1.BundleService_Verify_FullMethodName:
		return method{access.VerbVerify, format.ActVerify, streamWithin, false}, true
	case sagov1.UsageService_Record_FullMethodName:
		return method{access.VerbUse, format.ActUse, callWithin, false}, true
	case sagov1.UsageService_List_FullMethodName:
		return method{access.VerbUsageList, format.ActList, callWithin, false}, true
	case sagov1.HistoryService_List_FullMethodName:
		return method{access.VerbHistoryList, format.ActList, callWithin, false}, true
	case sagov1.HistoryService_Show_FullMethodName:
		return method{access.VerbHistoryShow, format.ActShow, callWithin, false}, true
	case sagov1.HistoryService_Verify_FullMethodName:
		return method{access.VerbHistoryVerify, format.ActVerify, streamWithin, false}, true
	case sagov1.HistoryService_Checkpoint_FullMethodName:
		return method{access.VerbReceipt, format.ActCheckpoint, callWithin, false}, true
	case sagov1.HistoryService_Prove_FullMethodName:
		return method{access.VerbHistoryShow, format.ActShow, callWithin, false}, true
	case sagov1.HistoryService_Receipt_FullMethodName:
		return method{access.VerbReceipt, format.ActShow, callWithin, false}, true
	case sagov1.HistoryService_Consistency_FullMethodName:
		return method{access.VerbReceipt, format.ActCheckpoint, callWithin, false}, true
	case sagov1.HistoryService_Export_FullMethodName:
		return method{access.VerbHistoryExport, format.ActExport, exportWithin, false}, true
	case sagov1.BundleService_Extend_FullMethodName:
		return method{access.VerbExtend, format.ActExtend, callWithin, false}, true
	case sagov1.BundleService_Event_FullMethodName:
		return method{access.VerbBundleEvent, format.ActEvent, callWithin, false}, true
	case sagov1.BundleService_Preview_FullMethodName:
		return method{access.VerbPut, format.ActStore, callWithin, true}, true
	case sagov1.HoldService_Place_FullMethodName:
		return method{access.VerbHoldPlace, format.ActHoldPlace, callWithin, false}, true
	case sagov1.HoldService_Release_FullMethodName:
		return method{access.VerbHoldRelease, format.ActPropose, callWithin, false}, true
	case sagov1.HoldService_List_FullMethodName:
		return method{access.VerbHoldList, format.ActList, callWithin, false}, true
	case sagov1.ActService_List_FullMethodName, sagov1.ActService_Show_FullMethodName:
		return method{access.VerbActShow, format.ActList, callWithin, false}, true
	// Which verb a signature or veto asks for depends on the act: Apply decides.
	case sagov1.ActService_Sign_FullMethodName:
		return method{access.VerbActShow, format.ActSign, callWithin, false}, true
	case sagov1.ActService_Veto_FullMethodName:
		return method{access.VerbActShow, format.ActVeto, callWithin, false}, true
	case sagov1.InstitutionService_Register_FullMethodName, sagov1.InstitutionService_Suspend_FullMethodName,
		sagov1.InstitutionService_Resume_FullMethodName, sagov1.InstitutionService_Close_FullMethodName:
		return method{access.VerbInstitution, format.ActInstitution, callWithin, false}, true
	case sagov1.InstitutionService_List_FullMethodName:
		return method{access.VerbInstitutionList, format.ActList, callWithin, false}, true
	case sagov1.InstitutionService_Subjects_FullMethodName:
		return method{access.VerbInstitutionSubjects, format.ActList, streamWithin, false}, true
	case sagov1.CirculationService_Stop_FullMethodName:
		return method{access.VerbCirculation, format.ActCirculationStop, callWithin, false}, true
	case sagov1.CirculationService_Lift_FullMethodName:
		return method{access.VerbCirculation, format.ActPropose, callWithin, false}, true
	case sagov1.CirculationService_List_FullMethodName:
		return method{access.VerbCirculationList, format.ActList, callWithin, false}, true
	case sagov1.PolicyService_Show_FullMethodName, sagov1.PolicyService_History_FullMethodName:
		return method{access.VerbPolicyShow, format.ActList, callWithin, false}, true
	case sagov1.PolicyService_Propose_FullMethodName:
		return method{access.VerbPolicyPropose, format.ActPropose, callWithin, false}, true
	case sagov1.MemberService_Add_FullMethodName, sagov1.MemberService_Remove_FullMethodName, sagov1.MemberService_Medium_FullMethodName:
		return method{access.VerbClusterChange, format.ActPropose, callWithin, false}, true
	case sagov1.KeyArchiveService_Open_FullMethodName, sagov1.KeyArchiveService_Destroyed_FullMethodName:
		return method{access.VerbKeyArchive, format.ActPropose, callWithin, false}, true
	case sagov1.KeyArchiveService_List_FullMethodName:
		return method{access.VerbKeyArchiveList, format.ActList, callWithin, false}, true
	case sagov1.MemberService_Resync_FullMethodName:
		return method{access.VerbClockResync, format.ActPropose, callWithin, false}, true
	case sagov1.MemberService_ConfirmRestore_FullMethodName:
		return method{access.VerbRestore, format.ActPropose, callWithin, false}, true
	case sagov1.ClockService_Status_FullMethodName:
		return method{access.VerbClockStatus, format.ActClock, callWithin, true}, true
	case sagov1.ClusterService_Status_FullMethodName:
		return method{access.VerbClusterStatus, format.ActState, callWithin, true}, true
	case sagov1.ClusterService_Verify_FullMethodName:
		return method{access.VerbClusterVerify, format.ActVerify, streamWithin, true}, true
	case sagov1.ClusterService_Backup_FullMethodName:
		return method{access.VerbBackup, format.ActBackup, exportWithin, false}, true
	case sagov1.ClusterService_BackupDone_FullMethodName:
		return method{access.VerbBackup, format.ActBackup, callWithin, false}, true
	}
	return specialMethod(full)
}

// specialMethod knows the calls of SpecialDeleteService.
func specialMethod(full string) (method, bool) {
	switch full {
	case sagov1.SpecialDeleteService_Request_FullMethodName:
		return method{access.VerbSpecialRequest, format.ActSpecialRequest, callWithin, false}, true
	case sagov1.SpecialDeleteService_Opening_FullMethodName:
		return method{access.VerbSpecialApprove, format.ActSpecialApprove, callWithin, false}, true
	case sagov1.SpecialDeleteService_Show_FullMethodName, sagov1.SpecialDeleteService_List_FullMethodName,
		sagov1.SpecialDeleteService_Ledger_FullMethodName:
		return method{access.VerbSpecialShow, format.ActList, callWithin, false}, true
	case sagov1.SpecialDeleteService_Disable_FullMethodName:
		return method{access.VerbSpecialDisable, format.ActInstitution, callWithin, false}, true
	case sagov1.SpecialDeleteService_Certificate_FullMethodName:
		return method{access.VerbCertificate, format.ActList, callWithin, false}, true
	}
	return method{}, false
}

// isPlain reports whether a call is gRPC's own (health, reflection): for
// everybody with a certificate of the cluster, and without a record.
func isPlain(full string) bool { return strings.HasPrefix(full, "/grpc.") }

// unary is the one way into every unary call.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	defer s.rescue(info.FullMethod, &err)
	ctx, cancel, err := s.admit(ctx, info.FullMethod, req)
	if err != nil {
		return nil, s.answer(ctx, info.FullMethod, err)
	}
	defer cancel()
	answer, err = handler(ctx, req)
	if err != nil {
		return nil, s.answer(ctx, info.FullMethod, err)
	}
	return answer, nil
}

// stream is the one way into every streamed call.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer s.rescue(info.FullMethod, &err)
	var asked *sagov1.GetRequest
	if info.FullMethod == sagov1.BundleService_Get_FullMethodName {
		// A refused read is recorded with the number that was asked for.
		asked = new(sagov1.GetRequest)
		if err := ss.RecvMsg(asked); err != nil {
			return err
		}
	}
	ctx, cancel, err := s.admit(ss.Context(), info.FullMethod, asked)
	if err != nil {
		return s.answer(ctx, info.FullMethod, err)
	}
	defer cancel()
	if err := handler(srv, &admitted{ss, ctx, asked}); err != nil {
		return s.answer(ctx, info.FullMethod, err)
	}
	return nil
}

// admitted is a stream whose context knows the caller. asked is its request, if
// that was read for the decision already.
type admitted struct {
	grpc.ServerStream
	ctx   context.Context
	asked *sagov1.GetRequest
}

// RecvMsg implements grpc.ServerStream.
func (a *admitted) RecvMsg(m any) error {
	if to, ok := m.(*sagov1.GetRequest); ok && a.asked != nil {
		proto.Merge(to, a.asked)
		a.asked = nil
		return nil
	}
	return a.ServerStream.RecvMsg(m)
}

// Context implements grpc.ServerStream.
func (a *admitted) Context() context.Context { return a.ctx }

// admit finds out who calls, holds them to their rate and asks access. The
// context is never nil.
func (s *Server) admit(ctx context.Context, full string, req any) (context.Context, context.CancelFunc, error) {
	cert, origin, err := certificateOf(ctx)
	if err != nil {
		return ctx, nil, err
	}
	c := newCaller(cert, origin)
	m, known := methodOf(full)
	if !s.rates.allow(c.identity) {
		s.countHasty(c, cert, m)
		return ctx, nil, refusal(format.ReasonRate, "")
	}
	ctx = context.WithValue(ctx, callerKey{}, c)
	if isPlain(full) {
		return ctx, func() {}, nil
	}
	if !known {
		return ctx, nil, refusal(format.ReasonNotPermitted, "no rule says who may call this")
	}
	if err := s.enrolled(c, cert, m.unrecorded); err != nil {
		return ctx, nil, s.denied(ctx, c, m, nil, err)
	}
	if err := decide(c.Principal, m.verb, req); err != nil {
		return ctx, nil, s.denied(ctx, c, m, req, notPermitted(err))
	}
	ctx, cancel := context.WithTimeout(ctx, m.within)
	return ctx, cancel, nil
}

// decide asks access. A list of one named subject's bundles is also what the
// subject view is for (R55). A checkpoint that there is goes with a receipt; to
// have one taken is a verb of its own. A backup brings checkpoints: who takes one may
// also have them held against what another process of theirs has remembered meanwhile.
func decide(p access.Principal, verb access.Verb, req any) error {
	if r, ok := req.(*sagov1.CheckpointRequest); ok && r.GetFresh() {
		verb = access.VerbCheckpoint
	}
	err := access.Decide(p, verb)
	if r, ok := req.(*sagov1.ListRequest); err != nil && ok && r.GetSubjectCi() != "" {
		return access.Decide(p, access.VerbSubjectView)
	}
	if _, ok := req.(*sagov1.ConsistencyRequest); err != nil && ok {
		return access.Decide(p, access.VerbBackup)
	}
	return err
}

// countHasty counts a call beyond its principal's rate: one record a minute.
func (s *Server) countHasty(c *caller, cert *x509.Certificate, m method) {
	s.denials.only(denialKey{c.identity, format.ReasonRate}, func() denial {
		// Somebody who is not enrolled is recorded with the appliance.
		_ = s.enrolled(c, cert, false)
		return denial{reason: format.ReasonRate, verb: m.action, actor: c.ID, institution: c.Institution, count: 1, detail: c.detail()}
	})
}

// rescue turns a panic into an answer. Its value may hold anything, so the log
// names its type and the place alone.
func (s *Server) rescue(full string, err *error) {
	if r := recover(); r != nil {
		s.log.Error("panic in a call", "method", full, "type", fmt.Sprintf("%T", r), "stack", string(debug.Stack()))
		*err = (&problem{reason: reasonInternal, code: codes.Internal}).status("en").Err()
	}
}

// answer is the one place where errors become what the caller sees. What is not
// the caller's own fault is logged.
func (s *Server) answer(ctx context.Context, full string, err error) error {
	p := problemOf(err)
	if p.code == codes.Internal || p.code == codes.DataLoss || p.reason == reasonUnavailable || p.reason == reasonStorageFull {
		s.log.Warn("call failed", "method", full, "reason", p.reason, "error", p.logged())
	}
	return p.status(language(ctx)).Err()
}
