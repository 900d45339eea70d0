package system_test

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// about says whether a row's answer depends on a bundle's state, or only on the
// institution's.
type about int

const (
	bundles about = iota
	anything
)

// matrixRow is a call; behind a comma its name says in which case.
type matrixRow struct {
	name string
	of   about
	// by are those whose call changes something, and so has a bundle of its own in
	// every state; others' share one. Digits behind a role do not count.
	by []string
	// act says that it is about a special deletion, asked for before the state began.
	act bool
	ask func(cell) []proto.Message
}

// cell is one question.
type cell struct {
	m           *matrix
	state       *matrixState
	role        string
	transaction string
}

func (r *matrixRow) method() string {
	method, _, _ := strings.Cut(r.name, ",")
	return method
}

func (r *matrixRow) changedBy(role string) bool {
	return slices.Contains(r.by, strings.TrimRight(role, "0123456789"))
}

func (c cell) actID() string { return c.m.acts[c.transaction].GetId() }

func matrixWho() *sagov1.Who {
	return &sagov1.Who{Purpose: "시험", UserName: "가", UserDepartment: "나", UserContact: "다"}
}

func matrixPut(s *matrixState, transaction, content string) *sagov1.PutRequest {
	h := bundle(transaction, s.retain)
	h.SubjectCi = "CI-" + s.code
	h.Documents = []*sagov1.DocumentHeader{{Name: "d.bin", MediaType: "application/octet-stream", Size: uint64(len(content))}}
	return &sagov1.PutRequest{Header: h, Contents: [][]byte{[]byte(content)}}
}

func matrixRequest(transaction string) *sagov1.SpecialDeleteServiceRequestRequest {
	return &sagov1.SpecialDeleteServiceRequestRequest{Transaction: transaction, Part: 1, Order: "유통정지-1", Requester: "정보주체", Basis: "고시 별표6", Reason: "요청"}
}

func one(ask func(cell) proto.Message) func(cell) []proto.Message {
	return func(c cell) []proto.Message { return []proto.Message{ask(c)} }
}

func always(m proto.Message) func(cell) []proto.Message {
	return func(cell) []proto.Message { return []proto.Message{m} }
}

func bundleRows() []matrixRow {
	stream := func(p *sagov1.PutRequest) []proto.Message {
		return []proto.Message{&sagov1.PutStreamRequest{Part: &sagov1.PutStreamRequest_Header{Header: p.GetHeader()}},
			&sagov1.PutStreamRequest{Part: &sagov1.PutStreamRequest_Data{Data: p.GetContents()[0]}}}
	}
	get := func(view []byte, hold string) func(cell) []proto.Message {
		return one(func(c cell) proto.Message {
			return &sagov1.GetRequest{Transaction: c.transaction, Part: 1, Who: matrixWho(), RequestId: view, Hold: hold}
		})
	}
	readers := []string{"app", "officer"}
	return []matrixRow{
		{name: "BundleService/Put, other content", ask: one(func(c cell) proto.Message { return matrixPut(c.state, c.transaction, "other") })},
		{name: "BundleService/PutStream, other content", ask: func(c cell) []proto.Message { return stream(matrixPut(c.state, c.transaction, "other")) }},
		{name: "BundleService/Put, the same again", ask: one(func(c cell) proto.Message { return matrixPut(c.state, c.transaction, string(contentOf(c.transaction))) })},
		{name: "BundleService/Put, a new number", of: anything, by: []string{"app"}, ask: one(func(c cell) proto.Message { return matrixPut(c.state, c.transaction, "n") })},
		{name: "BundleService/PutStream, a new number", of: anything, by: []string{"app"}, ask: func(c cell) []proto.Message { return stream(matrixPut(c.state, c.transaction, "n")) }},
		{name: "BundleService/Preview", of: anything, ask: one(func(c cell) proto.Message { return &sagov1.PreviewRequest{Header: bundle("NEW", "P5Y")} })},
		{name: "BundleService/Get", by: readers, ask: get(nil, "")},
		{name: "BundleService/Get, the view of before", by: readers, ask: get(theView, "")},
		{name: "BundleService/Get, for the hold", by: readers, ask: get(nil, matrixHold)},
		{name: "BundleService/Show", ask: one(func(c cell) proto.Message { return &sagov1.ShowRequest{Transaction: c.transaction, Part: 1} })},
		{name: "BundleService/Verify", ask: one(func(c cell) proto.Message { return &sagov1.VerifyRequest{Transaction: c.transaction, Part: 1} })},
		{name: "BundleService/List", ask: always(&sagov1.ListRequest{Limit: 5})},
		{name: "BundleService/List, one subject", ask: one(func(c cell) proto.Message { return &sagov1.ListRequest{SubjectCi: "CI-" + c.state.code, Limit: 5} })},
		{name: "BundleService/Extend", by: []string{"manager"}, ask: one(func(c cell) proto.Message {
			return &sagov1.ExtendRequest{Transaction: c.transaction, Part: 1, Retain: "P6Y", Basis: "연장"}
		})},
		{name: "BundleService/Event", by: []string{"app", "officer", "manager"}, ask: one(func(c cell) proto.Message {
			return &sagov1.EventRequest{Transaction: c.transaction, Part: 1, At: timestamppb.New(c.m.Now().Add(-time.Minute))}
		})},
		{name: "UsageService/Record", by: readers, ask: one(func(c cell) proto.Message {
			return &sagov1.RecordRequest{Transaction: c.transaction, Part: 1, Who: matrixWho()}
		})},
		{name: "UsageService/List", ask: one(func(c cell) proto.Message { return &sagov1.UsageServiceListRequest{Transaction: c.transaction} })},
		{name: "HoldService/Place", by: []string{"manager"}, ask: one(func(c cell) proto.Message {
			return &sagov1.HoldServicePlaceRequest{Transaction: c.transaction, Part: 1, Name: "소송", Basis: "2026가합1"}
		})},
		{name: "HoldService/Release, of the subject", ask: one(func(c cell) proto.Message {
			return &sagov1.HoldServiceReleaseRequest{SubjectCi: "CI-" + c.state.code, Name: matrixHold, Reason: "종결"}
		})},
		{name: "HoldService/List", ask: one(func(c cell) proto.Message { return &sagov1.HoldServiceListRequest{Transaction: c.transaction, Part: 1} })},
		{name: "CirculationService/Stop", by: []string{"officer", "manager"}, ask: one(func(c cell) proto.Message {
			return &sagov1.CirculationServiceStopRequest{Transaction: c.transaction, Part: 1, Order: "유통정지-2", Requester: "가", Basis: "나", Reason: "다"}
		})},
		{name: "CirculationService/Lift", by: []string{"officer", "manager"}, ask: one(func(c cell) proto.Message {
			return &sagov1.CirculationServiceLiftRequest{Transaction: c.transaction, Part: 1, Order: "유통정지-1", Requester: "가", Basis: "나", Reason: "다"}
		})},
		{name: "CirculationService/List", of: anything, ask: always(&sagov1.CirculationServiceListRequest{})},
	}
}

func actRows() []matrixRow {
	signers := []string{"manager", "approver"}
	return []matrixRow{
		{name: "SpecialDeleteService/Request", by: []string{"officer"}, ask: one(func(c cell) proto.Message { return matrixRequest(c.transaction) })},
		{name: "SpecialDeleteService/Show", act: true, ask: one(func(c cell) proto.Message { return &sagov1.SpecialDeleteServiceShowRequest{Id: c.actID()} })},
		{name: "SpecialDeleteService/Opening", act: true, ask: one(func(c cell) proto.Message { return &sagov1.SpecialDeleteServiceOpeningRequest{Id: c.actID()} })},
		{name: "SpecialDeleteService/Certificate", ask: one(func(c cell) proto.Message {
			return &sagov1.SpecialDeleteServiceCertificateRequest{Transaction: c.transaction, Part: 1}
		})},
		{name: "SpecialDeleteService/List", of: anything, ask: always(&sagov1.SpecialDeleteServiceListRequest{})},
		{name: "SpecialDeleteService/Disable, of nobody's", of: anything, ask: always(&sagov1.SpecialDeleteServiceDisableRequest{Institution: "nobody", Reason: "시험"})},
		{name: "SpecialDeleteService/Ledger", of: anything, ask: always(&sagov1.SpecialDeleteServiceLedgerRequest{})},
		{name: "ActService/List", of: anything, ask: always(&sagov1.ActServiceListRequest{})},
		{name: "ActService/Show", act: true, ask: one(func(c cell) proto.Message { return &sagov1.ActServiceShowRequest{Id: c.actID()} })},
		{name: "ActService/Sign", act: true, by: signers, ask: one(func(c cell) proto.Message {
			return &sagov1.ActServiceSignRequest{Id: c.actID(), Signature: c.m.sign(c.role, c.m.acts[c.transaction].GetDocument())}
		})},
		{name: "ActService/Sign, by another's key", act: true, ask: one(func(c cell) proto.Message {
			return &sagov1.ActServiceSignRequest{Id: c.actID(), Signature: c.m.sign("admin", c.m.acts[c.transaction].GetDocument())}
		})},
		{name: "ActService/Veto", act: true, by: append(signers, "officer"), ask: one(func(c cell) proto.Message {
			return &sagov1.ActServiceVetoRequest{Id: c.actID(), Reason: "시험", Signature: c.m.sign(c.role, format.VetoMessage(c.m.acts[c.transaction].GetDocument()))}
		})},
	}
}

func historyRows() []matrixRow {
	sequence := func(c cell) uint64 { return c.m.receipts[c.state.code].GetHistorySequence() }
	return []matrixRow{
		{name: "HistoryService/List", ask: one(func(c cell) proto.Message { return &sagov1.HistoryServiceListRequest{Transaction: c.transaction} })},
		{name: "HistoryService/Show", ask: one(func(c cell) proto.Message { return &sagov1.HistoryServiceShowRequest{Sequence: sequence(c)} })},
		{name: "HistoryService/Verify", of: anything, ask: always(&sagov1.HistoryServiceVerifyRequest{})},
		{name: "HistoryService/Checkpoint", of: anything, ask: always(&sagov1.CheckpointRequest{})},
		{name: "HistoryService/Checkpoint, a fresh one", of: anything, ask: always(&sagov1.CheckpointRequest{Fresh: true})},
		{name: "HistoryService/Prove", ask: one(func(c cell) proto.Message { return &sagov1.ProveRequest{Sequence: sequence(c)} })},
		{name: "HistoryService/Receipt", ask: one(func(c cell) proto.Message {
			return &sagov1.ReceiptRequest{Sequence: sequence(c), LeafHash: c.m.receipts[c.state.code].GetLeafHash()}
		})},
		{name: "HistoryService/Consistency", of: anything, ask: always(&sagov1.ConsistencyRequest{Old: 1})},
		{name: "HistoryService/Export", of: anything, ask: always(&sagov1.ExportRequest{})},
	}
}

// applianceRows ask what nobody may do here, or what opens an act that nobody
// signs, where the call would change what the other rows see. Resume comes last: it
// ends a suspension.
func applianceRows() []matrixRow {
	digest := sha256.Sum256(nil)
	return []matrixRow{
		{name: "PolicyService/Show", of: anything, ask: always(&sagov1.PolicyServiceShowRequest{})},
		{name: "PolicyService/History", of: anything, ask: always(&sagov1.PolicyServiceHistoryRequest{})},
		{name: "PolicyService/Propose, a weaker one", of: anything, ask: always(&sagov1.PolicyServiceProposeRequest{Set: map[string]string{"sweep_within": "10s"}, Reason: "시험"})},
		{name: "MemberService/Add, of no key", of: anything, ask: always(&sagov1.MemberServiceAddRequest{Number: 9, Name: "node9", Incarnation: digest[:16], Reason: "시험"})},
		{name: "MemberService/ConfirmRestore, of no loss", of: anything, ask: always(&sagov1.MemberServiceConfirmRestoreRequest{Reason: "시험"})},
		{name: "MemberService/Remove", of: anything, ask: always(&sagov1.MemberServiceRemoveRequest{Name: "node1", Reason: "시험"})},
		{name: "MemberService/Medium, of no incarnation", of: anything, ask: always(&sagov1.MemberServiceMediumRequest{Name: "node1", Incarnation: digest[:16], Basis: "시험", Reason: "시험"})},
		{name: "MemberService/Resync", of: anything, ask: always(&sagov1.MemberServiceResyncRequest{Reason: "시험"})},
		{name: "KeyArchiveService/Open, with no holder", of: anything, ask: always(&sagov1.KeyArchiveServiceOpenRequest{Needed: 2, Days: 90, Reason: "시험"})},
		{name: "KeyArchiveService/Destroyed, of no period", of: anything, ask: always(&sagov1.KeyArchiveServiceDestroyedRequest{Period: strings.Repeat("0", 32), Reason: "시험"})},
		{name: "KeyArchiveService/List", of: anything, ask: always(&sagov1.KeyArchiveServiceListRequest{})},
		{name: "ClockService/Status", of: anything, ask: always(&sagov1.ClockServiceStatusRequest{})},
		{name: "ClusterService/Status", of: anything, ask: always(&sagov1.ClusterServiceStatusRequest{})},
		{name: "ClusterService/Verify", of: anything, ask: always(&sagov1.ClusterServiceVerifyRequest{})},
		{name: "ClusterService/Backup", of: anything, ask: always(&sagov1.BackupRequest{})},
		{name: "ClusterService/BackupDone", of: anything, ask: always(&sagov1.BackupDoneRequest{End: 1, Size: 1, Digest: digest[:]})},
		{name: "InstitutionService/Register, a code taken", of: anything, ask: always(&sagov1.RegisterRequest{Code: testcluster.Institution, Name: "가"})},
		{name: "InstitutionService/List", of: anything, ask: always(&sagov1.InstitutionServiceListRequest{})},
		{name: "InstitutionService/Subjects", of: anything, ask: one(func(c cell) proto.Message {
			return &sagov1.SubjectsRequest{SubjectCis: []string{"CI-" + c.state.code}, Close: timestamppb.New(c.m.Now().AddDate(0, 2, 0))}
		})},
		{name: "InstitutionService/Close, without a receipt", of: anything, ask: one(func(c cell) proto.Message {
			return &sagov1.CloseRequest{Date: timestamppb.New(c.m.Now().AddDate(0, 2, 0)), Reason: "시험"}
		})},
		{name: "InstitutionService/Suspend, for too long", of: anything, ask: one(func(c cell) proto.Message {
			return &sagov1.SuspendRequest{Until: timestamppb.New(c.m.Now().Add(400 * 24 * time.Hour))}
		})},
		{name: "InstitutionService/Resume", of: anything, ask: always(&sagov1.ResumeRequest{Reason: "시험"})},
	}
}
