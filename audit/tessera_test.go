package audit_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/fsck"

	"github.com/sago-worm/sago/store/format"
)

// exportLog is an export as the fsck of tessera reads logs: an implementation of
// C2SP tlog-tiles that has nothing to do with ours.
type exportLog string

func (d exportLog) ReadCheckpoint(context.Context) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), layout.CheckpointPath))
}

func (d exportLog) ReadTile(_ context.Context, level, index uint64, p uint8) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), layout.TilePath(level, index, p)))
}

func (d exportLog) ReadEntryBundle(_ context.Context, index uint64, p uint8) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), layout.EntriesPath(index, p)))
}

// nodeVerifier is a node's key as golang.org/x/mod/sumdb/note wants it: that
// package knows no ECDSA.
type nodeVerifier struct{ key format.NoteKey }

func (v nodeVerifier) Name() string    { return v.key.Name }
func (v nodeVerifier) KeyHash() uint32 { return v.key.ID() }
func (v nodeVerifier) Verify(msg, sig []byte) bool {
	return v.key.Verify(string(msg), format.NoteLine{Name: v.key.Name, KeyID: v.key.ID(), Signature: sig})
}

func leafHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, e := range b.Entries {
		h := format.LeafHash(e)
		hashes = append(hashes, h[:])
	}
	return hashes, nil
}

func runFsck(t *testing.T, dir, node string) error {
	t.Helper()
	verifier := nodeVerifier{testNode(t, node).public(t)}
	// A worker ends with the first thing that it refuses, and whoever feeds them waits
	// for ever unless there are more of them than tiles to be checked.
	const workers = 300
	return fsck.New(format.Origin(vectorCluster), verifier, exportLog(dir), leafHashes, fsck.Opts{N: workers}).Check(t.Context())
}

// TestAnUnrelatedProgramTakesAWholeExport has the fsck of tessera check exports of
// everything, and refuse what we refuse.
func TestAnUnrelatedProgramTakesAWholeExport(t *testing.T) {
	for _, name := range []string{"tree", "small"} {
		if err := runFsck(t, vectorFile(name), "n3"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := runFsck(t, vectorFile("tree"), "n2"); err == nil {
		t.Error("took a checkpoint that this node had not signed")
	}
	if err := runFsck(t, vectorFile("pruned"), "n3"); !errors.Is(err, fs.ErrNotExist) && err == nil {
		t.Error("took an export without its first bundle")
	}
	for _, file := range []string{"tile/entries/000", "tile/0/001", "tile/1/000.p/2", "checkpoint"} {
		dir := filepath.Join(t.TempDir(), "export")
		check(t, os.CopyFS(dir, os.DirFS(vectorFile("tree"))))
		edit{Op: "flip", File: file, At: 60}.apply(t, dir)
		if err := runFsck(t, dir, "n3"); err == nil {
			t.Errorf("took %s flipped", file)
		}
	}
}

// TestAHigherTileLevel verifies a log with tiles of level 2, by us and by tessera.
func TestAHigherTileLevel(t *testing.T) {
	if testing.Short() {
		t.Skip("65 900 records")
	}
	dir := bigExport(t, 65_900)
	if err := runFsck(t, dir, "n1"); err != nil {
		t.Fatal(err)
	}
	second := startPython(t)
	if v := second.agree(t, dir, vectorFile("good.keys"), nil); v.Exit != 0 {
		t.Fatalf("%+v", v)
	}
	for _, file := range []string{"tile/1/001.p/1", "tile/2/000.p/1"} {
		e := edit{Op: "flip", File: file, At: -1}
		e.apply(t, dir)
		if v := second.agree(t, dir, vectorFile("good.keys"), nil); v.Exit != 7 {
			t.Errorf("%s flipped: %+v", file, v)
		}
		e.apply(t, dir)
	}
}

// bigExport writes an export of everything in a history of n records.
func bigExport(t testing.TB, n uint64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "big")
	newPlan(t, n, n-3, 0, format.ExportEffect{Scope: format.ExportTree, End: n - 2}).write(t, dir)
	return dir
}
