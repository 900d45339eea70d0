package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func noTemp(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "*"+tempSuffix))
	if err != nil || len(left) != 0 {
		t.Fatalf("left behind %v (%v)", left, err)
	}
}

func TestWriteFileReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for _, data := range []string{"a long first content", "short", ""} {
		if err := WriteFile(path, []byte(data), 0o640); err != nil {
			t.Fatal(err)
		}
		if got := mustRead(t, path); got != data {
			t.Fatalf("read %q, wrote %q", got, data)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	noTemp(t, dir)
}

func TestWriteFileOverwritesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := os.WriteFile(path+tempSuffix, []byte("half of something longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, path); got != "new" {
		t.Fatalf("read %q", got)
	}
	noTemp(t, dir)
}

func TestP51_FailuresAreReportedAndKeepTheOldFile(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(taken, []byte("x"), 0o600); err == nil {
		t.Fatal("renamed a file over a directory")
	}
	noTemp(t, dir)
	if err := WriteFile(filepath.Join(dir, "no", "such"), []byte("x"), 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("missing directory: %v", err)
	}
}

func TestCreateExclusiveAndRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	f, err := CreateExclusive(path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("kept"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateExclusive(path, os.O_WRONLY, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("second creation: %v", err)
	}
	if got := mustRead(t, path); got != "kept" {
		t.Fatalf("the refused creation changed the file to %q", got)
	}
	if err := Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := Remove(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("second removal: %v", err)
	}
	if err := SyncDir(path); err == nil {
		t.Fatal("synced a directory that is not there")
	}
}
