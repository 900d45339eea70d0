package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/service"
	"github.com/sago-worm/sago/service/ledger"
	"github.com/sago-worm/sago/service/sink"
	"github.com/sago-worm/sago/store/format"
)

// unit is one node with its front: open, serve, close. Its methods are called by
// one goroutine, but for current.
type unit struct {
	cfg      nodeConfig
	signed   format.SignedAct
	ceremony format.Ceremony
	timing   replication.Timing
	time     *nodeTime
	log      *slog.Logger
	// witnessEvery is the least time between two requests to one witness; 0: 5 s.
	witnessEvery time.Duration
	probe        func(path string) error // reads a database file before it is opened; nil: in this process

	lock           *os.File
	clients, nodes net.Listener
	node           atomic.Pointer[replication.Node]
	sink           atomic.Pointer[sink.Sink] // nil without one
	ledger         atomic.Pointer[ledger.Ledger]
	control        *control
}

// lockFile holds a file open under a lock, so that two processes never work on
// the same node or directory.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: in use by another process: %w", path, err), f.Close())
	}
	return f, nil
}

// bind takes the node's lock and its two ports. A port 0 becomes the one that
// the system chose, and stays it.
func (u *unit) bind(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, u.release())
		}
	}()
	if u.lock, err = lockFile(filepath.Join(u.cfg.KeyDir, "LOCK")); err != nil {
		return err
	}
	var c net.ListenConfig
	if u.clients, err = c.Listen(ctx, "tcp", u.cfg.ListenClient); err != nil {
		return fmt.Errorf("client port: %w", err)
	}
	if u.nodes, err = c.Listen(ctx, "tcp", u.cfg.ListenNode); err != nil {
		return fmt.Errorf("node port: %w", err)
	}
	u.cfg.ListenClient, u.cfg.ListenNode = u.clients.Addr().String(), u.nodes.Addr().String()
	return nil
}

// release gives up what bind took and nothing else closed.
func (u *unit) release() error {
	var errs []error
	for _, l := range []net.Listener{u.clients, u.nodes} {
		if l == nil {
			continue
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if u.lock != nil {
		errs = append(errs, u.lock.Close())
	}
	u.clients, u.nodes, u.lock = nil, nil, nil
	return errors.Join(errs...)
}

// open opens the node's data and starts it; bind came before.
func (u *unit) open(ctx context.Context) error {
	admitted, err := u.cfg.ownRequest()
	if err != nil {
		return errors.Join(fmt.Errorf("node %s: %w", u.cfg.Name, err), u.release())
	}
	keeper, err := u.cfg.keeper(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("node %s: %w", u.cfg.Name, err), u.release())
	}
	node, err := replication.Open(ctx, replication.Config{
		Name: u.cfg.Name, DataDir: u.cfg.DataDir, KeyDir: u.cfg.KeyDir, Listener: u.nodes, Peers: u.cfg.Peers, Admitted: admitted,
		Ceremony: u.signed, Time: u.time, Log: u.log, Version: version, Probe: u.probe, Custodian: keeper, Note: u.note, Timing: u.timing,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("node %s: %w", u.cfg.Name, err), u.release())
	}
	u.node.Store(node)
	u.startLedger()
	err = u.startSink()
	if err == nil {
		u.control, err = listenControl(u.cfg.KeyDir, u.orders())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("node %s: %w", u.cfg.Name, err), u.close())
	}
	return nil
}

// current is the node that runs now, or nil.
func (u *unit) current() *replication.Node { return u.node.Load() }

// authorities are those of the state; before the ceremony is in it, its own.
func (u *unit) authorities() ([][]byte, error) {
	st := u.current().Store()
	if !st.Summary().Begun {
		return u.ceremony.Authorities, nil
	}
	return st.Authorities()
}

// serve answers clients until ctx ends, which is nil, or the node has ended by
// itself, which is why. The node stays to be closed.
func (u *unit) serve(ctx context.Context) error {
	node := u.current()
	certificate, err := tls.LoadX509KeyPair(u.cfg.TLS.Certificate, u.cfg.TLS.Key)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	asked, err := u.askWitnesses()
	if err != nil {
		return err
	}
	defer asked.Close()
	front, err := service.New(service.Config{Node: node, Clock: u.time.report, Certificate: certificate,
		Authorities: u.authorities, Founders: u.ceremony.Persons, Time: u.floor, Log: u.log,
		Witnesses: func() []*sagov1.WitnessState { return witnessStates(asked) }, Cosignatures: asked.Cosignatures, Ledger: u.compareLedger})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan error, 1)
	go func() { // ends with serve
		select {
		case <-node.Ended():
			cancel()
			watched <- fmt.Errorf("node %s stopped by itself: %w", u.cfg.Name, node.Failure())
		case <-ctx.Done():
			watched <- nil
		}
	}()
	err = front.Serve(ctx, u.clients)
	cancel()
	return errors.Join(err, <-watched)
}

// close stops the node and gives up its ports and its lock. Of a node that has
// failed it returns the failure.
func (u *unit) close() error {
	u.closeSink()
	u.closeLedger()
	var err error
	if u.control != nil {
		err = u.control.Close()
		u.control = nil
	}
	if node := u.node.Swap(nil); node != nil {
		err = errors.Join(err, node.Close())
	}
	return errors.Join(err, u.release())
}
