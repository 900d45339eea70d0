package service

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

func ptr(v uint64) *uint64 { return &v }

func TestCheckpoints(t *testing.T) {
	h := newHouse(t)
	raw := sagov1.NewHistoryServiceClient(h.as("app"))
	_, err := raw.Checkpoint(limited(t), &sagov1.CheckpointRequest{})
	expect(t, err, codes.Unavailable, "NO_CHECKPOINT")
	h.put("app", "T1", "P5Y", []byte("x"))
	h.checkpoint()
	first := h.st.Summary().Checkpoint.Checkpoint
	r := h.put("app", "T2", "P5Y", []byte("y"))

	auditor := h.client("auditor")
	got, err := auditor.Checkpoint(limited(t), client.CheckpointQuery{})
	must(t, err)
	if got.Checkpoint != first || got.Needed != 1 || len(got.Signers) != 1 {
		t.Errorf("newest: %+v", got)
	}
	_, err = raw.Checkpoint(limited(t), &sagov1.CheckpointRequest{Covering: ptr(r.GetHistorySequence())})
	expect(t, err, codes.Unavailable, "NOT_COVERED")
	fresh, err := auditor.Checkpoint(limited(t), client.CheckpointQuery{Fresh: true})
	must(t, err)
	if fresh.Checkpoint.Size <= r.GetHistorySequence() {
		t.Errorf("fresh: %+v", fresh)
	}
	again, err := auditor.Checkpoint(limited(t), client.CheckpointQuery{Fresh: true})
	if err != nil || again.Note != fresh.Note {
		t.Errorf("with nothing new: %+v, %v", again, err)
	}
	for q, want := range map[*sagov1.CheckpointRequest]uint64{
		{Covering: ptr(0)}:                            first.Size,
		{Covering: ptr(first.Size - 1)}:               first.Size,
		{Covering: ptr(first.Size)}:                   fresh.Checkpoint.Size,
		{Covering: ptr(r.GetHistorySequence())}:       fresh.Checkpoint.Size,
		{Size: ptr(first.Size)}:                       first.Size,
		{Known: first.Size}:                           fresh.Checkpoint.Size,
		{Known: fresh.Checkpoint.Size + 1}:            fresh.Checkpoint.Size,
		{Size: ptr(fresh.Checkpoint.Size), Known: 17}: fresh.Checkpoint.Size,
	} {
		a, err := raw.Checkpoint(limited(t), q)
		must(t, err)
		n, err := format.ParseNote(a.GetNote())
		must(t, err)
		if cp, err := format.ParseCheckpoint(n.Text); err != nil || cp.Size != want {
			t.Errorf("%v: size %d, want %d, %v", q, cp.Size, want, err)
		}
		if known := q.GetKnown(); (known > 0 && known < want) != (len(a.GetConsistency()) > 0) {
			t.Errorf("%v: %d hashes of consistency", q, len(a.GetConsistency()))
		}
	}
	_, err = raw.Checkpoint(limited(t), &sagov1.CheckpointRequest{Size: ptr(first.Size + 1)})
	expect(t, err, codes.NotFound, "NOT_FOUND")
	_, err = raw.Checkpoint(limited(t), &sagov1.CheckpointRequest{Covering: ptr(1), Size: ptr(2)})
	expect(t, err, codes.InvalidArgument, "INVALID")
}

// TestACheckpointOnItsWayIsAwaited: whoever remembers a checkpoint over records that
// are there is not told of an older one while the log's next is being signed.
func TestACheckpointOnItsWayIsAwaited(t *testing.T) {
	h := newHouse(t)
	h.put("app", "T", "P5Y", []byte("x"))
	h.checkpoint()
	app, auditor, ctx := sagov1.NewHistoryServiceClient(h.as("app")), h.client("auditor"), limited(t)
	_, err := auditor.Checkpoint(ctx, client.CheckpointQuery{}) // the connection stands
	must(t, err)
	for i := range 8 {
		known := h.put("app", "T"+strconv.Itoa(i), "P5Y", []byte("y")).GetHistorySequence() + 1
		var note string
		var err error
		var asked sync.WaitGroup
		asked.Go(func() {
			var a *sagov1.CheckpointResponse
			a, err = app.Checkpoint(ctx, &sagov1.CheckpointRequest{Known: known})
			note = a.GetNote()
		})
		_, freshErr := auditor.Checkpoint(ctx, client.CheckpointQuery{Fresh: true})
		asked.Wait()
		must(t, errors.Join(err, freshErr))
		n, err := format.ParseNote(note)
		must(t, err)
		if cp, err := format.ParseCheckpoint(n.Text); err != nil || cp.Size < known {
			t.Errorf("who remembers %d records is shown %d, %v", known, cp.Size, err)
		}
	}
}

// TestP55_OnlyAnAuditorHasCheckpointsTaken: receipts wait for the policy's own.
func TestP55_OnlyAnAuditorHasCheckpointsTaken(t *testing.T) {
	h := newHouse(t)
	r := h.put("app", "T1", "P5Y", []byte("x"))
	for _, who := range []string{"app", "officer"} {
		_, err := sagov1.NewHistoryServiceClient(h.as(who)).Checkpoint(limited(t), &sagov1.CheckpointRequest{Fresh: true})
		expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
	}
	_, err := sagov1.NewHistoryServiceClient(h.as("app")).Receipt(limited(t),
		&sagov1.ReceiptRequest{Sequence: r.GetHistorySequence(), LeafHash: r.GetLeafHash()})
	expect(t, err, codes.Unavailable, "NOT_COVERED")
	if n := h.records(0, format.ActCheckpoint); len(n) != 0 {
		t.Errorf("%d checkpoints were taken", len(n))
	}
	_, err = sagov1.NewHistoryServiceClient(h.as("admin")).Checkpoint(limited(t), &sagov1.CheckpointRequest{})
	expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
}

func TestReceiptIsTheCallersOwn(t *testing.T) {
	h := newHouse(t)
	r := h.put("app", "T1", "P5Y", []byte("x"))
	h.checkpoint()
	before := h.st.Summary().Size
	ask := func(who string, sequence uint64, leaf []byte) (*sagov1.ReceiptResponse, error) {
		return sagov1.NewHistoryServiceClient(h.as(who)).Receipt(limited(t), &sagov1.ReceiptRequest{Sequence: sequence, LeafHash: leaf})
	}
	own, err := ask("app", r.GetHistorySequence(), r.GetLeafHash())
	must(t, err)
	if own.GetProof().GetSequence() != r.GetHistorySequence() || string(own.GetProof().GetLeafHash()) != string(r.GetLeafHash()) {
		t.Errorf("answered %v", own)
	}
	wrong := append([]byte{1}, r.GetLeafHash()[1:]...)
	_, other := ask("app2", r.GetHistorySequence(), r.GetLeafHash())
	_, leaf := ask("app", r.GetHistorySequence(), wrong)
	_, none := ask("app", 1<<40, r.GetLeafHash())
	_, short := ask("app", r.GetHistorySequence(), nil)
	for name, err := range map[string]error{"another institution's": other, "another leaf hash": leaf, "no such record": none, "no leaf hash": short} {
		expect(t, err, codes.NotFound, "NOT_FOUND")
		if err.Error() != none.Error() {
			t.Errorf("%s is told apart: %v", name, err)
		}
	}
	if h.st.Summary().Size != before {
		t.Error("a receipt left a record")
	}
}

// TestAManagersReceiptsAreOfTheirOwnDoing: of a hold or an extension they placed, and
// of nothing that others did.
func TestAManagersReceiptsAreOfTheirOwnDoing(t *testing.T) {
	h := newHouse(t)
	put := h.put("app", "T1", "P5Y", []byte("x"))
	hold, err := h.client("manager").PlaceHold(limited(t), &sagov1.HoldServicePlaceRequest{Transaction: "T1", Name: "case", Basis: "law"})
	must(t, err)
	h.checkpoint()
	manager := sagov1.NewHistoryServiceClient(h.as("manager"))
	at := hold.GetHold().GetHistorySequence()
	own, err := manager.Receipt(limited(t), &sagov1.ReceiptRequest{Sequence: at, LeafHash: hold.GetLeafHash()})
	must(t, err)
	if own.GetProof().GetSequence() != at {
		t.Errorf("answered %v", own)
	}
	_, err = manager.Receipt(limited(t), &sagov1.ReceiptRequest{Sequence: put.GetHistorySequence(), LeafHash: put.GetLeafHash()})
	expect(t, err, codes.NotFound, "NOT_FOUND")
}

func TestProveShowsWhatShowShows(t *testing.T) {
	h := newHouse(t)
	r := h.put("app", "T1", "P5Y", []byte("x"))
	auditor := sagov1.NewHistoryServiceClient(h.as("auditor"))
	prove := func(who sagov1.HistoryServiceClient, sequence, size uint64) error {
		_, err := who.Prove(limited(t), &sagov1.ProveRequest{Sequence: sequence, Size: size})
		return err
	}
	expect(t, prove(auditor, r.GetHistorySequence(), 0), codes.Unavailable, "NOT_COVERED")
	h.checkpoint()
	size := h.st.Summary().Checkpoint.Checkpoint.Size
	must(t, prove(auditor, r.GetHistorySequence(), 0))
	must(t, prove(auditor, r.GetHistorySequence(), size))
	expect(t, prove(auditor, r.GetHistorySequence(), size-1), codes.NotFound, "NOT_FOUND")
	expect(t, prove(auditor, size, size), codes.InvalidArgument, "INVALID")
	expect(t, prove(sagov1.NewHistoryServiceClient(h.as("auditor2")), r.GetHistorySequence(), 0), codes.NotFound, "NOT_FOUND")
	expect(t, prove(auditor, 1<<60, 0), codes.NotFound, "NOT_FOUND")
	expect(t, prove(sagov1.NewHistoryServiceClient(h.as("app")), r.GetHistorySequence(), 0), codes.PermissionDenied, "NOT_PERMITTED")
	if lists := h.records(1, format.ActList); len(lists) != 6 {
		t.Errorf("%d queries are recorded", len(lists))
	}
}

func TestConsistency(t *testing.T) {
	h := newHouse(t)
	h.put("app", "T1", "P5Y", []byte("x"))
	h.checkpoint()
	first := h.st.Summary().Checkpoint.Checkpoint.Size
	h.advance(time.Second)
	h.put("app", "T2", "P5Y", []byte("x"))
	h.checkpoint()
	size := h.st.Summary().Checkpoint.Checkpoint.Size
	ask := func(old, new uint64) (*sagov1.ConsistencyResponse, error) {
		return sagov1.NewHistoryServiceClient(h.as("app")).Consistency(limited(t), &sagov1.ConsistencyRequest{Old: old, New: new})
	}
	for _, c := range []struct {
		old, new uint64
		noted    bool
	}{{1, 0, true}, {first, size, true}, {1, first, true}, {2, size - 1, false}, {size, size, true}} {
		a, err := ask(c.old, c.new)
		must(t, err)
		if (a.GetCheckpoint() != "") != c.noted || (len(a.GetProof()) == 0) != (c.old == a.GetNew()) || c.new != 0 && a.GetNew() != c.new {
			t.Errorf("%+v: %v", c, a)
		}
	}
	for _, c := range []struct{ old, new uint64 }{{0, 3}, {4, 3}} {
		_, err := ask(c.old, c.new)
		expect(t, err, codes.InvalidArgument, "INVALID")
	}
	_, err := ask(1, 1<<40)
	expect(t, err, codes.NotFound, "NOT_FOUND")
}

// TestWhoTakesBackupsProvesConsistency: a backup's checkpoint is held against what
// another process of the same person has remembered since the run was asked for.
func TestWhoTakesBackupsProvesConsistency(t *testing.T) {
	h := newHouse(t)
	h.put("app", "T1", "P5Y", []byte("x"))
	h.checkpoint()
	_, err := sagov1.NewHistoryServiceClient(h.as("admin")).Consistency(limited(t), &sagov1.ConsistencyRequest{Old: 1})
	must(t, err)
	_, err = sagov1.NewHistoryServiceClient(h.as("contractor")).Consistency(limited(t), &sagov1.ConsistencyRequest{Old: 1})
	expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
}
