package replication

import (
	"context"
	"crypto/rand"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
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
