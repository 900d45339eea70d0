package audit_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/audit"
)

// smallFiles are the files of the small export that FuzzVerifyExport replaces.
var smallFiles = []string{"export.json", "checkpoint", "records.jsonl", "tile/0/000.p/2", "tile/entries/000.p/2"}

// FuzzVerifyExport replaces one file of a valid export: never a panic, and never
// ok unless what is proven in it is unchanged.
func FuzzVerifyExport(f *testing.F) {
	for i, name := range smallFiles {
		b, err := os.ReadFile(filepath.Join(vectorFile("small"), name))
		check(f, err)
		f.Add(uint8(i), b)
	}
	keys, err := audit.LoadKeys(vectorFile("good.keys"))
	check(f, err)
	keys.Needed = 0
	dir := copyOf(f, "small")
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		name := smallFiles[int(which)%len(smallFiles)]
		path := filepath.Join(dir, filepath.FromSlash(name))
		was, err := os.ReadFile(path)
		check(t, err)
		defer func() { check(t, os.WriteFile(path, was, 0o600)) }()
		check(t, os.WriteFile(path, b, 0o600))
		report, err := audit.VerifyExport(t.Context(), dir, keys, audit.Options{})
		if (err == nil) != (report.Result == audit.OK) || report.Result == "" || report.Reason.Result() != report.Result {
			t.Fatalf("%v with %+v", err, report)
		}
		if err != nil || bytes.Equal(was, b) {
			return
		}
		if name == "tile/0/000.p/2" || name == "tile/entries/000.p/2" {
			t.Fatalf("took another %s", name)
		}
		// Spacing, what is shown but not proven, and lines of unlisted keys may change.
		if report.Size != 2 || report.End != 2 || report.Records != 2 || len(report.Signers) != 2 {
			t.Fatalf("took %q as %+v", b, report)
		}
	})
}

// FuzzParseKeys reads keys files: what is taken can be written and read again, and
// names somebody who must have signed.
func FuzzParseKeys(f *testing.F) {
	for _, name := range []string{"good.keys", "two-witnesses.keys", "same-names.keys"} {
		b, err := os.ReadFile(vectorFile(name))
		check(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := audit.ParseKeys(b)
		if err != nil {
			return
		}
		again, err := audit.ParseKeys([]byte(keys.String()))
		if err != nil || again.String() != keys.String() || len(keys.Nodes) == 0 || keys.Needed > len(keys.Witnesses) {
			t.Fatalf("%v: %q", err, keys.String())
		}
	})
}
