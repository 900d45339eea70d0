package replication

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Node is one running node of a cluster.
type Node struct {
	cfg    Config
	log    *slog.Logger
	start  start
	keys   Keys
	own    identityOf
	timing Timing

	attestor *attestor
	signer   *signer
	store    *store.Store
	logs     *logStore
	files    *logFile
	raft     *raft.Raft
	fsm      *fsm
	mesh     *mesh
	peers    *peerClients
	server   *grpc.Server
	proposer *proposer
	supply   *keySupply
	rotation *rotation

	applying sync.Mutex // held while an entry or a copy changes the Machine
	failure  atomic.Pointer[error]
	lost     atomic.Pointer[string] // that no majority has a history any more
	ended    chan struct{}
	wake     chan struct{} // something was recorded that a duty may wait for
	// opened is when this node began, lastRequest the nanoseconds from then to the last
	// put, read or use that was recorded, 0 before the first.
	opened      time.Time
	lastRequest atomic.Int64
	requests    requests
	// The leader's duties' own: when the log last named an institution, and when
	// closings were last seen to wait.
	saidOverdue  map[uint32]time.Time
	closingsWait time.Time
	marking      chan struct{} // held by who takes a checkpoint: one at a time
	heal         *healer
	rooms        roomBook
	scrub        *scrubber
	begun        uint64 // entry of the record that vouches for a copied base; serveCopy's
	// startDamage is what the start found, until the healer takes it.
	startDamage []*format.DamageError
	startID     format.ID   // of this process start
	tookAbsent  atomic.Bool // a block was installed that lacks keys: duties look again

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Open opens a node's data and starts it. Data that cannot be used again — an
// old copy, another incarnation's, damaged beyond what can be rebuilt here — is
// put aside and the node rejoins as a new incarnation. Data of another cluster
// is refused.
func Open(ctx context.Context, c Config) (*Node, error) {
	n := &Node{cfg: c, log: c.Log, timing: c.Timing.withDefaults(), ended: make(chan struct{}), wake: make(chan struct{}, 1), marking: make(chan struct{}, 1), startID: randomID(), opened: time.Now()}
	n.heal, n.scrub = &healer{node: n}, &scrubber{node: n}
	var err error
	if err = settleTurns(c.KeyDir, c.DataDir); err != nil {
		return nil, err
	}
	if n.start, err = readStart(c, true); err != nil {
		return nil, err
	}
	if err := tidyRoots(c.KeyDir); err != nil {
		return nil, fmt.Errorf("node keys: %w", err)
	}
	if n.keys, err = LoadKeys(c.KeyDir); err != nil {
		return nil, err
	}
	defer n.keys.wipeRoots()
	if n.attestor, err = openAttestor(c.KeyDir); err != nil {
		return nil, err
	}
	if n.signer, err = openSigner(c.KeyDir, n.keys.sign); err != nil {
		return nil, err
	}
	if err := n.openData(ctx); err != nil {
		return nil, err
	}
	n.sayAside()
	if err := forgetRequest(c.KeyDir); err != nil { // a restore was cut before it did
		return nil, errors.Join(err, n.store.Abandon(), n.files.Close())
	}
	if err := n.openNetwork(); err != nil {
		return nil, errors.Join(err, n.store.Abandon(), n.files.Close())
	}
	if err := n.openRaft(); err != nil {
		return nil, errors.Join(err, n.mesh.Close(), n.store.Abandon(), n.files.Close())
	}
	n.run()
	return n, nil
}

// commitTimeout is how late an idle follower hears that an entry is committed:
// half of what a lone client of a follower waits for.
const commitTimeout = 10 * time.Millisecond

func randomID() (id format.ID) {
	// crypto/rand.Read never fails.
	_, _ = rand.Read(id[:])
	return id
}

// NewID draws a random operation id.
func (n *Node) NewID() format.ID { return randomID() }

func (n *Node) openNetwork() error {
	var err error
	if n.mesh, err = newMesh(n.own, n, &n.keys, n.cfg.Listener, n.log); err != nil {
		return err
	}
	n.peers = &peerClients{mesh: n.mesh, conns: map[string]*grpc.ClientConn{}}
	n.server = grpc.NewServer(grpc.Creds(meshCredentials{n.mesh}), grpc.UnaryInterceptor(n.mesh.unary), grpc.StreamInterceptor(n.mesh.stream),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.MaxRecvMsgSize(maxNodeMessage), grpc.MaxSendMsgSize(maxNodeMessage))
	registerNodeService(n.server, n)
	n.proposer = newProposer(n.propose)
	n.supply = &keySupply{node: n}
	n.rotation = &rotation{dir: n.cfg.KeyDir, keys: n.store.Keys(), record: n.recordRekey, state: n.keys.rotation}
	if note := n.rotation.keys.Note(); note != "" {
		n.log.Warn(note)
	}
	return nil
}

func (n *Node) openRaft() error {
	n.fsm = &fsm{node: n}
	copying, err := n.copyPending()
	if err != nil {
		return err
	}
	n.fsm.copying.Store(copying)
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(serverID(n.own.name, n.own.incarnation))
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = n.timing.Heartbeat, n.timing.Election, n.timing.Lease
	c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = n.timing.SnapshotThreshold, n.timing.SnapshotInterval, n.timing.TrailingLogs
	c.CommitTimeout = commitTimeout
	c.BatchApplyCh, c.NoSnapshotRestoreOnStart, c.ShutdownOnRemove = true, true, false
	c.Logger = raftLogger(n.log)
	snapshots := &markerStore{dir: n.cfg.DataDir, installing: n.installing}
	if m, err := snapshots.read(); err == nil && m != nil {
		n.fsm.target.Store(m.Index)
	}
	transport := &payloadTransport{logs: n.logs, failed: n.failed, NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: n.mesh, MaxPool: 3, Timeout: 10 * time.Second, Logger: c.Logger})}
	if n.files.fresh && !n.start.admitted && n.own.incarnation == n.start.node.Incarnation {
		if err := raft.BootstrapCluster(c, n.logs, n.files.stable, snapshots, transport, n.start.configuration()); err != nil {
			return fmt.Errorf("raft: beginning: %w", err)
		}
	}
	n.raft, err = raft.NewRaft(c, n.fsm, n.logs, n.files.stable, snapshots, transport)
	if err != nil {
		return fmt.Errorf("raft: %w", err)
	}
	return nil
}

// configuration is raft's first: the ceremony's nodes, all voters.
func (s start) configuration() raft.Configuration {
	var c raft.Configuration
	for _, n := range s.ceremony.Nodes {
		id := serverID(n.Name, n.Incarnation)
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return c
}

// run starts the node's goroutines; Close ends them.
func (n *Node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.reportStart()
	spawn := func(f func(context.Context)) {
		n.wg.Add(1)
		go func() {
			defer n.wg.Done()
			f(ctx)
		}()
	}
	spawn(func(context.Context) {
		if err := n.server.Serve(grpcListener{n.mesh}); err != nil && ctx.Err() == nil {
			n.fail(fmt.Errorf("node API: %w", err))
		}
	})
	spawn(n.flush)
	spawn(func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-n.ended:
			// A node that has failed neither votes nor leads; Close does the rest.
			_ = n.raft.Shutdown().Error()
		}
	})
	spawn(n.proposer.run)
	spawn(n.lead)
	spawn(n.serveDuties)
	spawn(n.serveRoom)
	spawn(n.serveCopy)
	spawn(n.serveAhead)
	spawn(n.heal.run)
	spawn(n.scrub.run)
	spawn(n.resumeRekey)
	k := &keeper{node: n}
	spawn(k.run)
	spawn(k.runLead)
}

// flushEvery is how often what was applied goes to the index file; less often, down
// to flushMost, where that takes more than a fifth of the time: a row that changes
// several times is then written once. flushRows wait for nothing: the log's own syncs
// stand behind a write of many more (docs/adr/0034).
const (
	flushEvery = 200 * time.Millisecond
	flushMost  = 2 * time.Second
	flushRows  = 2 << 10
	flushLook  = 25 * time.Millisecond
)

// flush writes what was applied to the index until ctx ends.
func (n *Node) flush(ctx context.Context) {
	var next time.Time
	for range ticks(ctx, flushLook) {
		begin, rows := time.Now(), n.store.Unflushed()
		if n.failed() != nil || rows == 0 || begin.Before(next) && rows < flushRows {
			continue
		}
		if err := n.store.Flush(); err != nil {
			n.fail(err)
		}
		took := time.Since(begin)
		next = begin.Add(max(flushEvery, took+min(4*took, flushMost))) // a slow disk rests, too
	}
}

// Submit hands an operation to the proposer and waits for this node's own Apply
// of it. Id, front, built-at and the node's own interval are filled in.
func (n *Node) Submit(ctx context.Context, op store.Op, chunks ...format.Chunk) (store.Result, error) {
	if err := n.failed(); err != nil {
		return store.Result{}, fmt.Errorf("%w: this node has stopped: %w", ErrUnavailable, err)
	}
	if len(chunks) > 0 {
		if err := n.roomToPut(); err != nil {
			return store.Result{}, err
		}
	}
	if op.ID == (format.ID{}) {
		op.ID = randomID()
	}
	op.Front = n.own.number
	op.BuiltAt = n.store.Summary().Applied
	if t, err := n.cfg.Time.Now(); err == nil {
		op.FrontEarliest, op.FrontLatest = t.Earliest, t.Latest
	}
	defer n.requests.begin(op)()
	return n.proposer.submit(ctx, op, chunks)
}

// Store is the node's Reader and Sealer.
func (n *Node) Store() *store.Store { return n.store }

// Name and Number are the node's in the member table.
func (n *Node) Name() string { return n.own.name }

// Number is the node's number in the member table.
func (n *Node) Number() uint32 { return n.own.number }

// Ended is closed when the node has stopped by itself; Failure says why.
func (n *Node) Ended() <-chan struct{} { return n.ended }

// Failure answers what ended the node, or nil.
func (n *Node) Failure() error { return n.failed() }

// Ready reports whether the node can record: it has a leader, its state is
// whole, and it has keys to seal with.
func (n *Node) Ready() bool {
	return n.failed() == nil && n.leader() != "" && !n.fsm.copying.Load() && n.supply.ready() && n.epochsReady()
}

// handOnWithin bounds handing leadership on. Raft's own future is never answered
// when raft is shut down at the same moment.
const handOnWithin = 3 * time.Second

// handOn hands leadership to another node, if one can take it.
func (n *Node) handOn() error {
	done := make(chan error, 1)
	go func() { done <- n.raft.LeadershipTransfer().Error() }() // ends with raft's answer, or is left behind by a raft that has shut down
	select {
	case err := <-done:
		return err
	case <-time.After(handOnWithin):
		return errors.New("nobody took leadership in time")
	}
}

// Close hands leadership on, stops the node and leaves a clean data directory.
func (n *Node) Close() error {
	if n.raft.State() == raft.Leader && len(n.start.ceremony.Nodes) > 1 {
		// A follower takes over at once rather than after a timeout; if none can,
		// stopping goes on.
		_ = n.handOn()
	}
	n.cancel()
	n.server.Stop()
	errs := []error{n.raft.Shutdown().Error(), n.mesh.Close()}
	n.wg.Wait()
	n.mesh.wg.Wait()
	errs = append(errs, n.peers.close())
	if n.failed() != nil {
		errs = append(errs, n.store.Abandon(), n.files.Close())
		return errors.Join(append(errs, n.failed())...)
	}
	err := n.store.Flush()
	size, root := n.store.DurableRoot()
	if err = errors.Join(err, n.store.Close()); err != nil {
		return errors.Join(append(errs, err, n.files.Close())...)
	}
	last, err := n.lastIndex()
	if err == nil {
		err = errors.Join(n.attestor.raise(min(n.raft.CommitIndex(), last), 0, size, root), n.attestor.stopped(last))
	}
	return errors.Join(append(errs, err, n.files.Close())...)
}

// members, address and hello make Node the mesh's directory.
func (n *Node) members() []format.MemberRow {
	if n.store != nil {
		if rows := n.store.Members(); len(rows) > 0 {
			return rows
		}
	}
	return n.start.rows()
}

func (n *Node) address(name string) (string, bool) {
	if name == n.own.name {
		return n.cfg.Listener.Addr().String(), true
	}
	a, ok := n.cfg.Peers[name]
	return a, ok
}

func (n *Node) hello(to format.ID) hello {
	last, err := n.lastIndex()
	if err != nil {
		last = 0 // offers nothing: peers refuse
	}
	return hello{Cluster: n.own.cluster, From: n.own.incarnation, To: to, Log: last, Size: n.store.DurableSize(), Member: n.own.number}
}
