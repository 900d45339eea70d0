package system_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	"github.com/sago-worm/sago/store/format"
)

// siem is a syslog receiver of this process.
type siem struct {
	t      *testing.T
	config *tls.Config

	mu      sync.Mutex
	address string
	reads   bool
	l       net.Listener
	conns   []net.Conn
	lines   []string // MSG of what was read
	done    sync.WaitGroup
}

func (r *siem) start(reads bool) {
	r.t.Helper()
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	l, err := small.Listen(context.Background(), "tcp", r.address)
	must(r.t, err)
	r.mu.Lock()
	r.l, r.reads, r.address = l, reads, l.Addr().String()
	r.mu.Unlock()
	r.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, c)
			r.mu.Unlock()
			r.done.Go(func() { r.serve(tls.Server(c, r.config), reads) })
		}
	})
}

// kill ends it at once: what it has not read is gone.
func (r *siem) kill() {
	r.mu.Lock()
	if r.l != nil {
		_ = r.l.Close()
	}
	for _, c := range r.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.done.Wait()
}

func (r *siem) serve(c *tls.Conn, reads bool) {
	if c.Handshake() != nil || !reads {
		return
	}
	in := bufio.NewReader(c)
	for {
		length, err := in.ReadString(' ')
		if err != nil {
			return
		}
		n, _ := strconv.Atoi(strings.TrimSuffix(length, " "))
		message := make([]byte, n)
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		_, msg, _ := strings.Cut(string(message), "] ")
		r.mu.Lock()
		r.lines = append(r.lines, msg)
		r.mu.Unlock()
	}
}

func (r *siem) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n") + "\n"
}

// sent are the leaf hashes in lines of a sink, by sequence.
func sent(t *testing.T, text string) map[uint64]string {
	t.Helper()
	all := map[uint64]string{}
	for l := range strings.Lines(text) {
		var line struct {
			Sequence uint64
			LeafHash string `json:"leaf_hash"`
			Record   string
		}
		if !strings.HasSuffix(l, "\n") || strings.TrimSpace(l) == "" {
			continue // still being written
		}
		must(t, json.Unmarshal([]byte(l), &line))
		raw, err := base64.StdEncoding.DecodeString(line.Record)
		must(t, err)
		leaf := format.LeafHash(raw)
		if hex.EncodeToString(leaf[:]) != line.LeafHash || all[line.Sequence] != "" && all[line.Sequence] != line.LeafHash {
			t.Fatalf("record %d was sent as %s", line.Sequence, l)
		}
		all[line.Sequence] = line.LeafHash
	}
	return all
}

// sinks has node 0 append to a file and node 1 send to a receiver.
func (s *site) sinks(ctx context.Context) (file string, r *siem) {
	s.t.Helper()
	file = s.sinkFile()
	certificate := filepath.Join(s.Dir(), "siem.pem")
	out, err := s.Sagod(ctx, "init", "certificate", "--ca", filepath.Join(s.Dir(), "ca"), "--role", "server", "--name", "siem",
		"--organization", "demo", "--host", "127.0.0.1", "--out", certificate)
	must(s.t, err)
	pair, err := tls.LoadX509KeyPair(certificate, filepath.Join(s.Dir(), "siem.key"))
	if err != nil {
		s.t.Fatalf("%v: %s", err, out.Stderr)
	}
	r = &siem{t: s.t, address: "127.0.0.1:0", config: &tls.Config{Certificates: []tls.Certificate{pair}}}
	s.t.Cleanup(r.kill)
	r.start(true)
	s.configure(0, fmt.Sprintf("\n[sink]\nfile = %q\n", file))
	s.configure(1, fmt.Sprintf("\n[sink.syslog]\naddress = %q\nca = \"../ca/ca.pem\"\n", r.address))
	return file, r
}

// configure adds to the configuration of node i, which does not run yet.
func (s *site) configure(i int, text string) {
	s.t.Helper()
	f, err := os.OpenFile(s.Config(i), os.O_WRONLY|os.O_APPEND, 0)
	must(s.t, err)
	_, err = f.WriteString(text)
	must(s.t, err)
	must(s.t, f.Close())
}

// TestP59_SinksLoseNothing kills daemons and the receiver under load, and lets the
// receiver stop reading: the appliance does not notice, and what the sinks have
// is the whole history.
func TestP59_SinksLoseNothing(t *testing.T) {
	ctx := bounded(t, 2*time.Minute)
	s := newSite(t, testcluster.Options{})
	file, r := s.sinks(ctx)
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	l := startLoad(ctx, s)
	l.flows(ctx, 0, 1, 2)
	for round := range rounds(6) {
		victim := round % 2
		l.pass(ctx, time.Duration(rand.IntN(700))*time.Millisecond)
		must(t, s.Kill(victim))
		if round%3 == 1 {
			r.kill()
			r.start(true)
		}
		must(t, s.Start(victim))
		must(t, s.ReadyAt(ctx, victim))
		l.flows(ctx, victim)
	}
	s.stuck(ctx, l, r)
	s.healthy(ctx)
	l.end()
	all := s.wholeHistory(ctx)
	for name, read := range map[string]func() string{"file": func() string {
		raw, err := os.ReadFile(file)
		must(t, err)
		return string(raw)
	}, "syslog": r.text} {
		await(t, ctx, name+" has everything", func(context.Context) (bool, string, error) {
			have := sent(t, read())
			for _, h := range all {
				if have[h.GetSequence()] != hex.EncodeToString(h.GetLeafHash()) {
					return false, fmt.Sprintf("record %d is %q, not %x", h.GetSequence(), have[h.GetSequence()], h.GetLeafHash()), nil
				}
			}
			return true, "", nil
		})
	}
	t.Logf("%d records; the receiver read %d messages", len(all), len(r.lines))
	begun := time.Now()
	for i := range s.Size() {
		must(t, s.Stop(ctx, i))
	}
	t.Logf("stopped in %v", time.Since(begun))
}

// pass lets the load go on for a while.
func (l *load) pass(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// flowed counts the puts that were acknowledged so far.
func (l *load) flowed() (n int64) {
	for i := range l.flowing {
		n += l.flowing[i].Load()
	}
	return n
}

// stuck has the receiver take nothing until the node's status says so: meanwhile
// the store goes on as before.
func (s *site) stuck(ctx context.Context, l *load, r *siem) {
	s.t.Helper()
	const window = 4 * time.Second
	was := l.flowed()
	l.pass(ctx, window)
	before := l.flowed() - was
	r.kill()
	r.start(false)
	was = l.flowed()
	l.pass(ctx, window)
	if stuck := l.flowed() - was; stuck < before*6/10 {
		s.t.Errorf("%d puts in %v with a receiver that does not read, %d before", stuck, window, before)
	} else {
		s.t.Logf("%d puts in %v with a receiver that does not read, %d before", stuck, window, before)
	}
	await(s.t, ctx, "the lag in the status", func(ctx context.Context) (bool, string, error) {
		n, err := s.memberAt(ctx, 1, 1)
		return strings.Contains(n.GetDetail(), "history sink: ") && strings.Contains(n.GetDetail(), " records behind since 20"), n.GetDetail(), err
	})
	r.kill()
	r.start(true)
	await(s.t, ctx, "the lag is over", func(ctx context.Context) (bool, string, error) {
		n, err := s.memberAt(ctx, 1, 1)
		log, _ := s.Log(1)
		return n.GetDetail() == "" && strings.Contains(log, "history sink lags") && strings.Contains(log, "history sink has caught up"), n.GetDetail(), err
	})
}
