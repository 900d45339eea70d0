package replication

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// deafPipeline takes no entry any more, as raft's own does whose reader has left:
// only its closing frees the sender.
type deafPipeline struct {
	raft.AppendPipeline
	closed chan struct{}
	once   sync.Once
}

func (p *deafPipeline) AppendEntries(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	<-p.closed
	return nil, raft.ErrPipelineShutdown
}

func (p *deafPipeline) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// TestNoSenderWaitsForAReaderThatLeft: else a leader that meets a newer term could
// never be shut down.
func TestNoSenderWaitsForAReaderThatLeft(t *testing.T) {
	whole := func(r *raft.AppendEntriesRequest) (*raft.AppendEntriesRequest, error) { return r, nil }
	p := &payloadPipeline{AppendPipeline: &deafPipeline{closed: make(chan struct{})}, loaded: whole, wait: time.Millisecond}
	answered := make(chan error, 1)
	go func() {
		_, err := p.AppendEntries(&raft.AppendEntriesRequest{}, &raft.AppendEntriesResponse{})
		answered <- err
	}()
	select {
	case err := <-answered:
		if !errors.Is(err, raft.ErrPipelineShutdown) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the sender waits for ever")
	}
}
