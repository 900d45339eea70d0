package service

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func get(transaction string) *sagov1.GetRequest {
	return &sagov1.GetRequest{Transaction: transaction, Part: 1, Who: why}
}

func TestPutGetRoundTrips(t *testing.T) {
	h := newHouse(t)
	app, officer := h.client("app"), h.client("officer")
	for name, documents := range map[string][][]byte{
		"one":           {[]byte("<x/>")},
		"empty":         {{}},
		"several":       {[]byte("a"), {}, random(100_000), []byte("d"), {}},
		"unary-limit":   {random(4 << 20)},
		"chunk-exactly": {random(format.MaxChunk)},
		"9-MiB-stream":  {random(3 << 20), random(6<<20 + 7)},
	} {
		var contents []client.Content
		for _, d := range documents {
			contents = append(contents, client.BytesContent("이름.xml", "application/xml", d))
		}
		receipt, err := app.Put(limited(t), header("T-"+name, "P5Y"), contents...) // compares the fingerprint
		must(t, err)
		if receipt.GetInstitution() != "demo" || receipt.GetAlreadyStored() || receipt.GetRetentionState() != "starting" ||
			receipt.GetRetainUntil().AsTime().Format(time.RFC3339) != "2031-03-01T15:00:00Z" {
			t.Errorf("%s: receipt %v", name, receipt)
		}
		read, got, err := officer.GetBytes(limited(t), get("T-"+name)) // compares every digest
		must(t, err)
		if len(got) != len(documents) || read.GetFingerprint() != receipt.GetFingerprint() || read.GetDocuments()[0].GetName() != "이름.xml" {
			t.Fatalf("%s: %d documents, %v", name, len(got), read)
		}
		for i := range got {
			if !bytes.Equal(got[i], documents[i]) {
				t.Errorf("%s: document %d differs", name, i)
			}
		}
		if rec, _, err := h.st.Record(read.GetHistorySequence()); err != nil || rec.Action != format.ActRead {
			t.Errorf("%s: the read's record is %v, %v", name, rec.Action, err)
		}
	}
}

// TestNoByteBeforeTheRecord: a read whose record does not commit sends nothing (I3).
func TestNoByteBeforeTheRecord(t *testing.T) {
	h := newHouse(t)
	h.put("app", "T1", "P5Y", []byte("secret"))
	h.down.Store(true)
	stream, err := sagov1.NewBundleServiceClient(h.as("officer")).Get(limited(t), get("T1"))
	must(t, err)
	m, err := stream.Recv()
	expect(t, err, codes.Unavailable, "UNAVAILABLE")
	if m != nil {
		t.Fatalf("received %v", m)
	}
}

func TestPurposeIsRequired(t *testing.T) {
	h := newHouse(t)
	h.put("app", "T1", "P5Y", []byte("x"))
	read := func(as string, who *sagov1.Who) error {
		stream, err := sagov1.NewBundleServiceClient(h.as(as)).Get(limited(t), &sagov1.GetRequest{Transaction: "T1", Who: who})
		for err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	for _, err := range []error{read("officer", nil), read("officer", &sagov1.Who{Purpose: " "}), read("app", why), read("app", &sagov1.Who{Purpose: "p", UserName: "n", UserDepartment: "d"})} {
		expect(t, err, codes.InvalidArgument, "PURPOSE_REQUIRED")
	}
	if err := read("officer", why); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	reads := h.records(1, format.ActRead)
	if len(reads) != 1 {
		t.Fatalf("%d reads recorded", len(reads))
	}
	d, err := h.st.OpenDetail(&reads[0])
	must(t, err)
	if d.Purpose != "eligibility" || d.UserName != "officer 김" || d.Department != "Pension" || d.Contact != "officer@demo.example" || d.Origin != "127.0.0.1" {
		t.Errorf("recorded %+v", d)
	}
}

func TestExpiredIsRefusedAndShown(t *testing.T) {
	h := newHouse(t)
	auditor, officer := h.client("auditor"), h.client("officer")
	h.put("app", "T1", "PT5S", []byte("x"))
	show := func(state string, replica string) {
		t.Helper()
		b, err := auditor.Show(limited(t), &sagov1.ShowRequest{Transaction: "T1"})
		must(t, err)
		if b.GetState() != state || b.GetReplicas()[0].GetState() != replica || b.GetRetentionBasis() != "국민연금법 제1조" || b.GetRetentionRule() != "PT5S" {
			t.Errorf("shown as %v", b)
		}
	}
	h.begin()
	show("active", "stored")
	h.advance(10 * time.Second)
	refused := func() {
		t.Helper()
		var e *client.Error
		if _, _, err := officer.GetBytes(limited(t), get("T1")); !errors.As(err, &e) || e.Reason != "EXPIRED" || e.Code != codes.NotFound {
			t.Errorf("read after the deadline: %v", err)
		}
		_, err := officer.RecordUse(limited(t), &sagov1.RecordRequest{Transaction: "T1", Who: why})
		if !errors.As(err, &e) || e.Reason != "EXPIRED" {
			t.Errorf("use after the deadline: %v", err)
		}
	}
	refused()
	show("expired", "stored")
	h.sweep()
	refused()
	show("expired", "pending")
	h.erase()
	refused()
	show("erased", "erased")
	_, err := sagov1.NewBundleServiceClient(h.as("app")).Put(limited(t), &sagov1.PutRequest{Header: withSize(header("T1", "P5Y"), 1), Contents: [][]byte{{'x'}}})
	expect(t, err, codes.AlreadyExists, "CONFLICT")
}

// TestReadInFlightEndsAtTheDeadline: the tick passes while the stream runs.
func TestReadInFlightEndsAtTheDeadline(t *testing.T) {
	for name, pass := range map[string]func(*house){
		"tick":   func(h *house) { h.advance(10 * time.Second) },
		"erased": func(h *house) { h.advance(10 * time.Second); h.sweep(); h.erase() },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.put("app", "T1", "PT5S", random(20<<20))
			h.begin()
			stream, err := sagov1.NewBundleServiceClient(h.as("officer")).Get(limited(t), get("T1"))
			must(t, err)
			_, err = stream.Recv() // the header; what follows fills the window and waits
			must(t, err)
			pass(h)
			size := 0
			for err == nil {
				var m *sagov1.GetResponse
				m, err = stream.Recv()
				size += len(m.GetData())
			}
			expect(t, err, codes.NotFound, "EXPIRED")
			if size >= 20<<20 {
				t.Error("everything was sent")
			}
		})
	}
}

// TestErasedWhileItIsFetched: a chunk or key that goes between the look at the
// clock and the read is the end of its retention, and no damage.
func TestErasedWhileItIsFetched(t *testing.T) {
	h := newHouse(t)
	h.put("app", "T1", "PT5S", []byte("x"))
	h.begin()
	erase := func() { h.advance(10 * time.Second); h.sweep(); h.erase() }
	h.fetching.Store(&erase)
	stream, err := sagov1.NewBundleServiceClient(h.as("officer")).Get(limited(t), get("T1"))
	must(t, err)
	_, err = stream.Recv()
	expect(t, err, codes.NotFound, "EXPIRED")
	if b, err := h.st.Bundle(formatKey(1, "T1")); err != nil || b.Erase == 0 {
		t.Fatalf("the test means an erased bundle: %+v, %v", b, err)
	}
}

func TestOneTimeView(t *testing.T) {
	h := newHouse(t)
	h.put("app", "T1", "one-time", []byte("x"))
	officer := h.client("officer")
	req := get("T1")
	req.RequestId = random(16)
	for range 2 { // the same view again
		_, _, err := officer.GetBytes(limited(t), req)
		must(t, err)
	}
	var e *client.Error
	if _, _, err := officer.GetBytes(limited(t), get("T1")); !errors.As(err, &e) || e.Reason != "ONE_TIME_USED" || e.Code != codes.FailedPrecondition {
		t.Errorf("another view: %v", err)
	}
	req.RequestId = random(3)
	if _, _, err := officer.GetBytes(limited(t), req); !errors.As(err, &e) || e.Reason != "INVALID" {
		t.Errorf("a request id of 3 bytes: %v", err)
	}
}

// TestOthersNumbersAnswerAlike: nothing tells another institution's number from
// one that does not exist.
func TestOthersNumbersAnswerAlike(t *testing.T) {
	h := newHouse(t)
	h.put("app", "T1", "P5Y", []byte("x"))
	officer, auditor := h.client("officer2"), h.client("auditor2")
	var told []string
	for _, number := range []string{"T1", "NONE"} {
		_, _, err := officer.GetBytes(limited(t), get(number))
		_, use := officer.RecordUse(limited(t), &sagov1.RecordRequest{Transaction: number, Who: why})
		_, show := auditor.Show(limited(t), &sagov1.ShowRequest{Transaction: number})
		_, verify := auditor.Verify(limited(t), &sagov1.VerifyRequest{Transaction: number})
		told = append(told, errors.Join(err, use, show, verify).Error())
		var e *client.Error
		if !errors.As(show, &e) || e.Reason != "NOT_FOUND" {
			t.Errorf("%s: %v", number, show)
		}
	}
	if told[0] != told[1] {
		t.Errorf("told apart:\n%s\n%s", told[0], told[1])
	}
}

func TestNotReadyWithoutKeys(t *testing.T) {
	h := newHouse(t)
	_, err := sagov1.NewBundleServiceClient(h.as("app3")).Put(limited(t), &sagov1.PutRequest{Header: withSize(header("T1", "P5Y"), 1), Contents: [][]byte{{'x'}}})
	expect(t, err, codes.Unavailable, "NOT_READY")
}

func TestVerifyNamesDamage(t *testing.T) {
	h := newHouse(t)
	auditor := h.client("auditor")
	content := random(3 << 20)
	r := h.put("app", "T1", "P5Y", content)
	answer, err := auditor.Verify(limited(t), &sagov1.VerifyRequest{Transaction: "T1"})
	must(t, err)
	if !answer.GetIntact() || answer.GetFingerprint() != r.GetFingerprint() || answer.GetNode() != "n1" {
		t.Errorf("verified: %v", answer)
	}
	h.flip(content)
	answer, err = auditor.Verify(limited(t), &sagov1.VerifyRequest{Transaction: "T1"})
	must(t, err)
	if answer.GetIntact() || len(answer.GetDamage()) != 1 || !bytes.Contains([]byte(answer.GetDamage()[0]), []byte("segments/")) {
		t.Errorf("with a flipped byte: %v", answer)
	}
	stream, err := sagov1.NewBundleServiceClient(h.as("officer")).Get(limited(t), get("T1"))
	for err == nil {
		_, err = stream.Recv()
	}
	expect(t, err, codes.DataLoss, "DAMAGE")
}

// flip changes one byte in the middle of the only segment, and finds that the
// documents' bytes do not stand in it.
func (h *house) flip(content []byte) {
	h.t.Helper()
	must(h.t, custodian.ClearTree(h.dir))
	files, err := filepath.Glob(filepath.Join(h.dir, "segments", "*"))
	must(h.t, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		must(h.t, err)
		if len(b) < 1<<20 {
			continue
		}
		if bytes.Contains(b, content[:64]) {
			h.t.Error("plain text in a segment")
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		must(h.t, err)
		_, err = f.WriteAt([]byte{b[1<<19] ^ 1}, 1<<19)
		must(h.t, errors.Join(err, f.Close()))
	}
}

func TestListPagesAndFilters(t *testing.T) {
	h := newHouse(t)
	for i := range 5 {
		h.put("app", "T"+string(rune('1'+i)), "P5Y", random(10+i))
	}
	h.put("app2", "T9", "P5Y", random(9))
	list := sagov1.NewBundleServiceClient(h.as("auditor"))
	for _, ci := range []string{"", "CI1"} {
		var seen []string
		token := ""
		for range 10 {
			page, err := list.List(limited(t), &sagov1.ListRequest{Limit: 2, PageToken: token, SubjectCi: ci})
			must(t, err)
			for _, b := range page.GetBundles() {
				seen = append(seen, b.GetReceipt().GetTransaction())
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		if len(seen) != 5 || seen[0] != "T1" || seen[4] != "T5" {
			t.Errorf("with subject %q: %v", ci, seen)
		}
	}
	for _, forged := range []string{"00", "00000002", "zz", string(bytes.Repeat([]byte("00"), 2000))} {
		page, err := list.List(limited(t), &sagov1.ListRequest{PageToken: forged})
		for _, b := range page.GetBundles() {
			if b.GetReceipt().GetInstitution() != "demo" {
				t.Errorf("token %q: %v, %v", forged, b, err)
			}
		}
	}
	page, err := list.List(limited(t), &sagov1.ListRequest{SubjectCi: "CI2"})
	if err != nil || len(page.GetBundles()) != 0 {
		t.Errorf("another subject: %v, %v", page, err)
	}
	for _, rec := range h.records(1, format.ActList) {
		if d, err := h.st.OpenDetail(&rec); err != nil || bytes.Contains([]byte(d.Query), []byte("CI1")) {
			t.Errorf("a CI in a LIST record: %q, %v", d.Query, err)
		}
	}
}

func TestFingerprintOfSeveral(t *testing.T) {
	a, b := sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))
	docs := []format.Document{{Digest: a}, {Digest: b}}
	if got := fingerprintText(fingerprintOf(docs)); got != client.Fingerprint(a, b) {
		t.Errorf("%s, the client says %s", got, client.Fingerprint(a, b))
	}
	if got := fingerprintText(fingerprintOf(docs[:1])); got != client.Fingerprint(a) {
		t.Errorf("%s, the client says %s", got, client.Fingerprint(a))
	}
}
