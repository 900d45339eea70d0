package client

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

const (
	// connectWait is the longest that one endpoint is waited for before the next
	// one is asked.
	connectWait = 5 * time.Second
	// maxAnswer bounds one answered message, in bytes.
	maxAnswer = 16 << 20
)

// Client calls one cluster. Its methods may be used by several goroutines.
type Client struct {
	nodes     []NodeKey
	cluster   [16]byte
	memory    Memory            // nil: nothing is remembered
	key       crypto.PrivateKey // of the caller's certificate
	endpoints []*endpoint
	// current is the endpoint that answered last; calls begin with it.
	current atomic.Int64
}

type endpoint struct {
	conn     *grpc.ClientConn
	refusals *refusals
}

// Open makes a client of a cluster. It connects lazily, so that a missing node
// shows when a call needs it; ctx bounds only Open itself. Close ends it.
// Errors wrap [ErrContext].
func Open(ctx context.Context, c Context) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, fromStatus(err)
	}
	if len(c.Endpoints) == 0 || len(c.Authorities) == 0 || len(c.Certificate.Certificate) == 0 {
		return nil, fmt.Errorf("%w: endpoints, authorities and a certificate are needed", ErrContext)
	}
	cl := &Client{nodes: c.Nodes, cluster: c.ClusterID, memory: c.Memory, key: c.Certificate.PrivateKey}
	for _, address := range c.Endpoints {
		e, err := newEndpoint(address, c)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%w: endpoint %q: %w", ErrContext, address, err), cl.Close())
		}
		cl.endpoints = append(cl.endpoints, e)
	}
	return cl, nil
}

func newEndpoint(address string, c Context) (*endpoint, error) {
	e := &endpoint{refusals: &refusals{}}
	var err error
	e.conn, err = grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(watched{credentials.NewTLS(tlsConfig(c)), e.refusals}),
		grpc.WithNoProxy(), // an environment variable must not decide where documents go
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: connectWait,
		}))
	return e, err
}

// Close ends all connections and what runs on them.
func (c *Client) Close() error {
	var errs []error
	for _, e := range c.endpoints {
		errs = append(errs, e.conn.Close())
	}
	return errors.Join(errs...)
}

// repeat says whether a call that may have reached a server may be sent again.
type repeat bool

const (
	// repeatable calls leave the same behind when they run twice, or a second
	// record of the same query.
	repeatable repeat = true
	// once is for calls that write anew each time.
	once repeat = false
)

// notBegun is the reason by which a node says that it proposed nothing.
const notBegun = "NOT_READY"

// call runs do on the endpoints in order, beginning with the one that answered
// last, until one is not unavailable.
func call[T any](ctx context.Context, c *Client, r repeat, do func(context.Context, *grpc.ClientConn, ...grpc.CallOption) (T, error)) (T, error) {
	var none T
	var worst error
	first := int(c.current.Load())
	for i := range c.endpoints {
		n := (first + i) % len(c.endpoints)
		e := c.endpoints[n]
		var to peer.Peer
		answer, err := do(ctx, e.conn, grpc.Peer(&to))
		err = e.explain(fromStatus(err))
		if err == nil {
			c.current.Store(int64(n))
			return answer, nil
		}
		if !unavailable(err) {
			return none, err
		}
		worst = heavier(worst, err)
		sent := to.Addr != nil
		if ctx.Err() != nil || (r == once && sent && ReasonOf(err) != notBegun) {
			break
		}
	}
	return none, worst
}

// explain puts the reason of a failed handshake in the place of gRPC's
// "unavailable".
func (e *endpoint) explain(err error) error {
	if !unavailable(err) {
		e.refusals.set(nil)
		return err
	}
	if why := e.refusals.get(); why != nil {
		return &unreachable{why}
	}
	return err
}

// unreachable marks an identity failure of one endpoint: the next one is asked
// all the same.
type unreachable struct{ error }

func (u *unreachable) Unwrap() error { return u.error }

func unavailable(err error) bool {
	var u *unreachable
	if errors.As(err, &u) {
		return true
	}
	var e *Error
	return errors.As(err, &e) && e.Code == codes.Unavailable
}

// heavier returns which of two endpoints' failures says more: an appliance's
// own answer, then a question of identity, then silence.
func heavier(a, b error) error {
	weight := func(err error) int {
		var e *Error
		var u *unreachable
		switch {
		case err == nil:
			return 0
		case errors.As(err, &u):
			return 2
		case errors.As(err, &e) && e.FromAppliance:
			return 3
		default:
			return 1
		}
	}
	if weight(b) > weight(a) {
		return b
	}
	return a
}
