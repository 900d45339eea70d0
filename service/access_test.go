package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sago-worm/sago/access"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

func formatKey(institution uint32, transaction string) format.BundleKey {
	return format.BundleKey{Institution: institution, Transaction: transaction, Part: 1}
}

// asRole is the key of the caller's name in a call's context.
type asRole struct{}

// calls are all calls of the API, each made so that a permitted caller succeeds.
var calls = map[string]struct {
	verb access.Verb
	make func(context.Context, *grpc.ClientConn) error
}{
	"Put": {access.VerbPut, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewBundleServiceClient(c).Put(ctx, &sagov1.PutRequest{Header: withSize(header("T1", "P5Y"), 1), Contents: [][]byte{{'x'}}})
		return err
	}},
	"PutStream": {access.VerbPut, func(ctx context.Context, c *grpc.ClientConn) error {
		s, err := sagov1.NewBundleServiceClient(c).PutStream(ctx)
		if err != nil {
			return err
		}
		_ = s.Send(&sagov1.PutStreamRequest{Part: &sagov1.PutStreamRequest_Header{Header: withSize(header("T2", "P5Y"), 1)}})
		_ = s.Send(&sagov1.PutStreamRequest{Part: &sagov1.PutStreamRequest_Data{Data: []byte("x")}})
		_, err = s.CloseAndRecv()
		return err
	}},
	"Get": {access.VerbGet, func(ctx context.Context, c *grpc.ClientConn) error {
		who := &sagov1.Who{Purpose: "p", UserName: "n", UserDepartment: "d", UserContact: "c"}
		s, err := sagov1.NewBundleServiceClient(c).Get(ctx, &sagov1.GetRequest{Transaction: "G1", Who: who})
		for err == nil {
			_, err = s.Recv()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}},
	"Show": {access.VerbShow, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewBundleServiceClient(c).Show(ctx, &sagov1.ShowRequest{Transaction: "G1"})
		return err
	}},
	"List": {access.VerbList, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewBundleServiceClient(c).List(ctx, &sagov1.ListRequest{})
		return err
	}},
	"Verify": {access.VerbVerify, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewBundleServiceClient(c).Verify(ctx, &sagov1.VerifyRequest{Transaction: "G1"})
		return err
	}},
	"Extend": {access.VerbExtend, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewBundleServiceClient(c).Extend(ctx, &sagov1.ExtendRequest{Transaction: "G1", Retain: "P9Y", Basis: "law"})
		return err
	}},
	"Event": {access.VerbBundleEvent, func(ctx context.Context, c *grpc.ClientConn) error {
		no := fmt.Sprint("E-", ctx.Value(asRole{})) // each bundle's is set once
		_, err := sagov1.NewBundleServiceClient(c).Event(ctx, &sagov1.EventRequest{Transaction: no, At: timestamppb.New(time.UnixMicro(began))})
		return err
	}},
	"Preview": {access.VerbPut, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewBundleServiceClient(c).Preview(ctx, &sagov1.PreviewRequest{Header: header("T3", "P5Y")})
		return err
	}},
	"Hold.Place": {access.VerbHoldPlace, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewHoldServiceClient(c).Place(ctx, &sagov1.HoldServicePlaceRequest{Transaction: "G1", Name: "new", Basis: "law"})
		return err
	}},
	"Hold.Release": {access.VerbHoldRelease, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewHoldServiceClient(c).Release(ctx, &sagov1.HoldServiceReleaseRequest{BundleId: "MDS0000001", Name: "old", Reason: "over"})
		return err
	}},
	"Hold.List": {access.VerbHoldList, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewHoldServiceClient(c).List(ctx, &sagov1.HoldServiceListRequest{Transaction: "G1"})
		return err
	}},
	"Usage.Record": {access.VerbUse, func(ctx context.Context, c *grpc.ClientConn) error {
		who := &sagov1.Who{Purpose: "p", UserName: "n", UserDepartment: "d", UserContact: "c"}
		_, err := sagov1.NewUsageServiceClient(c).Record(ctx, &sagov1.RecordRequest{Transaction: "G1", Who: who})
		return err
	}},
	"Usage.List": {access.VerbUsageList, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewUsageServiceClient(c).List(ctx, &sagov1.UsageServiceListRequest{Transaction: "G1"})
		return err
	}},
	"History.List": {access.VerbHistoryList, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewHistoryServiceClient(c).List(ctx, &sagov1.HistoryServiceListRequest{})
		return err
	}},
	"History.Show": {access.VerbHistoryShow, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewHistoryServiceClient(c).Show(ctx, &sagov1.HistoryServiceShowRequest{Sequence: 9})
		return err
	}},
	"History.Verify": {access.VerbHistoryVerify, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewHistoryServiceClient(c).Verify(ctx, &sagov1.HistoryServiceVerifyRequest{})
		return err
	}},
	"Institution.List": {access.VerbInstitutionList, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewInstitutionServiceClient(c).List(ctx, &sagov1.InstitutionServiceListRequest{})
		return err
	}},
	"Institution.Subjects": {access.VerbInstitutionSubjects, func(ctx context.Context, c *grpc.ClientConn) error {
		s, err := sagov1.NewInstitutionServiceClient(c).Subjects(ctx)
		if err != nil {
			return err
		}
		_ = s.CloseSend()
		for err == nil {
			_, err = s.Recv()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}},
	"Circulation.List": {access.VerbCirculationList, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewCirculationServiceClient(c).List(ctx, &sagov1.CirculationServiceListRequest{})
		return err
	}},
	"SpecialDelete.List": {access.VerbSpecialShow, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewSpecialDeleteServiceClient(c).List(ctx, &sagov1.SpecialDeleteServiceListRequest{})
		return err
	}},
	"SpecialDelete.Ledger": {access.VerbSpecialShow, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewSpecialDeleteServiceClient(c).Ledger(ctx, &sagov1.SpecialDeleteServiceLedgerRequest{})
		return err
	}},
	"SpecialDelete.Disable": {access.VerbSpecialDisable, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewSpecialDeleteServiceClient(c).Disable(ctx, &sagov1.SpecialDeleteServiceDisableRequest{Institution: "demo"})
		return err
	}},
	"Member.ConfirmRestore": {access.VerbRestore, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewMemberServiceClient(c).ConfirmRestore(ctx, &sagov1.MemberServiceConfirmRestoreRequest{Reason: "over"})
		if status.Code(err) == codes.FailedPrecondition {
			err = nil // nothing was lost: who may ask is told so
		}
		return err
	}},
	"KeyArchive.List": {access.VerbKeyArchiveList, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewKeyArchiveServiceClient(c).List(ctx, &sagov1.KeyArchiveServiceListRequest{})
		return err
	}},
	"KeyArchive.Destroyed": {access.VerbKeyArchive, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewKeyArchiveServiceClient(c).Destroyed(ctx, &sagov1.KeyArchiveServiceDestroyedRequest{Period: strings.Repeat("0", 32)})
		if status.Code(err) == codes.NotFound {
			err = nil // there is none: who may ask is told so
		}
		return err
	}},
	"Clock.Status": {access.VerbClockStatus, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewClockServiceClient(c).Status(ctx, &sagov1.ClockServiceStatusRequest{})
		return err
	}},
	"Cluster.Status": {access.VerbClusterStatus, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewClusterServiceClient(c).Status(ctx, &sagov1.ClusterServiceStatusRequest{})
		return err
	}},
	"Cluster.Verify": {access.VerbClusterVerify, func(ctx context.Context, c *grpc.ClientConn) error {
		_, err := sagov1.NewClusterServiceClient(c).Verify(ctx, &sagov1.ClusterServiceVerifyRequest{})
		return err
	}},
}

// TestEveryCallByEveryRole makes every call as every role: it succeeds where the
// role table allows it, and elsewhere is refused with a DENY record (R23).
func TestEveryCallByEveryRole(t *testing.T) {
	h := newHouse(t)
	h.put("app", "G1", "P5Y", []byte("content"))
	for _, name := range []string{"app", "officer", "manager"} {
		h.put("app", "E-"+name, "event:P1Y", []byte("content"))
	}
	_, err := h.client("manager").PlaceHold(limited(t), &sagov1.HoldServicePlaceRequest{BundleId: "MDS0000001", Name: "old", Basis: "law"})
	must(t, err)
	unpermitted := func() (n int) {
		for _, rec := range h.records(1, format.ActDeny) {
			if rec.Result == format.ReasonNotPermitted {
				n++
			}
		}
		return n
	}
	for _, name := range []string{"app", "officer", "manager", "approver", "head", "admin", "auditor", "contractor"} {
		p := h.people.byName[name]
		conn := h.as(name)
		for call, c := range calls {
			h.minute <- time.Time{} // every case in a minute of its own
			before := unpermitted()
			err := c.make(context.WithValue(limited(t), asRole{}, name), conn)
			denied := unpermitted() - before
			allowed := access.Decide(access.Principal{ID: p.ID, Role: roleOf(p.Person), Institution: 1}, c.verb) == nil
			switch {
			case allowed && (err != nil || denied != 0):
				t.Errorf("%s as %s: %v, %d denials", call, name, err, denied)
			case !allowed && (status.Code(err) != codes.PermissionDenied || denied != 1):
				t.Errorf("%s as %s: %v, %d denials, want PermissionDenied with one record", call, name, err, denied)
			case !allowed:
				expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
			}
		}
	}
	if bundle, err := h.st.Bundle(formatKey(1, "T1")); err != nil || bundle == nil {
		t.Errorf("the permitted put left no bundle: %v", err)
	}
}

func TestStrangersAreDeniedAndRecorded(t *testing.T) {
	h := newHouse(t)
	officer := h.people.byName["officer"]
	other, _ := newKey(t)
	again := clientTemplate("officer")
	forged := h.people.issue(t, other, again)
	if access.Identity(forged.Leaf.RawIssuer, forged.Leaf.RawSubject) != officer.Identity {
		t.Fatal("the test means the same name under another key")
	}
	for name, cert := range map[string]tls.Certificate{"nobody": h.people.byName["stranger"].cert, "the same name with another key": forged} {
		before := len(h.records(0, format.ActDeny))
		_, err := sagov1.NewBundleServiceClient(h.dial(cert)).Show(limited(t), &sagov1.ShowRequest{Transaction: "T1"})
		expect(t, err, codes.Unauthenticated, "UNKNOWN_PRINCIPAL")
		denials := h.records(0, format.ActDeny)
		if len(denials) != before+1 {
			t.Fatalf("%s: %d records", name, len(denials)-before)
		}
		rec := denials[before]
		d, err := h.st.OpenDetail(&rec)
		must(t, err)
		if rec.Result != format.ReasonUnknownPrincipal || rec.Actor != 0 || d.Subject == "" || d.Issuer == "" || d.Origin == "" || rec.Transaction != "" {
			t.Errorf("%s: recorded %+v with %+v", name, rec, d)
		}
	}
}

func TestHandshakeRefuses(t *testing.T) {
	h := newHouse(t)
	foreign := pki{}
	foreign.ca, foreign.caKey = newAuthority(t, "Test CA")
	key := h.people.byName["officer"].key
	old, early, server := clientTemplate("officer"), clientTemplate("officer"), clientTemplate("officer")
	old.NotAfter = time.UnixMicro(began).Add(-time.Hour)
	early.NotBefore = time.UnixMicro(began).Add(time.Hour)
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for name, cert := range map[string]tls.Certificate{
		"no certificate":              {},
		"another authority":           foreign.issue(t, key, clientTemplate("officer")),
		"expired by the quorum clock": h.people.issue(t, key, old),
		"not yet valid":               h.people.issue(t, key, early),
		"a server's certificate":      h.people.issue(t, key, server),
	} {
		_, err := sagov1.NewClockServiceClient(h.dial(cert)).Status(limited(t), &sagov1.ClockServiceStatusRequest{})
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestP10_CertificatesAreJudgedByTheQuorumClock: the host's clock, decades away
// from the test's quorum clock, does not matter.
func TestP10_CertificatesAreJudgedByTheQuorumClock(t *testing.T) {
	h := newHouse(t)
	narrow := clientTemplate("officer")
	narrow.NotBefore, narrow.NotAfter = time.UnixMicro(began), time.UnixMicro(began).Add(time.Minute)
	cert := h.people.issue(t, h.people.byName["officer"].key, narrow)
	_, err := sagov1.NewUsageServiceClient(h.dial(cert)).List(limited(t), &sagov1.UsageServiceListRequest{Transaction: "T"})
	must(t, err)
	h.advance(2 * time.Minute)
	_, err = sagov1.NewUsageServiceClient(h.dial(cert)).List(limited(t), &sagov1.UsageServiceListRequest{Transaction: "T"})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("after its end by the quorum clock: %v", err)
	}
}

func TestFloodOfDenialsIsAggregated(t *testing.T) {
	h := newHouse(t)
	shows := sagov1.NewBundleServiceClient(h.as("officer"))
	for range 25 {
		_, err := shows.Show(limited(t), &sagov1.ShowRequest{Transaction: "T1"})
		expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
	}
	if n := len(h.records(1, format.ActDeny)); n != deniedSingly {
		t.Fatalf("%d records within the minute, want %d", n, deniedSingly)
	}
	h.minute <- time.Time{}
	h.minute <- time.Time{} // the first flush is done when the second tick is taken
	denials := h.records(1, format.ActDeny)
	if len(denials) != deniedSingly+1 {
		t.Fatalf("%d records after the minute", len(denials))
	}
	e, err := format.DecodeDenyEffect(denials[deniedSingly].Effect)
	must(t, err)
	if e.Count != 25-deniedSingly || e.Verb != format.ActShow || denials[deniedSingly].Result != format.ReasonNotPermitted {
		t.Errorf("the flood's record: %+v", e)
	}
	// The next minute begins anew, and the end of the server writes its rest.
	for range deniedSingly + 3 {
		_, _ = shows.Show(limited(t), &sagov1.ShowRequest{Transaction: "T1"})
	}
	h.shut()
	denials = h.records(1, format.ActDeny)
	if len(denials) != 2*deniedSingly+2 {
		t.Fatalf("%d records at the end", len(denials))
	}
	if e, err := format.DecodeDenyEffect(denials[len(denials)-1].Effect); err != nil || e.Count != 3 {
		t.Errorf("the last minute's record: %+v, %v", e, err)
	}
}

func TestFloodOfUnknownNumbersIsAggregated(t *testing.T) {
	h := newHouse(t)
	shows := sagov1.NewBundleServiceClient(h.as("auditor"))
	for range 25 {
		_, err := shows.Show(limited(t), &sagov1.ShowRequest{Transaction: "NONE"})
		expect(t, err, codes.NotFound, "NOT_FOUND")
	}
	if n := len(h.records(1, format.ActDeny)); n != deniedSingly {
		t.Fatalf("%d records within the minute, want %d", n, deniedSingly)
	}
	h.put("app", "THERE", "P5Y", []byte("x"))
	_, err := shows.Show(limited(t), &sagov1.ShowRequest{Transaction: "THERE"})
	must(t, err)
	h.shut()
	denials := h.records(1, format.ActDeny)
	if e, err := format.DecodeDenyEffect(denials[len(denials)-1].Effect); err != nil || len(denials) != deniedSingly+1 || e.Count != 25-deniedSingly {
		t.Errorf("%d records, the last %+v, %v", len(denials), e, err)
	}
}

func TestCutOffNodeRefusesWhatNeedsARecord(t *testing.T) {
	h := newHouse(t)
	h.put("app", "G1", "P5Y", []byte("content"))
	h.down.Store(true)
	h.ready.Store(false)
	for call, c := range calls {
		for _, name := range []string{"app", "officer", "admin", "auditor"} {
			h.minute <- time.Time{} // every case in a minute of its own
			p := h.people.byName[name]
			err := c.make(limited(t), h.as(name))
			unrecorded := call == "Clock.Status" || call == "Cluster.Status" || call == "Cluster.Verify" || call == "Preview"
			allowed := access.Decide(access.Principal{ID: p.ID, Role: roleOf(p.Person), Institution: 1}, c.verb) == nil
			switch {
			case unrecorded && allowed:
				must(t, err)
			case unrecorded:
				expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
			default: // a refusal all the same, for those denied and those allowed
				expect(t, err, codes.Unavailable, "UNAVAILABLE")
			}
		}
	}
}
