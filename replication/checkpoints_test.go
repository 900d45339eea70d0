package replication

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

func TestWantsCheckpoint(t *testing.T) {
	const entry, clock, every = 1000, 50_000, 7_000
	for name, c := range map[string]struct {
		applied                uint64
		now                    int64
		uncovered, destruction bool
		want                   bool
	}{
		"nothing new":                  {applied: entry, now: clock + every},
		"too early":                    {applied: entry + 5, now: clock + every - 1, uncovered: true},
		"the interval":                 {applied: entry + 5, now: clock + every, uncovered: true, want: true},
		"a destruction":                {applied: entry, now: clock, destruction: true, want: true},
		"restored":                     {applied: entry + store.RestoreGap, now: clock, uncovered: true, want: true},
		"many entries":                 {applied: entry + store.RestoreGap - 1, now: clock, uncovered: true},
		"restored, and covered":        {applied: entry + store.RestoreGap, now: clock},
		"restored, without a time yet": {applied: entry + store.RestoreGap, uncovered: true},
	} {
		s := store.Summary{Applied: c.applied, Clock: format.ClockRow{Now: c.now}, Policy: format.Policy{CheckpointEvery: every}}
		s.Checkpoint.Checkpoint.Entry, s.Checkpoint.Checkpoint.Clock = entry, clock
		if got := wantsCheckpoint(s, c.uncovered, c.destruction); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestP55_OneCheckpointForManyWhoAsk: every node can have one taken, and those
// who ask at once share it.
func TestP55_OneCheckpointForManyWhoAsk(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.awaitReady()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r := c.mustPut(0, "T1", "P5Y", []byte("x"))
	for i, n := range c.nodes { // a node covers what it has applied
		c.await("the put at every node", func() bool { return n.store.Summary().Size > r.Sequence })
		if err := n.Checkpoint(ctx, true); err != nil {
			t.Fatalf("node %d: %v", i+1, err)
		}
		if _, err := n.store.CheckpointCovering(r.Sequence); err != nil {
			t.Fatalf("node %d: %v", i+1, err)
		}
	}
	before := c.checkpoints()
	c.mustPut(0, "T2", "P5Y", []byte("x"))
	var wg sync.WaitGroup
	for range 8 {
		for _, n := range c.nodes {
			wg.Go(func() {
				if err := n.Checkpoint(ctx, true); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if taken := c.checkpoints() - before; taken < 1 || taken > 12 {
		t.Errorf("24 who asked at once had %d checkpoints taken", taken)
	}
	if err := c.nodes[1].Checkpoint(ctx, false); err != nil {
		t.Errorf("the newest that there is: %v", err)
	}
}

// checkpoints counts the CHECKPOINT records of the first node.
func (c *testCluster) checkpoints() (n int) {
	c.t.Helper()
	st := c.nodes[0].store
	err := st.History(context.Background(), 0, st.Summary().Size, func(_ uint64, encoded []byte) error {
		r, err := format.DecodeRecord(encoded)
		if r.Action == format.ActCheckpoint {
			n++
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// TestANodeAloneDoesNotCallItsCheckpointTheNewest: without a majority there is no
// answer, rather than an old one.
func TestANodeAloneDoesNotCallItsCheckpointTheNewest(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.awaitReady()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.nodes[0].Checkpoint(ctx, true); err != nil {
		t.Fatal(err)
	}
	c.stop(1)
	c.stop(2)
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, fresh := range []bool{true, false} {
		if err := c.nodes[0].Checkpoint(short, fresh); !errors.Is(err, ErrUnavailable) {
			t.Errorf("fresh %v: %v", fresh, err)
		}
	}
}

// TestI5_OneLyingNodeHoldsNoCheckpointUp: a signature that does not verify, sooner
// than an honest one, is as one that was not given.
func TestI5_OneLyingNodeHoldsNoCheckpointUp(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.awaitReady()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lead := c.leader()
	liar, honest := c.nodes[(lead+1)%3].signer, c.nodes[(lead+2)%3].signer
	liar.mu.Lock()
	liar.key = func([]byte) ([]byte, error) { return []byte("no signature"), nil }
	liar.mu.Unlock()
	honest.mu.Lock()
	key := honest.key
	honest.key = func(m []byte) ([]byte, error) { // comes later than the liar's
		<-time.After(50 * time.Millisecond)
		return key(m)
	}
	honest.mu.Unlock()
	c.mustPut(lead, "T1", "P5Y", []byte("x"))
	c.await("a checkpoint with the honest one's signature", func() bool {
		c.leadership(lead, true)
		_, err := c.nodes[lead].takeCheckpoint(ctx)
		return err == nil
	})
}

// TestOnlyThePresentIncarnationsSignatureHolds: of a checkpoint or a digest.
func TestOnlyThePresentIncarnationsSignatureHolds(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	m := format.MemberRow{Number: 2, Name: "n2", PublicKey: public, Current: format.ID{2}}
	digest := sha256.Sum256([]byte("message"))
	good := format.NodeSignature{Node: 2, Incarnation: format.ID{2}}
	if good.Signature, err = ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
		t.Fatal(err)
	}
	if err := holds(m, []byte("message"), good); err != nil {
		t.Error(err)
	}
	other, number, spoilt := good, good, good
	other.Incarnation, number.Node, spoilt.Signature = format.ID{1}, 3, good.Signature[1:]
	for _, s := range []format.NodeSignature{other, number, spoilt} {
		if holds(m, []byte("message"), s) == nil {
			t.Errorf("%+v holds", s)
		}
	}
	if holds(m, []byte("another"), good) == nil {
		t.Error("a signature of something else holds")
	}
}
