package sink

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// receiver is a syslog server that notes what it has read.
type receiver struct {
	t       *testing.T
	config  *tls.Config
	address string
	reading bool // it reads; else it accepts and lets wait

	mu    sync.Mutex
	conns []net.Conn
	got   []string // messages
	l     net.Listener
	done  sync.WaitGroup
}

func newReceiver(t *testing.T, p pki) *receiver {
	r := &receiver{t: t, config: &tls.Config{Certificates: []tls.Certificate{p.receiver}}, address: "127.0.0.1:0", reading: true}
	t.Cleanup(r.kill)
	return r
}

// start listens, the second time at the place of the first.
func (r *receiver) start() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.address)
	must(r.t, err)
	r.address = l.Addr().String()
	r.mu.Lock()
	r.l = l
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
			if r.reading {
				r.done.Go(func() { r.serve(c) })
			} else { // the handshake, and no byte of what follows
				r.done.Go(func() { _ = tls.Server(c, r.config).Handshake() })
			}
		}
	})
}

// kill ends it as SIGKILL does: what it has not read is lost.
func (r *receiver) kill() {
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

func (r *receiver) serve(c net.Conn) {
	in := bufio.NewReader(tls.Server(c, r.config))
	for {
		length, err := in.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
		if err != nil {
			r.t.Errorf("frame: %v", err)
			return
		}
		message := make([]byte, n)
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		r.mu.Lock()
		r.got = append(r.got, string(message))
		r.mu.Unlock()
	}
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// message5424 is the grammar of RFC 5424 as far as the sink uses it.
var message5424 = regexp.MustCompile(`^<(1\d\d)>1 (-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([!-~]{1,255}) sago - ([A-Z_]{1,32}) ` +
	`\[sago@(\d+) sequence="(\d+)" leaf="([0-9a-f]{64})" institution="\d+" institutionSequence="\d+" result="[A-Z_]+"\] ([ -~]+)$`)

// complete wants every record of p in the messages, each as its line says.
func (r *receiver) complete(p *past) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines strings.Builder
	for _, m := range r.got {
		parts := message5424.FindStringSubmatch(m)
		if parts == nil {
			r.t.Fatalf("no RFC 5424 message: %q", m)
		}
		at, err := decodeLine([]byte(parts[8]))
		if err != nil || parts[6] != fmt.Sprint(at.sequence) || parts[7] != fmt.Sprintf("%x", at.leaf) || parts[3] != "node_1" {
			r.t.Fatalf("%v: %q", err, m)
		}
		if (parts[2] == "-") != (at.sequence == 0) || parts[1] != "110" || parts[5] != "32473" {
			r.t.Errorf("header of record %d: %q", at.sequence, m)
		}
		lines.WriteString(parts[8] + "\n")
	}
	complete(r.t, lines.String(), len(p.records))
}

// syslogTo is a sink of p that sends to r.
func syslogTo(t *testing.T, p *past, r *receiver, keys pki) (Options, *journal) {
	t.Helper()
	o, j := optionsFor(t.TempDir(), p)
	o.File, o.Syslog = "", &Syslog{Address: r.address, CA: keys.ca}
	return o, j
}

// TestP59_ReceiverKilled kills the receiver again and again while records come, and
// the sink as well: nothing is missing in what the receivers have read.
func TestP59_ReceiverKilled(t *testing.T) {
	p, keys := &past{}, newPKI(t, t.TempDir())
	p.add(2000)
	r := newReceiver(t, keys)
	r.start()
	o, _ := syslogTo(t, p, r, keys)
	s := start(t, o)
	for round := range 4 {
		was := r.count()
		p.add(1500)
		await(t, "some messages", func() bool { return r.count() > was+700 })
		r.kill()
		p.add(500)
		if round%2 == 1 {
			stop(t, s)
			s = start(t, o)
		}
		r.start()
	}
	settled(t, s, p)
	last := fmt.Sprintf(`sequence="%d"`, len(p.records)-1)
	await(t, "the last message", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.got) > 0 && strings.Contains(r.got[len(r.got)-1], last)
	})
	r.complete(p)
	t.Logf("%d messages for %d records", r.count(), len(p.records))
}

// TestP59_ReceiverThatDoesNotRead takes what its kernel holds, and is then killed
// with it: the sink has said that it lags, ends in time, and sends all of it again.
func TestP59_ReceiverThatDoesNotRead(t *testing.T) {
	p, keys := &past{}, newPKI(t, t.TempDir())
	r := newReceiver(t, keys)
	r.reading = false
	r.start()
	o, log := syslogTo(t, p, r, keys)
	o.Patience = time.Second
	s := start(t, o)
	p.add(100)
	settled(t, s, p) // in the receiver's kernel, and nowhere else
	p.add(15000)
	await(t, "it lags", func() bool { return log.count("sink lags") == 1 })
	if st := s.Status(context.Background()); st.Behind == 0 || !strings.Contains(st.String(), " records behind since 2026-01-01T00:00:00.") {
		t.Errorf("status %q", st)
	}
	stop(t, s)
	r.kill()
	r.reading = true
	r.start()
	s = start(t, o)
	settled(t, s, p)
	await(t, "the last message", func() bool { return r.count() >= len(p.records) })
	r.complete(p)
}

// TestSyslogIdleReconnects: a receiver that restarts while nothing happens is
// found again, and gets the overlap.
func TestSyslogIdleReconnects(t *testing.T) {
	p, keys := &past{}, newPKI(t, t.TempDir())
	p.add(20)
	r := newReceiver(t, keys)
	r.start()
	o, _ := syslogTo(t, p, r, keys)
	s := start(t, o)
	settled(t, s, p)
	r.kill()
	was := r.count()
	r.start()
	await(t, "the overlap", func() bool { return r.count() == was+20 })
	r.complete(p)
}

// TestSyslogTLS: a receiver whose certificate another authority issued, or that
// the quorum clock finds too old, gets nothing.
func TestSyslogTLS(t *testing.T) {
	p, keys, foreign := &past{}, newPKI(t, t.TempDir()), newPKI(t, t.TempDir())
	p.add(3)
	r := newReceiver(t, keys)
	r.start()
	for name, change := range map[string]func(*Options){
		"another authority": func(o *Options) { o.Syslog.CA = foreign.ca },
		"too old":           func(o *Options) { o.Time = func() time.Time { return time.UnixMicro(firstTick).Add(2 * time.Hour) } },
		"another name":      func(o *Options) { o.Syslog.ServerName = "siem.example" },
	} {
		o, _ := syslogTo(t, p, r, keys)
		change(&o)
		_, err := openSyslog(t.Context(), o.Syslog, o.Node, o.Time)
		var refused *tls.CertificateVerificationError
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r = newReceiver(t, keys)
	r.config.ClientAuth = tls.RequireAnyClientCert
	r.start()
	o, _ := syslogTo(t, p, r, keys)
	s := start(t, o)
	await(t, "the receiver's refusal", func() bool {
		err := s.Status(context.Background()).Err
		return err != nil && strings.Contains(err.Error(), "certificate required")
	})
	if r.count() != 0 || s.position().next != 0 {
		t.Errorf("%d messages, position %v", r.count(), s.position())
	}
}

// TestGoldenLine: the bytes of docs/formats/sink-line.md. They do not change.
func TestGoldenLine(t *testing.T) {
	p := &past{}
	p.add(2)
	want, err := os.ReadFile("testdata/line.golden")
	if text := p.lines(t, 0, 2); err != nil || text != string(want) {
		t.Errorf("%v; the lines are\n%s", err, text)
	}
}

func FuzzDecodeLine(f *testing.F) {
	p := &past{}
	p.add(3)
	for _, r := range p.records {
		text, _, _, err := encodeLine(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := decodeLine(text); err != nil && !errors.Is(err, errLine) {
			t.Errorf("%v", err)
		}
	})
}
