package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/ledger"
	"github.com/sago-worm/sago/store/format"
)

// Limits of the front. They bound what one caller can take, not what the
// appliance can do.
const (
	maxMessage       = 5 << 20 // one message, bytes
	maxHeaders       = 16 << 10
	maxStreams       = 1024 // calls at once on one connection
	handshakeWithin  = 10 * time.Second
	proposeWithin    = 10 * time.Second // for a majority to answer
	callWithin       = time.Minute
	streamWithin     = 15 * time.Minute // streams, and checks of whole files
	exportWithin     = 12 * time.Hour
	readyEvery       = 250 * time.Millisecond
	defaultDrain     = 10 * time.Second
	defaultRate      = 20_000 // calls a second and principal
	defaultConnected = 4096   // connections at once
)

// Config says what a Server stands on. Node, Clock and Certificate are required.
type Config struct {
	Node        Node
	Clock       Clock
	Certificate tls.Certificate // the server's own
	// Authorities lists the certificates (DER) that client certificates chain
	// to, asked at each handshake. nil: those of the state.
	Authorities func() ([][]byte, error)
	// Founders lists the ceremony's persons. They may ask a node that has no state
	// yet, because it is joining, for its status. nil: nobody.
	Founders []format.Person
	// Time is the instant that certificate dates are judged by. nil: the quorum
	// clock, before its first tick the ceremony's time.
	Time func() time.Time
	// Witnesses answers this node's own part of what is known of the policy's
	// witnesses, and Cosignatures their lines on a checkpoint. nil: this node asks
	// none.
	Witnesses    func() []*sagov1.WitnessState
	Cosignatures func(format.Checkpoint) []format.NoteLine
	// Ledger compares the three records of special deletions on this node. nil: the
	// node keeps no ledger, and says so.
	Ledger func() (ledger.Report, error)
	// Minute ticks once a minute of a monotonic clock; floods of denials are
	// written then. nil: a ticker of the server's own.
	Minute <-chan time.Time
	// Rate is how many calls a second, and at once, one principal may make; 0:
	// 20 000.
	Rate int
	// Connections is how many there may be at once; 0: 4096.
	Connections int
	// DrainWithin is how long calls in flight may take at the end; 0: 10 s.
	DrainWithin time.Duration
	// Log takes one line for each failure that is not the caller's. nil: none.
	Log *slog.Logger
}

func (c *Config) complete() error {
	if c.Node == nil || c.Clock == nil || len(c.Certificate.Certificate) == 0 {
		return errors.New("service: a node, a clock and a server certificate are needed")
	}
	if c.Authorities == nil {
		c.Authorities = func() ([][]byte, error) { return c.Node.Store().Authorities() }
	}
	if c.Time == nil {
		c.Time = func() time.Time {
			s := c.Node.Store().Summary()
			return time.UnixMicro(max(s.Clock.Now, s.Ceremony))
		}
	}
	if c.Witnesses == nil {
		c.Witnesses = func() []*sagov1.WitnessState { return unasked(c.Node.Store().Summary().Policy) }
	}
	if c.Cosignatures == nil {
		c.Cosignatures = func(format.Checkpoint) []format.NoteLine { return nil }
	}
	if c.Ledger == nil {
		c.Ledger = func() (ledger.Report, error) {
			return ledger.Report{Disagreements: []string{"this node keeps no ledger"}}, nil
		}
	}
	if c.Rate == 0 {
		c.Rate = defaultRate
	}
	if c.Connections == 0 {
		c.Connections = defaultConnected
	}
	if c.DrainWithin == 0 {
		c.DrainWithin = defaultDrain
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Server is the gRPC front of one node.
type Server struct {
	node    Node
	clock   Clock
	cfg     Config
	log     *slog.Logger
	grpc    *grpc.Server
	health  *health.Server
	denials *denials
	rates   *rates
	// whole is held by a check of the whole history: one at a time.
	whole chan struct{}
	// exports of the history that run.
	exports exports
}

// New makes a server; it accepts nothing before Serve.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{
		node: cfg.Node, clock: cfg.Clock, cfg: cfg, log: cfg.Log, health: health.NewServer(),
		denials: newDenials(cfg.Node.Store().Summary().Clock.Now), rates: newRates(rate.Limit(cfg.Rate), cfg.Rate), whole: make(chan struct{}, 1),
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(s.tlsConfig())),
		grpc.ConnectionTimeout(handshakeWithin),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 15 * time.Minute, Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.WaitForHandlers(true),
		grpc.NumStreamWorkers(uint32(2*runtime.GOMAXPROCS(0))),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
	)
	sagov1.RegisterBundleServiceServer(s.grpc, &bundleServer{Server: s})
	sagov1.RegisterUsageServiceServer(s.grpc, &usageServer{Server: s})
	sagov1.RegisterHistoryServiceServer(s.grpc, &historyServer{Server: s})
	sagov1.RegisterClockServiceServer(s.grpc, &clockServer{Server: s})
	sagov1.RegisterClusterServiceServer(s.grpc, &clusterServer{Server: s})
	sagov1.RegisterActServiceServer(s.grpc, &actServer{Server: s})
	sagov1.RegisterCirculationServiceServer(s.grpc, &circulationServer{Server: s})
	sagov1.RegisterSpecialDeleteServiceServer(s.grpc, &specialServer{Server: s})
	sagov1.RegisterHoldServiceServer(s.grpc, &holdServer{Server: s})
	sagov1.RegisterInstitutionServiceServer(s.grpc, &institutionServer{Server: s})
	sagov1.RegisterPolicyServiceServer(s.grpc, &policyServer{Server: s})
	sagov1.RegisterMemberServiceServer(s.grpc, &memberServer{Server: s})
	sagov1.RegisterKeyArchiveServiceServer(s.grpc, &keyArchiveServer{Server: s})
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	return s, nil
}

// Serve answers on ln until ctx ends, then lets the calls in flight end, breaks
// off those that take longer than DrainWithin, and writes the denials that are
// still counted. It closes ln and may be called once. A nil error is an end
// that ctx asked for.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	// The watchers outlive ctx: denials of the calls that drain count as well.
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.watchReady(watch) })
	wg.Go(func() { s.watchMinutes(watch) })
	failed := make(chan error, 1)
	wg.Go(func() { failed <- s.grpc.Serve(newLimitListener(ln, s.cfg.Connections)) })

	var err error
	select {
	case <-ctx.Done():
		s.drain()
	case err = <-failed:
		err = fmt.Errorf("service: %w", err)
		s.grpc.Stop()
	}
	stop()
	wg.Wait()
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), proposeWithin)
	defer cancel()
	s.flushDenials(flush)
	return err
}

// drain refuses new calls and waits for those in flight.
func (s *Server) drain() {
	s.health.Shutdown()
	done := make(chan struct{})
	go func() { // ends when the last call does, at the latest by Stop below
		s.grpc.GracefulStop()
		close(done)
	}()
	limit := time.NewTimer(s.cfg.DrainWithin)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		s.log.Warn("calls in flight were broken off", "after", s.cfg.DrainWithin.String())
		s.grpc.Stop()
		<-done
	}
}

// watchReady keeps the health service's answer the node's.
func (s *Server) watchReady(ctx context.Context) {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		state := grpc_health_v1.HealthCheckResponse_NOT_SERVING
		if s.node.Ready() {
			state = grpc_health_v1.HealthCheckResponse_SERVING
		}
		s.health.SetServingStatus("", state)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchMinutes writes what was counted of floods once a minute.
func (s *Server) watchMinutes(ctx context.Context) {
	minute := s.cfg.Minute
	if minute == nil {
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		minute = tick.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-minute:
			s.rates.forget()
			bounded, cancel := context.WithTimeout(ctx, proposeWithin)
			s.flushDenials(bounded)
			cancel()
		}
	}
}
