package segment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// realFiles hands out real files and lets a test replace a descriptor.
type realFiles struct {
	dir    string
	sealed map[string]bool
	// open, when set, gets the name and the flag that opens it.
	open func(name string, flag int) (*os.File, error)
	// flags, when set, is called with each new file and each sealed one.
	flags func(path string, sealed bool) error
}

func newFiles(dir string) *realFiles { return &realFiles{dir: dir, sealed: map[string]bool{}} }

func (f *realFiles) path(name string) string { return filepath.Join(f.dir, name) }

func (f *realFiles) openFile(name string, flag int) (*os.File, error) {
	if f.open != nil {
		return f.open(name, flag)
	}
	return os.OpenFile(f.path(name), flag, 0o600)
}

func (f *realFiles) Create(name string) (*os.File, error) {
	file, err := f.openFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL)
	if err == nil && f.flags != nil {
		err = f.flags(f.path(name), false)
	}
	return file, err
}

func (f *realFiles) Append(name string) (*os.File, error) {
	if f.sealed[name] {
		return nil, fmt.Errorf("append to sealed %s", name)
	}
	return f.openFile(name, os.O_WRONLY|os.O_APPEND)
}

func (f *realFiles) Seal(name string) error {
	f.sealed[name] = true
	if f.flags != nil {
		return f.flags(f.path(name), true)
	}
	return nil
}

var (
	cluster     = format.ID{1}
	incarnation = format.ID{2}
)

func options(dir string, clean bool) Options {
	return Options{Dir: dir, Files: newFiles(dir), Cluster: cluster, Incarnation: incarnation, Clean: clean}
}

// chunkOf makes a chunk whose bytes and slot follow from n.
func chunkOf(n, size int) format.Chunk {
	sealed := make([]byte, size)
	for i := range sealed {
		sealed[i] = byte(n*7 + i*13 + 1)
	}
	return format.NewChunk(format.Slot{Block: format.ID{byte(n), 9}, Index: uint32(n)}, uint32(n%3), sealed)
}

type opened struct {
	*Store
	entries []Entry
}

func open(t *testing.T, o Options, from Position) (opened, error) {
	t.Helper()
	var got opened
	s, err := Open(o, from, func(e Entry) error { got.entries = append(got.entries, e); return nil })
	got.Store = s
	if s != nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return got, err
}

func mustOpen(t *testing.T, o Options, from Position) opened {
	t.Helper()
	s, err := open(t, o, from)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustAppend(t *testing.T, s opened, chunks ...format.Chunk) []Location {
	t.Helper()
	locations, err := s.Append(chunks)
	if err != nil {
		t.Fatal(err)
	}
	return locations
}

func mustClose(t *testing.T, s opened) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func checkRead(t *testing.T, s opened, at Location, c format.Chunk) {
	t.Helper()
	got, err := s.Read(at, c.ChunkHeader)
	if err != nil || !bytes.Equal(got, c.Sealed) {
		t.Fatalf("read at %+v: %d bytes, %v", at, len(got), err)
	}
}

func wantDamage(t *testing.T, err error) *format.DamageError {
	t.Helper()
	var d *format.DamageError
	if !errors.As(err, &d) {
		t.Fatalf("wanted damage, got %v", err)
	}
	return d
}

// copyDir copies the data directory, so that a case can spoil it.
func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := scratch(t)
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func segmentPath(dir string, n int) string {
	return filepath.Join(dir, "segments", fmt.Sprintf("%08d.seg", n))
}

func mustReadFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWriteFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// scratch is a directory in memory where there is one: the tests make thousands
// of small files, and what they check does not depend on the disk.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sago-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	return dir
}
