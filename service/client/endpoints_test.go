package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// silent is an address where nobody listens.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestEndpointsInOrder(t *testing.T) {
	ca := newAuthority(t, always)
	known := client.Context{Certificate: ca.client()}
	known.Authorities = append(known.Authorities, ca.cert)
	cutOff := &node{show: func(*sagov1.ShowRequest) (*sagov1.ShowResponse, error) {
		return nil, refusal(codes.Unavailable, "NO_QUORUM", "cut off")
	}}
	refusing := &node{show: func(*sagov1.ShowRequest) (*sagov1.ShowResponse, error) {
		return nil, refusal(codes.NotFound, "NOT_FOUND", "unknown")
	}}
	down := silent(t)
	at := func(n *node) string { return n.serve(t, ca.server(), ca.cert) }
	for _, c := range []struct {
		name      string
		endpoints []string
		reason    string
	}{
		{"the first is down", []string{down, at(answering())}, ""},
		{"the first is cut off", []string{at(cutOff), at(answering())}, ""},
		{"a refusal ends the search", []string{at(refusing), at(answering())}, "NOT_FOUND"},
		{"all are down", []string{down, down}, "UNAVAILABLE"},
		{"an answer says more than silence", []string{at(cutOff), down}, "NO_QUORUM"},
	} {
		known.Endpoints = c.endpoints
		_, err := openContext(t, known).Show(t.Context(), &sagov1.ShowRequest{Transaction: "T"})
		if got := client.ReasonOf(err); got != c.reason {
			t.Errorf("%s: %q (%v), want %q", c.name, got, err, c.reason)
		}
	}
}

func TestTimeoutIsSaid(t *testing.T) {
	c := open(t, answering())
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	_, err := c.Show(ctx, &sagov1.ShowRequest{Transaction: "T"})
	if client.ReasonOf(err) != "TIMEOUT" || status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}

// TestAUseIsNotWrittenTwice: a use that may have been written is not sent to the
// next node, one that surely was not is.
func TestAUseIsNotWrittenTwice(t *testing.T) {
	for _, c := range []struct {
		name, first string
		code        codes.Code
		second      int
		reason      string
	}{
		{"perhaps written", "NO_QUORUM", codes.Unavailable, 0, "NO_QUORUM"},
		{"not begun", "NOT_READY", codes.Unavailable, 1, ""},
	} {
		calls := 0
		first := &node{usage: usage{record: func() (*sagov1.RecordResponse, error) { return nil, refusal(c.code, c.first, "no") }}}
		second := &node{usage: usage{record: func() (*sagov1.RecordResponse, error) {
			calls++
			return &sagov1.RecordResponse{HistorySequence: 4}, nil
		}}}
		_, err := open(t, first, second).RecordUse(t.Context(), &sagov1.RecordRequest{Transaction: "T"})
		if client.ReasonOf(err) != c.reason || calls != c.second {
			t.Errorf("%s: %v, %d calls of the second node", c.name, err, calls)
		}
	}
	ca := newAuthority(t, always)
	ok := &node{usage: usage{record: func() (*sagov1.RecordResponse, error) { return &sagov1.RecordResponse{}, nil }}}
	known := client.Context{Endpoints: []string{silent(t), ok.serve(t, ca.server(), ca.cert)}, Certificate: ca.client()}
	known.Authorities = append(known.Authorities, ca.cert)
	if _, err := openContext(t, known).RecordUse(t.Context(), &sagov1.RecordRequest{Transaction: "T"}); err != nil {
		t.Errorf("the first node is down: %v", err)
	}
}

// TestABrokenReadIsTheSameView: the next node is asked with the same request id,
// and what the first one sent is thrown away.
func TestABrokenReadIsTheSameView(t *testing.T) {
	content := []byte("이름: 홍길동")
	var ids [][]byte
	serve := func(whole bool) *node {
		return &node{get: func(r *sagov1.GetRequest, s grpc.ServerStreamingServer[sagov1.GetResponse]) error {
			ids = append(ids, r.GetRequestId())
			if whole {
				return send(s, headerOf(content), content)
			}
			if err := send(s, headerOf(content), content[:5]); err != nil {
				return err
			}
			return status.Error(codes.Unavailable, "going away")
		}}
	}
	c := open(t, serve(false), serve(true))
	var got *bytes.Buffer
	opened := 0
	_, err := c.Get(t.Context(), &sagov1.GetRequest{Transaction: "T"}, func(*sagov1.GetHeader) ([]io.Writer, error) {
		opened++
		got = &bytes.Buffer{}
		return []io.Writer{got}, nil
	})
	if err != nil || opened != 2 || got.String() != string(content) {
		t.Fatalf("%v, opened %d times, read %q", err, opened, got)
	}
	if len(ids) != 2 || len(ids[0]) != 16 || !bytes.Equal(ids[0], ids[1]) {
		t.Errorf("request ids %x", ids)
	}
	if _, _, err := c.GetBytes(t.Context(), &sagov1.GetRequest{Transaction: "T"}); err != nil || bytes.Equal(ids[2], ids[0]) {
		t.Errorf("a new read is a new view: %v, %x", err, ids)
	}
}

func TestReasonOf(t *testing.T) {
	c := open(t, &node{show: func(r *sagov1.ShowRequest) (*sagov1.ShowResponse, error) {
		switch r.GetTransaction() {
		case "ours":
			return nil, refusal(codes.FailedPrecondition, "EXPIRED", "gone")
		case "foreign":
			return nil, status.Error(codes.PermissionDenied, "no")
		default:
			return nil, errors.New("boom")
		}
	}})
	for _, w := range []struct{ transaction, reason string }{{"ours", "EXPIRED"}, {"foreign", "NOT_PERMITTED"}, {"x", "INTERNAL"}} {
		_, err := c.Show(t.Context(), &sagov1.ShowRequest{Transaction: w.transaction})
		if client.ReasonOf(err) != w.reason {
			t.Errorf("%s: %v", w.transaction, err)
		}
		var e *client.Error
		if w.transaction == "ours" && (!errors.As(err, &e) || e.Localized["ko"] != "거절: gone" || !e.FromAppliance || status.Code(err) != codes.FailedPrecondition) {
			t.Errorf("%#v", err)
		}
	}
	if client.ReasonOf(nil) != "" {
		t.Error("nil has a reason")
	}
}

func TestManyGoroutines(t *testing.T) {
	ca := newAuthority(t, always)
	known := client.Context{Endpoints: []string{silent(t), answering().serve(t, ca.server(), ca.cert)}, Certificate: ca.client()}
	known.Authorities = append(known.Authorities, ca.cert)
	c := openContext(t, known)
	errs := make(chan error)
	for range 8 {
		go func() {
			_, err := c.Show(t.Context(), &sagov1.ShowRequest{Transaction: "T"})
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
