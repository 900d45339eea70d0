package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestAListOfCIsIsText: whatever else is named is the caller's mistake, found before
// any call.
func TestAListOfCIsIsText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	for name, content := range map[string]string{
		"no UTF-8":          "CI-1\n\xff\xfe\x00",
		"a picture":         "\x89PNG\r\n\x1a\n\x00\x00",
		"a control":         "CI-1\nCI\x002\n",
		"an endless line":   string(make([]byte, 1<<20)),
		"a line in UTF-16":  "C\x00I\x00\n\x00",
		"a control in text": "CI\t1\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (&institutionSubjectsCmd{CIFile: path}).Run(nil); err == nil || exitCode(err) != exitInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(path, []byte("CI-1\r\n\n  사고-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readLines(path); err != nil || !slices.Equal(got, []string{"CI-1", "사고-2"}) {
		t.Errorf("%q: %v", got, err)
	}
}
