package sink

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await polls until is answers true.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-limit:
			t.Fatalf("%s: never", what)
		case <-tick.C:
		}
	}
}

// past is a history in memory. Records below first are erased.
type past struct {
	mu               sync.Mutex
	records          [][]byte
	applied, durable uint64
	first            uint64
}

const firstTick = 1767225600000000 // 2026-01-01T00:00:00Z

// add appends n records, durable and applied.
func (p *past) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range n {
		seq := uint64(len(p.records))
		r := format.Record{Sequence: seq, Action: format.ActRead, Institution: 1, InstitutionSequence: seq, Transaction: "거래-1", Part: 1,
			Actor: 7, Entry: 100 + seq, Operation: format.ID{byte(seq), byte(seq >> 8)}, Effect: make([]byte, seq%90), Detail: []byte("sealed")}
		if seq > 0 {
			r.Clock = firstTick + int64(seq)
		}
		p.records = append(p.records, r.Encode())
	}
	p.applied, p.durable = uint64(len(p.records)), uint64(len(p.records))
}

func (p *past) Summary() store.Summary {
	p.mu.Lock()
	defer p.mu.Unlock()
	return store.Summary{Size: p.applied}
}

func (p *past) DurableSize() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.durable
}

func (p *past) Kept(ctx context.Context, from, to uint64, each func(uint64, []byte) error) error {
	p.mu.Lock()
	records, first := p.records, p.first
	p.mu.Unlock()
	for seq := max(from, first); seq < to; seq++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(seq, records[seq]); err != nil {
			return err
		}
	}
	return nil
}

// lines are the records [from, to) as a file holds them.
func (p *past) lines(t *testing.T, from, to int) string {
	t.Helper()
	var all strings.Builder
	for _, r := range p.records[from:to] {
		text, _, _, err := encodeLine(r)
		must(t, err)
		all.Write(append(text, '\n'))
	}
	return all.String()
}

// journal is a log that tests read.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), what)
}

// optionsFor is a sink of p with its files in dir.
func optionsFor(dir string, p *past) (Options, *journal) {
	j := &journal{}
	return Options{History: p, File: filepath.Join(dir, "out.jsonl"), Cursor: filepath.Join(dir, "sink"), Node: "node 1",
		Time: func() time.Time { return time.UnixMicro(firstTick) }, Log: slog.New(slog.NewTextHandler(j, nil))}, j
}

func start(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := Start(o)
	must(t, err)
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Sink) {
	t.Helper()
	begun := time.Now()
	if err := s.Close(); err != nil || time.Since(begun) > closeWithin {
		t.Errorf("close took %v: %v", time.Since(begun), err)
	}
}

// pki is an authority's PEM file and a receiver's certificate for 127.0.0.1,
// valid in January 2026 only: what the host's clock says must not matter.
type pki struct {
	ca       string
	receiver tls.Certificate
}

func newPKI(t *testing.T, dir string) pki {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "receiver"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.UnixMicro(firstTick).Add(-time.Hour), NotAfter: time.UnixMicro(firstTick).Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	path := filepath.Join(dir, "ca.pem")
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return pki{path, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}
