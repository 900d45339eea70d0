package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

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

func (f *realFiles) Place(name string, fill func(io.Writer) error) error {
	file, err := os.OpenFile(f.path(name)+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(file), file.Close()); err != nil {
		return errors.Join(err, os.Remove(f.path(name)+".new"))
	}
	return os.Rename(f.path(name)+".new", f.path(name))
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
	files := newFiles(dir)
	return Options{Dir: dir, Files: files, Place: files.Place, Cluster: cluster, Incarnation: incarnation, Clean: clean}
}

// recordOf encodes record seq, with a detail of size bytes that follow from it.
func recordOf(seq uint64, size int) []byte {
	detail := make([]byte, size)
	for i := range detail {
		detail[i] = byte(int(seq)*31 + i*7)
	}
	r := format.Record{Sequence: seq, Clock: int64(seq) * 1000, Action: format.ActUse, Actor: 7, Transaction: "T1", Detail: detail}
	return r.Encode()
}

func open(t testing.TB, o Options) (*Log, error) {
	t.Helper()
	l, err := Open(o, nil)
	if l != nil {
		t.Cleanup(func() { _ = l.Close() })
	}
	return l, err
}

func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := open(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fill appends records up to size and syncs.
func fill(t testing.TB, l *Log, size uint64) {
	t.Helper()
	for seq := l.Size(); seq < size; seq++ {
		if _, _, err := l.Append(recordOf(seq, 40)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// kill ends a log as kill -9 does.
func kill(t testing.TB, l *Log) {
	t.Helper()
	if err := errors.Join(l.closeDerived(), l.files.Abandon()); err != nil {
		t.Fatal(err)
	}
}

func checkRead(t testing.TB, l *Log, seq uint64) {
	t.Helper()
	got, err := l.Read(seq)
	if err != nil || !bytes.Equal(got, recordOf(seq, 40)) {
		t.Fatalf("record %d: %d bytes, %v", seq, len(got), err)
	}
}

// referenceRoots returns tlog's own roots for sizes 0 to n.
func referenceRoots(t testing.TB, n int) []format.Digest {
	t.Helper()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	var roots []format.Digest
	for i := range n + 1 {
		root, err := tlog.TreeHash(int64(i), reader)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, format.Digest(root))
		more, err := tlog.StoredHashes(int64(i), recordOf(uint64(i), 40), reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	return roots
}

func wantDamage(t testing.TB, err error) *format.DamageError {
	t.Helper()
	var d *format.DamageError
	if !errors.As(err, &d) {
		t.Fatalf("wanted damage, got %v", err)
	}
	return d
}

// copyDir copies the data directory, so that a case can spoil it.
func copyDir(t testing.TB, dir string) string {
	t.Helper()
	to := scratch(t)
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func historyPath(dir string, n int) string {
	return filepath.Join(dir, "history", fmt.Sprintf("%08d.his", n))
}

func mustReadFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWriteFile(t testing.TB, path string, b []byte) {
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
