package replication

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestARequestIsDestroyedOnceANodeStarts: also where the restore was cut before it
// had destroyed the private half.
func TestARequestIsDestroyedOnceANodeStarts(t *testing.T) {
	c := newTestCluster(t, 1)
	path := filepath.Join(c.keyDir(0), releaseKeyFile)
	if _, err := newReleaseKey(c.keyDir(0)); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, path+".seen"); err != nil { // what the file's blocks hold
		t.Fatal(err)
	}
	c.startAll()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there still: %v", err)
	}
	if left, err := os.ReadFile(path + ".seen"); err != nil || len(left) == 0 || len(bytes.Trim(left, "\x00")) != 0 {
		t.Errorf("%q is left of it: %v", left, err)
	}
}
