package replication

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// alterRow changes a bundle's row in a stopped node's index, checksums and all,
// as somebody with the product's own code would.
func (c *testCluster) alterRow(i int, k format.BundleKey, change func(*format.BundleRow)) {
	c.t.Helper()
	m, err := store.ReadManifest(c.dataDir(i))
	if err != nil {
		c.t.Fatal(err)
	}
	db, meta, err := index.Open(filepath.Join(c.dataDir(i), "index.db"), index.Options{Cluster: m.Cluster, Incarnation: m.Incarnation, Tables: store.Tables()})
	if err != nil {
		c.t.Fatal(err)
	}
	const bundles index.Table = 2
	v, err := db.Get(bundles, k.Encode())
	if err != nil || v == nil {
		c.t.Fatalf("no row to alter: %v", err)
	}
	row, err := format.DecodeBundleRow(v)
	if err != nil {
		c.t.Fatal(err)
	}
	change(&row)
	db.Put(bundles, k.Encode(), row.Encode())
	if err := errors.Join(db.Commit(db.Rotate(meta)), db.Close()); err != nil {
		c.t.Fatal(err)
	}
}

// TestP60_AlteredReplicaFencesItself: a replica whose state was altered, with
// good checksums, finds at the next checkpoint that it is not the majority's
// (I6): it stops, and comes back as a new incarnation with the majority's state.
func TestP60_AlteredReplicaFencesItself(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(0, "kept", "P5Y", []byte("kept"))
	c.mustPut(0, "altered", "PT3S", []byte("altered"))
	c.awaitEqual()
	c.stop(1)
	c.alterRow(1, key("altered"), func(r *format.BundleRow) { r.Size++ })
	c.startNode(1)
	c.awaitReady()
	c.await("the altered replica stops", func() bool { return c.nodes[1].Failure() != nil })
	if err := c.nodes[1].Failure(); !errors.Is(err, store.ErrDiverged) {
		t.Fatalf("stopped for another reason: %v", err)
	}
	if c.nodes[1].Ready() || c.nodes[1].self().State != "fenced" {
		t.Errorf("it is %s, ready %v", c.nodes[1].self().State, c.nodes[1].Ready())
	}
	old := c.nodes[1].own.incarnation
	c.stop(1)
	c.startNode(1)
	if c.nodes[1].own.incarnation == old {
		t.Error("it goes on as the incarnation that differed")
	}
	c.awaitReady()
	c.mustRead(1, "kept", []byte("kept"))
	c.awaitEqual()
}

// TestForeignDataIsRefused: a node does not start over another cluster's data,
// and changes nothing there.
func TestForeignDataIsRefused(t *testing.T) {
	a, b := newTestCluster(t, 1), newTestCluster(t, 1)
	a.startAll()
	a.mustPut(0, "T", "P5Y", []byte("a's"))
	a.stop(0)
	if err := os.MkdirAll(filepath.Dir(b.dataDir(0)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(a.dataDir(0), b.dataDir(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.tryStart(0); err == nil || !strings.Contains(err.Error(), "belongs to node") {
		t.Fatalf("start over another cluster's data: %v", err)
	}
	if err := os.Rename(b.dataDir(0), a.dataDir(0)); err != nil {
		t.Fatal(err)
	}
	a.startNode(0)
	a.awaitReady()
	a.mustRead(0, "T", []byte("a's"))
}

// TestFiveNodes: five nodes go on with two of them away.
func TestFiveNodes(t *testing.T) {
	c := newTestCluster(t, 5)
	c.startAll()
	c.mustPut(0, "T1", "P5Y", []byte("one"))
	c.stop(3)
	c.stop(4)
	c.await("three of five", func() bool { return c.nodes[0].Ready() && c.nodes[1].Ready() && c.nodes[2].Ready() })
	c.mustPut(1, "T2", "P5Y", []byte("two"))
	c.startNode(3)
	c.startNode(4)
	c.awaitReady()
	for i := range 5 {
		c.mustRead(i, "T1", []byte("one"))
		c.mustRead(i, "T2", []byte("two"))
	}
	c.awaitEqual()
}

// TestProductionAndDevelopmentNeverMix: the mark of the ceremony is for ever, and
// no file or flag of a node changes it (I10).
func TestProductionAndDevelopmentNeverMix(t *testing.T) {
	c := newTestCluster(t, 1)
	c.startAll()
	c.stop(0)
	m, err := store.ReadManifest(c.dataDir(0))
	if err != nil {
		t.Fatal(err)
	}
	m.Production = true
	if err := errors.Join(os.Remove(filepath.Join(c.dataDir(0), "MANIFEST")), store.Create(c.dataDir(0), m)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.tryStart(0); err == nil || !strings.Contains(err.Error(), "never open each other") {
		t.Fatalf("a development node over production data: %v", err)
	}
}
