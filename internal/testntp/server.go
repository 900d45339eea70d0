package testntp

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Behaviour is how a Server answers. Its zero value with an Epoch is an honest
// stratum 1 server.
type Behaviour struct {
	Epoch  time.Time     // the true time at which CLOCK_BOOTTIME was zero; see EpochOf
	Offset time.Duration // the lie: added to true time

	Stratum        uint8  // 0 means 1; AnswerZeroStratum answers 0
	Leap           uint8  // 0 to 3; 3 means not synchronized
	Kiss           string // four letters; answered as a kiss-o'-death with stratum 0
	ZeroOrigin     bool
	ZeroTransmit   bool
	RootDelay      time.Duration
	RootDispersion time.Duration
	StaleReference time.Duration // age of the server's last setting

	RequestDelay  time.Duration // waited before the receive timestamp: a slow way there
	ResponseDelay time.Duration // waited after the transmit timestamp: a slow way back
	Silent        bool
	Key           *Key // demanded of queries, which else get no answer, and used for answers
}

// EpochOf returns the epoch with which a server says t now.
func EpochOf(t time.Time) time.Time { return t.Add(-time.Duration(bootNanos())) }

// Server is a running time server. It is safe for concurrent use.
type Server struct {
	conn      *net.UDPConn
	behaviour atomic.Pointer[Behaviour]
	queries   atomic.Int64
	set       sync.Mutex // orders Set calls
	stop      context.CancelFunc
	done      chan struct{}
}

// Start opens the UDP address (port 0 takes a free one) and answers until ctx ends
// or Close is called.
func Start(ctx context.Context, addr string, b Behaviour) (*Server, error) {
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("testntp: %w", err)
	}
	conn, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, fmt.Errorf("testntp: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Server{conn: conn, stop: cancel, done: make(chan struct{})}
	s.behaviour.Store(&b)
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	go s.serve(ctx)
	return s, nil
}

// Addr returns host:port.
func (s *Server) Addr() string { return s.conn.LocalAddr().String() }

// Queries returns how many queries have arrived.
func (s *Server) Queries() int64 { return s.queries.Load() }

// Now returns the true time by the server's epoch, without its lies.
func (s *Server) Now() time.Time { return s.behaviour.Load().now() }

// Set changes the behaviour atomically: an answer follows the old or the new one.
func (s *Server) Set(change func(*Behaviour)) {
	s.set.Lock()
	defer s.set.Unlock()
	b := *s.behaviour.Load()
	change(&b)
	s.behaviour.Store(&b)
}

// Close stops the server and waits for it.
func (s *Server) Close() {
	s.stop()
	<-s.done
}

func (s *Server) serve(ctx context.Context) {
	defer close(s.done)
	buffer := make([]byte, 2048)
	for {
		n, from, err := s.conn.ReadFromUDP(buffer)
		if err != nil {
			return
		}
		s.queries.Add(1)
		s.answer(ctx, *s.behaviour.Load(), bytes.Clone(buffer[:n]), from)
	}
}

// answer is sequential: a delayed answer delays those behind it.
func (s *Server) answer(ctx context.Context, b Behaviour, query []byte, from *net.UDPAddr) {
	if b.Silent || len(query) < packetSize || !b.Key.accepts(query) {
		return
	}
	pause(ctx, b.RequestDelay)
	reply := b.reply(query)
	pause(ctx, b.ResponseDelay)
	// A reply that cannot be sent is a lost packet, which every client survives.
	_, _ = s.conn.WriteToUDP(reply, from)
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (b *Behaviour) now() time.Time { return b.Epoch.Add(time.Duration(bootNanos())) }

func bootNanos() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // every Linux has this clock
	}
	return ts.Nano()
}
