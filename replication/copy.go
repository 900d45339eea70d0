package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sago-worm/sago/internal/durable"
	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Catch-up is out of band: a node whose log begins behind what it has copies the
// history up to a checkpoint that a majority signed, rebuilds its state from it
// with the everyday code, fetches keys and payload, and goes on with the log.

// copyBatch is how many records travel in one message at most.
const copyBatch = 500

// copyState makes this node whole again, or returns an error to try again.
func (n *Node) copyState(ctx context.Context) error {
	target := max(n.fsm.target.Load(), n.raft.AppliedIndex())
	if n.store.CopiedSize() == 0 {
		// Where the first records were erased, the checkpoint has to cover what vouches
		// for that which stands for them.
		entry, err := n.copyBeginning(ctx)
		if err != nil {
			return err
		}
		n.begun = entry
	}
	target = max(target, n.begun)
	c, err := n.askCheckpoint(ctx, target)
	if err != nil {
		return err
	}
	n.log.Info("copying state from a peer", "entry", c.Entry, "records", c.Size, "have", n.store.CopiedSize())
	if err := n.copyHistory(ctx, c); err != nil {
		return err
	}
	n.applying.Lock()
	err = n.store.Adopt(ctx, c)
	n.applying.Unlock()
	if err != nil {
		if errors.Is(err, store.ErrCopyDiffers) || errors.Is(err, store.ErrDiverged) {
			// What this node had is not a beginning of the majority's history.
			n.fail(fmt.Errorf("%w: %w", store.ErrDiverged, err))
		}
		return err
	}
	for {
		whole, err := n.whole(ctx)
		if err != nil {
			return err
		}
		if whole {
			break
		}
	}
	return n.endCopy()
}

// copyBeginning takes what stands for erased records from the first peer that has
// it, and answers the entry that a checkpoint has to be behind; 0 where no peer
// lacks a record.
func (n *Node) copyBeginning(ctx context.Context) (uint64, error) {
	var errs []error
	others := n.others()
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	whole := false
	for _, m := range others {
		entry, err := n.beginFrom(ctx, m.Name)
		if err == nil {
			return entry, nil
		}
		if status.Code(err) == codes.FailedPrecondition {
			whole = true
			continue
		}
		errs = append(errs, fmt.Errorf("node %s: %w", m.Name, err))
	}
	if whole {
		return 0, nil
	}
	return 0, fmt.Errorf("beginning of the history: %w", errors.Join(errs...))
}

func (n *Node) beginFrom(ctx context.Context, name string) (uint64, error) {
	client, err := n.peers.get(name)
	if err != nil {
		return 0, err
	}
	ctx, live := idle(ctx)
	defer live.stop()
	stream, err := client.CopyBeginning(ctx, &nodev1.CopyBeginningRequest{})
	if err != nil {
		return 0, err
	}
	n.log.Info("copying what stands for erased records", "from", name)
	return n.takeBeginning(ctx, func() (*nodev1.CopyBeginningResponse, error) {
		r, err := stream.Recv()
		live.touch()
		return r, err
	})
}

// takeBeginning takes a CopyBeginning stream in, once a majority has signed that
// there is such an entry: this node waits for a checkpoint behind it.
func (n *Node) takeBeginning(ctx context.Context, recv func() (*nodev1.CopyBeginningResponse, error)) (uint64, error) {
	s := &beginning{recv: recv}
	head, err := s.recv()
	if err != nil {
		return 0, err
	}
	b := store.Beginning{Whole: head.Whole, Decided: head.Decided, Entry: head.Entry}
	if _, err := n.askCheckpoint(ctx, b.Entry); err != nil {
		return 0, err
	}
	if err := n.store.TakeBeginning(ctx, b, s.base, s.leaf, s.record); err != nil {
		return 0, err
	}
	return b.Entry, nil
}

// beginning takes a CopyBeginning stream apart: its parts come in a fixed order,
// and each answers io.EOF when the next has begun.
type beginning struct {
	recv func() (*nodev1.CopyBeginningResponse, error)
	m    nodev1.CopyBeginningResponse // what is left of the newest message
}

// more makes sure that the message holds something; io.EOF at the stream's end.
func (b *beginning) more() error {
	for len(b.m.Base)+len(b.m.Leaves)+len(b.m.Records) == 0 {
		m, err := b.recv()
		if err != nil {
			return err
		}
		b.m.Base, b.m.Leaves, b.m.Records = m.Base, m.Leaves, m.Records
	}
	return nil
}

func (b *beginning) base() ([]byte, error) {
	if err := b.more(); err != nil || len(b.m.Base) == 0 {
		return nil, errors.Join(err, io.EOF)
	}
	f := b.m.Base[0]
	b.m.Base = b.m.Base[1:]
	return f, nil
}

func (b *beginning) leaf() (d format.Digest, err error) {
	if err := b.more(); err != nil || len(b.m.Leaves) < len(d) || len(b.m.Base) > 0 {
		return d, errors.Join(err, io.EOF)
	}
	copy(d[:], b.m.Leaves)
	b.m.Leaves = b.m.Leaves[len(d):]
	return d, nil
}

func (b *beginning) record() ([]byte, error) {
	err := b.more()
	if err == nil && len(b.m.Records) == 0 {
		err = errors.New("something else among the carried records")
	}
	if err != nil {
		return nil, err
	}
	r := b.m.Records[0]
	b.m.Records = b.m.Records[1:]
	return r, nil
}

// askCheckpoint asks the other nodes, of whom the leader answers, for a checkpoint
// at or behind an entry, and checks that a majority of the nodes signed it.
func (n *Node) askCheckpoint(ctx context.Context, entry uint64) (format.Checkpoint, error) {
	var errs []error
	for _, m := range n.others() {
		c, err := n.peers.get(m.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		asked, cancel := context.WithTimeout(ctx, callTimeout)
		r, err := c.Checkpoint(asked, &nodev1.CheckpointRequest{Entry: entry})
		cancel()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		e, err := format.DecodeCheckpointEffect(r.Effect)
		if err == nil {
			err = n.checkForeign(e, entry)
		}
		if err == nil {
			return e.Checkpoint, nil
		}
		errs = append(errs, err)
	}
	return format.Checkpoint{}, fmt.Errorf("no checkpoint at or behind entry %d: %w", entry, errors.Join(errs...))
}

// checkForeign checks a checkpoint against node keys: this node's member table
// may be old, so incarnations are not held against it, but keys are.
func (n *Node) checkForeign(e format.CheckpointEffect, entry uint64) error {
	if e.Checkpoint.Cluster != n.own.cluster || e.Checkpoint.Entry < entry {
		return errors.New("a checkpoint of another cluster or an earlier entry")
	}
	members, text := n.members(), []byte(e.Checkpoint.Text())
	signed := map[uint32]bool{}
	for _, s := range e.Signatures {
		for _, m := range members {
			if m.Number == s.Node && store.VerifyNode(m, text, s.Signature) {
				signed[s.Node] = true
			}
		}
	}
	if len(signed) < len(members)/2+1 {
		return fmt.Errorf("a checkpoint signed by %d of %d nodes", len(signed), len(members))
	}
	return nil
}

// copyHistory fetches the records that this node lacks up to the checkpoint.
func (n *Node) copyHistory(ctx context.Context, c format.Checkpoint) error {
	var errs []error
	others := n.others()
	// One peer with a forged history must not be the first each time.
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	for _, m := range others {
		if n.store.CopiedSize() >= c.Size {
			return nil
		}
		if err := n.copyFrom(ctx, m.Name, c.Size); err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", m.Name, err))
		}
	}
	if n.store.CopiedSize() < c.Size {
		return fmt.Errorf("history: %w", errors.Join(errs...))
	}
	return nil
}

func (n *Node) copyFrom(ctx context.Context, name string, size uint64) error {
	client, err := n.peers.get(name)
	if err != nil {
		return err
	}
	ctx, live := idle(ctx)
	defer live.stop()
	from := n.store.CopiedSize()
	stream, err := client.CopyHistory(ctx, &nodev1.CopyHistoryRequest{From: from, To: size})
	if err != nil {
		return err
	}
	for {
		r, err := stream.Recv()
		live.touch()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.First != n.store.CopiedSize() {
			return fmt.Errorf("sends record %d where %d belongs", r.First, n.store.CopiedSize())
		}
		for _, encoded := range r.Records {
			if err := n.store.Copy(encoded); err != nil {
				return err
			}
		}
	}
}

// endCopy applies what the log delivered meanwhile and goes back to the everyday
// path. The log was not cut past it: a copying node takes no snapshot.
func (n *Node) endCopy() error {
	n.applying.Lock()
	defer n.applying.Unlock()
	for {
		next := n.store.Summary().Applied + 1
		if next > n.fsm.target.Load() {
			break
		}
		var l raft.Log
		if err := n.logs.GetLog(next, &l); err != nil {
			return fmt.Errorf("entry %d, delivered while copying: %w", next, err)
		}
		if l.Type != raft.LogCommand {
			n.store.Skip(next)
			continue
		}
		if err := n.applyLog(&l); err != nil {
			n.fail(err)
			return err
		}
	}
	if err := n.store.Flush(); err != nil {
		n.fail(err)
		return err
	}
	if err := durable.Remove(filepath.Join(n.cfg.DataDir, copyingFile)); err != nil {
		return err
	}
	n.fsm.copying.Store(false)
	n.log.Info("state is whole again", "applied", n.store.Summary().Applied)
	return nil
}
