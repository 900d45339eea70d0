package replication

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Key blocks between nodes: each transfer is sealed for a key that the receiver drew
// for it, on top of the connection's own protection, so that no buffer keeps a key.

// transfer is the way of a block to or from this node.
func (n *Node) transfer(block format.ID, from, to uint32) store.Transfer {
	return store.Transfer{Cluster: n.own.cluster, Block: block, From: from, To: to}
}

// sendBlock makes a block of this node's durable on a peer.
func (n *Node) sendBlock(ctx context.Context, m format.MemberRow, b store.KeyBlock) error {
	c, err := n.peers.get(m.Name)
	if err != nil {
		return err
	}
	offer, err := c.OfferKey(ctx, &nodev1.OfferKeyRequest{Id: b.ID[:]})
	if err != nil {
		return err
	}
	sender, sealed, err := n.transfer(b.ID, n.own.number, m.Number).Seal(rand.Reader, offer.Receiver, b, nil)
	if err != nil {
		return fmt.Errorf("node %s: %w", m.Name, err)
	}
	_, err = c.PutBlock(ctx, &nodev1.PutBlockRequest{Id: b.ID[:], Owner: b.Owner, Block: &nodev1.SealedBlock{Sender: sender, Sealed: sealed}})
	return err
}

// askBlock asks one peer. A slot that is erased there but lives in this node's
// state is missing, not erased.
func (n *Node) askBlock(ctx context.Context, m format.MemberRow, id format.ID) (store.KeyBlock, map[uint32]bool, error) {
	b := store.KeyBlock{ID: id}
	c, err := n.peers.get(m.Name)
	if err != nil {
		return b, nil, err
	}
	own, err := store.NewEphemeral(rand.Reader)
	if err != nil {
		return b, nil, err
	}
	defer own.Wipe()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.GetBlock(ctx, &nodev1.GetBlockRequest{Id: id[:], Receiver: own.Public()})
	if err != nil {
		return b, nil, fmt.Errorf("node %s: %w", m.Name, err)
	}
	b, bad, err := n.transfer(id, m.Number, n.own.number).Open(own, r.GetBlock().GetSender(), r.GetBlock().GetSealed())
	if err != nil {
		return b, nil, fmt.Errorf("node %s: %w", m.Name, err)
	}
	b.Owner = r.Owner
	for i, erased := range b.Erased {
		if !erased {
			continue
		}
		lives, err := n.store.SlotLives(format.Slot{Block: id, Index: uint32(i)})
		if err != nil {
			b.Wipe()
			return b, nil, err
		}
		if lives {
			bad[uint32(i)] = true
		}
	}
	return b, bad, nil
}

// offers are the keys that peers were told to seal their next block for: one for each
// peer, and used once.
type offers struct {
	mu   sync.Mutex
	open map[uint32]offer
}

type offer struct {
	block format.ID
	key   *store.Ephemeral
}

// put remembers an offer in the place of an earlier one to the same peer.
func (o *offers) put(peer uint32, of offer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open == nil {
		o.open = map[uint32]offer{}
	}
	o.open[peer].key.Wipe()
	o.open[peer] = of
}

// take answers the key that was offered to a peer for a block; nil without one.
func (o *offers) take(peer uint32, block format.ID) *store.Ephemeral {
	o.mu.Lock()
	defer o.mu.Unlock()
	of, ok := o.open[peer]
	if !ok || of.block != block {
		return nil
	}
	delete(o.open, peer)
	return of.key
}

// OfferKey draws the key that the caller's next block is sealed for.
func (s *nodeService) OfferKey(ctx context.Context, r *nodev1.OfferKeyRequest) (*nodev1.OfferKeyResponse, error) {
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "no caller")
	}
	id, err := idOf(r.Id)
	if err != nil {
		return nil, err
	}
	key, err := store.NewEphemeral(rand.Reader)
	if err != nil {
		return nil, answer(err)
	}
	public := key.Public()
	s.offers.put(c.member.Number, offer{id, key})
	return &nodev1.OfferKeyResponse{Receiver: public}, nil
}

// PutBlock makes a key block durable.
func (s *nodeService) PutBlock(ctx context.Context, r *nodev1.PutBlockRequest) (*nodev1.PutBlockResponse, error) {
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok || c.member.Number != r.Owner {
		return nil, status.Error(codes.PermissionDenied, "a node sends its own blocks")
	}
	id, err := idOf(r.Id)
	if err != nil {
		return nil, err
	}
	own := s.offers.take(r.Owner, id)
	if own == nil {
		return nil, status.Error(codes.FailedPrecondition, "no key was offered for this block")
	}
	b, missing, err := s.node.transfer(id, r.Owner, s.node.own.number).Open(own, r.GetBlock().GetSender(), r.GetBlock().GetSealed())
	defer b.Wipe()
	if err == nil && len(missing) > 0 {
		err = errors.New("a new block lacks keys")
	}
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	b.Owner = r.Owner
	return &nodev1.PutBlockResponse{}, answer(s.node.store.InstallBlock(b))
}

// GetBlock answers a key block.
func (s *nodeService) GetBlock(ctx context.Context, r *nodev1.GetBlockRequest) (*nodev1.GetBlockResponse, error) {
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "no caller")
	}
	id, err := idOf(r.Id)
	if err != nil {
		return nil, err
	}
	b, damaged, err := s.node.store.ExportBlock(id)
	if errors.Is(err, store.ErrKeyMissing) {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	if err != nil {
		return nil, answer(err)
	}
	defer b.Wipe()
	sender, sealed, err := s.node.transfer(id, s.node.own.number, c.member.Number).Seal(rand.Reader, r.Receiver, b, damaged)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &nodev1.GetBlockResponse{Owner: b.Owner, Block: &nodev1.SealedBlock{Sender: sender, Sealed: sealed}}, nil
}
