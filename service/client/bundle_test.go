package client_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// storing is a node that answers the fingerprint of what it got, and says how
// it came.
func storing(how *string) *node {
	answer := func(h *sagov1.BundleHeader, all []byte) *sagov1.Receipt {
		var sums [][32]byte
		for _, d := range h.GetDocuments() {
			sums = append(sums, sha256.Sum256(all[:d.GetSize()]))
			all = all[d.GetSize():]
		}
		return &sagov1.Receipt{Transaction: h.GetTransaction(), Fingerprint: client.Fingerprint(sums...)}
	}
	return &node{
		put: func(r *sagov1.PutRequest) (*sagov1.PutResponse, error) {
			*how = "unary"
			return &sagov1.PutResponse{Receipt: answer(r.GetHeader(), bytes.Join(r.GetContents(), nil))}, nil
		},
		putStream: func(s grpc.ClientStreamingServer[sagov1.PutStreamRequest, sagov1.PutStreamResponse]) error {
			*how = "stream"
			first, err := s.Recv()
			if err != nil {
				return err
			}
			var all []byte
			for {
				m, err := s.Recv()
				if errors.Is(err, io.EOF) {
					return s.SendAndClose(&sagov1.PutStreamResponse{Receipt: answer(first.GetHeader(), all)})
				}
				if err != nil {
					return err
				}
				if len(m.GetData()) > 512<<10 {
					return refusal(codes.InvalidArgument, "INVALID", "a piece too large")
				}
				all = append(all, m.GetData()...)
			}
		},
	}
}

func TestPutChoosesTheWay(t *testing.T) {
	var how string
	c := open(t, storing(&how))
	for _, w := range []struct {
		name  string
		sizes []int
		how   string
	}{
		{"a small one", []int{4096}, "unary"},
		{"an empty one", []int{0}, "unary"},
		{"several", []int{10, 0, 20}, "unary"},
		{"the greatest in one message", []int{client.MaxUnary}, "unary"},
		{"one byte more", []int{client.MaxUnary + 1}, "stream"},
		{"several large ones", []int{client.MaxUnary, 0, 1, 600 << 10}, "stream"},
	} {
		var documents []client.Content
		for i, n := range w.sizes {
			documents = append(documents, client.BytesContent(fmt.Sprint(i), "text/plain", bytes.Repeat([]byte{byte('a' + i)}, n)))
		}
		if _, err := c.Put(t.Context(), &sagov1.BundleHeader{Transaction: "T"}, documents...); err != nil || how != w.how {
			t.Errorf("%s: %v by %s, want %s", w.name, err, how, w.how)
		}
	}
}

func TestPutRefusedHere(t *testing.T) {
	var how string
	c := open(t, storing(&how))
	large := client.Content{Name: "x", Size: client.MaxBundle + 1, Data: bytes.NewReader(nil)}
	for _, w := range []struct {
		name      string
		documents []client.Content
		reason    string
	}{
		{"nothing", nil, "INVALID"},
		{"too much", []client.Content{large}, "TOO_LARGE"},
		{"a file that is shorter than it was", []client.Content{{Name: "x", Size: 5, Data: bytes.NewReader([]byte("abc"))}}, "INTERNAL"},
		{"a large file that is shorter than it was", []client.Content{{Name: "x", Size: client.MaxUnary + 5, Data: bytes.NewReader([]byte("abc"))}}, "INTERNAL"},
	} {
		_, err := c.Put(t.Context(), &sagov1.BundleHeader{Transaction: "T"}, w.documents...)
		if client.ReasonOf(err) != w.reason {
			t.Errorf("%s: %v, want %s", w.name, err, w.reason)
		}
	}
}

func TestAReceiptForOtherBytesIsAnError(t *testing.T) {
	c := open(t, &node{put: func(*sagov1.PutRequest) (*sagov1.PutResponse, error) {
		return &sagov1.PutResponse{Receipt: &sagov1.Receipt{Fingerprint: client.Fingerprint(sha256.Sum256([]byte("other")))}}, nil
	}})
	if _, err := c.Put(t.Context(), &sagov1.BundleHeader{}, client.BytesContent("a", "", []byte("mine"))); !errors.Is(err, client.ErrIntegrity) {
		t.Error(err)
	}
}

func TestARefusalWithinAStreamIsTold(t *testing.T) {
	c := open(t, &node{putStream: func(grpc.ClientStreamingServer[sagov1.PutStreamRequest, sagov1.PutStreamResponse]) error {
		return refusal(codes.ResourceExhausted, "STORAGE_FULL", "no room")
	}})
	_, err := c.Put(t.Context(), &sagov1.BundleHeader{}, client.BytesContent("a", "", make([]byte, 32<<20)))
	if client.ReasonOf(err) != "STORAGE_FULL" {
		t.Error(err)
	}
}

func headerOf(documents ...[]byte) *sagov1.GetHeader {
	h := &sagov1.GetHeader{}
	var sums [][32]byte
	for i, d := range documents {
		sum := sha256.Sum256(d)
		sums = append(sums, sum)
		h.Size += uint64(len(d))
		h.Documents = append(h.Documents, &sagov1.Document{Name: fmt.Sprint(i), Size: uint64(len(d)), Fingerprint: client.Fingerprint(sum)})
	}
	h.Fingerprint = client.Fingerprint(sums...)
	return h
}

func send(s grpc.ServerStreamingServer[sagov1.GetResponse], h *sagov1.GetHeader, pieces ...[]byte) error {
	if h != nil {
		if err := s.Send(&sagov1.GetResponse{Part: &sagov1.GetResponse_Header{Header: h}}); err != nil {
			return err
		}
	}
	for _, p := range pieces {
		if err := s.Send(&sagov1.GetResponse{Part: &sagov1.GetResponse_Data{Data: p}}); err != nil {
			return err
		}
	}
	return nil
}

// TestHostileReads: whatever a node answers, bytes and fingerprint agree or the
// read fails.
func TestHostileReads(t *testing.T) {
	a, b := []byte("first document"), []byte("second")
	changed := func(change func(*sagov1.GetHeader)) *sagov1.GetHeader {
		h := headerOf(a, b)
		change(h)
		return h
	}
	for _, c := range []struct {
		name   string
		header *sagov1.GetHeader
		pieces [][]byte
		good   bool
	}{
		{"honest", headerOf(a, b), [][]byte{a, b}, true},
		{"honest in other pieces", headerOf(a, b), [][]byte{a[:1], append(append([]byte{}, a[1:]...), b[:2]...), nil, b[2:]}, true},
		{"honest and empty", headerOf(nil), nil, true},
		{"honest with an empty one between", headerOf(a, nil, b), [][]byte{a, b}, true},
		{"a byte changed", headerOf(a, b), [][]byte{a, []byte("sEcond")}, false},
		{"documents exchanged", headerOf(b, a), [][]byte{a, b}, false},
		{"a byte missing", headerOf(a, b), [][]byte{a, b[:5]}, false},
		{"the last document missing", headerOf(a, b), [][]byte{a}, false},
		{"the last document missing, and its part of the fingerprint", changed(func(h *sagov1.GetHeader) { h.Fingerprint = headerOf(a).Fingerprint }), [][]byte{a}, false},
		{"a byte more", headerOf(a, b), [][]byte{a, b, []byte("x")}, false},
		{"another whole fingerprint", changed(func(h *sagov1.GetHeader) { h.Fingerprint = headerOf(b, a).Fingerprint }), [][]byte{a, b}, false},
		{"no fingerprint", changed(func(h *sagov1.GetHeader) { h.Fingerprint = "" }), [][]byte{a, b}, false},
		{"another document fingerprint", changed(func(h *sagov1.GetHeader) { h.Documents[1].Fingerprint = h.Documents[0].Fingerprint }), [][]byte{a, b}, false},
		{"another size", changed(func(h *sagov1.GetHeader) { h.Size++ }), [][]byte{a, b}, false},
		{"sizes that overflow", changed(func(h *sagov1.GetHeader) { h.Documents[0].Size = ^uint64(0); h.Size = uint64(len(b)) - 1 }), [][]byte{a, b}, false},
		{"no documents", &sagov1.GetHeader{Fingerprint: client.Fingerprint()}, nil, false},
		{"no header", nil, [][]byte{a}, false},
		{"nothing at all", nil, nil, false},
	} {
		cl := open(t, &node{get: func(_ *sagov1.GetRequest, s grpc.ServerStreamingServer[sagov1.GetResponse]) error {
			return send(s, c.header, c.pieces...)
		}})
		_, documents, err := cl.GetBytes(t.Context(), &sagov1.GetRequest{Transaction: "T"})
		if c.good && (err != nil || !bytes.Equal(bytes.Join(documents, nil), bytes.Join(c.pieces, nil))) {
			t.Errorf("%s: %v %q", c.name, err, documents)
		}
		if !c.good && (!errors.Is(err, client.ErrIntegrity) || documents != nil) {
			t.Errorf("%s: %v, handed out %q", c.name, err, documents)
		}
	}
}

func TestASecondHeaderIsRefused(t *testing.T) {
	a := []byte("document")
	cl := open(t, &node{get: func(_ *sagov1.GetRequest, s grpc.ServerStreamingServer[sagov1.GetResponse]) error {
		if err := send(s, headerOf(a), a[:3]); err != nil {
			return err
		}
		return send(s, headerOf(a), a[3:])
	}})
	if _, _, err := cl.GetBytes(t.Context(), &sagov1.GetRequest{}); !errors.Is(err, client.ErrIntegrity) {
		t.Error(err)
	}
}

// TestExpiryDuringARead ends with EXPIRED, never as damage.
func TestExpiryDuringARead(t *testing.T) {
	a := []byte("document")
	cl := open(t, &node{get: func(_ *sagov1.GetRequest, s grpc.ServerStreamingServer[sagov1.GetResponse]) error {
		if err := send(s, headerOf(a), a[:3]); err != nil {
			return err
		}
		return refusal(codes.FailedPrecondition, "EXPIRED", "its time has come")
	}})
	if _, _, err := cl.GetBytes(t.Context(), &sagov1.GetRequest{}); client.ReasonOf(err) != "EXPIRED" || errors.Is(err, client.ErrIntegrity) {
		t.Error(err)
	}
}

func TestTheCallersWriterFails(t *testing.T) {
	a := []byte("document")
	full := errors.New("no space left")
	cl := open(t, &node{get: func(_ *sagov1.GetRequest, s grpc.ServerStreamingServer[sagov1.GetResponse]) error {
		return send(s, headerOf(a), a)
	}})
	_, err := cl.Get(t.Context(), &sagov1.GetRequest{}, func(*sagov1.GetHeader) ([]io.Writer, error) { return nil, full })
	if !errors.Is(err, full) {
		t.Error(err)
	}
}

func TestFingerprint(t *testing.T) {
	// printf abc | sha256sum
	abc := sha256.Sum256([]byte("abc"))
	if f := client.Fingerprint(abc); f != "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Error(f)
	}
	// (printf 'sago bundle fingerprint v1\n\0\0\0\2'; printf abc | openssl dgst -sha256 -binary; printf abc | openssl dgst -sha256 -binary) | sha256sum
	both := sha256.Sum256(append(append([]byte("sago bundle fingerprint v1\n\x00\x00\x00\x02"), abc[:]...), abc[:]...))
	if f := client.Fingerprint(abc, abc); f != fmt.Sprintf("sha256:%x", both) {
		t.Error(f)
	}
}
