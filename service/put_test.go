package service

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

func TestTakenNumbers(t *testing.T) {
	h := newHouse(t)
	first := h.put("app", "T1", "P5Y", []byte("content"))
	slots := h.slots
	again := h.put("app", "T1", "P5Y", []byte("content"))
	if !again.GetAlreadyStored() || again.GetHistorySequence() != first.GetHistorySequence() || !bytes.Equal(again.GetLeafHash(), first.GetLeafHash()) {
		t.Errorf("stored again: %v, first %v", again, first)
	}
	if longer := h.put("app", "T1", "P9Y", []byte("content")); !longer.GetRetainUntil().AsTime().Equal(first.GetRetainUntil().AsTime()) {
		t.Errorf("the same content under another rule: %v", longer)
	}
	bundles := sagov1.NewBundleServiceClient(h.as("app"))
	other := &sagov1.PutRequest{Header: withSize(header("T1", "P5Y"), 5), Contents: [][]byte{[]byte("other")}}
	_, err := bundles.Put(limited(t), other)
	expect(t, err, codes.AlreadyExists, "CONFLICT")
	denials := h.records(1, format.ActDeny)
	if len(denials) != 1 || denials[0].Result != format.ReasonConflict || denials[0].Transaction != "T1" {
		t.Errorf("the conflict's record: %+v", denials)
	}
	if h.slots != slots {
		t.Errorf("a taken number cost %d keys", h.slots-slots)
	}
	// Another institution's same number is another bundle.
	if r := h.put("app2", "T1", "P5Y", []byte("theirs")); r.GetAlreadyStored() || r.GetInstitution() != "other" {
		t.Errorf("another institution's: %v", r)
	}
}

// TestTakenMeanwhile: the number is taken after the look at the state here and
// before Apply, which alone decides.
func TestTakenMeanwhile(t *testing.T) {
	h := newHouse(t)
	app := h.client("app")
	for transaction, content := range map[string]string{"SAME": "content", "OTHER": "something else"} {
		raced := false
		before := func(op *store.Op) {
			if op.Kind == store.KindStore && !raced {
				raced = true
				h.put("app", transaction, "P5Y", []byte("content"))
			}
		}
		h.before.Store(&before)
		r, err := app.Put(limited(t), header(transaction, "P5Y"), client.BytesContent("a", "text/plain", []byte(content)))
		h.before.Store(nil)
		if transaction == "OTHER" {
			var refused *client.Error
			if !errors.As(err, &refused) || refused.Reason != "CONFLICT" {
				t.Errorf("other content: %v, %v", r, err)
			}
		} else if err != nil || !r.GetAlreadyStored() {
			t.Errorf("the same content: %v, %v", r, err)
		}
	}
}

func TestP28_P29_PutRefusesInput(t *testing.T) {
	h := newHouse(t)
	bundles := sagov1.NewBundleServiceClient(h.as("app"))
	good := func() *sagov1.PutRequest {
		return &sagov1.PutRequest{Header: withSize(header("T1", "P5Y"), 1), Contents: [][]byte{{'x'}}}
	}
	for name, c := range map[string]struct {
		change func(*sagov1.PutRequest)
		code   codes.Code
		reason string
	}{
		"no header":       {func(r *sagov1.PutRequest) { r.Header = nil }, codes.InvalidArgument, "INVALID"},
		"no number":       {func(r *sagov1.PutRequest) { r.Header.Transaction = "" }, codes.InvalidArgument, "INVALID"},
		"control":         {func(r *sagov1.PutRequest) { r.Header.Transaction = "a\nb" }, codes.InvalidArgument, "INVALID"},
		"P28 no rule":     {func(r *sagov1.PutRequest) { r.Header.Retain = "" }, codes.InvalidArgument, "RETENTION_RULE"},
		"bad rule":        {func(r *sagov1.PutRequest) { r.Header.Retain = "5 years" }, codes.InvalidArgument, "RETENTION_RULE"},
		"P29 too long":    {func(r *sagov1.PutRequest) { r.Header.Retain = "P101Y" }, codes.FailedPrecondition, "RETENTION_RULE"},
		"past":            {func(r *sagov1.PutRequest) { r.Header.Retain = "2020-01-01" }, codes.FailedPrecondition, "RETENTION_RULE"},
		"no basis":        {func(r *sagov1.PutRequest) { r.Header.Basis = "" }, codes.InvalidArgument, "RETENTION_BASIS"},
		"bad basis kind":  {func(r *sagov1.PutRequest) { r.Header.BasisKind = "whim" }, codes.InvalidArgument, "RETENTION_BASIS"},
		"no definition":   {func(r *sagov1.PutRequest) { r.Header.BundleId = "MDS0000009" }, codes.FailedPrecondition, "DEFINITION"},
		"no subject":      {func(r *sagov1.PutRequest) { r.Header.SubjectCi = "" }, codes.InvalidArgument, "INVALID"},
		"no documents":    {func(r *sagov1.PutRequest) { r.Header.Documents, r.Contents = nil, nil }, codes.InvalidArgument, "INVALID"},
		"other size":      {func(r *sagov1.PutRequest) { r.Contents = [][]byte{[]byte("xy")} }, codes.InvalidArgument, "INVALID"},
		"over 4 MiB":      {func(r *sagov1.PutRequest) { r.Header.Documents[0].Size = 4<<20 + 1 }, codes.InvalidArgument, "TOO_LARGE"},
		"size overflow":   {func(r *sagov1.PutRequest) { withSize(r.Header, 1<<63, 1<<63) }, codes.InvalidArgument, "TOO_LARGE"},
		"long names":      {longNames, codes.InvalidArgument, "TOO_LARGE"},
		"too many of one": {func(r *sagov1.PutRequest) { r.Contents = append(r.Contents, []byte("y")) }, codes.InvalidArgument, "INVALID"},
	} {
		req := good()
		c.change(req)
		_, err := bundles.Put(limited(t), req)
		t.Run(name, func(t *testing.T) { expect(t, err, c.code, c.reason) })
	}
	if row, err := h.st.Bundle(formatKey(1, "T1")); err != nil || row != nil {
		t.Errorf("a refused put left %v, %v", row, err)
	}
	_, err := bundles.Put(limited(t), good())
	must(t, err)
}

func longNames(r *sagov1.PutRequest) {
	for range 999 {
		r.Header.Documents = append(r.Header.Documents, &sagov1.DocumentHeader{Name: string(bytes.Repeat([]byte("n"), 256))})
	}
}

func TestStreamMustMatchItsHeader(t *testing.T) {
	h := newHouse(t)
	bundles := sagov1.NewBundleServiceClient(h.as("app"))
	for name, parts := range map[string][]*sagov1.PutStreamRequest{
		"empty":         {},
		"data first":    {{Part: &sagov1.PutStreamRequest_Data{Data: []byte("x")}}},
		"too short":     {{Part: &sagov1.PutStreamRequest_Header{Header: withSize(header("S", "P5Y"), 3)}}, {Part: &sagov1.PutStreamRequest_Data{Data: []byte("x")}}},
		"too long":      {{Part: &sagov1.PutStreamRequest_Header{Header: withSize(header("S", "P5Y"), 1)}}, {Part: &sagov1.PutStreamRequest_Data{Data: []byte("xy")}}},
		"second header": {{Part: &sagov1.PutStreamRequest_Header{Header: withSize(header("S", "P5Y"), 1)}}, {Part: &sagov1.PutStreamRequest_Header{Header: header("S", "P5Y")}}},
	} {
		stream, err := bundles.PutStream(limited(t))
		must(t, err)
		for _, p := range parts {
			_ = stream.Send(p) // io.EOF once the server has refused
		}
		_, err = stream.CloseAndRecv()
		t.Run(name, func(t *testing.T) { expect(t, err, codes.InvalidArgument, "INVALID") })
	}
	stream, err := bundles.PutStream(limited(t))
	must(t, err)
	must(t, stream.Send(&sagov1.PutStreamRequest{Part: &sagov1.PutStreamRequest_Header{Header: withSize(header("S", "P5Y"), 256<<20, 1)}}))
	_, err = stream.CloseAndRecv()
	expect(t, err, codes.InvalidArgument, "TOO_LARGE")
	if row, err := h.st.Bundle(formatKey(1, "S")); err != nil || row != nil {
		t.Errorf("a refused stream left %v, %v", row, err)
	}
}

// TestChunksInFlight: while a stream comes, four of its chunks wait and no fifth
// is proposed; and a chunk that nobody takes ends the put.
func TestChunksInFlight(t *testing.T) {
	h := newHouse(t)
	app := h.client("app")
	arrived, release := make(chan struct{}, 99), make(chan struct{})
	before := func(op *store.Op) {
		if op.Kind == store.KindChunk {
			arrived <- struct{}{}
			<-release
		}
	}
	h.before.Store(&before)
	stored := make(chan error, 1)
	go func() {
		_, err := app.Put(limited(t), header("T1", "P5Y"), client.BytesContent("a", "b", random(9<<20)))
		stored <- err
	}()
	for range chunksInFlight {
		<-arrived
	}
	select {
	case <-arrived:
		t.Error("a fifth chunk in flight")
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	must(t, <-stored)
	broken := func(op *store.Op) { h.down.Store(op.Kind == store.KindChunk) }
	h.before.Store(&broken)
	_, err := app.Put(limited(t), header("T2", "P5Y"), client.BytesContent("a", "b", random(9<<20)))
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Reason != "UNAVAILABLE" {
		t.Errorf("with a chunk that nobody took: %v", err)
	}
}

// TestEverySlotOfAPutIsGivenBack: stored, lost to another put, refused, cut midway, of
// unknown outcome: the answer comes after the slot was given back, once, and nothing
// more is proposed under it.
func TestEverySlotOfAPutIsGivenBack(t *testing.T) {
	h := newHouse(t)
	bundles := sagov1.NewBundleServiceClient(h.as("app"))
	app := h.client("app")
	first := h.slots
	given := func(what string, puts int) {
		t.Helper()
		h.mu.Lock()
		defer h.mu.Unlock()
		if int(h.slots-first) != puts || len(h.done) != puts {
			t.Errorf("%s: %d slots of %d puts, given back %v", what, h.slots-first, puts, h.done)
		}
		for i, s := range h.done {
			if s.Index != first+uint32(i) {
				t.Errorf("%s: slot %v given back as number %d", what, s, i)
			}
		}
	}
	h.put("app", "T1", "P5Y", []byte("content"))
	given("stored", 1)
	h.put("app", "T1", "P5Y", []byte("content"))
	given("taken before", 1)

	refused := &sagov1.PutRequest{Header: withSize(header("T2", "P101Y"), 1), Contents: [][]byte{{'x'}}}
	_, err := bundles.Put(limited(t), refused)
	expect(t, err, codes.FailedPrecondition, "RETENTION_RULE")
	given("refused", 2)

	stream, err := bundles.PutStream(limited(t))
	must(t, err)
	must(t, stream.Send(&sagov1.PutStreamRequest{Part: &sagov1.PutStreamRequest_Header{Header: withSize(header("T3", "P5Y"), 3)}}))
	must(t, stream.Send(&sagov1.PutStreamRequest{Part: &sagov1.PutStreamRequest_Data{Data: []byte("x")}}))
	_, err = stream.CloseAndRecv()
	expect(t, err, codes.InvalidArgument, "INVALID")
	given("cut", 3)

	broken := func(op *store.Op) { h.down.Store(op.Kind == store.KindStore) }
	h.before.Store(&broken)
	_, err = app.Put(limited(t), header("T4", "P5Y"), client.BytesContent("a", "b", random(3<<20)))
	h.before.Store(nil)
	h.down.Store(false)
	var unknown *client.Error
	if !errors.As(err, &unknown) || unknown.Reason != "UNAVAILABLE" {
		t.Errorf("of unknown outcome: %v", err)
	}
	given("unknown", 4)
}
