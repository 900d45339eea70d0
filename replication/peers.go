package replication

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store/format"
)

// maxNodeMessage bounds one message between nodes, bytes.
const maxNodeMessage = 8 << 20

// helloHeader carries the caller's hello on every node call.
const helloHeader = "sago-hello"

// meshCredentials hands gRPC connections that mesh has authenticated already.
type meshCredentials struct{ mesh *mesh }

type meshAuth struct {
	credentials.CommonAuthInfo
	member format.MemberRow
}

// AuthType names the method.
func (meshAuth) AuthType() string { return "sago-node-key" }

// ClientHandshake finds the connection authenticated by dialTLS.
func (c meshCredentials) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.info(conn)
}

// ServerHandshake finds the connection authenticated by mesh.
func (c meshCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.info(conn)
}

func (c meshCredentials) info(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	t, ok := conn.(*tls.Conn)
	if !ok || len(t.ConnectionState().PeerCertificates) == 0 {
		return nil, nil, errors.New("connection without a node key")
	}
	m, ok := memberByKey(c.mesh.dir.members(), t.ConnectionState().PeerCertificates[0])
	if !ok {
		return nil, nil, errForeign
	}
	a := meshAuth{member: m}
	a.SecurityLevel = credentials.PrivacyAndIntegrity
	return conn, a, nil
}

// Info, Clone and OverrideServerName complete credentials.TransportCredentials.
func (c meshCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone returns the same credentials: they have no state.
func (c meshCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName does nothing: keys name nodes here.
func (c meshCredentials) OverrideServerName(string) error { return nil }

// caller is who makes a node call.
type caller struct {
	member format.MemberRow
	hello  hello
}

// callerOf authenticates a node call: the key of the connection, and the hello
// beside the call.
func (m *mesh) callerOf(ctx context.Context) (caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return caller{}, status.Error(codes.Unauthenticated, "no peer")
	}
	auth, ok := p.AuthInfo.(meshAuth)
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get(helloHeader); ok && len(v) == 1 {
		raw, err := hex.DecodeString(v[0])
		if err == nil {
			h, err := decodeHello(raw)
			if err == nil {
				// The member row may have changed since the connection was made.
				for _, row := range m.dir.members() {
					if row.Number == auth.member.Number {
						auth.member = row
					}
				}
				if err := h.admit(m.own, auth.member, false); err != nil {
					return caller{}, status.Error(codes.PermissionDenied, err.Error())
				}
				return caller{auth.member, h}, nil
			}
		}
	}
	return caller{}, status.Error(codes.Unauthenticated, "no hello")
}

type callerKey struct{}

func (m *mesh) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	c, err := m.callerOf(ctx)
	if err != nil {
		return nil, err
	}
	return next(context.WithValue(ctx, callerKey{}, c), req)
}

func (m *mesh) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if _, err := m.callerOf(ss.Context()); err != nil {
		return err
	}
	return next(srv, ss)
}

// peerClients keeps one connection to each other node.
type peerClients struct {
	mesh  *mesh
	mu    sync.Mutex
	conns map[string]*grpc.ClientConn
}

// get answers a client of the node with that name.
func (p *peerClients) get(name string) (nodev1.NodeServiceClient, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.conns[name]; ok {
		return nodev1.NewNodeServiceClient(c), nil
	}
	say := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, helloHeader, hex.EncodeToString(p.mesh.dir.hello(format.ID{}).encode()))
	}
	c, err := grpc.NewClient("passthrough:///"+name,
		grpc.WithTransportCredentials(meshCredentials{p.mesh}),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, _, err := p.mesh.dialTLS(ctx, name, alpnGRPC)
			return conn, err
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: handshakeTimeout,
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxNodeMessage), grpc.MaxCallSendMsgSize(maxNodeMessage)),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return next(say(ctx), method, req, reply, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return next(say(ctx), d, cc, method, opts...)
		}))
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", name, err)
	}
	p.conns[name] = c
	return nodev1.NewNodeServiceClient(c), nil
}

func (p *peerClients) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, c := range p.conns {
		errs = append(errs, c.Close())
	}
	p.conns = map[string]*grpc.ClientConn{}
	return errors.Join(errs...)
}
