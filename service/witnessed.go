package service

import (
	"context"
	"slices"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// checkpointState is the newest checkpoint and who beside the nodes has seen it.
// That too few witnesses have is never left out (P53).
func (s *Server) checkpointState() *sagov1.CheckpointState {
	now := s.node.Store().Summary()
	newest, witnesses := now.Checkpoint.Checkpoint, s.cfg.Witnesses()
	size := witnessedSize(witnesses, int(now.Policy.WitnessesNeeded))
	return &sagov1.CheckpointState{
		Size: newest.Size, Clock: instant(newest.Clock), Witnessed: size > 0, WitnessedSize: size,
		WitnessesNeeded: uint32(now.Policy.WitnessesNeeded), Witnesses: witnesses,
	}
}

// witnessedSize is the greatest size that as many witnesses as are needed have
// cosigned, or more; 0 when none is needed.
func witnessedSize(witnesses []*sagov1.WitnessState, needed int) uint64 {
	if needed == 0 || needed > len(witnesses) {
		return 0
	}
	var sizes []uint64
	for _, w := range witnesses {
		sizes = append(sizes, w.GetSize())
	}
	slices.Sort(sizes)
	return sizes[len(sizes)-needed]
}

// witnessWait is how long an export waits for witnesses that answer, longer than
// the least time between two requests to one.
const witnessWait = 8 * time.Second

// awaitWitnesses gives those witnesses that answer a moment to cosign the
// checkpoint, so that evidence carries what they sign. Where fewer answer than
// are needed it does not wait.
func (s *Server) awaitWitnesses(ctx context.Context, c format.Checkpoint) {
	needed := int(s.node.Store().Summary().Policy.WitnessesNeeded)
	ctx, cancel := context.WithTimeout(ctx, witnessWait)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for len(s.cfg.Cosignatures(c)) < needed {
		well := 0
		for _, w := range s.cfg.Witnesses() {
			if w.GetDetail() == "" {
				well++
			}
		}
		if well < needed {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// unasked are the policy's witnesses as a node sees them that asks none.
func unasked(p format.Policy) (all []*sagov1.WitnessState) {
	for _, k := range p.Witnesses {
		all = append(all, &sagov1.WitnessState{Name: k.Name, Detail: "this node asks no witness"})
	}
	return all
}
