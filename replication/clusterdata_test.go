package replication

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

func (c *testCluster) put(i int, transaction, rule string, content []byte) (store.Result, error) {
	n := c.nodes[i]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	slot, err := n.Slot(ctx)
	if err != nil {
		return store.Result{}, err
	}
	seal, err := n.Store().NewBundleSeal(slot, func(ch format.Chunk) error {
		_, err := n.Submit(ctx, store.Op{Kind: store.KindChunk, Actor: testApp, Institution: 1}, ch)
		return err
	})
	if err != nil {
		return store.Result{}, err
	}
	if _, err := seal.Write(content); err != nil {
		return store.Result{}, err
	}
	sum := format.Digest(sha256.Sum256(content))
	last, e, err := seal.Finish(format.Description{Fingerprint: sum, Basis: "b", Documents: []format.Document{{Name: "d", Size: uint64(len(content)), Digest: sum}}})
	if err != nil {
		return store.Result{}, err
	}
	e.Definition, e.Rule, e.BasisKind = "MDS0000001", rule, 1
	if e.Subject, err = n.Store().SubjectRef(1, "CI-1"); err != nil {
		return store.Result{}, err
	}
	id := n.NewID()
	epoch, detail, err := n.Store().SealDetail(1, format.DetailOther, id, format.Detail{Basis: "b"})
	if err != nil {
		return store.Result{}, err
	}
	return n.Submit(ctx, store.Op{Kind: store.KindStore, ID: id, Actor: testApp, Institution: 1, Transaction: transaction, Part: 1,
		Body: format.EncodeEffect(e), DetailClass: format.DetailOther, DetailEpoch: epoch, Detail: detail}, last)
}

func (c *testCluster) mustPut(i int, transaction, rule string, content []byte) store.Result {
	c.t.Helper()
	r, err := c.put(i, transaction, rule, content)
	if err != nil || r.Outcome != store.Accepted {
		c.t.Fatalf("put %s: %v %+v", transaction, err, r)
	}
	return r
}

func key(transaction string) format.BundleKey {
	return format.BundleKey{Institution: 1, Transaction: transaction, Part: 1}
}

// read commits a READ and then reads the bytes on that node.
func (c *testCluster) read(i int, transaction string) ([]byte, error) {
	n := c.nodes[i]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := n.Submit(ctx, store.Op{Kind: store.KindRead, Actor: testApp, Institution: 1, Transaction: transaction, Part: 1,
		Body: format.EncodeEffect(format.ReadEffect{Request: n.NewID()})})
	if err != nil {
		return nil, err
	}
	if r.Outcome != store.Accepted {
		return nil, fmt.Errorf("refused: %s", r.Reason)
	}
	headers, err := n.ChunkHeaders(ctx, r.Bundle)
	if err != nil {
		return nil, err
	}
	b, err := n.Store().OpenBundle(r.Bundle, headers, func(h format.ChunkHeader) ([]byte, error) { return n.FetchChunk(ctx, r.Bundle, h) })
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = b.WriteTo(&out)
	return out.Bytes(), err
}

func (c *testCluster) mustRead(i int, transaction string, want []byte) {
	c.t.Helper()
	got, err := c.read(i, transaction)
	if err != nil || !bytes.Equal(got, want) {
		c.t.Fatalf("read %s on node %d: %v, %d bytes where %d belong", transaction, i+1, err, len(got), len(want))
	}
}

// ownCheckpoint waits for the one that a leader takes by itself when it begins. Where
// the policy's interval is long, a test is alone with those that it takes then.
func (c *testCluster) ownCheckpoint() {
	c.t.Helper()
	c.await("the leader's first checkpoint", func() bool {
		return c.nodes[c.leader()].Store().Summary().Checkpoint.Checkpoint.Size > 0
	})
}

// takeCheckpoint takes one on whoever leads. One that a leader takes by itself at the
// same time may leave it without a majority's signatures: then it takes another.
func (c *testCluster) takeCheckpoint() (e format.CheckpointEffect) {
	c.t.Helper()
	c.await("a checkpoint", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var err error
		if e, err = c.nodes[c.leader()].takeCheckpoint(ctx); err != nil {
			c.t.Log(err)
		}
		return err == nil
	})
	return e
}

// awaitEqual waits until every running node has the same history and state.
func (c *testCluster) awaitEqual() {
	c.t.Helper()
	c.await("equal roots and states", func() bool {
		var first *NodeStatus
		for _, n := range c.nodes {
			if n == nil {
				continue
			}
			s := n.self()
			if first == nil {
				first = &s
			}
			if s.Root != first.Root || s.StateHash != first.StateHash || s.HistorySize != first.HistorySize {
				return false
			}
		}
		return true
	})
}
