package replication

import (
	"context"
	"errors"
	"fmt"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// A CARRY says by which key a carried detail opens from now on, which Apply cannot
// try: the leader gathers the signatures of a majority, each of a node that has
// tried every key itself.

// keys takes the next step towards the end of an epoch: carries the keys of carried
// records' details, or ends it. Behind an institution whose step fails come the
// others first.
func (k *keeper) keys(ctx context.Context) error {
	d, found, err := k.node.store.NextKeyDuty(k.institution)
	if err != nil {
		return err
	}
	if !found {
		k.institution = 0
		return nil
	}
	if err := k.key(ctx, d); err != nil {
		k.institution = d.Institution + 1
		return fmt.Errorf("history keys of institution %d, epoch %d: %w", d.Institution, d.Epoch, err)
	}
	return nil
}

func (k *keeper) key(ctx context.Context, d store.KeyDuty) error {
	n := k.node
	if d.End != nil {
		_, err := n.duty(ctx, store.KindKey, d.End)
		return err
	}
	e, err := n.store.NextCarry(d.Institution, d.Epoch)
	if err != nil || len(e.Keys) == 0 {
		return err
	}
	e.Signatures, err = n.gather(ctx, e.Message(n.own.cluster), func(ctx context.Context, m format.MemberRow) (format.NodeSignature, error) {
		return n.carrySignatureOf(ctx, m, e)
	})
	if err != nil {
		return err
	}
	_, err = n.duty(ctx, store.KindCarry, format.EncodeEffect(e))
	return err
}

func (n *Node) carrySignatureOf(ctx context.Context, m format.MemberRow, e format.CarryEffect) (format.NodeSignature, error) {
	if m.Number == n.own.number {
		return n.signCarry(ctx, e)
	}
	c, err := n.peers.get(m.Name)
	if err != nil {
		return format.NodeSignature{}, err
	}
	r, err := c.Carry(ctx, &nodev1.CarryRequest{Effect: format.EncodeEffect(e)})
	if err != nil {
		return format.NodeSignature{}, fmt.Errorf("node %s: %w", m.Name, err)
	}
	return signedBy(m, r.Signature, r.Incarnation)
}

// signCarry signs a CARRY whose every key this node has tried.
func (n *Node) signCarry(ctx context.Context, e format.CarryEffect) (s format.NodeSignature, err error) {
	if n.failed() != nil || n.fsm.copying.Load() {
		return s, errors.New("does not sign: its state is not whole")
	}
	if err := n.store.CheckCarry(ctx, e); err != nil {
		return s, fmt.Errorf("%w: %w", ErrWontSign, err)
	}
	s.Node, s.Incarnation = n.own.number, n.own.incarnation
	s.Signature, err = n.keys.sign(e.Message(n.own.cluster))
	return s, err
}

// Carry answers this node's signature over a CARRY.
func (s *nodeService) Carry(ctx context.Context, r *nodev1.CarryRequest) (*nodev1.CarryResponse, error) {
	e, err := format.DecodeCarryEffect(r.Effect)
	if err != nil {
		return nil, answer(err)
	}
	sig, err := s.node.signCarry(ctx, e)
	if err != nil {
		return nil, answer(err)
	}
	return &nodev1.CarryResponse{Signature: sig.Signature, Incarnation: sig.Incarnation[:]}, nil
}
