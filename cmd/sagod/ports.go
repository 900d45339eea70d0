package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/service"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// frontNode is a replication node as the front knows it: the same answers in the
// front's own words.
type frontNode struct{ *replication.Node }

var _ service.Node = frontNode{}

// Submit implements service.Node.
func (n frontNode) Submit(ctx context.Context, op store.Op, chunks ...format.Chunk) (store.Result, error) {
	r, err := n.Node.Submit(ctx, op, chunks...)
	return r, frontError(err)
}

// Slot implements service.Node.
func (n frontNode) Slot(ctx context.Context) (format.Slot, error) {
	s, err := n.Node.Slot(ctx)
	return s, frontError(err)
}

func frontError(err error) error {
	switch {
	case errors.Is(err, replication.ErrUnavailable):
		return fmt.Errorf("%w: %w", service.ErrUnavailable, err)
	case errors.Is(err, replication.ErrStorageFull):
		return fmt.Errorf("%w: %w", service.ErrStorageFull, err)
	}
	return err
}

// Status implements service.Node.
func (n frontNode) Status(ctx context.Context) service.Status {
	s := n.Node.Status(ctx)
	out := service.Status{Leader: s.Leader, Term: s.Term, Ready: s.Ready, Detail: s.Detail}
	for _, node := range s.Nodes {
		out.Nodes = append(out.Nodes, service.NodeStatus(node))
	}
	return out
}

// VerifyAll implements service.Node.
func (n frontNode) VerifyAll(ctx context.Context) (service.ClusterVerification, error) {
	v, err := n.Node.VerifyAll(ctx)
	out := service.ClusterVerification{Intact: v.Intact, RootsEqual: v.RootsEqual, ComparedSize: v.ComparedSize}
	for _, node := range v.Nodes {
		out.Nodes = append(out.Nodes, service.NodeVerification(node))
	}
	return out, frontError(err)
}
