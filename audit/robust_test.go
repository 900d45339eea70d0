package audit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/sago-worm/sago/audit"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// copyOf copies a vector's export to a folder that may be altered.
func copyOf(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "export")
	check(t, os.CopyFS(dir, os.DirFS(vectorFile(name))))
	return dir
}

// TestP49_WhatIsNoFileIsSaid puts pipes, links and folders in the place of files:
// neither verifier waits on one, follows one, or calls it verified.
func TestP49_WhatIsNoFileIsSaid(t *testing.T) {
	second := startPython(t)
	outside := filepath.Join(t.TempDir(), "bundle")
	check(t, os.CopyFS(outside, os.DirFS(vectorFile("small"))))
	for name, c := range map[string]struct {
		alter  func(file string) error
		file   string
		reason audit.Reason
	}{
		"pipe": {func(f string) error { return errors.Join(os.Remove(f), syscall.Mkfifo(f, 0o600)) }, "checkpoint", audit.FileMissing},
		"link": {func(f string) error {
			return errors.Join(os.Remove(f), os.Symlink(filepath.Join(outside, "checkpoint"), f))
		}, "checkpoint", audit.FileMissing},
		"linked folder": {func(f string) error {
			return errors.Join(os.RemoveAll(f), os.Symlink(filepath.Join(outside, "tile"), f))
		}, "tile", audit.FileExtra},
		"link too many":  {func(f string) error { return os.Symlink(outside, f) }, "more", audit.FileExtra},
		"folder":         {func(f string) error { return errors.Join(os.Remove(f), os.Mkdir(f, 0o700)) }, "records.jsonl", audit.FileMissing},
		"file as folder": {func(f string) error { return errors.Join(os.RemoveAll(f), os.WriteFile(f, nil, 0o600)) }, "tile", audit.FileMissing},
		"empty folder":   {func(f string) error { return os.Mkdir(f, 0o700) }, "nothing", audit.ReasonOK},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyOf(t, "small")
			check(t, c.alter(filepath.Join(dir, c.file)))
			if v := second.agree(t, dir, vectorFile("good.keys"), nil); v.Report.Reason != c.reason {
				t.Errorf("%s at %s, want %s", v.Report.Reason, v.Report.Where, c.reason)
			}
		})
	}
}

// TestWhatCannotBeReadIsSaid reads a folder whose name is too long for the system:
// an error that is neither a missing nor a wrong file.
func TestWhatCannotBeReadIsSaid(t *testing.T) {
	dir := strings.Repeat("x", 300)
	second := startPython(t)
	v := second.verify(t, dir, vectorFile("good.keys"), nil)
	first := byGo(t, dir, vectorFile("good.keys"), nil)
	if v.Report.Reason != audit.IOError || first.Report.Reason != audit.IOError || v.Exit != 1 || first.Exit != 1 {
		t.Fatalf("%+v, %+v", first, v)
	}
}

func TestVerificationStopsWhenItIsToldTo(t *testing.T) {
	keys, err := audit.LoadKeys(vectorFile("good.keys"))
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	last, of := uint64(0), uint64(0)
	report, err := audit.VerifyExport(ctx, vectorFile("tree"), keys, audit.Options{Progress: func(done, total uint64) {
		if done < last || done > total {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last, of = done, total
		if done > 256 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || report.Result != "" || last == of {
		t.Fatalf("%v, %+v after %d of %d", err, report, last, of)
	}
}

// TestP47_KeysComeFromTheContext verifies by the pins of a context.
func TestP47_KeysComeFromTheContext(t *testing.T) {
	known := client.Context{ClusterID: vectorCluster}
	for _, n := range vectorNodes {
		known.Nodes = append(known.Nodes, client.NodeKey{Name: n, PublicKey: testNode(t, n).public(t).Key, Former: [][]byte{testNode(t, "x9").public(t).Key}})
	}
	keys := audit.ContextKeys(known)
	again, err := audit.ParseKeys([]byte(keys.String()))
	check(t, err)
	if len(again.Former) != len(known.Nodes) {
		t.Errorf("former keys: %v", again.Former)
	}
	if _, err := audit.VerifyExport(t.Context(), vectorFile("small"), again, audit.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.VerifyExport(t.Context(), vectorFile("small"), audit.Keys{}, audit.Options{}); err == nil {
		t.Fatal("verified by no keys at all")
	}
}

// TestKeysFiles holds both readers of keys files against each other.
func TestKeysFiles(t *testing.T) {
	second := startPython(t)
	b, err := os.ReadFile(vectorFile("good.keys"))
	check(t, err)
	good := string(b)
	lines := strings.SplitAfter(good, "\n")
	witness := lines[5]
	for name, c := range map[string]struct {
		text string
		good bool
	}{
		"as it is":               {good, true},
		"comments and blanks":    {strings.ReplaceAll(good, "\n", " \r\n# x\n\n"), true},
		"without witnesses":      {strings.Join(lines[:5], ""), true},
		"key id in capitals":     {strings.Replace(good, "+acbfafc4+", "+ACBFAFC4+", 1), true},
		"another title":          {strings.Replace(good, "sago-keys-1", "sago-keys-2", 1), false},
		"title not first":        {"\n" + good, false},
		"no origin":              {strings.Replace(good, lines[1], "", 1), false},
		"two origins":            {good + lines[1], false},
		"origin in capitals":     {strings.Replace(good, "5a60", "5A60", 1), false},
		"no node":                {lines[0] + lines[1], false},
		"a node twice":           {good + lines[2], false},
		"a name twice":           {good + "node " + format.NoteKey{Name: "n1", Type: 2, Key: testNode(t, "x9").public(t).Key}.VKey() + "\n", false},
		"a key twice":            {good + "node " + format.NoteKey{Name: "n9", Type: 2, Key: testNode(t, "n1").public(t).Key}.VKey() + "\n", false},
		"a witness as node":      {good + strings.Replace(witness, "witness ", "node ", 1), false},
		"a node as witness":      {strings.Replace(good, lines[4], strings.Replace(lines[4], "node ", "witness ", 1), 1) + "", false},
		"key id of another":      {strings.Replace(good, "+acbfafc4+", "+acbfafc5+", 1), false},
		"key cut":                {strings.Replace(good, "SrY=\n", "\n", 1), false},
		"more needed than known": {strings.Replace(good, "needed 1", "needed 3", 1), false},
		"needed with a zero":     {strings.Replace(good, "needed 1", "needed 01", 1), false},
		"needed twice":           {good + "witnesses-needed 1\n", false},
		"a former key":           {good + "former " + format.NoteKey{Name: "n1", Type: 2, Key: testNode(t, "x9").public(t).Key}.VKey() + "\n", true},
		"a former key of nobody": {good + "former " + format.NoteKey{Name: "n9", Type: 2, Key: testNode(t, "x9").public(t).Key}.VKey() + "\n", false},
		"a witness as former":    {good + strings.Replace(witness, "witness ", "former ", 1), false},
		"unknown line":           {good + "trust everybody\n", false},
		"not UTF-8":              {good + "# \xff\n", false},
		"too long":               {good + strings.Repeat("#\n", 33000), false},
		"empty":                  {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "keys")
			check(t, os.WriteFile(file, []byte(c.text), 0o600))
			v := second.agree(t, vectorFile("small"), file, nil)
			if good := v.Report.Reason == audit.ReasonOK; good != c.good || !good && v.Report.Reason != audit.KeysUnreadable && v.Report.Reason != audit.Unwitnessed {
				t.Errorf("%s, %s", v.Report.Reason, v.Report.Detail)
			}
		})
	}
}

// TestNamesAreThoseOfTheFormat keeps the names on the page and in the second
// verifier up to date with store/format: add a new action or reason there too.
func TestNamesAreThoseOfTheFormat(t *testing.T) {
	page, err := os.ReadFile("../docs/formats/export.md")
	check(t, err)
	program, err := os.ReadFile("../docs/verify/sago_verify.py")
	check(t, err)
	var actions, results []string
	for n := uint16(1); !strings.HasPrefix(format.Action(n).String(), "ACTION_"); n++ {
		actions = append(actions, format.Action(n).String())
	}
	for n := uint16(0); !strings.HasPrefix(format.Reason(n).String(), "REASON_"); n++ {
		results = append(results, format.Reason(n).String())
	}
	words := regexp.MustCompile(`[\s"]+`)
	for name, text := range map[string][]byte{"export.md": page, "sago_verify.py": program} {
		flat := words.ReplaceAllString(string(text), " ")
		if !strings.Contains(flat, " "+strings.Join(actions, " ")) {
			t.Errorf("%s has not these actions, in this order: %s", name, strings.Join(actions, " "))
		}
	}
	if flat := words.ReplaceAllString(string(program), " "); !strings.Contains(flat, " "+strings.Join(results, " ")+" ") {
		t.Errorf("sago_verify.py has not these results, in this order: %s", strings.Join(results, " "))
	}
}
