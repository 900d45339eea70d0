package service

import (
	"context"
	"errors"
	"fmt"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// tree is an RFC 6962 Merkle tree that only grows: the roots of its whole
// subtrees, largest first. It is written here a second time so that a check of
// the history shares nothing with what wrote it.
type tree struct {
	size  uint64
	whole []format.Digest
}

// add appends one leaf hash.
func (t *tree) add(leaf format.Digest) {
	node := leaf
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.whole) - 1
		node = inner(t.whole[last], node)
		t.whole = t.whole[:last]
	}
	t.whole = append(t.whole, node)
	t.size++
}

// root is the tree's root; the hash of nothing when it is empty.
func (t *tree) root() format.Digest {
	if len(t.whole) == 0 {
		return sum()
	}
	node := t.whole[len(t.whole)-1]
	for i := len(t.whole) - 2; i >= 0; i-- {
		node = inner(t.whole[i], node)
	}
	return node
}

func inner(left, right format.Digest) format.Digest { return sum([]byte{1}, left[:], right[:]) }

// Verify implements sagov1.HistoryServiceServer: it hashes every record of this
// node again and holds the result against the newest checkpoint.
func (s *historyServer) Verify(ctx context.Context, _ *sagov1.HistoryServiceVerifyRequest) (*sagov1.HistoryServiceVerifyResponse, error) {
	if _, err := s.recordQuery(ctx, format.ListHistory, "verify"); err != nil {
		return nil, err
	}
	select {
	case s.whole <- struct{}{}:
		defer func() { <-s.whole }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := s.node.Store().Summary()
	cp := now.Checkpoint.Checkpoint
	answer := &sagov1.HistoryServiceVerifyResponse{Size: now.Size, Checkpoint: s.note(now.Checkpoint)}
	var t tree
	var at format.Digest // root at the checkpoint's size
	// Of a record that was erased at the end of its retention there is the leaf hash.
	erased := func(before uint64) error {
		for t.size < before {
			leaf, err := s.node.Store().LeafHash(t.size)
			if err != nil {
				return err
			}
			if t.add(leaf); t.size == cp.Size {
				at = t.root()
			}
		}
		return nil
	}
	err := s.node.Store().Kept(ctx, 0, now.Size, func(sequence uint64, encoded []byte) error {
		if err := erased(sequence); err != nil {
			return err
		}
		if rec, err := format.DecodeRecord(encoded); err != nil || rec.Sequence != sequence {
			return &format.DamageError{File: "history", Offset: -1, What: fmt.Sprintf("record %d", sequence), Err: err}
		}
		if t.add(format.LeafHash(encoded)); t.size == cp.Size {
			at = t.root()
		}
		return nil
	})
	if err == nil {
		err = s.node.Store().VerifyCarried(ctx)
	}
	var damage *format.DamageError
	switch {
	case errors.As(err, &damage):
		answer.Damage = append(answer.Damage, err.Error())
		return answer, nil
	case err != nil:
		return nil, err
	}
	root := t.root()
	answer.Root = root[:]
	if stored, err := s.node.Store().RootAt(now.Size); err != nil || stored != root {
		answer.Damage = append(answer.Damage, fmt.Sprintf("the records hash to %x, the tree's own hashes to %x", root, stored))
	}
	if cp.Size > 0 && at != cp.Root {
		answer.Damage = append(answer.Damage, fmt.Sprintf("the first %d records hash to %x, a majority signed %x", cp.Size, at, cp.Root))
	}
	answer.Intact = len(answer.Damage) == 0
	return answer, nil
}

// note is a checkpoint as a C2SP signed note, the witnesses' lines behind the
// nodes'; empty while there is none.
func (s *Server) note(e format.CheckpointEffect) string {
	if len(e.Signatures) == 0 {
		return ""
	}
	n := e.Note(s.node.Store().Members())
	n.Lines = append(n.Lines, s.cfg.Cosignatures(e.Checkpoint)...)
	return n.String()
}
