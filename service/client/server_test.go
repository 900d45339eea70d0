package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a server that answers as the test says. Methods that are not set
// answer Unimplemented.
type node struct {
	sagov1.UnimplementedBundleServiceServer
	put       func(*sagov1.PutRequest) (*sagov1.PutResponse, error)
	putStream func(grpc.ClientStreamingServer[sagov1.PutStreamRequest, sagov1.PutStreamResponse]) error
	get       func(*sagov1.GetRequest, grpc.ServerStreamingServer[sagov1.GetResponse]) error
	list      func(*sagov1.ListRequest) (*sagov1.ListResponse, error)
	show      func(*sagov1.ShowRequest) (*sagov1.ShowResponse, error)
	history   history
	usage     usage
	cluster   cluster
}

type history struct {
	sagov1.UnimplementedHistoryServiceServer
	list   func(*sagov1.HistoryServiceListRequest) (*sagov1.HistoryServiceListResponse, error)
	show   func(*sagov1.HistoryServiceShowRequest) (*sagov1.HistoryServiceShowResponse, error)
	verify func() (*sagov1.HistoryServiceVerifyResponse, error)
	export func(*sagov1.ExportRequest, grpc.ServerStreamingServer[sagov1.ExportResponse]) error

	log *fakeLog // answers checkpoints and proofs
}

type usage struct {
	sagov1.UnimplementedUsageServiceServer
	record func() (*sagov1.RecordResponse, error)
}

type cluster struct {
	sagov1.UnimplementedClusterServiceServer
	verify func() (*sagov1.ClusterServiceVerifyResponse, error)
	backup func(*sagov1.BackupRequest, grpc.ServerStreamingServer[sagov1.BackupResponse]) error
	done   func(*sagov1.BackupDoneRequest) (*sagov1.BackupDoneResponse, error)
}

func (n *node) Put(_ context.Context, r *sagov1.PutRequest) (*sagov1.PutResponse, error) {
	return n.put(r)
}

func (n *node) PutStream(s grpc.ClientStreamingServer[sagov1.PutStreamRequest, sagov1.PutStreamResponse]) error {
	return n.putStream(s)
}

func (n *node) Get(r *sagov1.GetRequest, s grpc.ServerStreamingServer[sagov1.GetResponse]) error {
	return n.get(r, s)
}

func (n *node) List(_ context.Context, r *sagov1.ListRequest) (*sagov1.ListResponse, error) {
	return n.list(r)
}

func (n *node) Show(_ context.Context, r *sagov1.ShowRequest) (*sagov1.ShowResponse, error) {
	return n.show(r)
}

func (h history) List(_ context.Context, r *sagov1.HistoryServiceListRequest) (*sagov1.HistoryServiceListResponse, error) {
	return h.list(r)
}

func (h history) Show(_ context.Context, r *sagov1.HistoryServiceShowRequest) (*sagov1.HistoryServiceShowResponse, error) {
	return h.show(r)
}

func (h history) Verify(context.Context, *sagov1.HistoryServiceVerifyRequest) (*sagov1.HistoryServiceVerifyResponse, error) {
	return h.verify()
}

func (h history) Export(r *sagov1.ExportRequest, s grpc.ServerStreamingServer[sagov1.ExportResponse]) error {
	return h.export(r, s)
}

func (u usage) Record(context.Context, *sagov1.RecordRequest) (*sagov1.RecordResponse, error) {
	return u.record()
}

func (c cluster) Verify(context.Context, *sagov1.ClusterServiceVerifyRequest) (*sagov1.ClusterServiceVerifyResponse, error) {
	return c.verify()
}

func (c cluster) Backup(r *sagov1.BackupRequest, s grpc.ServerStreamingServer[sagov1.BackupResponse]) error {
	return c.backup(r, s)
}

func (c cluster) BackupDone(_ context.Context, r *sagov1.BackupDoneRequest) (*sagov1.BackupDoneResponse, error) {
	return c.done(r)
}

// serve starts the node on a loopback port under this certificate; clients must
// show one of the authority's.
func (n *node) serve(t testing.TB, cert tls.Certificate, clients *x509.Certificate) string {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(clients)
	s := grpc.NewServer(grpc.MaxRecvMsgSize(client.MaxUnary+1<<20), grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	})))
	sagov1.RegisterBundleServiceServer(s, n)
	sagov1.RegisterHistoryServiceServer(s, n.history)
	sagov1.RegisterUsageServiceServer(s, n.usage)
	sagov1.RegisterClusterServiceServer(s, n.cluster)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l) // ends with Stop
	}()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}

// open serves the nodes as one cluster and returns a client of it.
func open(t *testing.T, nodes ...*node) *client.Client {
	t.Helper()
	ca := newAuthority(t, always)
	known := client.Context{Authorities: []*x509.Certificate{ca.cert}, Certificate: ca.client()}
	for _, n := range nodes {
		known.Endpoints = append(known.Endpoints, n.serve(t, ca.server(), ca.cert))
	}
	return openContext(t, known)
}

func openContext(t testing.TB, known client.Context) *client.Client {
	t.Helper()
	c, err := client.Open(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// refusal is an answer as the appliance gives it.
func refusal(c codes.Code, reason, text string) error {
	s, err := status.New(c, text).WithDetails(
		&errdetails.ErrorInfo{Domain: "sago", Reason: reason},
		&errdetails.LocalizedMessage{Locale: "ko", Message: "거절: " + text})
	if err != nil {
		panic(err)
	}
	return s.Err()
}
