package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

var testCluster = format.ID{0xc1}

// at is the instant of everything that the appliance says: 2026-03-01 09:00 KST.
var at = timestamppb.New(time.Date(2026, 3, 1, 0, 0, 0, 123456000, time.UTC))

// appliance answers on a real socket over mutual TLS. It keeps what is put. A
// transaction named fail/CODE/REASON is refused so; who may do what is no
// concern of it, but that a caller named admin is not permitted, and that the
// callers damaged, unsigned and fresh see an appliance in that state.
type appliance struct {
	sagov1.UnimplementedBundleServiceServer
	pki *pki

	mu     sync.Mutex
	stored map[string]stored
}

type stored struct {
	bundle   *sagov1.Bundle
	contents [][]byte
}

func newAppliance() *appliance { return &appliance{stored: map[string]stored{}} }

// start serves and writes a context file per caller into the story's folder.
func (a *appliance) start(env *testscript.Env) error {
	var err error
	if a.pki, err = newPKI(); err != nil {
		return err
	}
	cert, err := a.pki.issue("node1", x509.ExtKeyUsageServerAuth)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.pki.cert)
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	})))
	sagov1.RegisterBundleServiceServer(s, a)
	sagov1.RegisterHoldServiceServer(s, holdAppliance{})
	sagov1.RegisterActServiceServer(s, holdActs{})
	sagov1.RegisterSpecialDeleteServiceServer(s, specialAppliance{})
	sagov1.RegisterUsageServiceServer(s, usageServer{})
	sagov1.RegisterHistoryServiceServer(s, historyServer{pki: a.pki})
	sagov1.RegisterClockServiceServer(s, clockServer{})
	sagov1.RegisterClusterServiceServer(s, clusterServer{})
	sagov1.RegisterKeyArchiveServiceServer(s, keyArchiveAppliance{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l) // ends with Stop
	}()
	env.Defer(func() { s.Stop(); <-done })
	for _, caller := range []string{"app", "officer", "admin", "damaged", "unsigned", "fresh", "older", "forked"} {
		if err := a.pki.writeContext(env.WorkDir, caller, fmt.Sprintf("%q", l.Addr())); err != nil {
			return err
		}
	}
	if err := a.pki.writeContext(env.WorkDir, "down", `"127.0.0.1:1"`); err != nil {
		return err
	}
	foreign, err := newPKI()
	if err != nil {
		return err
	}
	return foreign.writeContext(env.WorkDir, "foreign", fmt.Sprintf("%q", l.Addr()))
}

// caller is the name in the caller's certificate.
func caller(ctx context.Context) string {
	p, _ := peer.FromContext(ctx)
	return p.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0].Subject.CommonName
}

func refuse(ctx context.Context, transaction string) error {
	if caller(ctx) == "admin" {
		return refusal(codes.PermissionDenied, "NOT_PERMITTED", "admin may not do this")
	}
	parts := strings.Split(transaction, "/")
	if len(parts) != 3 || parts[0] != "fail" {
		return nil
	}
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		if c.String() == parts[1] {
			return refusal(c, parts[2], "the server's\nown \x1b[31msentence")
		}
	}
	return status.Error(codes.Internal, "no such code: "+parts[1])
}

func refusal(c codes.Code, reason, text string) error {
	s := status.New(c, text)
	if reason != "" {
		var err error
		if s, err = s.WithDetails(&errdetails.ErrorInfo{Domain: "sago", Reason: reason}); err != nil {
			return err
		}
	}
	return s.Err()
}

func (a *appliance) store(ctx context.Context, h *sagov1.BundleHeader, contents [][]byte) (*sagov1.Receipt, error) {
	if err := refuse(ctx, h.GetTransaction()); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var sums [][32]byte
	var documents []*sagov1.Document
	var size uint64
	for i, d := range h.GetDocuments() {
		sum := sha256.Sum256(contents[i])
		sums = append(sums, sum)
		size += d.GetSize()
		documents = append(documents, &sagov1.Document{Name: d.GetName(), MediaType: d.GetMediaType(), Size: d.GetSize(), Fingerprint: client.Fingerprint(sum)})
	}
	r := &sagov1.Receipt{
		Institution: "demo", Transaction: h.GetTransaction(), Part: h.GetPart(), Fingerprint: client.Fingerprint(sums...), Size: size,
		StoredAt: at, RetainUntil: timestamppb.New(at.AsTime().AddDate(5, 0, 0)), RetentionState: "starting",
		HistorySequence: 41, LeafHash: []byte{0xab, 0xcd},
	}
	if h.GetRetain() == "one-time" {
		r.RetainUntil, r.RetentionState = nil, "unset"
	}
	key := fmt.Sprint(h.GetTransaction(), "/", h.GetPart())
	if old, taken := a.stored[key]; taken {
		if old.bundle.GetReceipt().GetFingerprint() != r.GetFingerprint() {
			return nil, refusal(codes.AlreadyExists, "CONFLICT", "other content is stored under "+key)
		}
		r.AlreadyStored = true
		return r, nil
	}
	a.stored[key] = stored{&sagov1.Bundle{
		Receipt: r, State: "active", BundleId: h.GetBundleId(), RetentionRule: h.GetRetain(), RetentionBasis: h.GetBasis(),
		BasisKind: h.GetBasisKind(), Documents: documents, Holds: []string{"소송 2026-7"},
		Replicas: []*sagov1.Replica{{Node: "node1", State: "stored"}, {Node: "node2", State: "stored"}},
	}, contents}
	return r, nil
}

// Put implements the service.
func (a *appliance) Put(ctx context.Context, r *sagov1.PutRequest) (*sagov1.PutResponse, error) {
	receipt, err := a.store(ctx, r.GetHeader(), r.GetContents())
	return &sagov1.PutResponse{Receipt: receipt}, err
}

// PutStream implements the service.
func (a *appliance) PutStream(s grpc.ClientStreamingServer[sagov1.PutStreamRequest, sagov1.PutStreamResponse]) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	var all []byte
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		all = append(all, m.GetData()...)
	}
	var contents [][]byte
	for _, d := range first.GetHeader().GetDocuments() {
		contents = append(contents, all[:d.GetSize()])
		all = all[d.GetSize():]
	}
	receipt, err := a.store(s.Context(), first.GetHeader(), contents)
	if err != nil {
		return err
	}
	return s.SendAndClose(&sagov1.PutStreamResponse{Receipt: receipt})
}

func (a *appliance) find(ctx context.Context, transaction string, part uint32) (stored, error) {
	if err := refuse(ctx, transaction); err != nil {
		return stored{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	found, ok := a.stored[fmt.Sprint(transaction, "/", part)]
	if !ok {
		return stored{}, refusal(codes.NotFound, "NOT_FOUND", "no such bundle")
	}
	return found, nil
}

// Get implements the service. The caller damaged gets one byte changed; the
// caller app must name its user.
func (a *appliance) Get(r *sagov1.GetRequest, s grpc.ServerStreamingServer[sagov1.GetResponse]) error {
	found, err := a.find(s.Context(), r.GetTransaction(), r.GetPart())
	if err != nil {
		return err
	}
	if caller(s.Context()) == "app" && r.GetWho().GetUserName() == "" {
		return refusal(codes.InvalidArgument, "PURPOSE_REQUIRED", "an application names its user")
	}
	receipt := found.bundle.GetReceipt()
	header := &sagov1.GetHeader{
		Fingerprint: receipt.GetFingerprint(), Size: receipt.GetSize(), Documents: found.bundle.GetDocuments(),
		HistorySequence: 42, LeafHash: []byte{0xef},
	}
	if err := s.Send(&sagov1.GetResponse{Part: &sagov1.GetResponse_Header{Header: header}}); err != nil {
		return err
	}
	all := bytes.Join(found.contents, nil)
	if caller(s.Context()) == "damaged" {
		all[0] ^= 1
	}
	for len(all) > 0 {
		n := min(len(all), 512<<10)
		if err := s.Send(&sagov1.GetResponse{Part: &sagov1.GetResponse_Data{Data: all[:n]}}); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// Show implements the service.
func (a *appliance) Show(ctx context.Context, r *sagov1.ShowRequest) (*sagov1.ShowResponse, error) {
	found, err := a.find(ctx, r.GetTransaction(), r.GetPart())
	return &sagov1.ShowResponse{Bundle: found.bundle}, err
}

// List implements the service: the stored bundles that were asked for, one a page.
func (a *appliance) List(ctx context.Context, r *sagov1.ListRequest) (*sagov1.ListResponse, error) {
	if err := refuse(ctx, r.GetSubjectCi()); err != nil {
		return nil, err
	}
	if since := r.GetSince(); since != nil && since.AsTime().After(at.AsTime()) {
		return &sagov1.ListResponse{}, nil
	}
	if until := r.GetUntil(); until != nil && !until.AsTime().After(at.AsTime()) {
		return &sagov1.ListResponse{}, nil
	}
	first, err := a.find(ctx, "T1", 1)
	if err != nil {
		return &sagov1.ListResponse{}, nil
	}
	second, err := a.find(ctx, "T2", 1)
	if err != nil || r.GetPageToken() == "second" {
		return &sagov1.ListResponse{Bundles: []*sagov1.Bundle{second.bundle}}, nil
	}
	return &sagov1.ListResponse{Bundles: []*sagov1.Bundle{first.bundle}, NextPageToken: "second"}, nil
}

// Verify implements the service.
func (a *appliance) Verify(ctx context.Context, r *sagov1.VerifyRequest) (*sagov1.VerifyResponse, error) {
	found, err := a.find(ctx, r.GetTransaction(), r.GetPart())
	if err != nil {
		return nil, err
	}
	v := &sagov1.VerifyResponse{Fingerprint: found.bundle.GetReceipt().GetFingerprint(), Intact: true, Node: "node1", HistorySequence: 43}
	if caller(ctx) == "damaged" {
		v.Intact, v.Damage = false, []string{"segments/000001.seg record 3: digest"}
	}
	return v, nil
}
