package index

import (
	"errors"
	"path/filepath"
	"testing"
)

// TestNoFlushSucceedsBehindAFailedCommit: whoever rotates behind a failed commit gets
// no batch, and may not take it for a sign that all is durable.
func TestNoFlushSucceedsBehindAFailedCommit(t *testing.T) {
	d, _ := open(t, filepath.Join(t.TempDir(), "index.db"))
	d.Put(1, []byte("a"), []byte("1"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(d.Rotate(Meta{Applied: 1})); !errors.Is(err, ErrLatched) {
		t.Fatalf("the commit: %v", err)
	}
	d.Put(1, []byte("b"), []byte("2"))
	if err := d.Commit(d.Rotate(Meta{Applied: 2})); !errors.Is(err, ErrLatched) {
		t.Fatalf("the one behind it: %v, with %d rows pending", err, d.Pending())
	}
}
