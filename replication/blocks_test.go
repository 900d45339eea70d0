package replication

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// TestP42_BlocksTravelUnderKeysOfTheirOwn: a block is taken for the key that was
// offered for it, once; what was sealed for another offer or sent again is refused,
// and a peer that has lost a block gets it back.
func TestP42_BlocksTravelUnderKeysOfTheirOwn(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	from, to := c.nodes[0], c.nodes[1]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := store.NewBlock(rand.Reader, from.own.number, 8)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := from.peers.get(to.own.name)
	if err != nil {
		t.Fatal(err)
	}
	offer := func(id format.ID) []byte {
		t.Helper()
		r, err := peer.OfferKey(ctx, &nodev1.OfferKeyRequest{Id: id[:]})
		if err != nil {
			t.Fatal(err)
		}
		return r.Receiver
	}
	send := func(receiver []byte) (*nodev1.PutBlockRequest, codes.Code) {
		t.Helper()
		sender, sealed, err := from.transfer(b.ID, from.own.number, to.own.number).Seal(rand.Reader, receiver, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		req := &nodev1.PutBlockRequest{Id: b.ID[:], Owner: b.Owner, Block: &nodev1.SealedBlock{Sender: sender, Sealed: sealed}}
		_, err = peer.PutBlock(ctx, req)
		return req, status.Code(err)
	}
	first := offer(b.ID)
	offer(b.ID)
	if _, got := send(first); got != codes.InvalidArgument {
		t.Errorf("sealed for an offer that was replaced: %v", got)
	}
	offered := offer(format.ID{9})
	if _, got := send(offered); got != codes.FailedPrecondition {
		t.Errorf("sealed for another block's offer: %v", got)
	}
	req, got := send(offer(b.ID))
	if got != codes.OK || !to.store.HasBlock(b.ID) {
		t.Fatalf("an honest block: %v", got)
	}
	if _, err := peer.PutBlock(ctx, req); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("sent again: %v", err)
	}
	if back, missing, err := c.nodes[2].askBlock(ctx, c.member(1), b.ID); err != nil || len(missing) != 0 || back.Keys[7] != b.Keys[7] || back.Owner != b.Owner {
		t.Errorf("asked for: %v, %v", missing, err)
	}
}

// member is node i's row.
func (c *testCluster) member(i int) format.MemberRow {
	return c.nodes[0].store.Members()[i]
}

// TestWhatIsNowhereKeepsNobodyFromVoting: all key blocks are lost on every node,
// as after a restore without them; a node that comes anew votes. While a member is
// only away, it waits.
func TestWhatIsNowhereKeepsNobodyFromVoting(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(0, "kept", "P5Y", []byte("content"))
	c.awaitEqual()
	ids, err := c.nodes[0].store.BlockIDs()
	if err != nil || len(ids) == 0 {
		t.Fatal(err)
	}
	c.closeAll()
	c.wipe(2)
	for i := range 2 {
		c.loseKeys(i)
	}
	for i := range 3 {
		c.startNode(i)
	}
	c.await("the new incarnation votes", func() bool { _, voter := c.nodes[2].ownRow(); return voter })
	if c.nodes[2].store.HasBlock(ids[0]) {
		t.Fatal("the block is there: nothing is shown")
	}
	nowhere, err := c.nodes[2].fetchBlocks(t.Context())
	if err != nil || !nowhere[ids[0]] {
		t.Errorf("%v, %v", nowhere, err)
	}
	c.stop(0)
	if nowhere, err = c.nodes[2].fetchBlocks(t.Context()); err == nil || len(nowhere) != 0 {
		t.Errorf("with a member away: %v, %v", nowhere, err)
	}
}

// loseKeys removes all key blocks of a stopped node.
func (c *testCluster) loseKeys(i int) {
	c.t.Helper()
	if err := custodian.ClearTree(c.dataDir(i)); err != nil {
		c.t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(c.dataDir(i), "keys", "*.kb"))
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	if err != nil || len(files) == 0 {
		c.t.Fatal(err)
	}
}
