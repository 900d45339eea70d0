package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// nodeService answers the other nodes.
type nodeService struct {
	nodev1.UnimplementedNodeServiceServer
	node   *Node
	offers offers
}

func registerNodeService(s *grpc.Server, n *Node) {
	nodev1.RegisterNodeServiceServer(s, &nodeService{node: n})
}

func answer(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNotLeader), errors.Is(err, raft.ErrNotLeader), errors.Is(err, errNoVote), errors.Is(err, ErrUnavailable):
		return status.Error(codes.Unavailable, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

func idOf(b []byte) (format.ID, error) {
	var id format.ID
	if len(b) != len(id) {
		return id, status.Error(codes.InvalidArgument, "malformed id")
	}
	return format.ID(b), nil
}

// Propose appends a batch, if this node leads.
func (s *nodeService) Propose(ctx context.Context, r *nodev1.ProposeRequest) (*nodev1.ProposeResponse, error) {
	if s.node.raft.State() != raft.Leader {
		return nil, answer(errNotLeader)
	}
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "no caller")
	}
	ops, err := s.checkBatch(c.member.Number, r)
	if err != nil {
		return nil, err
	}
	defer s.node.requests.begin(ops...)()
	return &nodev1.ProposeResponse{}, fullAnswer(s.node.append(r.Batch, r.Chunks))
}

// checkBatch refuses what would halt every node, what speaks for another node,
// and chunks under another node's keys; it answers the operations.
func (s *nodeService) checkBatch(from uint32, r *nodev1.ProposeRequest) ([]store.Op, error) {
	e, err := decodeEntry(0, r.Batch)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	for _, op := range e.Ops {
		if !op.Kind.Known() || op.Kind == store.KindCeremony || op.Front != from {
			return nil, status.Errorf(codes.InvalidArgument, "operation of kind %d for node %d", op.Kind, op.Front)
		}
	}
	chunks, err := format.DecodeChunks(r.Chunks)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	for _, c := range chunks {
		block, err := s.node.store.Block(c.Slot.Block)
		if err != nil {
			return nil, answer(err)
		}
		if block == nil {
			return nil, status.Error(codes.Unavailable, "the key block is not announced yet")
		}
		if block.Owner != from || c.Erased {
			return nil, status.Error(codes.PermissionDenied, "chunks under another node's keys, or none")
		}
	}
	return e.Ops, nil
}

// Vote answers this node's word about time.
func (s *nodeService) Vote(_ context.Context, r *nodev1.VoteRequest) (*nodev1.VoteResponse, error) {
	v, err := s.node.vote(r.Round)
	if err != nil {
		return nil, answer(err)
	}
	return &nodev1.VoteResponse{Vote: format.EncodeEffect(format.ClockEffect{Votes: []format.SignedVote{v}})}, nil
}

// Sign answers this node's signature over a checkpoint that it computed itself.
func (s *nodeService) Sign(ctx context.Context, r *nodev1.SignRequest) (*nodev1.SignResponse, error) {
	sig, err := s.node.signMark(ctx, r.Entry, r.Text)
	if err != nil {
		return nil, answer(err)
	}
	return &nodev1.SignResponse{Signature: sig.Signature, Incarnation: sig.Incarnation[:]}, nil
}

// GetChunks answers what this node holds under a slot.
func (s *nodeService) GetChunks(r *nodev1.GetChunksRequest, stream grpc.ServerStreamingServer[nodev1.GetChunksResponse]) error {
	id, err := idOf(r.Block)
	if err != nil {
		return err
	}
	headers, err := s.node.store.Chunks(format.Slot{Block: id, Index: r.Slot})
	if err != nil {
		return answer(err)
	}
	for _, h := range headers {
		m := &nodev1.GetChunksResponse{Header: h.Encode()}
		if !r.HeadersOnly {
			c, err := s.node.store.Chunk(h)
			if err != nil {
				continue // damaged here as well, or erased
			}
			m.Sealed = c.Sealed
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// CopyHistory streams records.
func (s *nodeService) CopyHistory(r *nodev1.CopyHistoryRequest, stream grpc.ServerStreamingServer[nodev1.CopyHistoryResponse]) error {
	if s.node.failed() != nil || s.node.fsm.copying.Load() || r.To > s.node.store.Summary().Size {
		return status.Error(codes.Unavailable, "does not have that history")
	}
	m := &nodev1.CopyHistoryResponse{First: r.From}
	err := s.node.store.History(stream.Context(), r.From, r.To, func(sequence uint64, encoded []byte) error {
		m.Records = append(m.Records, append([]byte(nil), encoded...))
		if len(m.Records) < copyBatch {
			return nil
		}
		err := stream.Send(m)
		m = &nodev1.CopyHistoryResponse{First: sequence + 1}
		return err
	})
	if err == nil && len(m.Records) > 0 {
		err = stream.Send(m)
	}
	return err
}

// beginBatch is how many bytes of a beginning travel in one message, about.
const beginBatch = 256 << 10

// CopyBeginning streams what stands for erased records.
func (s *nodeService) CopyBeginning(_ *nodev1.CopyBeginningRequest, stream grpc.ServerStreamingServer[nodev1.CopyBeginningResponse]) error {
	if s.node.failed() != nil || s.node.fsm.copying.Load() {
		return status.Error(codes.Unavailable, "does not have that history")
	}
	m, size := &nodev1.CopyBeginningResponse{}, 0
	flush := func() error {
		err := stream.Send(m)
		m, size = &nodev1.CopyBeginningResponse{}, 0
		return err
	}
	grown := func(by int) error {
		if size += by; size < beginBatch {
			return nil
		}
		return flush()
	}
	// A message holds one part only, so that each ends where the next begins.
	begin := func(another bool) error {
		if another && size > 0 {
			return flush()
		}
		return nil
	}
	err := s.node.store.SendBeginning(stream.Context(),
		func(b store.Beginning) error {
			m.Whole, m.Decided, m.Entry = b.Whole, b.Decided, b.Entry
			return flush()
		},
		func(frame []byte) error {
			m.Base = append(m.Base, frame)
			return grown(len(frame))
		},
		func(d format.Digest) error {
			if err := begin(len(m.Base) > 0); err != nil {
				return err
			}
			m.Leaves = append(m.Leaves, d[:]...)
			return grown(len(d))
		},
		func(record []byte) error {
			if err := begin(len(m.Leaves) > 0); err != nil {
				return err
			}
			m.Records = append(m.Records, append([]byte(nil), record...))
			return grown(len(record))
		})
	if errors.Is(err, store.ErrNothingErased) {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	if err == nil && size > 0 {
		err = flush()
	}
	return err
}

// Checkpoint takes a checkpoint at or behind an entry, if this node leads.
func (s *nodeService) Checkpoint(ctx context.Context, r *nodev1.CheckpointRequest) (*nodev1.CheckpointResponse, error) {
	if s.node.raft.State() != raft.Leader {
		return nil, answer(errNotLeader)
	}
	e, err := s.node.checkpointAt(ctx, r.Entry)
	if err != nil {
		return nil, answer(err)
	}
	return &nodev1.CheckpointResponse{Effect: format.EncodeEffect(e)}, nil
}

// Join takes an incarnation in, if this node leads.
func (s *nodeService) Join(ctx context.Context, r *nodev1.JoinRequest) (*nodev1.JoinResponse, error) {
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "no caller")
	}
	state, err := s.node.accept(ctx, c, r)
	if err != nil {
		return nil, answer(err)
	}
	return &nodev1.JoinResponse{State: uint32(state)}, nil
}

// Status answers what `cluster status` shows of this node.
func (s *nodeService) Status(context.Context, *nodev1.StatusRequest) (*nodev1.StatusResponse, error) {
	st := s.node.self()
	return &nodev1.StatusResponse{Number: st.Number, Incarnation: s.node.own.incarnation[:], State: st.State, Term: s.node.raft.CurrentTerm(),
		Applied: st.Applied, HistorySize: st.HistorySize, HistoryRoot: st.Root[:], StateHash: st.StateHash[:], Protection: st.Protection,
		Detail: st.Detail, Leader: s.node.leaderName(), SignedSize: st.SignedSize}, nil
}

// Verify checks all files of this node.
func (s *nodeService) Verify(ctx context.Context, r *nodev1.VerifyRequest) (*nodev1.VerifyResponse, error) {
	v, err := s.node.verifySelf(ctx)
	if err != nil {
		return nil, answer(err)
	}
	out := &nodev1.VerifyResponse{HistorySize: v.Size, Root: v.Root[:], Chunks: v.Chunks, KeySlots: v.Keys, Rows: v.Rows}
	for _, d := range v.Damage {
		out.Damage = append(out.Damage, d.Error())
	}
	if r.Size > 0 && r.Size <= v.Size {
		root, err := s.node.store.RootAt(r.Size)
		if err != nil {
			return nil, answer(fmt.Errorf("root: %w", err))
		}
		out.RootAtSize = root[:]
	}
	return out, nil
}

// State answers this node's digest over all rows at a MARK, signed.
func (s *nodeService) State(ctx context.Context, r *nodev1.StateRequest) (*nodev1.StateResponse, error) {
	e, err := s.node.state(ctx, r.Entry)
	if err != nil {
		return nil, answer(err)
	}
	return &nodev1.StateResponse{Effect: format.EncodeEffect(e)}, nil
}

// Rows answers digests over ranges of one table's rows, or over each table.
func (s *nodeService) Rows(ctx context.Context, r *nodev1.RowsRequest) (*nodev1.RowsResponse, error) {
	if r.Table > math.MaxUint8 || len(r.Cuts) > rangeParts {
		return nil, status.Error(codes.InvalidArgument, "no such table, or too many cuts")
	}
	if !cutsAscend(r) {
		return nil, status.Error(codes.InvalidArgument, "cuts ascend between from and to")
	}
	out := &nodev1.RowsResponse{}
	add := func(table uint8, d store.RowsDigest) {
		out.Ranges = append(out.Ranges, &nodev1.RowsDigest{Table: uint32(table), Count: d.Count, Digest: d.Digest[:]})
	}
	bound := func(k []byte) []byte { return append([]byte(nil), k...) } // empty is none
	err := s.node.scrub.at(ctx, r.Entry, func(v *store.StateView, all store.StateDigest) error {
		if r.Table == 0 {
			for _, t := range all.Tables {
				add(t.Table, t.RowsDigest)
			}
			return nil
		}
		ranges, err := v.Ranges(ctx, uint8(r.Table), bound(r.From), bound(r.To), r.Cuts)
		for _, d := range ranges {
			add(uint8(r.Table), d)
		}
		return err
	})
	return out, answer(err)
}

// cutsAscend reports whether the cuts part a range: otherwise each could ask for
// all rows again.
func cutsAscend(r *nodev1.RowsRequest) bool {
	keys := append([][]byte{r.From}, r.Cuts...)
	if len(r.To) > 0 {
		keys = append(keys, r.To)
	}
	for i := 1; i < len(keys); i++ {
		if bytes.Compare(keys[i-1], keys[i]) >= 0 {
			return false
		}
	}
	return true
}
