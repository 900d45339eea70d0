package witness

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testlog"
	"github.com/sago-worm/sago/service/client/cosign"
	"github.com/sago-worm/sago/store/format"
)

func fixed() time.Time { return time.Unix(1_800_000_000, 0) }

func post(t testing.TB, h http.Handler, body string) *httptest.ResponseRecorder {
	t.Helper()
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader(body)))
	return rw
}

// TestAnswersAreThoseOfC2SP goes through the statuses of tlog-witness.
func TestAnswersAreThoseOfC2SP(t *testing.T) {
	l, stranger := newLog(t, 3), newLog(t, 3)
	s := newSite(t, l)
	h := s.Handler()
	first := ask(t, l, 0)
	if rw := post(t, h, first.String()); rw.Code != 200 || !strings.HasPrefix(rw.Body.String(), "— w.example/1 ") {
		t.Fatalf("%d %q", rw.Code, rw.Body)
	}
	must(t, l.Grow(4, "more"))
	few := ask(t, l, 3)
	few.Note = noteOf(t, l, 1)
	bad := ask(t, l, 3)
	bad.Proof[0][0] ^= 1
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"garbage":    {"old one", 400},
		"nothing":    {"", 400},
		"too long":   {"old 0\n\n" + strings.Repeat("x", maxBody), 400},
		"beyond":     {format.AddCheckpoint{Old: 99, Note: few.Note}.String(), 403},
		"unknown":    {ask(t, stranger, 0).String(), 404},
		"unsigned":   {few.String(), 403},
		"proof":      {bad.String(), 422},
		"wrong size": {ask(t, l, 2).String(), 409},
	} {
		rw := post(t, h, c.body)
		if rw.Code != c.want {
			t.Errorf("%s: %d, want %d: %s", name, rw.Code, c.want, rw.Body)
		}
		if c.want == 409 && (rw.Body.String() != "3\n" || rw.Header().Get("Content-Type") != "text/x.tlog.size") {
			t.Errorf("%s: %q as %s", name, rw.Body, rw.Header().Get("Content-Type"))
		}
	}
	if rw := post(t, h, ask(t, l, 3).String()); rw.Code != 200 {
		t.Fatalf("%d %s", rw.Code, rw.Body)
	}
}

// TestServedToTheClient has the client of this project talk to it over a socket.
func TestServedToTheClient(t *testing.T) {
	l := newLog(t, 3)
	s := newSite(t, l)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln, nil) }()
	w := cosign.Witness{URL: "http://" + ln.Addr().String(), Key: s.opts.Key.Public(), HTTP: cosign.HTTP(nil, 5*time.Second)}
	shown := uint64(0)
	for range 5 {
		n := noteOf(t, l, 2)
		// It always believes that it begins anew, and is told better.
		line, err := w.Ask(ctx, n, l.Size(), 0, func(_ context.Context, old uint64) ([]format.Digest, error) { return l.ProveConsistency(old, l.Size()) })
		must(t, err)
		if !w.Key.Verify(n.Text, line) || l.Size() <= shown {
			t.Fatalf("%+v", line)
		}
		newest, err := w.Newest(ctx, format.Origin(l.Cluster))
		must(t, err)
		if newest.Text != n.Text {
			t.Fatalf("newest is %q", newest.Text)
		}
		shown = l.Size()
		must(t, l.Grow(3, "more"))
	}
	if _, err := w.Newest(ctx, "sago.log/other"); err == nil {
		t.Fatal("a checkpoint of nobody")
	}
	end()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

// slowBody says that it is read, and ends when it is let go.
type slowBody struct{ read, end chan struct{} }

func (b slowBody) Read([]byte) (int, error) {
	b.read <- struct{}{}
	<-b.end
	return 0, io.EOF
}

// TestSlowStrangersDoNotHoldIt: more requests at once than it takes are turned
// away, and it goes on afterwards.
func TestSlowStrangersDoNotHoldIt(t *testing.T) {
	l := newLog(t, 3)
	h := newSite(t, l).Handler()
	body := slowBody{make(chan struct{}), make(chan struct{})}
	done := make(chan int, maxAtOnce)
	for range maxAtOnce {
		go func() {
			rw := httptest.NewRecorder()
			h.ServeHTTP(rw, httptest.NewRequest(http.MethodPost, "/add-checkpoint", body))
			done <- rw.Code
		}()
	}
	for range maxAtOnce {
		<-body.read
	}
	request := ask(t, l, 0).String()
	if rw := post(t, h, request); rw.Code != http.StatusServiceUnavailable {
		t.Errorf("one more: %d", rw.Code)
	}
	close(body.end)
	for range maxAtOnce {
		if code := <-done; code != http.StatusBadRequest {
			t.Errorf("an empty request: %d", code)
		}
	}
	if rw := post(t, h, request); rw.Code != 200 {
		t.Fatalf("%d %s", rw.Code, rw.Body)
	}
}

// FuzzAddCheckpoint: no body makes the witness sign what a majority of the nodes
// did not, or sign anything but its first checkpoint's successors.
func FuzzAddCheckpoint(f *testing.F) {
	l := newLog(f, 5)
	s := newSite(f, l)
	first := ask(f, l, 0)
	s.takes(first)
	other := l.Fork()
	must(f, other.Grow(3, "forked"))
	must(f, l.Grow(3, "more"))
	f.Add(first.String())
	for _, log := range []*testlog.Log{l, other} {
		f.Add(ask(f, log, 5).String())
		f.Add(ask(f, log, 4).String())
	}
	f.Add("old 0\n\n")
	h := s.Handler()
	f.Fuzz(func(t *testing.T, body string) {
		rw := post(t, h, body)
		if rw.Code != 200 {
			return
		}
		a, err := format.ParseAddCheckpoint(body)
		must(t, err)
		if n, err := s.logs[0].signed(a.Note); err != nil || len(n.Lines) < 2 || strings.Contains(body, "forked") {
			t.Fatalf("cosigned %q: %v", body, err)
		}
		cp, err := format.ParseCheckpoint(a.Note.Text)
		must(t, err)
		if root, err := l.RootAt(cp.Size); err != nil || root != cp.Root {
			t.Fatalf("cosigned another history: %q", body)
		}
	})
}
