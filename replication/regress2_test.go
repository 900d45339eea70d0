package replication

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// mute listens at a stopped node's address, takes every connection and never
// says a word, until end.
type mute struct {
	listener net.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

func (c *testCluster) mute(i int) *mute {
	c.t.Helper()
	l, err := net.Listen("tcp", c.nodeAddr(i))
	if err != nil {
		c.t.Fatal(err)
	}
	m := &mute{listener: l}
	m.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.conns = append(m.conns, conn)
			m.mu.Unlock()
		}
	})
	c.t.Cleanup(m.end)
	return m
}

func (m *mute) taken() int { m.mu.Lock(); defer m.mu.Unlock(); return len(m.conns) }

func (m *mute) end() {
	_ = m.listener.Close() // ended twice, by the test and at its cleanup
	m.wg.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.conns {
		_ = conn.Close() // nothing was exchanged
	}
	m.conns = nil
}

func (c *testCluster) nodeAddr(i int) string { return c.addrs["node"+string(rune('1'+i))] }

// goesOn checks what a cluster with a peer that does not answer owes: clock
// rounds, puts on its other nodes, and erasure.
func (c *testCluster) goesOn(mute int) {
	c.t.Helper()
	lead := c.leader()
	others := slices.DeleteFunc([]int{0, 1, 2}, func(i int) bool { return i == mute })
	clock := func() uint64 { return c.nodes[lead].store.Summary().Clock.Round }
	for _, i := range others {
		c.mustPut(i, "kept"+string(rune('1'+i)), "P5Y", []byte("kept"))
	}
	c.mustPut(lead, "short", "PT1S", []byte("short lived"))
	for range 4 { // a round that waited for the peer for ever would be the last one
		round := clock()
		c.await("a clock round", func() bool {
			if n := c.nodes[mute]; n != nil && n.raft.State() == raft.Leader { // chosen by a slow machine; without time it is of no use
				_ = n.raft.LeadershipTransfer().Error()
			}
			return clock() != round
		})
	}
	c.await("erased by a majority", func() bool {
		b, err := c.nodes[lead].Store().Bundle(key("short"))
		return err == nil && b != nil && b.Erase != 0 && attestedBy(c.nodes[lead], b) >= 2
	})
	for _, i := range others {
		c.mustRead(i, "kept"+string(rune('1'+i)), []byte("kept"))
	}
}

// TestRegressMuteNode: a node whose port takes connections and never answers is
// no more than a node that is away.
func TestRegressMuteNode(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	gone := (c.leader() + 1) % 3
	c.stop(gone)
	m := c.mute(gone)
	c.await("silence is met", func() bool { return m.taken() > 0 })
	c.goesOn(gone)
	m.end()
	c.startNode(gone)
	c.awaitReady()
	c.awaitEqual()
}

// TestRegressMuteVote: so is a node that follows the log and whose answers about
// time never come.
func TestRegressMuteVote(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	gone := (c.leader() + 1) % 3
	c.times[gone].mu.Lock()
	unlock := sync.OnceFunc(c.times[gone].mu.Unlock)
	defer unlock()
	defer time.AfterFunc(2*patience, unlock).Stop() // a failing test must end as well
	c.goesOn(gone)
	unlock()
	c.awaitEqual()
}

// TestRegressForgedProposals: a member cannot have the leader log what halts all
// nodes, what speaks for another node, or payload under another node's keys.
func TestRegressForgedProposals(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	lead := c.leader()
	evil, victim := c.nodes[(lead+1)%3], c.nodes[(lead+2)%3]
	theirs, err := victim.Slot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	own, err := evil.Slot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	garbage := []byte("garbage garbage garbage")
	stub := format.ChunkHeader{Slot: own, Erased: true, Length: 23, Digest: format.Digest{1}}
	c.await("both blocks announced at the leader", func() bool {
		a, err1 := c.nodes[lead].store.Block(theirs.Block)
		b, err2 := c.nodes[lead].store.Block(own.Block)
		return err1 == nil && err2 == nil && a != nil && b != nil
	})
	cases := []struct {
		name   string
		op     store.Op
		chunks []format.Chunk
		want   codes.Code
	}{
		{"kind 0", store.Op{Front: evil.own.number}, nil, codes.InvalidArgument},
		{"kind 99", store.Op{Kind: 99, Front: evil.own.number}, nil, codes.InvalidArgument},
		{"a second ceremony", store.Op{Kind: store.KindCeremony, Front: evil.own.number, Body: c.ceremony.Encode()}, nil, codes.InvalidArgument},
		{"another's front", store.Op{Kind: store.KindMark, Front: victim.own.number}, nil, codes.InvalidArgument},
		{"another's keys", store.Op{Kind: store.KindChunk, Front: evil.own.number}, []format.Chunk{format.NewChunk(theirs, 0, garbage)}, codes.PermissionDenied},
		{"no chunk", store.Op{Kind: store.KindChunk, Front: evil.own.number}, []format.Chunk{{ChunkHeader: stub}}, codes.PermissionDenied},
	}
	// A slow machine may choose another leader meanwhile: who leads is asked anew.
	ask := func(op store.Op, chunks ...format.Chunk) (err error) {
		c.await("an answer of the leader", func() bool {
			if at := c.leader(); c.nodes[at] == evil {
				_ = evil.handOn()
				return false
			} else if err = c.propose(evil, at, op, chunks...); status.Code(err) == codes.Unavailable {
				return false
			}
			return true
		})
		return err
	}
	for _, k := range cases {
		if err := ask(k.op, k.chunks...); status.Code(err) != k.want {
			t.Errorf("%s: %v, want %v", k.name, err, k.want)
		}
	}
	if err := ask(store.Op{Kind: store.KindMark, Front: evil.own.number}); err != nil {
		t.Errorf("an honest proposal: %v", err)
	}
	for i, n := range c.nodes {
		name := "V" + string(rune('1'+i))
		c.mustPut(i, name, "P5Y", []byte("content of "+name))
		c.mustRead((i+1)%3, name, []byte("content of "+name))
		if chunks, err := n.store.Chunks(theirs); err != nil || len(chunks) > 0 {
			t.Errorf("node %d keeps %d forged chunks: %v", i+1, len(chunks), err)
		}
	}
	c.awaitEqual()
}

// propose hands a leader one operation as a peer would.
func (c *testCluster) propose(from *Node, lead int, op store.Op, chunks ...format.Chunk) error {
	c.t.Helper()
	client, err := from.peers.get(c.nodes[lead].own.name)
	if err != nil {
		c.t.Fatal(err)
	}
	op.ID, op.BuiltAt = randomID(), from.store.Summary().Applied
	batch, err := encodeBatch([]store.Op{op})
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = client.Propose(c.t.Context(), &nodev1.ProposeRequest{Batch: batch, Chunks: format.AppendChunks(nil, chunks...)})
	return err
}

// TestRegressGarbageChunksAreNotKept: of what a peer sends for a bundle only its
// own chunks are kept, and nothing when they do not make it up.
func TestRegressGarbageChunksAreNotKept(t *testing.T) {
	slot := format.Slot{Block: format.ID{7}, Index: 3}
	first, second := format.NewChunk(slot, 0, []byte("first")), format.NewChunk(slot, 1, []byte("second"))
	forged, beyond := format.NewChunk(slot, 0, []byte("forged")), format.NewChunk(slot, 2, []byte("beyond"))
	row := &format.BundleRow{Slot: slot, Chunks: 2, Digest: format.BundleDigest([]format.Digest{first.Digest, second.Digest})}
	cases := []struct {
		name string
		sent []format.Chunk
		kept []format.Chunk
	}{
		{"the bundle", []format.Chunk{first, second}, []format.Chunk{first, second}},
		{"garbage behind", []format.Chunk{first, second, forged, beyond}, []format.Chunk{first, second}},
		{"garbage between", []format.Chunk{first, forged, beyond, second}, []format.Chunk{first, second}},
		{"garbage before", []format.Chunk{forged, first, second}, nil},
		{"garbage alone", []format.Chunk{forged, beyond}, nil},
		{"one of two", []format.Chunk{first}, nil},
		{"nothing", nil, nil},
	}
	same := func(a, b format.Chunk) bool {
		return a.ChunkHeader == b.ChunkHeader && string(a.Sealed) == string(b.Sealed)
	}
	for _, k := range cases {
		kept, err := chosen(row, slices.Clone(k.sent))
		if k.kept == nil && !errors.Is(err, store.ErrMissing) || k.kept != nil && err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
		if !slices.EqualFunc(kept, k.kept, same) {
			t.Errorf("%s: keeps %d chunks of %d sent, %d belong", k.name, len(kept), len(k.sent), len(k.kept))
		}
	}
}

// slotBytes is a key slot as it stands on a node's disk.
func (c *testCluster) slotBytes(i int, s format.Slot) []byte {
	c.t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.dataDir(i), keyring.FileName(s.Block)))
	if err != nil {
		c.t.Fatal(err)
	}
	at := keyring.SlotOffset(s.Index)
	return raw[at : at+keyring.SlotSize]
}

// TestRegressLateKeyIsErased: a key that reaches a node after the node attested
// its erasure, with no ciphertext beside it, is erased by the next start's look.
func TestRegressLateKeyIsErased(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(0, "short", "PT1S", []byte("short lived"))
	var row *format.BundleRow
	c.await("the bundle on node 2", func() bool {
		b, err := c.nodes[1].Store().Bundle(key("short"))
		row = b
		return err == nil && b != nil
	})
	late := c.slotBytes(1, row.Slot)
	c.await("attested by all", func() bool {
		b, err := c.nodes[1].Store().Bundle(key("short"))
		return err == nil && b.Erase != 0 && attestedBy(c.nodes[1], b) == 3
	})
	c.awaitEqual()
	c.stop(1)
	if err := custodian.ClearTree(c.dataDir(1)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(c.dataDir(1), keyring.FileName(row.Slot.Block)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(late, keyring.SlotOffset(row.Slot.Index))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	c.lookForKeys(1, row)
	c.stop(1)
	c.startNode(1)
	c.await("the late key erased", func() bool { return errors.Is(c.nodes[1].Store().KeyWorks(row.Slot), store.ErrKeyErased) })
	c.awaitReady()
	if v, err := c.nodes[1].VerifyAll(t.Context()); err != nil || !v.Intact {
		t.Errorf("verify: %v %+v", err, v)
	}
}

// lookForKeys starts a node that does nothing by itself and checks that only the
// look through the keys finds the late one.
func (c *testCluster) lookForKeys(i int, row *format.BundleRow) {
	c.t.Helper()
	n := c.startIdle(i)
	if err := n.Store().KeyWorks(row.Slot); err != nil {
		c.t.Fatalf("the late key does not open: %v", err)
	}
	size := n.store.Summary().Checkpoint.Checkpoint.Size
	if l, err := n.store.Leftovers(c.t.Context(), n.own.number, size, false, nil, 1000); err != nil || len(l.Bundles) > 0 {
		c.t.Errorf("ranges say %+v: %v", l, err)
	}
	l, err := n.store.Leftovers(c.t.Context(), n.own.number, size, true, nil, 1000)
	if err != nil || !slices.ContainsFunc(l.Bundles, func(p store.PendingErasure) bool { return p.Slot == row.Slot }) {
		c.t.Errorf("the late key is not among %+v: %v", l, err)
	}
}
