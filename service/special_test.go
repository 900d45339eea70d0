package service

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/service/ledger"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

func requestOf(transaction string) *sagov1.SpecialDeleteServiceRequestRequest {
	return &sagov1.SpecialDeleteServiceRequestRequest{Transaction: transaction, Part: 1, Order: "2026-1", Requester: "정보주체", Basis: "고시", Reason: "유통정지"}
}

func TestSpecialDeleteFromRequestToCertificate(t *testing.T) {
	h := newHouse(t)
	content := []byte("specially deleted")
	h.put("app", "S1", "P5Y", content)
	h.put("app", "S2", "P5Y", content)
	h.begin()
	officer, manager, approver, auditor := h.client("officer"), h.client("manager"), h.client("approver"), h.client("auditor")
	r, err := officer.RequestSpecialDelete(limited(t), requestOf("S1"))
	must(t, err)
	id := r.GetAct().GetId()
	if r.GetState() != "pending" || r.GetOrder() != "2026-1" || r.GetBlockedBy() != "" || r.GetAct().GetParticulars().GetRequester() != "정보주체" {
		t.Fatalf("%v", r)
	}
	_, _, err = officer.GetBytes(limited(t), &sagov1.GetRequest{Transaction: "S1", Part: 1, Who: why})
	expect(t, unwrap(err), codes.FailedPrecondition, "CIRCULATION_STOPPED")
	b, err := auditor.Show(limited(t), &sagov1.ShowRequest{Transaction: "S1"})
	must(t, err)
	if b.GetState() != "active" || b.GetCirculationStop().GetOrder() != "2026-1" || b.GetReceipt().GetFingerprint() == "" {
		t.Fatalf("%v", b)
	}
	expect(t, unwrap(officer.ApproveSpecialDelete(limited(t), id, nil)), codes.PermissionDenied, "NOT_PERMITTED")
	_, err = auditor.Certificate(limited(t), &sagov1.SpecialDeleteServiceCertificateRequest{Id: id})
	expect(t, unwrap(err), codes.FailedPrecondition, "STATE")
	must(t, manager.ApproveSpecialDelete(limited(t), id, nil))
	h.backedUp()
	must(t, approver.ApproveSpecialDelete(limited(t), id, nil)) // no cooling-off in this house: executed
	if r, err = auditor.ShowSpecialDelete(limited(t), id); err != nil || r.GetState() != "executed" || r.GetBundleState() != "special_deleted" {
		t.Fatalf("%v: %v", r, err)
	}
	_, _, err = officer.GetBytes(limited(t), &sagov1.GetRequest{Transaction: "S1", Part: 1, Who: why})
	expect(t, unwrap(err), codes.NotFound, "SPECIAL_DELETED")
	_, err = h.client("app").Put(limited(t), header("S1", "P5Y"), client.BytesContent("a.xml", "application/xml", content))
	expect(t, unwrap(err), codes.AlreadyExists, "CONFLICT")

	cert, err := auditor.Certificate(limited(t), &sagov1.SpecialDeleteServiceCertificateRequest{Id: id})
	must(t, err)
	if cert.GetFinal() || cert.GetErased() != nil || len(cert.GetOutstanding()) != 1 {
		t.Fatalf("before anything was destroyed: %v", cert)
	}
	h.erase()
	cert, err = auditor.Certificate(limited(t), &sagov1.SpecialDeleteServiceCertificateRequest{Transaction: "S1"})
	must(t, err)
	h.backedUp() // holds the decision: it has nothing of the bundle
	var kinds []string
	for _, r := range cert.GetRemains() {
		kinds = append(kinds, r.GetKind())
	}
	if want := []string{"history", "ledger", "opening", "backup"}; !slices.Equal(kinds, want) {
		t.Errorf("what remains: %v", cert.GetRemains())
	}
	if !cert.GetFinal() || len(cert.GetAttestations()) != 1 || cert.GetWay() != "special-delete" || len(cert.GetSigners()) != 2 {
		t.Fatalf("%v", cert)
	}
	if got := len(h.records(1, format.ActList)); got == 0 {
		t.Error("the queries left no record")
	}
	if _, data, err := officer.GetBytes(limited(t), &sagov1.GetRequest{Transaction: "S2", Part: 1, Who: why}); err != nil || !bytes.Equal(data[0], content) {
		t.Errorf("its neighbour: %v", err)
	}
	h.certificatesAltered(cert)
}

// backedUp records a backup of everything so far.
func (h *house) backedUp() {
	h.t.Helper()
	_, err := h.client("admin0").Backup(limited(h.t), client.BackupOptions{Dir: filepath.Join(h.t.TempDir(), "b")})
	must(h.t, err)
}

// TestDisabledSpecialDeletion: a request says that it is blocked, and never that it
// is ready; only one's own institution is named.
func TestDisabledSpecialDeletion(t *testing.T) {
	h := newHouse(t)
	h.put("app", "S1", "P5Y", []byte("x"))
	h.begin()
	officer, manager, approver := h.client("officer"), h.client("manager"), h.client("approver")
	r, err := officer.RequestSpecialDelete(limited(t), requestOf("S1"))
	must(t, err)
	id := r.GetAct().GetId()
	must(t, manager.ApproveSpecialDelete(limited(t), id, nil))
	for _, other := range []string{"other", ""} {
		_, err = manager.DisableSpecialDelete(limited(t), other, "")
		expect(t, unwrap(err), codes.NotFound, "NOT_FOUND")
	}
	_, err = officer.DisableSpecialDelete(limited(t), "demo", "")
	expect(t, unwrap(err), codes.PermissionDenied, "NOT_PERMITTED")
	got, err := manager.DisableSpecialDelete(limited(t), "demo", "폐기")
	must(t, err)
	if !got.GetInstitution().GetSpecialDeleteDisabled() || got.GetHistorySequence() == 0 {
		t.Fatalf("%v", got)
	}
	_, err = manager.DisableSpecialDelete(limited(t), "demo", "")
	expect(t, unwrap(err), codes.FailedPrecondition, "STATE")
	_ = approver.ApproveSpecialDelete(limited(t), id, nil) // the last signature, where the rule takes it
	r, err = approver.ShowSpecialDelete(limited(t), id)
	must(t, err)
	if s := r.GetState(); s != "pending" && s != "cooling_off" || r.GetBlockedBy() != "disabled" || r.GetBundleState() != "active" {
		t.Fatalf("%v", r)
	}
	a, err := approver.ShowAct(limited(t), id)
	if err != nil || a.GetBlockedBy() != "disabled" {
		t.Fatalf("%v: %v", a, err)
	}
	_, err = officer.RequestSpecialDelete(limited(t), requestOf("S1"))
	expect(t, unwrap(err), codes.FailedPrecondition, "POLICY")
}

// TestNothingIsOpenedThatOnlyAHoldKeeps: past its deadline a request shows no more of
// a bundle's content than of an expired one's.
func TestNothingIsOpenedThatOnlyAHoldKeeps(t *testing.T) {
	h := newHouse(t)
	h.put("app", "S1", "PT1H", []byte("x"))
	h.begin()
	r, err := h.client("officer").RequestSpecialDelete(limited(t), requestOf("S1"))
	must(t, err)
	opening := func() (*sagov1.SpecialDeleteServiceOpeningResponse, error) {
		return sagov1.NewSpecialDeleteServiceClient(h.as("approver")).Opening(limited(t), &sagov1.SpecialDeleteServiceOpeningRequest{Id: r.GetAct().GetId()})
	}
	open, err := opening()
	if err != nil || len(open.GetDocuments()) == 0 {
		t.Fatalf("%v: %v", open, err)
	}
	_, err = h.client("manager").PlaceHold(limited(t), &sagov1.HoldServicePlaceRequest{Transaction: "S1", Name: "case", Basis: "law"})
	must(t, err)
	h.advance(2 * time.Hour)
	open, err = opening()
	expect(t, err, codes.FailedPrecondition, "HELD")
	if open != nil {
		t.Errorf("shown: %v", open)
	}
}

// unwrap is the gRPC status of a client's error.
func unwrap(err error) error {
	var e *client.Error
	if !errors.As(err, &e) {
		return err
	}
	st, err := status.New(e.Code, e.Message).WithDetails(&errdetails.ErrorInfo{Reason: e.Reason, Domain: errorDomain},
		&errdetails.LocalizedMessage{Locale: "ko", Message: e.Localized["ko"]}, &errdetails.LocalizedMessage{Locale: "en", Message: e.Localized["en"]})
	if err != nil {
		return err
	}
	return st.Err()
}

// certificatesAltered verifies no certificate of which anything that it rests on
// was changed.
func (h *house) certificatesAltered(cert *sagov1.Certificate) {
	h.t.Helper()
	cluster, nodes := [16]byte(h.st.Manifest().Cluster), []client.NodeKey{{Name: "n1", PublicKey: h.st.Members()[0].PublicKey}}
	if _, err := client.VerifyCertificate(cert, cluster, nodes); err != nil {
		h.t.Fatal(err)
	}
	_, other := newKey(h.t)
	if _, err := client.VerifyCertificate(cert, cluster, []client.NodeKey{{Name: "n1", PublicKey: other}}); !errors.Is(err, client.ErrIntegrity) {
		h.t.Errorf("another node's key: %v", err)
	}
	for name, change := range map[string]func(*sagov1.Certificate){
		"another number":           func(c *sagov1.Certificate) { c.Transaction = "S2" },
		"another way":              func(c *sagov1.Certificate) { c.Way = "expiry" },
		"another order":            func(c *sagov1.Certificate) { c.Order = "2026-2" },
		"a signer less":            func(c *sagov1.Certificate) { c.Signers = c.Signers[:1] },
		"another stored record":    func(c *sagov1.Certificate) { c.Stored = c.Decided },
		"another decision":         func(c *sagov1.Certificate) { c.Decided = c.Stored },
		"another ERASE":            func(c *sagov1.Certificate) { c.Erased = c.Decided },
		"a record's byte":          func(c *sagov1.Certificate) { c.Stored.Encoded[60] ^= 1 },
		"a proof's hash":           func(c *sagov1.Certificate) { c.Erased.Proof.Path[0][0] ^= 1 },
		"another attesting node":   func(c *sagov1.Certificate) { c.Attestations[0].Number = 2 },
		"another incarnation":      func(c *sagov1.Certificate) { c.Attestations[0].Incarnation[0] ^= 1 },
		"no attestation":           func(c *sagov1.Certificate) { c.Attestations = nil },
		"final without an ERASE":   func(c *sagov1.Certificate) { c.Erased = nil },
		"final with a holder left": func(c *sagov1.Certificate) { c.Outstanding = []*sagov1.CertificateHolder{{Number: 2}} },
		"no checkpoint":            func(c *sagov1.Certificate) { c.Checkpoint = "" },
	} {
		c := proto.CloneOf(cert)
		change(c)
		if _, err := client.VerifyCertificate(c, cluster, nodes); !errors.Is(err, client.ErrIntegrity) {
			h.t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNothingIsSignedThatDoesNotOpen: the fingerprint that is shown must be the one
// of the bundle that the document is about.
func TestNothingIsSignedThatDoesNotOpen(t *testing.T) {
	h := newHouse(t)
	h.put("app", "S1", "P5Y", []byte("one"))
	h.put("app", "S2", "P5Y", []byte("two"))
	h.begin()
	var openings []*sagov1.SpecialDeleteServiceOpeningResponse
	var documents [][]byte
	for _, name := range []string{"S1", "S2"} {
		r, err := h.client("officer").RequestSpecialDelete(limited(t), requestOf(name))
		must(t, err)
		open, err := sagov1.NewSpecialDeleteServiceClient(h.as("manager")).Opening(limited(t), &sagov1.SpecialDeleteServiceOpeningRequest{Id: r.GetAct().GetId()})
		must(t, err)
		openings, documents = append(openings, open), append(documents, r.GetAct().GetDocument())
	}
	must(t, client.CheckOpening(documents[0], openings[0]))
	for name, change := range map[string]func(*sagov1.SpecialDeleteServiceOpeningResponse){
		"another bundle":             func(o *sagov1.SpecialDeleteServiceOpeningResponse) { proto.Reset(o); proto.Merge(o, openings[1]) },
		"another bundle's record":    func(o *sagov1.SpecialDeleteServiceOpeningResponse) { o.StoreRecord = openings[1].StoreRecord },
		"another fingerprint":        func(o *sagov1.SpecialDeleteServiceOpeningResponse) { o.Fingerprint = openings[1].Fingerprint },
		"another key":                func(o *sagov1.SpecialDeleteServiceOpeningResponse) { o.CommitmentKey = openings[1].CommitmentKey },
		"a record's byte":            func(o *sagov1.SpecialDeleteServiceOpeningResponse) { o.StoreRecord[100] ^= 1 },
		"no fingerprint":             func(o *sagov1.SpecialDeleteServiceOpeningResponse) { o.Fingerprint = "" },
		"no key":                     func(o *sagov1.SpecialDeleteServiceOpeningResponse) { o.CommitmentKey = nil },
		"a fingerprint without hash": func(o *sagov1.SpecialDeleteServiceOpeningResponse) { o.Fingerprint = o.Fingerprint[7:] },
	} {
		o := proto.CloneOf(openings[0])
		change(o)
		if err := client.CheckOpening(documents[0], o); !errors.Is(err, client.ErrIntegrity) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := client.CheckOpening(documents[1], openings[0]); !errors.Is(err, client.ErrIntegrity) {
		t.Errorf("another document: %v", err)
	}
}

// TestRequestLeavesNothingBehind: what cannot be deleted is refused before its order
// is registered, and a request that failed half way is taken up again.
func TestRequestLeavesNothingBehind(t *testing.T) {
	h := newHouse(t)
	h.put("app", "S1", "P5Y", []byte("one"))
	h.put("app", "E1", "PT1S", []byte("two"))
	h.begin()
	officer := h.client("officer")
	_, err := officer.RequestSpecialDelete(limited(t), requestOf("none"))
	expect(t, unwrap(err), codes.NotFound, "NOT_FOUND")
	_, err = h.client("manager").RequestSpecialDelete(limited(t), requestOf("S1"))
	expect(t, unwrap(err), codes.PermissionDenied, "NOT_PERMITTED")
	h.advance(2e9)
	_, err = officer.RequestSpecialDelete(limited(t), requestOf("E1"))
	expect(t, unwrap(err), codes.NotFound, "EXPIRED")
	if n := len(h.records(1, format.ActCirculationStop)); n != 0 {
		t.Fatalf("%d orders were registered", n)
	}
	cut := func(op *store.Op) { h.down.Store(op.Kind == store.KindPropose) }
	h.before.Store(&cut)
	if _, err := officer.RequestSpecialDelete(limited(t), requestOf("S1")); err == nil {
		t.Fatal("a request went through a cut")
	}
	h.before.Store(nil)
	h.down.Store(false)
	other := requestOf("S1")
	other.Order = "2026-2"
	_, err = officer.RequestSpecialDelete(limited(t), other)
	expect(t, unwrap(err), codes.FailedPrecondition, "STATE")
	r, err := officer.RequestSpecialDelete(limited(t), requestOf("S1"))
	must(t, err)
	stop, err := h.st.Stop(formatKey(1, "S1"))
	must(t, err)
	if doc, err := format.DecodeAct(r.GetAct().GetDocument()); err != nil || stop.Act != doc.Nonce {
		t.Errorf("the order came with %x, the request is %x: %v", stop.Act, doc.Nonce, err)
	}
	_, err = h.client("manager").VetoAct(limited(t), r.GetAct().GetId(), "아님")
	must(t, err)
	_, err = sagov1.NewSpecialDeleteServiceClient(h.as("manager")).Opening(limited(t), &sagov1.SpecialDeleteServiceOpeningRequest{Id: r.GetAct().GetId()})
	expect(t, err, codes.FailedPrecondition, "STATE") // nothing is left to decide on
	if _, _, err := officer.GetBytes(limited(t), &sagov1.GetRequest{Transaction: "S1", Part: 1, Who: why}); err != nil {
		t.Errorf("after the veto: %v", err)
	}
}

// TestAStopEndsAReadInFlight before the first byte that follows it.
func TestAStopEndsAReadInFlight(t *testing.T) {
	h := newHouse(t)
	h.put("app", "S1", "P5Y", bytes.Repeat([]byte("long "), 1000))
	h.begin()
	stop := func() {
		_, err := h.client("officer").StopCirculation(limited(t), &sagov1.CirculationServiceStopRequest{Transaction: "S1", Part: 1, Order: "1"})
		must(t, err)
	}
	h.fetching.Store(&stop)
	_, data, err := h.client("officer").GetBytes(limited(t), &sagov1.GetRequest{Transaction: "S1", Part: 1, Who: why})
	expect(t, unwrap(err), codes.FailedPrecondition, "CIRCULATION_STOPPED")
	if len(data) != 0 {
		t.Errorf("handed out %d documents", len(data))
	}
	stops := 0
	for s, err := range h.client("auditor").Stops(limited(t), &sagov1.CirculationServiceListRequest{}) {
		must(t, err)
		if s.GetOrder() == "1" && s.GetTransaction() == "S1" {
			stops++
		}
	}
	if stops != 1 {
		t.Errorf("%d orders are listed", stops)
	}
}

// TestR17TheLedgerIsComparedOnDemand shows an institution its own entries.
func TestR17TheLedgerIsComparedOnDemand(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { must(t, custodian.ClearTree(dir)) })
	var l *ledger.Ledger
	h := newHouse(t, func(c *Config) {
		l = ledger.Start(ledger.Options{History: c.Node.Store(), File: dir + "/ledger/l", OSFile: dir + "/log/l", Sockets: []string{}, Node: "n1", Log: slog.New(slog.DiscardHandler)})
		c.Ledger = l.Check
	})
	defer l.Close()
	h.put("app", "S1", "P5Y", []byte("one"))
	h.begin()
	_, err := h.client("officer").RequestSpecialDelete(limited(t), requestOf("S1"))
	must(t, err)
	must(t, h.st.SyncHistory())
	r, err := h.client("auditor").SpecialLedger(limited(t), 0, 0)
	must(t, err)
	if !r.GetAgrees() || len(r.GetEntries()) != 2 || r.GetEntries()[1].GetOrder() != "2026-1" || r.GetInOsRecord() != 2 {
		t.Errorf("%v", r)
	}
	_, err = h.client("officer2").SpecialLedger(limited(t), 0, 0)
	must(t, err)
}
