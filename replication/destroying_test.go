package replication

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// twoBatches has a node, led by hand, decide that so many bundles end as it destroys in two
// batches of the small ones, and takes a checkpoint of them, which it answers the size of.
func (c *testCluster) twoBatches() (n *Node, d *duties, bundles int, size uint64) {
	c.t.Helper()
	c.timing.BlockSlots = 4 * beside.destroy
	n, d = c.byHand()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	bundles = beside.destroy + 1
	for i := range bundles {
		c.mustPut(0, fmt.Sprintf("T%d", i), "PT1S", []byte("short lived"))
	}
	c.await("all are due", func() bool {
		c.times[0].set(func(s *testTime) { s.boot += int64(time.Second) })
		if err := n.tick(ctx, n.store.Summary()); err != nil {
			return false
		}
		_, err := n.sweep(ctx, time.Now().Add(patience))
		left, lerr := n.store.Bundle(key(fmt.Sprintf("T%d", bundles-1)))
		return err == nil && lerr == nil && left.Expire != 0
	})
	size = c.takeCheckpoint().Checkpoint.Size
	n.lastRequest.Store(int64(time.Hour)) // small batches
	return n, d, bundles, size
}

// erased counts the bundles that an ERASE record stands for.
func (c *testCluster) erased(n *Node, bundles int) (count int) {
	c.t.Helper()
	for i := range bundles {
		b, err := n.store.Bundle(key(fmt.Sprintf("T%d", i)))
		if err != nil {
			c.t.Fatal(err)
		}
		if b.Erase != 0 {
			count++
		}
	}
	return count
}

// TestWhatWasDestroyedIsAttested though the batch behind it cannot be looked up, or be
// destroyed: the next pass goes on with that one, and ends it when it can.
func TestWhatWasDestroyedIsAttested(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, n *Node, last *format.BundleRow) (mend func()){
		"the next is not looked up": func(t *testing.T, n *Node, last *format.BundleRow) func() {
			_, encoded, err := n.store.Record(last.Expire - 1)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(n.cfg.DataDir, "history", "00000001.his")
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			at := bytes.Index(whole, encoded)
			if at < 0 {
				t.Fatal("the record is not in the file")
			}
			flip(t, path, int64(at))
			return func() { flip(t, path, int64(at)) }
		},
		"the next is not destroyed": func(t *testing.T, n *Node, last *format.BundleRow) func() {
			path := filepath.Join(n.cfg.DataDir, keyring.FileName(last.Slot.Block))
			whole, err := os.ReadFile(path)
			if err == nil {
				err = os.Truncate(path, keyring.SlotOffset(last.Slot.Index))
			}
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := errors.Join(custodian.ClearTree(n.cfg.DataDir), os.WriteFile(path, whole, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCluster(t, 1)
			n, d, bundles, size := c.twoBatches()
			last, err := n.store.Bundle(key(fmt.Sprintf("T%d", bundles-1)))
			if err != nil {
				t.Fatal(err)
			}
			if err := custodian.ClearTree(n.cfg.DataDir); err != nil {
				t.Fatal(err)
			}
			mend := spoil(t, n, last)
			for range 2 {
				err := d.destroyDue(t.Context())
				if err == nil || errors.Is(err, context.Canceled) || d.from != last.Expire-1 || d.destroyed == size || c.erased(n, bundles) != bundles-1 {
					t.Fatalf("it goes on at %d, %d are erased: %v", d.from, c.erased(n, bundles), err)
				}
			}
			mend()
			if err := d.destroyDue(t.Context()); err != nil || d.from != 0 || d.destroyed != size || c.erased(n, bundles) != bundles {
				t.Errorf("it goes on at %d, %d are erased: %v", d.from, c.erased(n, bundles), err)
			}
		})
	}
}

// TestWhatCannotBeAttestedEndsThePass and is destroyed and attested by the next one: two
// batches are, of which the first one's attestation is refused.
func TestWhatCannotBeAttestedEndsThePass(t *testing.T) {
	c := newTestCluster(t, 1)
	n, d, bundles, size := c.twoBatches()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
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
	if erased := c.erased(n, bundles); erased != bundles {
		t.Errorf("%d are erased", erased)
	}
}

// TestAPassGoesOnBehindWhatIsAttested, and not behind what is not.
func TestAPassGoesOnBehindWhatIsAttested(t *testing.T) {
	c := newTestCluster(t, 1)
	n, _ := c.byHand()
	d, batches := &duties{node: n}, make(chan batch, 2)
	batches <- batch{next: 7}
	batches <- batch{effects: []format.AttestEffect{{From: 1, To: 2}}, next: 9} // refused: nothing waits there
	close(batches)
	if err := d.attestAll(t.Context(), batches); err == nil || d.from != 7 {
		t.Errorf("it goes on at %d: %v", d.from, err)
	}
}
