package service

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyarchive"
)

// began is the time that the test ceremony's persons compared.
var began = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// oneNode is a Node of one: Submit is Apply of one entry on a real store.
type oneNode struct {
	t     *testing.T
	st    *store.Store
	key   *ecdsa.PrivateKey
	block store.KeyBlock
	inc   format.ID
	dir   string

	lacking []uint64 // STORE records of bundles whose keys are nowhere, for archives

	down  atomic.Bool // nobody answers
	ready atomic.Bool
	// before is called with each operation that is submitted, outside the lock.
	before atomic.Pointer[func(*store.Op)]

	// fetching is called once, before the next chunk is fetched.
	fetching atomic.Pointer[func()]

	mu    sync.Mutex
	slots uint32
	done  []format.Slot // given back
	boot  int64         // microseconds since the ceremony
}

var _ Node = (*oneNode)(nil)

// Votes implements Node: this node's own vote is a majority.
func (n *oneNode) Votes(context.Context) ([]format.SignedVote, int64, error) {
	votes := []format.SignedVote{n.vote(time.Hour)}
	to, err := n.Store().ResyncTo(votes)
	return votes, to, err
}

func newKey(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func randomID() (id format.ID) { _, _ = rand.Read(id[:]); return id }

func sign(t *testing.T, key *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// newNode opens a store whose ceremony lists these persons, with keys for
// institutions 0, 1 and 2 and a first clock entry. Institution 3 has no keys.
func newNode(t *testing.T, people pki) *oneNode {
	t.Helper()
	n := &oneNode{t: t, inc: randomID()}
	n.ready.Store(true)
	var public []byte
	n.key, public = newKey(t)
	ceremony := format.Ceremony{
		Time:  began,
		Nodes: []format.CeremonyNode{{Number: 1, Name: "n1", Incarnation: n.inc, PublicKey: public}},
		Institutions: []format.Institution{
			{Number: 1, Code: "demo"}, {Number: 2, Code: "other"}, {Number: 3, Code: "keyless"},
		},
		Definitions: []format.Definition{
			{Institution: 1, BundleID: "MDS0000001", Version: 1}, {Institution: 2, BundleID: "MDS0000001", Version: 1},
			{Institution: 3, BundleID: "MDS0000001", Version: 1},
		},
		Authorities: [][]byte{people.ca.Raw},
		Policy: format.Policy{
			Version: 1, Slack: time.Hour.Microseconds(), Agreement: (10 * time.Second).Microseconds(), MaxYears: 100,
			SweepWithin: (5 * time.Second).Microseconds(), HistoryYears: 3, MinSources: 1,
		},
	}
	for _, p := range people.enrolled {
		ceremony.Persons = append(ceremony.Persons, p.Person)
	}
	act := format.Act{Cluster: randomID(), Kind: format.ActKindCeremony, Params: ceremony.Encode(), Nonce: randomID()}
	signed := format.SignedAct{Document: act.Encode()}
	first := people.enrolled[0]
	signed.Signatures = []format.ActSignature{{Person: first.ID, Signature: sign(t, first.key, signed.Document)}}
	n.open(act, signed)
	n.announce()
	n.advance(time.Second)
	return n
}

func (n *oneNode) open(act format.Act, signed format.SignedAct) {
	n.t.Helper()
	n.dir = n.t.TempDir()
	dir := n.dir
	n.t.Cleanup(func() {
		if err := custodian.ClearTree(dir); err != nil {
			n.t.Error(err)
		}
	})
	must(n.t, store.Create(dir, store.Manifest{Cluster: act.Cluster, Node: 1, Incarnation: n.inc, Ceremony: act.Digest()}))
	var err error
	n.st, err = store.Open(context.Background(), store.Options{Dir: dir, FirstLogged: 1})
	must(n.t, err)
	n.t.Cleanup(func() { must(n.t, n.st.Close()) })
	n.accept(store.KindCeremony, signed.Encode())
}

func (n *oneNode) announce() {
	n.t.Helper()
	var err error
	n.block, err = store.NewBlock(rand.Reader, 1, 512)
	must(n.t, err)
	must(n.t, n.st.InstallBlock(n.block))
	n.accept(store.KindKey, format.EncodeEffect(format.KeyEffect{Verb: format.KeyAnnounce, Block: n.block.ID, Owner: 1, Start: randomID(), Slots: 512}))
	for institution := range uint32(3) {
		e := format.KeyEffect{Verb: format.KeyEpoch, Institution: institution, Epoch: 1}
		for _, slot := range []*format.Slot{&e.Use, &e.Other, &e.Subject} {
			*slot, _ = n.Slot(context.Background())
		}
		n.accept(store.KindKey, format.EncodeEffect(e))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// accept submits an operation of the cluster's own.
func (n *oneNode) accept(kind store.Kind, body []byte) store.Result {
	n.t.Helper()
	r, err := n.Submit(context.Background(), store.Op{Kind: kind, Body: body})
	if err != nil || r.Outcome != store.Accepted {
		n.t.Fatalf("operation %d: %+v, %v", kind, r, err)
	}
	return r
}

// advance moves boot clock and quorum clock by d.
func (n *oneNode) advance(d time.Duration) {
	n.t.Helper()
	n.accept(store.KindClock, format.EncodeEffect(format.ClockEffect{Votes: []format.SignedVote{n.vote(d)}}))
}

// vote is this node's vote on the open round, later by d than its last.
func (n *oneNode) vote(d time.Duration) format.SignedVote {
	n.t.Helper()
	s := n.st.Summary()
	n.mu.Lock()
	n.boot += d.Microseconds()
	v := format.SignedVote{
		Voter: 1, Incarnation: n.inc, Round: s.Clock.Round, Earliest: began + n.boot, Latest: began + n.boot + 1000,
		BootID: format.ID{1}, BootReading: n.boot * 1000, Commit: s.Applied, Size: s.Size,
	}
	n.mu.Unlock()
	v.Signature = sign(n.t, n.key, v.Message(n.st.Manifest().Cluster))
	return v
}

// begin starts the periods of what has been stored: the second clock entry after
// a commit answers a round that opened after it.
func (n *oneNode) begin() {
	n.t.Helper()
	n.advance(time.Second)
	n.advance(time.Second)
}

// sweep expires what is due.
func (n *oneNode) sweep() {
	n.t.Helper()
	var w format.Writer
	w.U32(100)
	n.accept(store.KindSweep, w.Bytes())
}

// checkpoint has the node sign what it has.
func (n *oneNode) checkpoint() {
	n.t.Helper()
	n.accept(store.KindMark, nil)
	c, ok := n.st.Mark(n.st.Summary().Applied)
	if !ok {
		n.t.Fatal("no mark")
	}
	must(n.t, n.st.SyncHistory())
	e := format.CheckpointEffect{Checkpoint: c, Signatures: []format.NodeSignature{{Node: 1, Incarnation: n.inc, Signature: sign(n.t, n.key, []byte(c.Text()))}}}
	n.accept(store.KindCheckpoint, format.EncodeEffect(e))
}

// erase destroys and attests what has expired.
func (n *oneNode) erase() {
	n.t.Helper()
	n.checkpoint()
	must(n.t, n.st.Flush())
	pending, _, err := n.st.PendingErasures(1, n.st.Summary().Checkpoint.Checkpoint.Size, 0, 100)
	must(n.t, err)
	must(n.t, n.st.Destroy(context.Background(), pending, nil))
	e := format.AttestEffect{Node: 1, Incarnation: n.inc, From: pending[0].Decision, To: pending[len(pending)-1].Decision + 1}
	e.Signature = sign(n.t, n.key, e.Message(n.st.Manifest().Cluster))
	n.accept(store.KindAttest, format.EncodeEffect(e))
}

func (n *oneNode) Submit(ctx context.Context, op store.Op, chunks ...format.Chunk) (store.Result, error) {
	if before := n.before.Load(); before != nil {
		(*before)(&op)
	}
	if n.down.Load() {
		return store.Result{}, replication.ErrUnavailable
	}
	if err := ctx.Err(); err != nil {
		return store.Result{}, errors.Join(replication.ErrUnavailable, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if op.ID == (format.ID{}) {
		op.ID = randomID()
	}
	applied := n.st.Summary().Applied
	op.BuiltAt, op.Front = applied, 1
	if err := n.st.AppendChunks(chunks); err != nil {
		return store.Result{}, err
	}
	r, err := n.st.Apply(store.Entry{Index: applied + 1, Ops: []store.Op{op}})
	if err != nil {
		return store.Result{}, err
	}
	return r[0], nil
}

func (n *oneNode) NewID() format.ID { return randomID() }

func (n *oneNode) Slot(context.Context) (format.Slot, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slots++
	return format.Slot{Block: n.block.ID, Index: n.slots - 1}, nil
}

func (n *oneNode) SlotDone(slot format.Slot) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.done = append(n.done, slot)
}

func (n *oneNode) Store() *store.Store { return n.st }

func (n *oneNode) FetchChunk(_ context.Context, _ *format.BundleRow, h format.ChunkHeader) ([]byte, error) {
	if fetching := n.fetching.Swap(nil); fetching != nil {
		(*fetching)()
	}
	c, err := n.st.Chunk(h)
	return c.Sealed, err
}

func (n *oneNode) ChunkHeaders(_ context.Context, row *format.BundleRow) ([]format.ChunkHeader, error) {
	return n.st.BundleChunks(row)
}

func (n *oneNode) Status(context.Context) replication.Status {
	s := n.st.Summary()
	root, err := n.st.RootAt(s.Size)
	must(n.t, err)
	return replication.Status{Leader: "n1", Term: 1, Ready: n.ready.Load(), Nodes: []replication.NodeStatus{{
		Number: 1, Name: "n1", Address: "loopback", State: "leader", Applied: s.Applied, HistorySize: s.Size, Root: root, StateHash: s.State, Reachable: true,
	}}}
}

func (n *oneNode) VerifyAll(ctx context.Context) (replication.ClusterVerification, error) {
	v, err := n.st.Verify(ctx)
	return replication.ClusterVerification{Intact: len(v.Damage) == 0, RootsEqual: true, ComparedSize: v.Size, Nodes: []replication.NodeVerification{{
		Node: "n1", Reachable: true, HistorySize: v.Size, Root: v.Root, RootAtCompared: v.Root, Chunks: v.Chunks, KeySlots: v.Keys, Rows: v.Rows,
	}}}, err
}

func (n *oneNode) Archive(ctx context.Context, w io.Writer, head format.ArchiveHead, holders []format.ArchiveHolder, of replication.ArchiveOf) (out replication.Archived, err error) {
	a, err := keyarchive.NewWriter(w, head, holders)
	if err != nil {
		return out, err
	}
	add := func(s format.Slot) error {
		key, err := n.st.SlotKey(s)
		if err == nil {
			err = a.Add(s, key)
		}
		return err
	}
	bundle := func(store uint64, s format.Slot) error {
		if slices.Contains(n.lacking, store) {
			out.Lacking++
			out.Stores = append(out.Stores, store)
			return nil
		}
		return add(s)
	}
	for _, s := range of.Slots {
		err = errors.Join(err, add(s))
	}
	for _, seq := range of.Again {
		err = errors.Join(err, n.st.BundleSlots(ctx, seq, seq+1, bundle))
	}
	err = errors.Join(err, n.st.BundleSlots(ctx, head.From, head.Sequence, bundle))
	out.Keys = a.Entries()
	return out, errors.Join(err, a.End())
}

func (n *oneNode) Checkpoint(_ context.Context, fresh bool) error {
	if n.down.Load() {
		return replication.ErrUnavailable
	}
	if fresh && n.st.Uncovered() {
		n.checkpoint()
	}
	return nil
}

func (n *oneNode) Name() string   { return "n1" }
func (n *oneNode) Number() uint32 { return 1 }
func (n *oneNode) Ready() bool    { return n.ready.Load() }

// records lists an institution's records of an action.
func (n *oneNode) records(institution uint32, action format.Action) []format.Record {
	n.t.Helper()
	var out []format.Record
	must(n.t, n.st.History(context.Background(), 0, n.st.Summary().Size, func(_ uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		if err == nil && rec.Institution == institution && rec.Action == action {
			out = append(out, rec)
		}
		return err
	}))
	return out
}

func roleOf(p format.Person) access.Role { return access.Role(p.Role) }
