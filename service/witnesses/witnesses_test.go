package witnesses_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sago-worm/sago/audit/witness"
	"github.com/sago-worm/sago/internal/testlog"
	"github.com/sago-worm/sago/service/witnesses"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// node is a log as a node has it. Its methods may be used while it changes.
type node struct {
	t      *testing.T
	mu     sync.Mutex
	log    *testlog.Log
	newest format.CheckpointEffect
	policy format.Policy
}

func (n *node) Summary() store.Summary {
	n.mu.Lock()
	defer n.mu.Unlock()
	return store.Summary{Applied: n.log.Entry, Size: n.log.Size(), Clock: format.ClockRow{Now: n.log.Clock}, Checkpoint: n.newest, Policy: n.policy}
}

func (n *node) Members() []format.MemberRow { return n.log.Members() }

func (n *node) RootAt(size uint64) (format.Digest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.RootAt(size)
}

func (n *node) ProveConsistency(old, size uint64) ([]format.Digest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.ProveConsistency(old, size)
}

// grow adds records and a checkpoint, which is answered.
func (n *node) grow(records int, text string) format.Checkpoint {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	must(n.t, n.log.Grow(records, text))
	var err error
	n.newest, err = n.log.Checkpoint(2)
	must(n.t, err)
	return n.newest.Checkpoint
}

// become has the node go on with another log.
func (n *node) become(l *testlog.Log) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = l
}

// outside is a witness of a test, with something in front of it that may spoil
// its answers.
type outside struct {
	key    format.NoteKey
	url    string
	asked  atomic.Int64
	before atomic.Pointer[http.HandlerFunc] // answers in the witness's place
}

func newOutside(t *testing.T, name string, l *testlog.Log) *outside {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	key, err := witness.OpenKey(dir, name)
	must(t, err)
	w, err := witness.Open(witness.Options{Dir: dir, Key: key, Now: time.Now, Logs: []witness.Log{{Origin: format.Origin(l.Cluster), Nodes: l.NodeKeys()}}})
	must(t, err)
	o := &outside{key: key.Public()}
	h := w.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		o.asked.Add(1)
		if f := o.before.Load(); f != nil {
			(*f)(rw, r)
			return
		}
		h.ServeHTTP(rw, r)
	}))
	o.url = server.URL
	t.Cleanup(func() { server.Close(); must(t, w.Close()) })
	return o
}

func (o *outside) plays(f http.HandlerFunc) { o.before.Store(&f) }
func (o *outside) honest()                  { o.before.Store(nil) }

// site is a node with its witnesses.
type site struct {
	*witnesses.Witnesses
	t    *testing.T
	node *node
	opts witnesses.Options
	said *lines
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newNode(t *testing.T, records int) *node {
	t.Helper()
	l, err := testlog.New(3)
	must(t, err)
	n := &node{t: t, log: l}
	n.grow(records, "record")
	return n
}

func start(t *testing.T, n *node, needed uint8, all ...*outside) *site {
	t.Helper()
	n.policy = format.Policy{Version: 2, WitnessesNeeded: needed}
	s := &site{t: t, node: n, said: &lines{}}
	s.opts = witnesses.Options{Log: n, Path: filepath.Join(t.TempDir(), "witnessed"), Every: 10 * time.Millisecond, Within: 300 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(s.said, nil))}
	for _, o := range all {
		n.policy.Witnesses = append(n.policy.Witnesses, o.key)
		s.opts.Endpoints = append(s.opts.Endpoints, witnesses.Endpoint{Name: o.key.Name, URL: o.url})
	}
	s.Witnesses = witnesses.Start(s.opts)
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *site) restart() {
	s.t.Helper()
	s.Close()
	s.Witnesses = witnesses.Start(s.opts)
}

// await polls until the state of witness i is as wanted.
func (s *site) await(i int, want func(witnesses.State) bool) witnesses.State {
	s.t.Helper()
	for deadline := time.Now().Add(8 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if st := s.States()[i]; want(st) {
			return st
		} else if time.Now().After(deadline) {
			s.t.Fatalf("%+v\n%s", st, s.said)
		}
	}
}

func (s *site) cosigned(i int, c format.Checkpoint) {
	s.t.Helper()
	st := s.await(i, func(st witnesses.State) bool { return st.Size == c.Size && st.Detail == "" })
	if st.CosignedAt == 0 {
		s.t.Fatalf("%+v", st)
	}
}

func says(words ...string) func(witnesses.State) bool {
	return func(st witnesses.State) bool {
		for _, w := range words {
			if !strings.Contains(st.Detail, w) {
				return false
			}
		}
		return true
	}
}

func TestCosignaturesAreKeptAndShown(t *testing.T) {
	n := newNode(t, 5)
	a, b := newOutside(t, "a", n.log), newOutside(t, "b", n.log)
	s := start(t, n, 2, a, b)
	var c format.Checkpoint
	for i := range 4 {
		c = n.grow(i, "more")
		s.cosigned(0, c)
		s.cosigned(1, c)
	}
	check := func() {
		t.Helper()
		lines := s.Cosignatures(c)
		if len(lines) != 2 || !a.key.Verify(c.Text(), lines[0]) || !b.key.Verify(c.Text(), lines[1]) {
			t.Fatalf("%+v", lines)
		}
		other := c
		other.Entry++
		if len(s.Cosignatures(other)) != 0 {
			t.Fatal("lines of another checkpoint")
		}
	}
	check()
	asked := a.asked.Load()
	s.restart()
	check()
	if st := s.States(); st[0].Size != c.Size || st[1].Size != c.Size {
		t.Fatalf("%+v", st)
	}
	if a.asked.Load() != asked {
		t.Fatal("asked again for what was kept")
	}
}

// TestP53_UnwitnessedIsVisible: a witness that is down, slow, or lies harms
// neither the others nor what is shown.
func TestP53_UnwitnessedIsVisible(t *testing.T) {
	n := newNode(t, 5)
	good, bad := newOutside(t, "good", n.log), newOutside(t, "bad", n.log)
	stranger := newOutside(t, "bad", n.log) // of the same name, with another key
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	s := start(t, n, 2, good, bad)
	s.cosigned(1, n.newest.Checkpoint)
	size := n.newest.Checkpoint.Size
	status := func(code int, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(code); fmt.Fprint(rw, body) }
	}
	var storm atomic.Uint64
	for _, c := range []struct {
		name  string
		plays http.HandlerFunc
		says  []string
	}{
		{"down", status(503, ""), []string{"not cosigned", "HTTP 503"}},
		{"slow", func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}, []string{"not cosigned", "Timeout"}},
		{"garbage", status(200, "yes\n"), []string{"not the answer of this witness"}},
		{"silent", status(200, ""), []string{"no signature of bad"}},
		{"endless", func(rw http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := fmt.Fprintln(rw, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		}, []string{"not cosigned"}},
		{"another key", func(rw http.ResponseWriter, r *http.Request) {
			resp, err := http.Post(stranger.url+r.URL.Path, "", r.Body)
			if err != nil {
				rw.WriteHeader(500)
				return
			}
			defer resp.Body.Close()
			_ = resp.Write(rw)
		}, []string{"not cosigned"}},
		{"elsewhere", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, good.url+r.URL.Path, 307) }, []string{"HTTP 307"}},
		{"unknown log", status(404, ""), []string{"refuses the log", "404"}},
		{"conflicts in a storm", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(409); fmt.Fprintln(rw, 1+storm.Add(1)%3) }, []string{"not cosigned"}},
		{"conflict of no size", status(409, "soon"), []string{"without a size"}},
		{"greater, by its own word", status(409, "1000000\n"), []string{"cosigned size 1000000", "no checkpoint of it"}},
		{"takes no proof", status(422, ""), []string{"not the history", "no checkpoint of it"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad.plays(c.plays)
			cp := n.grow(2, c.name)
			st := s.await(1, says(c.says...))
			s.cosigned(0, cp)
			if len(s.Cosignatures(cp)) != 1 || st.Size != size {
				t.Fatalf("%+v: %d lines", st, len(s.Cosignatures(cp)))
			}
			if says("ROLLBACK")(st) || says("FORK")(st) {
				t.Fatalf("a lie became an alarm: %+v", st)
			}
			bad.honest()
			s.cosigned(1, cp)
			size = cp.Size
		})
	}
}

// TestP55_NewestAlone: of many checkpoints the witness sees few, and each node
// asks once for one.
func TestP55_NewestAlone(t *testing.T) {
	n := newNode(t, 5)
	o := newOutside(t, "w", n.log)
	n.policy = format.Policy{}
	s := start(t, n, 1, o)
	s.cosigned(0, n.newest.Checkpoint)
	s.opts.Every = time.Hour
	s.restart()
	before := o.asked.Load()
	c := n.grow(1, "more")
	s.cosigned(0, c) // the first one at once
	for range 50 {
		n.grow(1, "more")
	}
	s.restart() // which ends what is under way
	if asked := o.asked.Load() - before; asked > 2 {
		t.Fatalf("asked %d times for 51 checkpoints", asked)
	}
	s.cosigned(0, n.Summary().Checkpoint.Checkpoint)
}

// TestP48_RewrittenOnAllNodes: the log begins anew from an old copy and says
// something else, everywhere and rightly signed. The witness knows better.
func TestP48_RewrittenOnAllNodes(t *testing.T) {
	for name, c := range map[string]struct {
		records int
		says    []string
	}{
		"fewer records": {2, []string{"ROLLBACK: witness w has seen size 13 root "}},
		"as many":       {8, []string{"FORK: witness w has seen size 13 root "}},
		"more":          {20, []string{"FORK: witness w has seen size 13 root "}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, 5)
			backup := n.log.Fork()
			o := newOutside(t, "w", n.log)
			s := start(t, n, 1, o)
			n.grow(8, "what happened")
			s.cosigned(0, n.newest.Checkpoint)
			backup.Clock, backup.Entry = n.log.Clock, n.log.Entry // time went on
			n.become(backup)
			n.grow(c.records, "what is said now")
			s.await(0, says(c.says...))
			if !strings.Contains(s.said.String(), "level=ERROR") {
				t.Fatalf("not an error: %s", s.said)
			}
			// It stays, over a restart and with the witness gone.
			o.plays(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(503) })
			s.restart()
			if st := s.States()[0]; !says(c.says...)(st) {
				t.Fatalf("after the restart: %+v", st)
			}
		})
	}
}

// TestNodeThatIsBehindDoesNotCryRollback: a follower shows an old checkpoint for
// a while, and learns of what another node had cosigned.
func TestNodeThatIsBehindDoesNotCryRollback(t *testing.T) {
	leader := newNode(t, 5)
	o := newOutside(t, "w", leader.log)
	follower := &node{t: t, log: leader.log.Fork(), newest: leader.newest}
	l := start(t, leader, 1, o)
	l.cosigned(0, leader.newest.Checkpoint)
	c := leader.grow(8, "more")
	l.cosigned(0, c)
	f := start(t, follower, 1, o)
	f.await(0, says("has seen size 13", "this node has 5 records yet"))
	ahead := leader.log.Fork() // it has caught up, but for the checkpoint
	follower.become(ahead)
	f.await(0, func(st witnesses.State) bool { return st.Size == 13 && st.Detail == "" })
	if lines := f.Cosignatures(c); len(lines) != 1 {
		t.Fatalf("%d lines of what another node had cosigned", len(lines))
	}
	if strings.Contains(f.said.String(), "level=ERROR") {
		t.Fatalf("%s", f.said)
	}
}

// TestResolvedAlarmGoes: an alarm goes when the witness signs again.
func TestResolvedAlarmGoes(t *testing.T) {
	n := newNode(t, 5)
	backup := n.log.Fork()
	o := newOutside(t, "w", n.log)
	s := start(t, n, 1, o)
	n.grow(8, "what happened")
	whole := n.log
	s.cosigned(0, n.newest.Checkpoint)
	backup.Clock, backup.Entry = n.log.Clock, n.log.Entry
	n.become(backup)
	n.grow(1, "an old copy")
	s.await(0, says("ROLLBACK"))
	whole.Clock, whole.Entry = backup.Clock, backup.Entry
	n.become(whole) // the right copy is put back
	s.cosigned(0, n.grow(1, "goes on"))
	s.restart()
	if st := s.States()[0]; st.Detail != "" {
		t.Fatalf("%+v", st)
	}
}

func TestDamagedFileIsAskedForAgain(t *testing.T) {
	n := newNode(t, 5)
	o := newOutside(t, "w", n.log)
	s := start(t, n, 1, o)
	s.cosigned(0, n.newest.Checkpoint)
	s.Close()
	raw, err := os.ReadFile(s.opts.Path)
	must(t, err)
	for at := 0; at < len(raw); at += 7 {
		bent := append([]byte(nil), raw...)
		bent[at] ^= 1
		must(t, os.WriteFile(s.opts.Path, bent, 0o600))
		s.opts.Endpoints = nil
		s.restart()
		if len(s.Cosignatures(n.newest.Checkpoint)) != 0 || s.States()[0].Size != 0 {
			t.Fatalf("believed with byte %d bent", at)
		}
		s.Close()
	}
	s.opts.Endpoints = []witnesses.Endpoint{{Name: "w", URL: o.url}}
	s.restart()
	s.cosigned(0, n.newest.Checkpoint)
}

// TestWitnessOfNobodyIsNamed: one that no configuration reaches is not left out.
func TestP53_WitnessThatIsNotAskedIsNamed(t *testing.T) {
	n := newNode(t, 5)
	o := newOutside(t, "w", n.log)
	s := start(t, n, 1, o)
	s.Close()
	s.opts.Endpoints, s.opts.Path = nil, filepath.Join(t.TempDir(), "none")
	s.Witnesses = witnesses.Start(s.opts)
	if st := s.States(); len(st) != 1 || !says("does not say where")(st[0]) {
		t.Fatalf("%+v", st)
	}
}
