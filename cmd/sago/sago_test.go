package main

import (
	"bytes"
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
	testscript.Main(m, map[string]func(){"sago": main})
}

// TestStories runs testdata/*.txtar: each is a story of the command line against
// an appliance of its own that answers as appliance_test.go says.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("LC_ALL", "C")
			vectors, err := filepath.Abs("../../docs/verify/vectors")
			if err != nil {
				return err
			}
			env.Setenv("VECTORS", vectors)
			env.Setenv("SAGO_STATE", filepath.Join(env.WorkDir, "state"))
			return newAppliance().start(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "grow": grow, "oneline": oneline},
		// UPDATE=1 go test rewrites the expected outputs, for people to read.
		UpdateScripts: os.Getenv("UPDATE") != "",
	})
}

// exits CODE COMMAND...: the exit code must be CODE. On failure the message must
// be one line.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	stderr := ts.ReadFile("stderr")
	if got != want {
		ts.Fatalf("exit %d, want %d: %s", got, want, stderr)
	}
	lines := 0
	for _, b := range stderr {
		if b == '\n' {
			lines++
		}
	}
	if want != 0 && lines != 1 {
		ts.Fatalf("%d lines of error: %s", lines, stderr)
	}
}

// grow FILE BYTES: a file of this size.
func grow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: grow FILE BYTES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), bytes.Repeat([]byte("사고"), n/6), 0o600))
}

// oneline FROM TO: a signed note as people copy it, "|" for line feeds.
func oneline(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: oneline FROM TO")
	}
	line := strings.ReplaceAll(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n", "|")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(line+"\n"), 0o600))
}
