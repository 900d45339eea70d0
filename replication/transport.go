package replication

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/store/format"
)

// Protocols on the node port, told apart by ALPN.
const (
	alpnRaft = "sago-raft/1"
	alpnGRPC = "h2"
)

const (
	handshakeTimeout = 5 * time.Second
	lockTimeout      = 2 * time.Second
)

// directory answers who the members are, where nodes are reached, and what this
// node says of itself.
type directory interface {
	members() []format.MemberRow
	address(name string) (string, bool)
	hello(to format.ID) hello
}

// mesh is the node's end of the network between nodes: one TLS port for raft and
// for the node API, peers known by their public keys.
type mesh struct {
	own      identityOf
	dir      directory
	log      *slog.Logger
	config   *tls.Config
	listener net.Listener
	raft     chan net.Conn
	grpc     chan net.Conn
	closed   chan struct{}
	once     sync.Once
	wg       sync.WaitGroup
}

func newMesh(own identityOf, dir directory, keys *Keys, l net.Listener, log *slog.Logger) (*mesh, error) {
	cert, err := keys.certificate(own.name)
	if err != nil {
		return nil, err
	}
	m := &mesh{own: own, dir: dir, log: log, listener: l, raft: make(chan net.Conn), grpc: make(chan net.Conn), closed: make(chan struct{})}
	m.config = &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert,
		// The peer is whoever holds a member's key: see verify. Names, chains and
		// dates say nothing between nodes.
		InsecureSkipVerify: true, //nolint:gosec // keys are pinned in verify
		VerifyConnection:   m.verify,
		NextProtos:         []string{alpnRaft, alpnGRPC},
	}
	m.wg.Add(1)
	go m.accept()
	return m, nil
}

func (m *mesh) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	if _, ok := memberByKey(m.dir.members(), s.PeerCertificates[0]); !ok {
		return errors.New("the key is no member's")
	}
	return nil
}

func (m *mesh) accept() {
	defer m.wg.Done()
	for {
		c, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.wg.Add(1)
		go func() {
			defer m.wg.Done()
			m.receive(c)
		}()
	}
}

func (m *mesh) receive(c net.Conn) {
	t := tls.Server(c, m.config)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		m.log.Debug("node connection refused", "error", err)
		_ = c.Close() // refused: nothing was exchanged
		return
	}
	to := m.grpc
	if t.ConnectionState().NegotiatedProtocol == alpnRaft {
		if err := m.greet(t); err != nil {
			m.log.Warn("raft connection refused", "error", err)
			_ = t.Close() // refused: nothing was exchanged
			return
		}
		to = m.raft
	}
	select {
	case to <- t:
	case <-m.closed:
		_ = t.Close() // shutting down
	}
}

// greet reads the caller's hello and answers with its own.
func (m *mesh) greet(t *tls.Conn) error {
	if err := t.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	b := make([]byte, helloSize)
	if _, err := io.ReadFull(t, b); err != nil {
		return err
	}
	h, err := decodeHello(b)
	if err != nil {
		return err
	}
	member, ok := memberByKey(m.dir.members(), t.ConnectionState().PeerCertificates[0])
	if !ok {
		return errForeign
	}
	if err := h.admit(m.own, member, true); err != nil {
		return err
	}
	if _, err := t.Write(m.dir.hello(h.From).encode()); err != nil {
		return err
	}
	return t.SetDeadline(time.Time{})
}

// dialTLS connects to a node by name and checks that the key is that node's.
func (m *mesh) dialTLS(ctx context.Context, name, protocol string) (*tls.Conn, format.MemberRow, error) {
	var want format.MemberRow
	for _, row := range m.dir.members() {
		if row.Name == name {
			want = row
		}
	}
	addr, ok := m.dir.address(name)
	if want.Name == "" || !ok {
		return nil, want, fmt.Errorf("no address of node %q", name)
	}
	cfg := m.config.Clone()
	cfg.NextProtos = []string{protocol}
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 || !sameKey(s.PeerCertificates[0], want.PublicKey) {
			return fmt.Errorf("%s does not hold the key of node %s", addr, name)
		}
		return nil
	}
	c, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, want, err
	}
	return c.(*tls.Conn), want, nil
}

func sameKey(c *x509.Certificate, pkix []byte) bool {
	return string(c.RawSubjectPublicKeyInfo) == string(pkix)
}

// Dial connects to an incarnation of a node for raft.
func (m *mesh) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	name, incarnation, err := parseServerID(string(address))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, member, err := m.dialTLS(ctx, name, alpnRaft)
	if err != nil {
		return nil, err
	}
	if err := m.introduce(c, member, incarnation, timeout); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// introduce says hello and hears the answer: both ends must agree that this is
// the incarnation meant, and that it has what it had.
func (m *mesh) introduce(c *tls.Conn, member format.MemberRow, incarnation format.ID, timeout time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := c.Write(m.dir.hello(incarnation).encode()); err != nil {
		return err
	}
	b := make([]byte, helloSize)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	h, err := decodeHello(b)
	if err != nil {
		return err
	}
	if h.From != incarnation {
		return fmt.Errorf("%w: incarnation %x answers for %x", errForeign, h.From, incarnation)
	}
	if err := h.admit(m.own, member, true); err != nil {
		return err
	}
	return c.SetDeadline(time.Time{})
}

// Accept, Close and Addr make mesh a raft.StreamLayer.
func (m *mesh) Accept() (net.Conn, error) {
	select {
	case c := <-m.raft:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close stops listening; it may be called twice.
func (m *mesh) Close() error {
	err := error(nil)
	m.once.Do(func() {
		close(m.closed)
		err = m.listener.Close()
	})
	return err
}

// Addr is the node's raft address: its id.
func (m *mesh) Addr() net.Addr { return meshAddr(serverID(m.own.name, m.own.incarnation)) }

type meshAddr string

func (a meshAddr) Network() string { return "sago" }
func (a meshAddr) String() string  { return string(a) }

// grpcListener is the node API's share of the port.
type grpcListener struct{ *mesh }

// Accept answers the next node API connection, already authenticated.
func (l grpcListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.grpc:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// payloadTransport puts payload back into entries on their way out.
type payloadTransport struct {
	*raft.NetworkTransport
	logs   *logStore
	failed func() error
}

func (t *payloadTransport) loaded(args *raft.AppendEntriesRequest) (*raft.AppendEntriesRequest, error) {
	if err := t.failed(); err != nil {
		return nil, err // a node that has failed keeps nobody from electing another
	}
	if len(args.Entries) == 0 {
		return args, nil
	}
	out := *args
	out.Entries = make([]*raft.Log, len(args.Entries))
	for i, l := range args.Entries {
		full := *l // entries are shared with the log cache
		var err error
		if full.Extensions, err = t.logs.full(l.Index, l.Extensions); err != nil {
			return nil, err
		}
		out.Entries[i] = &full
	}
	return &out, nil
}

// AppendEntries sends entries whole.
func (t *payloadTransport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	full, err := t.loaded(args)
	if err != nil {
		return err
	}
	return t.NetworkTransport.AppendEntries(id, target, full, resp)
}

// pipelineWait is how long a pipeline's sender waits for its reader.
const pipelineWait = 5 * time.Second

// AppendEntriesPipeline is a pipeline that sends entries whole.
func (t *payloadTransport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return &payloadPipeline{AppendPipeline: p, loaded: t.loaded, wait: pipelineWait}, nil
}

type payloadPipeline struct {
	raft.AppendPipeline
	loaded func(*raft.AppendEntriesRequest) (*raft.AppendEntriesRequest, error)
	wait   time.Duration
}

// AppendEntries sends entries whole. raft's reader of answers leaves at the first of a
// newer term; a sender that raft has waiting for it then would wait for ever, and
// raft's shutdown for the sender. So a pipeline that takes nothing for a while is
// closed: raft goes on without one.
func (p *payloadPipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	full, err := p.loaded(args)
	if err != nil {
		return nil, err
	}
	stuck := time.AfterFunc(p.wait, func() { _ = p.Close() }) // the sender closes it again
	defer stuck.Stop()
	return p.AppendPipeline.AppendEntries(full, resp)
}
