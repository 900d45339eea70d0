package replication

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/store/format"
)

// TestExpiryErasesEverywhere: a short bundle vanishes from every node, in no
// more time than a few ticks, key and bytes (I5); a long one stays.
func TestExpiryErasesEverywhere(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	secret := bytes.Repeat([]byte("CANARY-expiry "), 100)
	c.mustPut(0, "short", "PT1S", secret)
	c.mustPut(0, "long", "P1Y", secret)
	row, err := c.nodes[0].Store().Bundle(key("short"))
	if err != nil || row == nil {
		t.Fatal(err)
	}
	sealed := c.sealedBytes(0, row)
	c.await("erased on every node", func() bool {
		for _, n := range c.nodes {
			b, err := n.Store().Bundle(key("short"))
			if err != nil || b == nil || b.Erase == 0 || attestedBy(n, b) != 3 {
				return false
			}
		}
		return true
	})
	if _, err := c.read(1, "short"); err == nil || !strings.Contains(err.Error(), "EXPIRED") {
		t.Fatalf("read of an erased bundle: %v", err)
	}
	c.mustRead(2, "long", secret)
	for _, what := range [][]byte{secret[:40], sealed} {
		if f := fileWith(t, c.dir, what); f != "" {
			t.Errorf("%q... is still in %s", what[:8], f)
		}
	}
	c.awaitEqual()
	v, err := c.nodes[1].VerifyAll(t.Context())
	if err != nil || !v.Intact {
		t.Fatalf("verify after erasure: %v %+v", err, v)
	}
}

// sealedBytes is a stretch of a bundle's ciphertext.
func (c *testCluster) sealedBytes(i int, row *format.BundleRow) []byte {
	c.t.Helper()
	h, err := c.nodes[i].Store().BundleChunks(row)
	if err != nil {
		c.t.Fatal(err)
	}
	ch, err := c.nodes[i].Store().Chunk(h[0])
	if err != nil {
		c.t.Fatal(err)
	}
	return bytes.Clone(ch.Sealed[:64])
}

func fileWith(t *testing.T, dir string, what []byte) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // files come and go
		}
		b, err := os.ReadFile(p)
		if err == nil && bytes.Contains(b, what) {
			found = p
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestP02_AllSourcesJump: all sources say thirty days later; the clock gains no
// more than the slack and nothing expires early.
func TestP02_AllSourcesJump(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(0, "day", "P1D", []byte("kept a day"))
	before, began := c.nodes[0].Store().Summary().Clock.Now, bootNanos()
	for _, s := range c.times {
		s.set(func(s *testTime) { s.offset += (30 * 24 * time.Hour).Microseconds() })
	}
	c.await("some ticks", func() bool { return c.nodes[0].Store().Summary().Clock.Now > before })
	round := c.nodes[0].Store().Summary().Clock.Round
	c.await("more ticks", func() bool { return c.nodes[0].Store().Summary().Clock.Round > round+3 })
	s := c.nodes[0].Store().Summary()
	passed := time.Duration(bootNanos() - began)
	if gained := s.Clock.Now - before; gained > (time.Hour + time.Minute + 2*passed).Microseconds() {
		t.Fatalf("the clock gained %v", time.Duration(gained)*time.Microsecond)
	}
	c.mustRead(1, "day", []byte("kept a day"))
}

// TestP11_LeaderChangesMoveNoDeadline: deadlines stay bit-identical while
// leadership moves.
func TestP11_LeaderChangesMoveNoDeadline(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(0, "T", "P5Y", []byte("x"))
	c.await("deadline on every node", func() bool {
		for i := range c.nodes {
			b, err := c.nodes[i].Store().Bundle(key("T"))
			if err != nil || b == nil || b.Retention.Deadline == 0 {
				return false
			}
		}
		return true
	})
	want := c.deadline(0, "T")
	for range 5 {
		for _, n := range c.nodes {
			if n.raft.State() == raft.Leader {
				if err := n.raft.LeadershipTransfer().Error(); err != nil {
					t.Log(err)
				}
			}
		}
		c.awaitReady()
		for i := range c.nodes {
			if got := c.deadline(i, "T"); got != want {
				t.Fatalf("node %d: deadline %d, was %d", i+1, got, want)
			}
		}
	}
}

func (c *testCluster) deadline(i int, transaction string) int64 {
	c.t.Helper()
	b, err := c.nodes[i].Store().Bundle(key(transaction))
	if err != nil || b == nil {
		c.t.Fatalf("node %d: no bundle %s: %v", i+1, transaction, err)
	}
	return b.Retention.Deadline
}

// attestedBy is how many nodes have attested a bundle's erasure, as a node knows it.
func attestedBy(n *Node, b *format.BundleRow) int {
	nodes, err := n.Store().AttestedBy(b)
	if err != nil {
		return -1
	}
	return len(nodes)
}
