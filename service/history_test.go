package service

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

func actions(records []*sagov1.HistoryRecord) (names []string) {
	for _, r := range records {
		names = append(names, r.GetAction())
	}
	return names
}

func TestHistoryListShowsWhatHappened(t *testing.T) {
	h := newHouse(t)
	h.put("app", "T1", "P5Y", []byte("x"))
	_, _, err := h.client("officer").GetBytes(limited(t), get("T1"))
	must(t, err)
	_, err = sagov1.NewBundleServiceClient(h.as("admin")).Show(limited(t), &sagov1.ShowRequest{Transaction: "T1"})
	expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
	h.put("app2", "T2", "P5Y", []byte("theirs"))
	h.advance(time.Minute)
	h.checkpoint()

	auditor := h.client("auditor")
	records, _, err := auditor.Records(limited(t), &sagov1.HistoryServiceListRequest{})
	must(t, err)
	if got := actions(records); !slices.Equal(got, []string{"STORE", "READ", "DENY", "LIST"}) {
		t.Fatalf("listed %v", got)
	}
	read, deny := records[1], records[2]
	if read.GetPurpose() != "eligibility" || read.GetActor() != "officer/2" || read.GetDetail()["user_name"] != "officer 김" || read.GetInstitution() != "demo" {
		t.Errorf("the read: %v", read)
	}
	if deny.GetResult() != "NOT_PERMITTED" || deny.GetDetail()["attempted"] != "SHOW" || deny.GetTransaction() != "T1" || deny.GetActor() != "admin/6" {
		t.Errorf("the denial: %v", deny)
	}
	for i, r := range records {
		if r.GetInstitutionSequence() != uint64(i) {
			t.Errorf("record %d is number %d of the institution", i, r.GetInstitutionSequence())
		}
	}
	one, _, err := auditor.Records(limited(t), &sagov1.HistoryServiceListRequest{Transaction: "T1", Action: "READ"})
	if err != nil || len(one) != 1 || one[0].GetSequence() != read.GetSequence() {
		t.Errorf("reads of T1: %v, %v", one, err)
	}
	// A misspelt name must not look like a history in which it never happened.
	for _, misspelt := range []string{"RAED", "read", "ACTION_99"} {
		_, err := sagov1.NewHistoryServiceClient(h.as("auditor")).List(limited(t), &sagov1.HistoryServiceListRequest{Action: misspelt})
		expect(t, err, codes.InvalidArgument, "INVALID")
	}
	all, _, err := auditor.Records(limited(t), &sagov1.HistoryServiceListRequest{All: true})
	must(t, err)
	if got := actions(all); !slices.Contains(got, "CLOCK") || !slices.Contains(got, "CHECKPOINT") || slices.Contains(got, "KEY") || slices.Contains(got, "ACT") {
		t.Errorf("all: %v", got)
	}
	if !slices.IsSortedFunc(all, func(a, b *sagov1.HistoryRecord) int { return int(a.GetSequence()) - int(b.GetSequence()) }) {
		t.Error("not in order")
	}
}

func TestHistoryPages(t *testing.T) {
	h := newHouse(t)
	for i := range 7 {
		h.put("app", "T"+number(uint64(i)), "P5Y", []byte("x"))
	}
	list := sagov1.NewHistoryServiceClient(h.as("auditor"))
	var from uint64
	var seen []uint64
	for range 10 {
		page, err := list.List(limited(t), &sagov1.HistoryServiceListRequest{Action: "STORE", Limit: 3, From: from})
		must(t, err)
		for _, r := range page.GetRecords() {
			seen = append(seen, r.GetSequence())
		}
		if from = page.GetNext(); from == 0 {
			break
		}
	}
	if len(seen) != 7 || !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != 7 {
		t.Errorf("pages: %v", seen)
	}
}

func TestHistoryShow(t *testing.T) {
	h := newHouse(t)
	r := h.put("app", "T1", "P5Y", []byte("x"))
	shown, err := h.client("auditor").ShowRecord(limited(t), r.GetHistorySequence()) // hashes the bytes
	must(t, err)
	if !bytes.Equal(shown.GetRecord().GetLeafHash(), r.GetLeafHash()) || shown.GetRecord().GetDetail()["basis"] != "국민연금법 제1조" {
		t.Errorf("shown: %v", shown)
	}
	other := sagov1.NewHistoryServiceClient(h.as("auditor2"))
	_, theirs := other.Show(limited(t), &sagov1.HistoryServiceShowRequest{Sequence: r.GetHistorySequence()})
	expect(t, theirs, codes.NotFound, "NOT_FOUND")
	_, none := other.Show(limited(t), &sagov1.HistoryServiceShowRequest{Sequence: 1 << 60})
	expect(t, none, codes.NotFound, "NOT_FOUND")
	if theirs.Error() != none.Error() {
		t.Errorf("told apart: %v, %v", theirs, none)
	}
}

// TestHistoryVerify: the client holds the note against the pinned key.
func TestHistoryVerify(t *testing.T) {
	h := newHouse(t)
	auditor := h.client("auditor")
	proof, err := auditor.VerifyHistory(limited(t))
	must(t, err)
	if proof.Checkpoint != nil || !proof.Answer.GetIntact() {
		t.Errorf("before a checkpoint: %+v", proof)
	}
	h.put("app", "T1", "P5Y", []byte("x"))
	h.checkpoint()
	h.put("app", "T2", "P5Y", []byte("y"))
	proof, err = auditor.VerifyHistory(limited(t))
	must(t, err)
	if proof.Checkpoint == nil || !slices.Equal(proof.Signers, []string{"n1"}) || proof.Answer.GetSize() <= proof.Checkpoint.Size {
		t.Errorf("proof %+v", proof)
	}
	if again, err := auditor.VerifyCluster(limited(t)); err != nil {
		t.Errorf("cluster: %v, %v", again, err)
	}
}

func TestTreeIsTheHistorys(t *testing.T) {
	h := newHouse(t)
	for i := range 9 {
		h.put("app", "T"+number(uint64(i)), "P5Y", []byte("x"))
	}
	var grown tree
	size := h.st.Summary().Size
	must(t, h.st.History(limited(t), 0, size, func(_ uint64, encoded []byte) error {
		grown.add(format.LeafHash(encoded))
		want, err := h.st.RootAt(grown.size)
		if err == nil && want != grown.root() {
			t.Errorf("at %d: %x, the history says %x", grown.size, grown.root(), want)
		}
		return err
	}))
	if empty := (&tree{}).root(); empty != sum() {
		t.Errorf("the empty tree: %x", empty)
	}
}

func TestUses(t *testing.T) {
	h := newHouse(t)
	h.put("app", "T1", "P5Y", []byte("x"))
	h.put("app2", "T1", "P5Y", []byte("y"))
	who := &sagov1.Who{Purpose: "심사", UserName: "박영희", UserDepartment: "연금과", UserContact: "02-1"}
	app := h.client("app")
	for range 3 {
		r, err := app.RecordUse(limited(t), &sagov1.RecordRequest{Transaction: "T1", Who: who})
		must(t, err)
		if r.GetRecordedAt() == nil || len(r.GetLeafHash()) != 32 {
			t.Errorf("recorded: %v", r)
		}
	}
	_, err := h.client("officer2").RecordUse(limited(t), &sagov1.RecordRequest{Transaction: "T1", Who: who})
	must(t, err)
	uses := sagov1.NewUsageServiceClient(h.as("auditor"))
	for _, req := range []*sagov1.UsageServiceListRequest{{Transaction: "T1", Limit: 2}, {SubjectCi: "CI1", Limit: 2}} {
		var seen []*sagov1.Use
		for range 5 {
			page, err := uses.List(limited(t), req)
			must(t, err)
			seen = append(seen, page.GetUses()...)
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
				break
			}
		}
		if len(seen) != 3 || seen[2].GetWho().GetUserName() != "박영희" || seen[0].GetBundleId() != "MDS0000001" || seen[0].GetActor() != "application/1" {
			t.Errorf("uses: %v", seen)
		}
	}
	_, err = uses.List(limited(t), &sagov1.UsageServiceListRequest{})
	expect(t, err, codes.InvalidArgument, "INVALID")
	for _, rec := range h.records(1, format.ActUse) {
		if rec.DetailClass != format.DetailUse {
			t.Errorf("a use under key class %d", rec.DetailClass)
		}
	}
}

func TestStatus(t *testing.T) {
	h := newHouse(t)
	h.advance(time.Minute)
	auditor := h.client("auditor")
	clock, err := auditor.ClockStatus(limited(t))
	must(t, err)
	if got := clock.GetClock().AsTime().UnixMicro(); got != h.st.Summary().Clock.Now || clock.GetStatus() != "synchronized" || clock.GetBudget().GetSlackSeconds() != 3600 {
		t.Errorf("clock: %v", clock)
	}
	cluster, err := auditor.ClusterStatus(limited(t))
	must(t, err)
	if !cluster.GetSingle() || cluster.GetAnsweredBy() != "n1" || len(cluster.GetNodes()) != 1 || len(cluster.GetClusterId()) != 32 {
		t.Errorf("cluster: %v", cluster)
	}
}

// TestUnreadableDetailHidesNothing: a detail that does not open is said so, and
// the other records are shown.
func TestUnreadableDetailHidesNothing(t *testing.T) {
	h := newHouse(t)
	before := func(op *store.Op) {
		if op.Kind == store.KindStore {
			op.Detail = bytes.Clone(op.Detail)
			op.Detail[0] ^= 1
		}
	}
	h.before.Store(&before)
	h.put("app", "T1", "P5Y", []byte("x"))
	records, _, err := h.client("auditor").Records(limited(t), &sagov1.HistoryServiceListRequest{})
	must(t, err)
	if len(records) != 2 || records[0].GetDetail()["sealed"] != "does not open" || records[1].GetDetail()["subject"] == "" {
		t.Errorf("listed %v", records)
	}
}

func TestHistorySinceAndUntil(t *testing.T) {
	h := newHouse(t)
	h.put("app", "T1", "P5Y", []byte("x"))
	h.advance(time.Minute)
	at := h.st.Summary().Clock.Now
	h.put("app", "T2", "P5Y", []byte("x"))
	list := sagov1.NewHistoryServiceClient(h.as("auditor"))
	page, err := list.List(limited(t), &sagov1.HistoryServiceListRequest{Since: instant(at), Action: "STORE"})
	if err != nil || len(page.GetRecords()) != 1 || page.GetRecords()[0].GetTransaction() != "T2" {
		t.Errorf("since: %v, %v", page, err)
	}
	page, err = list.List(limited(t), &sagov1.HistoryServiceListRequest{Until: instant(at), Action: "STORE"})
	if err != nil || len(page.GetRecords()) != 1 || page.GetRecords()[0].GetTransaction() != "T1" {
		t.Errorf("until: %v, %v", page, err)
	}
	_, err = list.List(limited(t), &sagov1.HistoryServiceListRequest{Until: &timestamppb.Timestamp{Nanos: -1}})
	expect(t, err, codes.InvalidArgument, "INVALID")
	bundles, err := sagov1.NewBundleServiceClient(h.as("auditor")).List(limited(t), &sagov1.ListRequest{Since: instant(at), BundleId: "MDS0000001"})
	if err != nil || len(bundles.GetBundles()) != 1 {
		t.Errorf("bundles since: %v, %v", bundles, err)
	}
}
