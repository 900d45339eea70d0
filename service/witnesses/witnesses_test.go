package witnesses_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sago-worm/sago/service/witnesses"
	"github.com/sago-worm/sago/store/format"
)

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
		{"elsewhere", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, good.url+r.URL.Path, http.StatusTemporaryRedirect)
		}, []string{"HTTP 307"}},
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

// One that no configuration reaches is not left out.
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
