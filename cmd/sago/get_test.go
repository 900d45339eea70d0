package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A device or a pipe is written to, never replaced.
func TestStreamsAreNotReplaced(t *testing.T) {
	dir := t.TempDir()
	pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "file")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{os.DevNull: true, pipe: true, file: false, dir: false, filepath.Join(dir, "new"): false} {
		if isStream(path) != want {
			t.Errorf("%s: stream %v, wanted %v", path, !want, want)
		}
	}
}
