package replication

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sago-worm/sago/store/format"
)

// TestWhatCannotBeAttestedEndsThePass and is destroyed and attested by the next one: two
// batches are, of which the first one's attestation is refused.
func TestWhatCannotBeAttestedEndsThePass(t *testing.T) {
	c := newTestCluster(t, 1)
	c.timing.BlockSlots = 4 * beside.destroy
	n, d := c.byHand()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	count := beside.destroy + 1
	for i := range count {
		c.mustPut(0, fmt.Sprintf("T%d", i), "PT1S", []byte("short lived"))
	}
	c.await("all are due", func() bool {
		c.times[0].set(func(s *testTime) { s.boot += int64(time.Second) })
		if err := n.tick(ctx, n.store.Summary()); err != nil {
			return false
		}
		_, err := n.sweep(ctx, time.Now().Add(patience))
		left, lerr := n.store.Bundle(key(fmt.Sprintf("T%d", count-1)))
		return err == nil && lerr == nil && left.Expire != 0
	})
	size := c.takeCheckpoint().Checkpoint.Size
	n.lastRequest.Store(int64(time.Hour)) // small batches
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := n.keys.Node
	n.keys.Node = other
	err = d.destroyDue(ctx)
	n.keys.Node = own
	if err == nil || errors.Is(err, context.Canceled) || ctx.Err() != nil || d.from != 0 || d.destroyed == size {
		t.Fatalf("it goes on at %d, with %d of %d behind it: %v", d.from, d.destroyed, size, err)
	}
	if err := d.destroyDue(ctx); err != nil || d.from != 0 || d.destroyed != size {
		t.Fatalf("it goes on at %d, with %d of %d behind it: %v", d.from, d.destroyed, size, err)
	}
	for i := range count {
		if b, err := n.store.Bundle(key(fmt.Sprintf("T%d", i))); err != nil || b.Erase == 0 {
			t.Errorf("T%d is not erased: %v", i, err)
		}
	}
}

// TestAPassGoesOnBehindWhatIsAttested, and not behind what is not.
func TestAPassGoesOnBehindWhatIsAttested(t *testing.T) {
	c := newTestCluster(t, 1)
	n, _ := c.byHand()
	d, batches := &duties{node: n}, make(chan destroyed, 2)
	batches <- destroyed{next: 7}
	batches <- destroyed{effects: []format.AttestEffect{{From: 1, To: 2}}, next: 9} // refused: nothing waits there
	close(batches)
	if err := d.attestAll(t.Context(), batches); err == nil || d.from != 7 {
		t.Errorf("it goes on at %d: %v", d.from, err)
	}
}
