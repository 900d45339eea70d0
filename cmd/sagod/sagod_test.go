package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	if askAsOther() {
		return
	}
	testscript.Main(m, map[string]func(){"sagod": main})
}

// TestStories runs testdata/*.txtar: stories of the command line that start no
// cluster.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "digest": digest},
		UpdateScripts: os.Getenv("UPDATE") != "",
	})
}

// exits CODE LINES COMMAND...: the exit code, and how many lines standard error
// must have.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: exits CODE LINES COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	lines, err := strconv.Atoi(args[1])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[2], args[3:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	stderr := ts.ReadFile("stderr")
	if got != want || strings.Count(stderr, "\n") != lines {
		ts.Fatalf("exit %d, want %d; want %d lines: %s", got, want, lines, stderr)
	}
}

// digest FILE DOC: puts the document's digest in the place of DIGEST in FILE.
func digest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: digest FILE DOC")
	}
	signed, err := readAct(ts.MkAbs(args[1]))
	ts.Check(err)
	have := digestOf(signed)
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "DIGEST", hex.EncodeToString(have[:]))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

func TestPathsInside(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "data"), link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, dir string
		want      bool
	}{
		{"data", "data", true},
		{"data/keys", "data", true},
		{"data/a/../../keys", "data", false},
		{"data-keys", "data", false},
		{"keys", "data", false},
		{"..keys", "data", false},
		{"link/keys", "data", true},
	} {
		if got := inside(filepath.Join(dir, c.path), filepath.Join(dir, c.dir)); got != c.want {
			t.Errorf("%s inside %s: %v", c.path, c.dir, got)
		}
	}
}

// TestP45_ProbeNamesDamage flips a byte of a database file: the child process
// says so, in one line, and this process never maps the file.
func TestP45_ProbeNamesDamage(t *testing.T) {
	var out, errs bytes.Buffer
	path := filepath.Join(t.TempDir(), "index.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0xA5}, 16<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{kindIndex, kindLog} {
		errs.Reset()
		if code := run([]string{"check-file", kind, path}, &out, &errs); code != exitDamage || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%s: exit %d, %q", kind, code, errs.String())
		}
	}
}

// TestNodeTimeBeforeItsClock: a node whose clock is not there yet has no time to
// vote with.
func TestNodeTimeBeforeItsClock(t *testing.T) {
	var n nodeTime
	if _, err := n.Now(); err == nil {
		t.Error("time without a clock")
	}
	if r := n.report(); r.Status != "unsynchronized" || r.Earliest != nil {
		t.Errorf("report %v", r)
	}
}

// TestOnePortEach: two units on one port, or one key folder, do not both start.
func TestOnePortEach(t *testing.T) {
	dir := t.TempDir()
	one := &unit{cfg: nodeConfig{KeyDir: dir, ListenClient: "127.0.0.1:0", ListenNode: "127.0.0.1:0"}}
	if err := one.bind(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := one.release(); err != nil {
			t.Error(err)
		}
	}()
	two := &unit{cfg: nodeConfig{KeyDir: dir, ListenClient: "127.0.0.1:0", ListenNode: "127.0.0.1:0"}}
	if err := two.bind(context.Background()); err == nil {
		t.Error("two processes on one key folder")
	}
	two.cfg.KeyDir, two.cfg.ListenNode = t.TempDir(), one.cfg.ListenNode
	if err := two.bind(context.Background()); err == nil {
		t.Error("two nodes on one port")
	}
}
