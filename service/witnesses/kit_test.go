package witnesses_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
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
