package replication

import (
	"bytes"
	"testing"

	"github.com/sago-worm/sago/store"
)

func TestOneNodeStoresReadsAndRestarts(t *testing.T) {
	c := newTestCluster(t, 1)
	c.startAll()
	content := bytes.Repeat([]byte("document "), 3000)
	c.mustPut(0, "T1", "P5Y", content)
	c.mustRead(0, "T1", content)
	if r, err := c.put(0, "T1", "P5Y", []byte("other")); err != nil || r.Outcome != store.Exists {
		t.Fatalf("second put: %v %+v", err, r)
	}
	big := bytes.Repeat([]byte{7}, 3<<20)
	c.mustPut(0, "T2", "P5Y", big)
	c.stop(0)
	c.startNode(0)
	c.awaitReady()
	c.mustRead(0, "T1", content)
	c.mustRead(0, "T2", big)
}

func TestThreeNodesServeFromEach(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	for i := range 3 {
		name := string(rune('A' + i))
		c.mustPut(i, name, "P5Y", []byte("content of "+name))
	}
	for i := range 3 {
		for j := range 3 {
			name := string(rune('A' + j))
			c.mustRead(i, name, []byte("content of "+name))
		}
	}
	c.awaitEqual()
	v, err := c.nodes[0].VerifyAll(t.Context())
	if err != nil || !v.Intact || !v.RootsEqual {
		t.Fatalf("verify: %v %+v", err, v)
	}
}
