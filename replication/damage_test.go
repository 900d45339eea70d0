package replication

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// flip changes one byte of a stopped node's file.
func flip(t testing.TB, path string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

func dataFiles(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil && info.Size() > 0 {
				out = append(out, p)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestP45_FlippedBytesHeal: one byte flipped anywhere in a stopped node's data:
// the node finds it at start, read or verify, heals or rejoins, and never answers
// wrong bytes.
func TestP45_FlippedBytesHeal(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	want := map[string][]byte{}
	for i := range 6 {
		name := fmt.Sprintf("T%d", i)
		want[name] = []byte(fmt.Sprintf("content of %s, long enough to be met by a flip %d", name, i*7919))
		c.mustPut(i%3, name, "P5Y", want[name])
	}
	seed := uint64(45)
	rng := rand.New(rand.NewPCG(seed, seed))
	for range 2 {
		c.stop(1)
		files := dataFiles(t, c.dataDir(1))
		c.startNode(1)
		c.awaitReady()
		blocks := 0
		for _, f := range files {
			if filepath.Ext(f) == ".kb" {
				if blocks++; blocks > 4 {
					continue // every start leaves a block
				}
			}
			c.flipAndHeal(f, rng, want)
		}
	}
}

func (c *testCluster) flipAndHeal(file string, rng *rand.Rand, want map[string][]byte) {
	c.t.Helper()
	c.stop(1)
	if err := custodian.ClearTree(c.dataDir(1)); err != nil {
		c.t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Size() == 0 {
		c.startNode(1) // an earlier flip replaced the directory
		c.awaitReady()
		return
	}
	at := rng.Int64N(info.Size())
	c.t.Logf("flipping byte %d of %s", at, filepath.Base(file))
	flip(c.t, file, at)
	c.startNode(1)
	c.awaitReady()
	for name, content := range want {
		c.mustRead(1, name, content)
	}
	c.await("healed after a flip in "+filepath.Base(file), func() bool {
		v, err := c.nodes[1].VerifyAll(context.Background())
		if err != nil {
			return false
		}
		for _, n := range v.Nodes {
			if n.Node == "node2" && len(n.Damage) > 0 {
				c.t.Logf("found: %v", n.Damage)
			}
		}
		return v.Intact && v.RootsEqual
	})
}

// TestDamageIsRecorded: what a verification finds becomes a DAMAGE record, and
// its mending a REPAIR record (I9).
func TestDamageIsRecorded(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(0, "T", "P5Y", []byte("some content that will be damaged on node 2"))
	c.awaitEqual()
	c.stop(1)
	if err := custodian.ClearTree(c.dataDir(1)); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(c.dataDir(1), "segments", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatal(err)
	}
	flip(t, segments[0], format.FileHeaderSize+format.ChunkHeaderSize+5)
	c.startNode(1)
	c.awaitReady()
	if _, err := c.nodes[1].VerifyAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.await("DAMAGE and REPAIR records", func() bool {
		return c.recorded(format.ActDamage) && c.recorded(format.ActRepair)
	})
	c.mustRead(1, "T", []byte("some content that will be damaged on node 2"))
}

func (c *testCluster) recorded(a format.Action) bool {
	s := c.nodes[0].Store()
	found := false
	err := s.History(context.Background(), 0, s.Summary().Size, func(_ uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		found = found || rec.Action == a
		return err
	})
	return err == nil && found
}

// TestDamagedHistoryOfASingleNode: with nobody to copy from, the node refuses to
// start, names the file, and leaves everything where it is.
func TestDamagedHistoryOfASingleNode(t *testing.T) {
	c := newTestCluster(t, 1)
	c.startAll()
	c.mustPut(0, "T", "P5Y", []byte("content"))
	c.stop(0)
	if err := custodian.ClearTree(c.dataDir(0)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(c.dataDir(0), "history", "*.his"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	flip(t, files[0], format.FileHeaderSize+40)
	_, err = c.tryStart(0)
	var damage *format.DamageError
	if !errors.As(err, &damage) || damage.File != "history/00000001.his" {
		t.Fatalf("start over a damaged history: %v", err)
	}
	if err := custodian.ClearTree(c.dataDir(0)); err != nil {
		t.Fatal(err)
	}
	flip(t, files[0], format.FileHeaderSize+40)
	c.startNode(0)
	c.awaitReady()
	c.mustRead(0, "T", []byte("content"))
}
