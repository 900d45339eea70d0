package service

import (
	"context"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// seal gives an operation its id and its sealed detail, whose salt the id is.
func (s *Server) seal(op *store.Op, class format.DetailClass, d format.Detail) error {
	if op.ID == (format.ID{}) {
		op.ID = s.node.NewID()
	}
	epoch, sealed, err := s.node.Store().SealDetail(op.Institution, class, op.ID, d)
	if err != nil {
		return err
	}
	op.DetailClass, op.DetailEpoch, op.Detail = class, epoch, sealed
	return nil
}

// propose seals the detail, submits the operation for its caller and answers an
// accepted result; a refusal is an error with its reason.
func (s *Server) propose(ctx context.Context, op store.Op, class format.DetailClass, d format.Detail, chunks ...format.Chunk) (store.Result, error) {
	c := callerOf(ctx)
	op.Actor, op.Institution = c.ID, c.Institution
	if err := s.seal(&op, class, d); err != nil {
		return store.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, proposeWithin)
	defer cancel()
	result, err := s.node.Submit(ctx, op, chunks...)
	if err != nil {
		return result, err
	}
	if result.Outcome == store.Refused {
		if result.Recorded {
			s.denials.note(denialKey{c.identity, result.Reason})
		}
		return result, refusedBy(result)
	}
	return result, nil
}

// about proposes an operation on one bundle and answers the bundle's row as the
// operation left it. In a flood of hopeless requests what the state here shows
// as hopeless is counted instead of proposed.
func (s *Server) about(ctx context.Context, op store.Op, key format.BundleKey, verb format.Action, class format.DetailClass, d format.Detail) (store.Result, error) {
	if err := s.foresee(ctx, key, verb); err != nil {
		return store.Result{}, err
	}
	op.Transaction, op.Part = key.Transaction, key.Part
	result, err := s.propose(ctx, op, class, d)
	if err != nil || result.Bundle != nil {
		return result, err
	}
	// The first answer to a repeated id does not carry the row.
	result.Bundle, err = s.node.Store().Bundle(key)
	if err == nil && result.Bundle == nil {
		err = refusal(format.ReasonNotFound, "")
	}
	return result, err
}

// current returns once this node's state holds all that was committed before the
// call. The operation has no effect and leaves no record.
func (s *Server) current(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, proposeWithin)
	defer cancel()
	_, err := s.node.Submit(ctx, store.Op{Kind: store.KindChunk})
	return err
}

// foresee counts a request that would be refused when its principal has been
// refused for that reason too often in this minute.
func (s *Server) foresee(ctx context.Context, key format.BundleKey, verb format.Action) error {
	c := callerOf(ctx)
	missing, ended := denialKey{c.identity, format.ReasonNotFound}, denialKey{c.identity, format.ReasonExpired}
	if !s.denials.flooding(missing) && !s.denials.flooding(ended) || !s.node.Ready() {
		return nil
	}
	row, err := s.node.Store().Bundle(key)
	if err != nil {
		return err
	}
	k := missing
	if row != nil {
		if verb == format.ActShow || !s.ended(key, row) {
			return nil
		}
		k = ended
	}
	if !s.denials.flooding(k) {
		return nil
	}
	one := denial{reason: k.reason, verb: verb, actor: c.ID, institution: c.Institution, count: 1, detail: c.detail()}
	if s.denials.count(k, one) { // the minute ended meanwhile
		if err := s.record(ctx, one); err != nil {
			return err
		}
	}
	return refusal(k.reason, "")
}

// ended reports whether the clock has passed a bundle's deadline.
func (s *Server) ended(key format.BundleKey, row *format.BundleRow) bool {
	return row.Expire != 0 || s.node.Store().Status(key, row) == retention.StateExpired
}
