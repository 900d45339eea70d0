package service

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a server over a node of one, on loopback.
type house struct {
	*oneNode
	people  pki
	address string
	minute  chan time.Time
	stop    context.CancelFunc
	ended   chan error
}

func newHouse(t *testing.T, change ...func(*Config)) *house {
	t.Helper()
	h := &house{people: newPKI(t), minute: make(chan time.Time), ended: make(chan error, 1)}
	h.oneNode = newNode(t, h.people)
	cfg := Config{
		Node: h.oneNode, Certificate: h.people.server, Minute: h.minute, DrainWithin: 5 * time.Second,
		Clock: func() *sagov1.ClockServiceStatusResponse {
			return &sagov1.ClockServiceStatusResponse{Status: "synchronized"}
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	must(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	h.address = ln.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	go func() { h.ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() { h.shut() })
	return h
}

// shut ends the server and waits for it.
func (h *house) shut() {
	h.stop()
	if err, ok := <-h.ended; ok {
		close(h.ended)
		if err != nil {
			h.t.Errorf("Serve: %v", err)
		}
	}
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// dial connects with a certificate, trusting the test authority's servers.
func (h *house) dial(cert tls.Certificate) *grpc.ClientConn {
	h.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(h.people.ca)
	conn, err := grpc.NewClient("passthrough:///"+h.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
	})))
	must(h.t, err)
	h.t.Cleanup(func() { must(h.t, conn.Close()) })
	return conn
}

func (h *house) as(name string) *grpc.ClientConn { return h.dial(h.people.byName[name].cert) }

// client is the public Go client, as the person.
func (h *house) client(name string) *client.Client {
	h.t.Helper()
	c, err := client.Open(context.Background(), client.Context{
		Endpoints: []string{h.address}, Authorities: []*x509.Certificate{h.people.ca}, Certificate: h.people.byName[name].cert,
		ClusterID: h.st.Manifest().Cluster, Nodes: []client.NodeKey{{Name: "n1", PublicKey: h.st.Members()[0].PublicKey}},
	})
	must(h.t, err)
	h.t.Cleanup(func() { must(h.t, c.Close()) })
	return c
}

func header(transaction, retain string) *sagov1.BundleHeader {
	return &sagov1.BundleHeader{
		Transaction: transaction, Part: 1, BundleId: "MDS0000001", SubjectCi: "CI1", Retain: retain, Basis: "국민연금법 제1조",
	}
}

// put stores one document as an institution's application.
func (h *house) put(as, transaction, retain string, content []byte) *sagov1.Receipt {
	h.t.Helper()
	r, err := h.client(as).Put(limited(h.t), header(transaction, retain), client.BytesContent("a.xml", "application/xml", content))
	must(h.t, err)
	return r
}

var why = &sagov1.Who{Purpose: "eligibility"}

// expect checks code and reason of an error, and that the reason is told in both
// languages.
func expect(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	s, _ := status.FromError(err)
	got, locales := "", map[string]string{}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == "sago" {
				got = d.GetReason()
			}
		case *errdetails.LocalizedMessage:
			locales[d.GetLocale()] = d.GetMessage()
		}
	}
	if s.Code() != code || got != reason {
		t.Fatalf("answered %v %s %q, want %v %s", s.Code(), got, s.Message(), code, reason)
	}
	if locales["ko"] == "" || locales["en"] == "" || locales["ko"] == locales["en"] {
		t.Fatalf("%s is told as %v", reason, locales)
	}
}

func TestErrorsSpeakTheCallersLanguage(t *testing.T) {
	h := newHouse(t)
	bundles := sagov1.NewBundleServiceClient(h.as("admin"))
	for lang, want := range map[string]string{"ko": "이 작업을 할 권한이 없습니다", "en": "you may not do this", "fr": "you may not do this"} {
		ctx := metadata.AppendToOutgoingContext(limited(t), "sago-lang", lang)
		_, err := bundles.Put(ctx, &sagov1.PutRequest{Header: header("T1", "P5Y")})
		expect(t, err, codes.PermissionDenied, "NOT_PERMITTED")
		if s, _ := status.FromError(err); !bytes.HasPrefix([]byte(s.Message()), []byte(want)) {
			t.Errorf("%s: %q", lang, s.Message())
		}
	}
}

func TestHealthFollowsTheNode(t *testing.T) {
	h := newHouse(t)
	health := grpc_health_v1.NewHealthClient(h.as("contractor"))
	await := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		ctx := limited(t)
		for {
			r, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			must(t, err)
			if r.GetStatus() == want {
				return
			}
		}
	}
	await(grpc_health_v1.HealthCheckResponse_SERVING)
	h.ready.Store(false)
	await(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
}

func TestDrainLetsCallsEndAndRefusesNewOnes(t *testing.T) {
	h := newHouse(t)
	held, release := make(chan struct{}), make(chan struct{})
	before := func(op *store.Op) {
		if op.Kind == store.KindStore {
			close(held)
			<-release
		}
	}
	h.before.Store(&before)
	c := h.client("app")
	stored := make(chan error, 1)
	go func() {
		_, err := c.Put(limited(t), header("T1", "P5Y"), client.BytesContent("a", "text/plain", []byte("x")))
		stored <- err
	}()
	<-held
	h.stop()
	ctx := limited(t)
	for { // until the listener is closed
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", h.address)
		if err != nil {
			break
		}
		must(t, conn.Close())
	}
	close(release)
	must(t, <-stored)
	h.shut()
	if row, err := h.st.Bundle(formatKey(1, "T1")); err != nil || row == nil {
		t.Fatalf("the put that was answered is not there: %v", err)
	}
}

func TestDrainBreaksOffWhatTakesTooLong(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.DrainWithin = 10 * time.Millisecond })
	stream, err := sagov1.NewBundleServiceClient(h.as("app")).PutStream(limited(t))
	must(t, err)
	must(t, stream.Send(&sagov1.PutStreamRequest{Part: &sagov1.PutStreamRequest_Header{Header: withSize(header("T1", "P5Y"), 10)}}))
	h.shut()
	if _, err := stream.CloseAndRecv(); err == nil {
		t.Fatal("a stream that never ended was stored")
	}
}

func withSize(h *sagov1.BundleHeader, sizes ...uint64) *sagov1.BundleHeader {
	for _, n := range sizes {
		h.Documents = append(h.Documents, &sagov1.DocumentHeader{Name: "d", MediaType: "text/plain", Size: n})
	}
	return h
}

func TestRateLimit(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Rate = 1 })
	clock := sagov1.NewClockServiceClient(h.as("auditor"))
	_, err := clock.Status(limited(t), &sagov1.ClockServiceStatusRequest{})
	must(t, err)
	for range 5 { // within one second at least one of them is too many
		if _, err = clock.Status(limited(t), &sagov1.ClockServiceStatusRequest{}); err != nil {
			break
		}
	}
	expect(t, err, codes.Unavailable, "RATE_LIMITED")
	h.minute <- time.Time{}
	h.minute <- time.Time{} // the first one's records are written
	denials := h.records(1, format.ActDeny)
	if len(denials) != 1 || denials[0].Result != format.ReasonRate || denials[0].Actor != h.people.byName["auditor"].ID {
		t.Errorf("recorded %+v", denials)
	}
	// Another principal has a share of their own.
	_, err = sagov1.NewClockServiceClient(h.as("admin")).Status(limited(t), &sagov1.ClockServiceStatusRequest{})
	must(t, err)
}

func TestConnectionLimit(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Connections = 1 })
	first := sagov1.NewClockServiceClient(h.as("auditor"))
	_, err := first.Status(limited(t), &sagov1.ClockServiceStatusRequest{})
	must(t, err)
	_, err = sagov1.NewClockServiceClient(h.as("admin")).Status(limited(t), &sagov1.ClockServiceStatusRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("beyond the limit: %v", err)
	}
	_, err = first.Status(limited(t), &sagov1.ClockServiceStatusRequest{})
	must(t, err)
}

func TestReflectionListsTheAPI(t *testing.T) {
	h := newHouse(t)
	stream, err := grpc_reflection_v1.NewServerReflectionClient(h.as("contractor")).ServerReflectionInfo(limited(t))
	must(t, err)
	must(t, stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}))
	m, err := stream.Recv()
	must(t, err)
	var names []string
	for _, s := range m.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, want := range []string{"sago.v1.BundleService", "sago.v1.UsageService", "sago.v1.HistoryService", "sago.v1.ClockService", "sago.v1.ClusterService"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %v", want, names)
		}
	}
}

// TestPanicIsAnsweredAndLogged: its value, which may hold anything, is not.
func TestPanicIsAnsweredAndLogged(t *testing.T) {
	var log lines
	h := newHouse(t, func(c *Config) {
		c.Clock = func() *sagov1.ClockServiceStatusResponse { panic("홍길동 900101-1234567") }
		c.Log = slog.New(slog.NewJSONHandler(&log, nil))
	})
	_, err := sagov1.NewClockServiceClient(h.as("auditor")).Status(limited(t), &sagov1.ClockServiceStatusRequest{})
	expect(t, err, codes.Internal, "INTERNAL")
	if s := log.String(); !strings.Contains(s, "panic in a call") || strings.Contains(s, "홍길동") {
		t.Errorf("logged: %s", s)
	}
	_, err = sagov1.NewClusterServiceClient(h.as("auditor")).Status(limited(t), &sagov1.ClusterServiceStatusRequest{})
	must(t, err)
}

// TestLogsHoldNothingPersonal reads everything that failing calls log (I7).
func TestLogsHoldNothingPersonal(t *testing.T) {
	var log lines
	h := newHouse(t, func(c *Config) {
		timeless := func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey { // from 10 to 19 o'clock it has a T1 in it
				return slog.Attr{}
			}
			return a
		}
		c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: timeless}))
	})
	h.put("app", "T1", "P5Y", []byte("secret content"))
	h.down.Store(true)
	for _, c := range calls {
		_ = c.make(limited(t), h.as("officer"))
		_ = c.make(limited(t), h.as("app"))
	}
	h.shut()
	s := log.String()
	if !strings.Contains(s, "UNAVAILABLE") {
		t.Errorf("nothing of the failures in the log: %s", s)
	}
	for _, personal := range []string{"officer", "김", "Pension", "CI1", "demo.example", "T1", "secret", "국민연금법", "127.0.0.1"} {
		if strings.Contains(s, personal) {
			t.Errorf("%q in the log: %s", personal, s)
		}
	}
}

// lines is a log that several goroutines write.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
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
