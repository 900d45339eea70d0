package replication

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Errors of Submit.
var (
	// ErrUnavailable says that no majority answered in time. The outcome is
	// unknown: the operation may yet be applied, once.
	ErrUnavailable = errors.New("no majority answers")
	// ErrStorageFull says that a majority has no room for new bundles.
	ErrStorageFull = errors.New("a majority has no room for new bundles")
)

// Limits of one batch: small operations are packed, big ones go alone.
const (
	maxBatchOps   = 256
	maxBatchBytes = 256 << 10
	bigOp         = 16 << 10
	inFlight      = 4
	resendAfter   = 2 * time.Second
)

// pending is an operation between Submit and this node's own Apply of it.
type pending struct {
	op     store.Op
	chunks []format.Chunk
	bytes  int
	done   chan store.Result
	full   chan struct{} // gets one when a leader refused it for want of room
	tries  int           // how often it was sent and may be in a log; under the proposer's mu
	ctx    context.Context
}

// proposer packs operations into batches and sends them to the leader. What
// queues while earlier batches are in flight is the next batch: there is no
// linger timer. The outcome comes from this node's own Apply, by id.
type proposer struct {
	send func(ctx context.Context, batch []byte, chunks []byte) error

	mu      sync.Mutex
	waiting map[format.ID]*pending
	queue   chan *pending
	slots   chan struct{}
	wg      sync.WaitGroup
}

func newProposer(send func(context.Context, []byte, []byte) error) *proposer {
	return &proposer{send: send, waiting: map[format.ID]*pending{}, queue: make(chan *pending, 4096), slots: make(chan struct{}, inFlight)}
}

// submit queues an operation and waits for its result.
func (p *proposer) submit(ctx context.Context, op store.Op, chunks []format.Chunk) (store.Result, error) {
	w := &pending{op: op, chunks: chunks, done: make(chan store.Result, 1), full: make(chan struct{}, 1), ctx: ctx, bytes: len(op.Body) + len(op.Detail) + 256}
	for _, c := range chunks {
		w.bytes += len(c.Sealed) + format.ChunkHeaderSize
	}
	p.mu.Lock()
	p.waiting[op.ID] = w
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, op.ID)
		p.mu.Unlock()
	}()
	if err := p.enqueue(ctx, w); err != nil {
		return store.Result{}, err
	}
	resend := time.NewTicker(resendAfter)
	defer resend.Stop()
	for {
		select {
		case r := <-w.done:
			return r, nil
		case <-w.full:
			return store.Result{}, ErrStorageFull
		case <-resend.C:
			if err := p.enqueue(ctx, w); err != nil {
				return store.Result{}, err
			}
		case <-ctx.Done():
			return store.Result{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
	}
}

func (p *proposer) enqueue(ctx context.Context, w *pending) error {
	select {
	case p.queue <- w:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// resolve hands a result of this node's Apply to whoever waits for it.
func (p *proposer) resolve(results []store.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range results {
		if w, ok := p.waiting[r.ID]; ok {
			select {
			case w.done <- r:
			default: // answered already
			}
		}
	}
}

// run packs and sends until ctx ends.
func (p *proposer) run(ctx context.Context) {
	defer p.wg.Wait()
	var next *pending
	for {
		if next == nil {
			select {
			case next = <-p.queue:
			case <-ctx.Done():
				return
			}
		}
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		var batch []*pending
		batch, next = p.pack(next)
		if len(batch) == 0 {
			<-p.slots
			continue
		}
		p.wg.Add(1)
		go func() {
			defer p.wg.Done()
			defer func() { <-p.slots }()
			p.deliver(ctx, batch)
		}()
	}
}

// pack takes what is queued, from first on, up to the limits; rest begins the
// next batch.
func (p *proposer) pack(first *pending) (batch []*pending, rest *pending) {
	size := 0
	for w := first; w != nil; {
		if w.ctx.Err() == nil {
			if len(batch) > 0 && (w.bytes > bigOp || size+w.bytes > maxBatchBytes || len(batch) == maxBatchOps) {
				return batch, w
			}
			batch, size = append(batch, w), size+w.bytes
			if w.bytes > bigOp {
				return batch, nil
			}
		}
		select {
		case w = <-p.queue:
		default:
			w = nil
		}
	}
	return batch, nil
}

// deliver sends one batch. A failure is not an answer: the operations wait for
// their resend.
func (p *proposer) deliver(ctx context.Context, batch []*pending) {
	ops := make([]store.Op, len(batch))
	var chunks []byte
	for i, w := range batch {
		ops[i] = w.op
		chunks = format.AppendChunks(chunks, w.chunks...)
	}
	data, err := encodeBatch(ops)
	if err != nil {
		return
	}
	p.mu.Lock()
	for _, w := range batch {
		w.tries++
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = p.send(ctx, data, chunks)
	if err == nil {
		return
	}
	if errors.Is(err, ErrStorageFull) {
		p.refuse(batch)
		return
	}
	if errors.Is(err, errOwnFull) {
		p.untried(batch)
	}
	// The leader is gone or changing: try again soon rather than at the resend.
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
		return
	}
	for _, w := range batch {
		p.again(w)
	}
}

// untried takes back that a batch may be in a log.
func (p *proposer) untried(batch []*pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range batch {
		w.tries--
	}
}

// refuse takes back a batch that the leader did not take for want of room: what
// brings payload is refused, unless an earlier try may be in the log; the rest goes
// again without it.
func (p *proposer) refuse(batch []*pending) {
	p.untried(batch)
	for _, w := range batch {
		p.mu.Lock()
		tries := w.tries
		p.mu.Unlock()
		switch {
		case len(w.chunks) == 0:
			p.again(w)
		case tries == 0 || w.op.Kind == store.KindChunk: // a chunk alone stores nothing
			select {
			case w.full <- struct{}{}:
			default: // told already
			}
		}
	}
}

// again queues an operation that still waits for its result.
func (p *proposer) again(w *pending) {
	p.mu.Lock()
	_, still := p.waiting[w.op.ID]
	p.mu.Unlock()
	if still && w.ctx.Err() == nil {
		select {
		case p.queue <- w:
		default:
		}
	}
}

// propose appends a batch to the log if this node leads, else hands it to the
// leader. It returns when the entry is committed.
func (n *Node) propose(ctx context.Context, batch, chunks []byte) error {
	if n.raft.State() == raft.Leader {
		return n.append(batch, chunks)
	}
	name := n.leaderName()
	if name == "" {
		return ErrUnavailable
	}
	if name == n.own.name {
		return n.append(batch, chunks)
	}
	c, err := n.peers.get(name)
	if err != nil {
		return err
	}
	_, err = c.Propose(ctx, &nodev1.ProposeRequest{Batch: batch, Chunks: chunks})
	return proposeError(err)
}

// append gives an entry to raft; only the leader's succeeds.
func (n *Node) append(batch, chunks []byte) error {
	if len(chunks) > 0 {
		if err := n.roomToLead(); err != nil {
			return err
		}
	}
	err := n.raft.ApplyLog(raft.Log{Data: batch, Extensions: chunks}, 5*time.Second).Error()
	if errors.Is(err, store.ErrFull) { // a leader writes before it sends: no log has it
		err = fmt.Errorf("%w: %w", errOwnFull, err)
	}
	return err
}
