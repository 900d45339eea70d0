package service

import (
	"context"
	"sync"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// chunksInFlight is how many sealed chunks of one put wait for a majority at
// once.
const chunksInFlight = 4

// chunkFlight proposes a bundle's chunks while more of it comes. send is called
// by one goroutine; land or abandon ends what it started.
type chunkFlight struct {
	s      *Server
	ctx    context.Context
	cancel context.CancelCauseFunc
	places chan struct{}
	wg     sync.WaitGroup
}

func (s *Server) newChunkFlight(ctx context.Context) *chunkFlight {
	f := &chunkFlight{s: s, places: make(chan struct{}, chunksInFlight)}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	return f
}

// send proposes one chunk as soon as fewer than chunksInFlight wait. The first
// failure of any chunk fails every later call.
func (f *chunkFlight) send(c format.Chunk) error {
	select {
	case f.places <- struct{}{}:
	case <-f.ctx.Done():
		return context.Cause(f.ctx)
	}
	f.wg.Go(func() {
		defer func() { <-f.places }()
		if err := f.s.submitChunk(f.ctx, c); err != nil {
			f.cancel(err)
		}
	})
	return nil
}

// submitChunk proposes one chunk: it leaves no record until a STORE names it.
func (s *Server) submitChunk(ctx context.Context, c format.Chunk) error {
	who := callerOf(ctx)
	op := store.Op{Kind: store.KindChunk, ID: s.node.NewID(), Actor: who.ID, Institution: who.Institution}
	ctx, cancel := context.WithTimeout(ctx, proposeWithin)
	defer cancel()
	result, err := s.node.Submit(ctx, op, c)
	if err == nil && result.Outcome != store.Accepted {
		err = refusedBy(result)
	}
	return err
}

// land waits until every chunk is committed.
func (f *chunkFlight) land() error {
	f.wg.Wait()
	return context.Cause(f.ctx)
}

// abandon ends the proposals that still wait. Chunks that no STORE names are
// erased with their slot.
func (f *chunkFlight) abandon() {
	f.cancel(context.Canceled)
	f.wg.Wait()
}
