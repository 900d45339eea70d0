package service

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

func (h *house) readAs(name, transaction, hold string) ([][]byte, error) {
	h.t.Helper()
	_, documents, err := h.client(name).GetBytes(limited(h.t), &sagov1.GetRequest{Transaction: transaction, Hold: hold, Who: &sagov1.Who{Purpose: "p"}})
	return documents, err
}

// TestP26_HoldsByName places holds in each scope, lists them, reads for one of them
// past the deadline, and releases it by an act of two persons.
func TestP26_HoldsByName(t *testing.T) {
	h := newHouse(t)
	ctx, manager := limited(t), h.client("manager")
	h.put("app", "T1", "PT1H", []byte("content"))
	h.begin()
	const name = "홍길동 사건"
	for _, req := range []*sagov1.HoldServicePlaceRequest{
		{Transaction: "T1", Name: name, Basis: "2026가합1", BasisKind: "court", Review: timestamppb.New(time.UnixMicro(began))},
		{SubjectCi: "CI1", Name: name, Basis: "law"},
		{BundleId: "MDS0000001", Name: "other", Basis: "law"},
	} {
		r, err := manager.PlaceHold(ctx, req)
		must(t, err)
		if got := r.GetHold(); got.GetName() != req.GetName() || got.GetBasis() != req.GetBasis() || got.GetOwner() != "manager/3" || len(got.GetId()) != 16 {
			t.Errorf("placed %v", got)
		}
	}
	for _, req := range []*sagov1.HoldServicePlaceRequest{
		{Transaction: "T1", Name: "x"}, {Transaction: "T1", Basis: "x"}, {Name: "x", Basis: "x"}, {Transaction: "T1", BundleId: "M", Name: "x", Basis: "x"},
		{Transaction: "T1", Name: "x", Basis: "x", BasisKind: "whim"}, {Transaction: "T1", Name: "x\n", Basis: "x"},
	} {
		if _, err := manager.PlaceHold(ctx, req); err == nil {
			t.Errorf("placed %v", req)
		}
	}
	for _, rec := range h.records(1, format.ActHoldPlace) { // a name may name people: it stands in no record in clear
		if bytes.Contains(rec.Encode(), []byte("홍길동")) {
			t.Error("a hold's name is in the history in clear")
		}
	}
	var listed []string
	for hold, err := range manager.Holds(ctx, &sagov1.HoldServiceListRequest{Transaction: "T1"}) {
		must(t, err)
		listed = append(listed, hold.GetScope()+" "+hold.GetName())
	}
	if got := strings.Join(listed, ", "); got != "bundle "+name+", subject "+name+", definition other" {
		t.Error(got)
	}

	h.advance(2 * time.Hour)
	h.sweep()
	_, err := h.readAs("officer", "T1", "")
	expectReason(t, err, "HELD")
	_, err = h.readAs("officer", "T1", "nobody's")
	expectReason(t, err, "NOT_FOUND")
	documents, err := h.readAs("officer", "T1", "other")
	if err != nil || string(documents[0]) != "content" {
		t.Errorf("%q %v", documents, err)
	}
	b, err := h.client("auditor").Show(ctx, &sagov1.ShowRequest{Transaction: "T1"})
	must(t, err)
	if b.GetState() != "held" || len(b.GetHolds()) != 3 || !b.GetHoldDetails()[0].GetReviewDue() {
		t.Errorf("%v", b)
	}

	denied := len(h.records(1, format.ActDeny))
	_, err = manager.ReleaseHold(ctx, &sagov1.HoldServiceReleaseRequest{Transaction: "T1", Name: "unknown", Reason: "over"})
	expectReason(t, err, "NOT_FOUND")
	if got := len(h.records(1, format.ActDeny)); got != denied+1 {
		t.Errorf("%d denials of an unknown hold's release", got-denied)
	}
	for i, req := range []*sagov1.HoldServiceReleaseRequest{
		{Transaction: "T1", Name: name, Reason: "over"}, {SubjectCi: "CI1", Name: name, Reason: "over"}, {BundleId: "MDS0000001", Name: "other", Reason: "over"},
	} {
		act, err := manager.ReleaseHold(ctx, req)
		must(t, err)
		if !strings.HasPrefix(act.GetParticulars().GetBasis(), req.GetName()+": ") || act.GetNeeded() != 2 {
			t.Errorf("%v", act)
		}
		_, err = manager.SignOwn(ctx, act)
		must(t, err)
		act, err = h.client("approver").SignAct(ctx, act.GetId(), nil)
		must(t, err)
		if act.GetState() != "executed" {
			t.Errorf("%v", act)
		}
		h.accept(store.KindHoldSweep, []byte{0, 0, 0, 100})
		h.sweep()
		if b := h.shown(ctx, "T1"); len(b.GetHolds()) != 2-i || (b.GetState() == "held") != (i < 2) {
			t.Errorf("after %d releases: %v", i+1, b)
		}
	}
}

func (h *house) shown(ctx context.Context, transaction string) *sagov1.Bundle {
	h.t.Helper()
	b, err := h.client("auditor").Show(ctx, &sagov1.ShowRequest{Transaction: transaction})
	must(h.t, err)
	return b
}

func TestExtensionsAndEventsAreShown(t *testing.T) {
	h := newHouse(t)
	ctx, manager := limited(t), h.client("manager")
	h.put("app", "T1", "P1Y", []byte("content"))
	h.put("app", "E1", "event:P1Y", []byte("content"))
	h.begin()
	before := h.shown(ctx, "T1")
	r, err := manager.Extend(ctx, &sagov1.ExtendRequest{Transaction: "T1", Retain: "P2Y", Basis: "새 법령"})
	must(t, err)
	after := h.shown(ctx, "T1")
	if after.GetRetentionRule() != "P2Y" || after.GetRetentionBasis() != "새 법령" || !after.GetDeadline().AsTime().After(before.GetDeadline().AsTime()) {
		t.Errorf("%v after %v", after, before)
	}
	if recs := h.records(1, format.ActExtend); len(recs) != 1 || recs[0].Sequence != r.GetHistorySequence() {
		t.Errorf("%v", recs)
	}
	_, err = manager.Extend(ctx, &sagov1.ExtendRequest{Transaction: "T1", Retain: "P3Y"})
	expectReason(t, err, "RETENTION_BASIS")
	if got := h.shown(ctx, "E1"); got.GetDeadline() != nil {
		t.Errorf("%v", got)
	}
	_, err = h.client("app").Event(ctx, &sagov1.EventRequest{Transaction: "E1", At: timestamppb.New(time.UnixMicro(began))})
	must(t, err)
	h.begin()
	if got := h.shown(ctx, "E1"); got.GetDeadline() == nil {
		t.Errorf("%v", got)
	}
}

// TestP29_PreviewSaysUntilWhen asks what a put would lock and until when; nothing
// is stored and nothing recorded.
func TestP29_PreviewSaysUntilWhen(t *testing.T) {
	h := newHouse(t)
	ctx, app := limited(t), h.client("app")
	size := h.st.Summary().Size
	for retain, want := range map[string]string{"P1Y": "starting", "2027-01-01": "set", "one-time": "unset", "event:P1Y": "unset"} {
		p, err := app.Preview(ctx, header("T1", retain))
		must(t, err)
		if p.GetRetentionState() != want || (p.GetUndeletableUntil() == nil) != (want == "unset") || p.GetLongest() == nil || p.GetHeld() {
			t.Errorf("%s: %v", retain, p)
		}
	}
	for retain, reason := range map[string]string{"P101Y": "RETENTION_RULE", "soon": "RETENTION_RULE"} {
		_, err := app.Preview(ctx, header("T1", retain))
		expectReason(t, err, reason)
	}
	if got := h.st.Summary().Size; got != size {
		t.Errorf("%d records", got-size)
	}
	_, err := h.client("manager").PlaceHold(ctx, &sagov1.HoldServicePlaceRequest{SubjectCi: "CI1", Name: "x", Basis: "law"})
	must(t, err)
	p, err := app.Preview(ctx, header("T1", "P1Y"))
	must(t, err)
	if !p.GetHeld() {
		t.Errorf("under a hold on its subject: %v", p)
	}
	preview := p.GetUndeletableUntil().AsTime()
	h.put("app", "T1", "P1Y", []byte("content"))
	h.begin()
	if got := h.shown(ctx, "T1").GetDeadline().AsTime(); got.Before(preview) {
		t.Errorf("kept until %v, foreseen %v", got, preview)
	}
}

func expectReason(t *testing.T, err error, reason string) {
	t.Helper()
	if got := client.ReasonOf(err); err == nil || got != reason {
		t.Errorf("%v (%s) where %s belongs", err, got, reason)
	}
}
