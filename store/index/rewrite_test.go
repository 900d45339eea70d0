package index

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// plainFiles exchanges and removes without more.
type plainFiles struct{}

func (plainFiles) ExchangeIndex(path string) error {
	return unix.Renameat2(unix.AT_FDCWD, path+NewSuffix, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
}

func (plainFiles) RemoveIndex(path string) error { return os.Remove(path) }

// keeping removes nothing.
type keeping struct{ plainFiles }

func (keeping) RemoveIndex(string) error { return nil }

// TestRewriteLeavesNothingOfDeletedRows, loses none, and readers go on beside it.
func TestRewriteLeavesNothingOfDeletedRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	d, _ := open(t, path)
	for i := range 3000 {
		d.Put(1, fmt.Appendf(nil, "stays-%05d", i), []byte("row"))
		d.Put(2, fmt.Appendf(nil, "secret-%05d", i), []byte("secret row"))
	}
	flush(t, d, Meta{Applied: 1})
	for i := range 3000 {
		d.Delete(2, fmt.Appendf(nil, "secret-%05d", i))
	}
	flush(t, d, Meta{Applied: 2})
	d.Put(7, []byte("memory"), []byte("x"))
	if raw, err := os.ReadFile(path); err != nil || !bytes.Contains(raw, []byte("secret")) {
		t.Fatal("bbolt forgot by itself", err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if v, err := d.Get(1, fmt.Appendf(nil, "stays-%05d", i%3000)); err != nil || string(v) != "row" {
					t.Errorf("%q, %v", v, err)
					return
				}
			}
		})
	}
	for range 5 {
		if err := d.Rewrite(plainFiles{}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if raw, err := os.ReadFile(path); err != nil || bytes.Contains(raw, []byte("secret")) {
		t.Fatal("deleted rows are still in the file", err)
	}
	flush(t, d, Meta{Applied: 3})
	if err := d.VerifyAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + NewSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the old file is left")
	}
	d, meta := open(t, path)
	defer d.Close()
	v, err := d.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if meta.Applied != 3 || rowsOf(t, v, 7) != "memory=x " || len(rowsOf(t, v, 1)) != 3000*len("stays-00000=row ") {
		t.Fatalf("applied %d, %q", meta.Applied, rowsOf(t, v, 7))
	}
}

// TestRewriteThatFailsBeforeTheExchangeChangesNothing.
func TestRewriteThatFailsBeforeTheExchangeChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	d, _ := open(t, path)
	defer d.Close()
	d.Put(1, []byte("a"), []byte("1"))
	flush(t, d, Meta{Applied: 1})
	if err := os.WriteFile(path+NewSuffix, []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Rewrite(keeping{}); err == nil {
		t.Fatal("written over another file")
	}
	d.Put(1, []byte("b"), []byte("2"))
	flush(t, d, Meta{Applied: 2})
	if err := errors.Join(os.Remove(path+NewSuffix), d.Rewrite(plainFiles{})); err != nil {
		t.Fatal(err)
	}
}
