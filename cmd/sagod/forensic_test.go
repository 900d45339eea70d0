package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForensicExits: what a script of an inspector can tell without reading. That
// something is found, and nothing, is tested with a real cluster's files.
func TestForensicExits(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "short.key"), []byte("abcd"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		exit int
		says string // on standard output or standard error
		args []string
	}{
		{exitFailed, `"verdict": "incomplete"`, []string{"--transaction", "TX", "--output", "json", dir}},
		{exitFailed, "INCOMPLETE (불완전)", []string{"--transaction", "TX", dir}},
		{exitInput, "32 bytes in hex", []string{"--transaction", "TX", "--roots", filepath.Join(dir, "short.key"), dir}},
		{exitInput, "is searched", []string{"--transaction", "TX", "--out", filepath.Join(dir, "out"), dir}},
		{exitInput, "--slide", []string{"--transaction", "TX", "--slide", "0", dir}},
		{exitInput, "transaction", []string{dir}},
	} {
		var out, errs bytes.Buffer
		code := run(append([]string{"forensic"}, c.args...), &out, &errs)
		if code != c.exit || !strings.Contains(out.String()+errs.String(), c.says) {
			t.Errorf("%q: exit %d, want %d: %s%s", c.args, code, c.exit, &out, &errs)
		}
		if c.exit == exitFailed && strings.Contains(c.says, "verdict") && !json.Valid(out.Bytes()) {
			t.Errorf("%q: no JSON: %s", c.args, &out)
		}
	}
}
