package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// standing is where a node's history stands, as a checkpoint.
func standing(t *testing.T, n *Node) format.Checkpoint {
	t.Helper()
	if err := n.store.SyncHistory(); err != nil {
		t.Fatal(err)
	}
	s := n.store.Summary()
	root, err := n.store.RootAt(s.Size)
	if err != nil {
		t.Fatal(err)
	}
	return format.Checkpoint{Cluster: n.own.cluster, Size: s.Size, Root: root, Entry: s.Applied, Clock: s.Clock.Now, State: s.State}
}

// shortTree is a history that reaches only so far: a copy that is not whole.
type shortTree struct {
	tree
	size uint64
}

func (s shortTree) RootAt(size uint64) (format.Digest, error) {
	if size > s.size {
		return format.Digest{}, errors.New("beyond")
	}
	return s.tree.RootAt(size)
}

// TestP46_NothingInconsistentIsSigned: what contradicts the last signed checkpoint,
// in another incarnation and after a restart too.
func TestP46_NothingInconsistentIsSigned(t *testing.T) {
	c := newTestCluster(t, 1)
	c.startAll()
	n, dir, ctx := c.nodes[0], t.TempDir(), t.Context()
	s, err := openSigner(dir, n.keys.sign)
	if err != nil {
		t.Fatal(err)
	}
	c.mustPut(0, "T0", "P5Y", []byte("content"))
	early := standing(t, n)
	c.mustPut(0, "T1", "P5Y", []byte("content"))
	first := standing(t, n)
	signature, err := s.sign(ctx, n.store, n.own.incarnation, first)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := n.keys.PublicKey()
	if err != nil || !store.VerifyNode(format.MemberRow{PublicKey: pub}, []byte(first.Text()), signature) {
		t.Fatalf("the signature does not verify: %v", err)
	}
	c.mustPut(0, "T2", "P5Y", []byte("content"))
	later := standing(t, n)
	change := func(c format.Checkpoint, f func(*format.Checkpoint)) format.Checkpoint { f(&c); return c }
	for range 2 { // as it is, and after a restart, for another incarnation of the data
		for why, bad := range map[string]format.Checkpoint{
			"it signed size":                  early,
			"it signed another root":          change(first, func(c *format.Checkpoint) { c.Root[0] ^= 1; c.Entry++ }),
			"it signed another state at that": change(first, func(c *format.Checkpoint) { c.State[0] ^= 1 }),
			"it signed entry":                 change(later, func(c *format.Checkpoint) { c.Entry = first.Entry - 1 }),
			"clock":                           change(later, func(c *format.Checkpoint) { c.Clock = first.Clock - 1 }),
			"another cluster":                 change(later, func(c *format.Checkpoint) { c.Cluster[0] ^= 1 }),
		} {
			if _, err := s.sign(ctx, n.store, randomID(), bad); !errors.Is(err, ErrWontSign) || !strings.Contains(err.Error(), why) {
				t.Fatalf("%s: %v", why, err)
			}
		}
		if _, err := s.sign(ctx, shortTree{n.store, first.Size - 1}, randomID(), later); err == nil {
			t.Fatal("signed before the copy reached what was signed")
		}
		if s, err = openSigner(dir, n.keys.sign); err != nil || s.last != first {
			t.Fatalf("%+v %v", s.last, err)
		}
	}
	if again, err := s.sign(ctx, n.store, n.own.incarnation, first); err != nil || string(again) != string(signature) {
		t.Fatalf("the same again: %v", err)
	}
	if err := s.vouch(ctx, n.store, n.own.incarnation, early); err != nil {
		t.Fatalf("the beginning of what was signed: %v", err)
	}
	if err := s.vouch(ctx, n.store, n.own.incarnation, change(early, func(c *format.Checkpoint) { c.Root[0] ^= 1 })); !errors.Is(err, ErrWontSign) {
		t.Fatalf("another beginning: %v", err)
	}
	if _, err := s.sign(ctx, n.store, n.own.incarnation, later); err != nil {
		t.Fatal(err)
	}
}

// TestP54_TheWholeCheckpointIsKept, with its signature, and a changed file is
// refused.
func TestP54_TheWholeCheckpointIsKept(t *testing.T) {
	c := newTestCluster(t, 1)
	c.startAll()
	c.ownCheckpoint()
	e := c.takeCheckpoint()
	var kept signed
	path := filepath.Join(c.keyDir(0), signedFile)
	if err := readSummed(path, "", &kept); err != nil {
		t.Fatal(err)
	}
	if kept.Text != e.Checkpoint.Text() || string(kept.Signature) != string(e.Signatures[0].Signature) || kept.Incarnation != fmt.Sprintf("%x", e.Signatures[0].Incarnation[:]) {
		t.Fatalf("%+v", kept)
	}
	c.stop(0)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[20] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.tryStart(0); !isDamage(err) {
		t.Fatalf("started: %v", err)
	}
}

// TestP52_FlippedBitIsNotSigned: a record that changed on disk since the last
// signature, together with its checksum: no signature, and a DAMAGE record.
func TestP52_FlippedBitIsNotSigned(t *testing.T) {
	c := newTestCluster(t, 1)
	c.startAll()
	c.mustPut(0, "T0", "P5Y", []byte("content"))
	c.ownCheckpoint()
	c.takeCheckpoint()
	signedSize := c.nodes[0].self().SignedSize
	stored := c.mustPut(0, "T1", "P5Y", []byte("content")).Sequence
	n := c.nodes[0]
	size := standing(t, n).Size
	if err := custodian.ClearTree(c.dataDir(0)); err != nil {
		t.Fatal(err)
	}
	spoilRecord(t, filepath.Join(c.dataDir(0), "history", "00000001.his"), int(stored))
	c.await("a refusal", func() bool {
		_, err := n.takeCheckpoint(t.Context())
		if err == nil {
			t.Fatal("signed")
		}
		return strings.Contains(err.Error(), "does not sign") // or no signature in time
	})
	c.await("the damage is recorded", func() bool { return c.damagesFrom(0, size) > 0 && c.logged.has("refuses to sign: damage") })
	if got := n.self().SignedSize; got != signedSize {
		t.Fatalf("signed %d, before %d", got, signedSize)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := openSigner(t.TempDir(), n.keys.sign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.sign(ctx, n.store, n.own.incarnation, standing(t, n)); errors.Is(err, ErrWontSign) || err == nil {
		t.Fatalf("a call that is cut short says that there is damage: %v", err)
	}
}

// damagesFrom counts DAMAGE records from a sequence on.
func (c *testCluster) damagesFrom(i int, from uint64) (n int) {
	c.t.Helper()
	for seq := from; seq < c.nodes[i].Store().Summary().Size; seq++ {
		rec, _, err := c.nodes[i].Store().Record(seq)
		if err != nil {
			c.t.Fatal(err)
		}
		if rec.Action == format.ActDamage {
			n++
		}
	}
	return n
}

// spoilRecord changes a byte of the n-th record of a history file and makes its
// checksum fit.
func spoilRecord(t *testing.T, path string, n int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	off := format.FileHeaderSize
	for range n {
		off += 8 + int(binary.BigEndian.Uint32(raw[off:]))
	}
	length := int(binary.BigEndian.Uint32(raw[off:]))
	raw[off+8+20] ^= 1 // of the front's interval: it stays canonical
	framed := append(append([]byte{}, raw[off:off+4]...), raw[off+8:off+8+length]...)
	binary.BigEndian.PutUint32(raw[off+4:], format.Checksum(framed))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(raw[off:off+8+length], int64(off)); err != nil {
		t.Fatal(err)
	}
}

// pieceTree notes up to where it was asked to read again.
type pieceTree struct {
	tree
	to    []uint64
	fails int // this call, from 1 on
}

func (p *pieceTree) Extend(_ context.Context, f *store.Frontier, to uint64) error {
	if p.to = append(p.to, to); len(p.to) == p.fails {
		return store.ErrBeyond
	}
	for f.Size() < to {
		f.Add(format.Digest{})
	}
	return nil
}

// TestRecordsAreReadAgainInPieces: requests come between, a failure ends it, and it goes
// on where it was.
func TestRecordsAreReadAgainInPieces(t *testing.T) {
	const to = 2*againAtOnce + 1
	p := &pieceTree{fails: 2}
	var f store.Frontier
	b := besideRequests{p, &requests{}}
	if err := b.Extend(t.Context(), &f, to); !errors.Is(err, store.ErrBeyond) || f.Size() != againAtOnce {
		t.Fatalf("at %d: %v", f.Size(), err)
	}
	for range 2 { // the second has nothing to read
		if err := b.Extend(t.Context(), &f, to); err != nil || f.Size() != to {
			t.Fatalf("at %d: %v", f.Size(), err)
		}
	}
	if want := []uint64{againAtOnce, 2 * againAtOnce, 2 * againAtOnce, to, to}; !slices.Equal(p.to, want) {
		t.Errorf("read to %d, want %d", p.to, want)
	}
}
