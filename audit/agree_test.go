package audit_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sago-worm/sago/audit"
)

// mutant is one alteration of a valid export, and what a verifier must say of it.
type mutant struct {
	Name   string       `json:"name"`
	Base   string       `json:"base"`
	Keys   string       `json:"keys"` // good.keys when empty
	Kept   []string     `json:"kept"`
	Edits  []edit       `json:"edits"`
	Result audit.Result `json:"result"`
	Reason audit.Reason `json:"reason"`
}

// edit is one change to one file of the export. At counts bytes from the start, or
// below zero from the end. Files that begin with "../" lie beside the export.
type edit struct {
	Op    string `json:"op"` // flip, replace, cut, delete, insert, append, write, remove, rename, copy
	File  string `json:"file"`
	At    int    `json:"at,omitempty"`
	Len   int    `json:"len,omitempty"`   // delete: so many bytes
	From  string `json:"from,omitempty"`  // replace: this text, which stands there once
	To    string `json:"to,omitempty"`    // replace: by this; rename, copy: to this name
	Hex   string `json:"hex,omitempty"`   // insert, append, write: these bytes
	Times int    `json:"times,omitempty"` // so often
}

func (e edit) apply(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, filepath.FromSlash(e.File))
	if beside, ok := strings.CutPrefix(e.File, "../"); ok {
		name = vectorFile(beside)
	}
	b, _ := os.ReadFile(name) // none of a folder, and of a file to be written
	at := e.At
	if at < 0 {
		at += len(b)
	}
	switch e.Op {
	case "flip":
		b[at] ^= 1
	case "cut":
		b = b[:at]
	case "delete":
		b = append(b[:at:at], b[at+e.Len:]...)
	case "insert":
		b = slices.Concat(b[:at], e.bytes(t), b[at:])
	case "replace":
		if bytes.Count(b, []byte(e.From)) != 1 {
			t.Fatalf("%q stands %d times in %s", e.From, bytes.Count(b, []byte(e.From)), e.File)
		}
		b = bytes.Replace(b, []byte(e.From), []byte(e.To), 1)
	case "append", "write":
		b = append(b, e.bytes(t)...)
	case "remove":
		check(t, os.RemoveAll(name))
		return
	case "rename":
		to := filepath.Join(dir, filepath.FromSlash(e.To))
		check(t, os.MkdirAll(filepath.Dir(to), 0o755))
		check(t, os.Rename(name, to))
		return
	case "copy":
		name = filepath.Join(dir, filepath.FromSlash(e.To))
	default:
		t.Fatalf("unknown edit %q", e.Op)
	}
	check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	check(t, os.WriteFile(name, b, 0o644))
}

func (e edit) bytes(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString(e.Hex)
	check(t, err)
	return bytes.Repeat(b, max(e.Times, 1))
}

func readMutants(t *testing.T) (found []mutant) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectorDir, "mutants.json"))
	check(t, err)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	check(t, d.Decode(&found))
	return found
}

// verdict is what a verifier answered.
type verdict struct {
	Report audit.Report
	Exit   int
}

func exitOf(r audit.Result) int {
	switch r {
	case audit.OK:
		return 0
	case audit.Unreadable:
		return 1
	}
	return 7
}

// byGo verifies as `sago history verify --offline` does.
func byGo(t *testing.T, dir, keys string, kept []string) verdict {
	t.Helper()
	k, err := audit.LoadKeys(keys)
	report := audit.Failed(k, err)
	var notes []string
	if err == nil {
		notes, err = audit.LoadKept(kept)
		report = audit.Failed(k, err)
	}
	if err == nil {
		report, err = audit.VerifyExport(t.Context(), dir, k, audit.Options{Kept: notes})
	}
	var f *audit.Failure
	if (err == nil) != (report.Result == audit.OK) || err != nil && !errors.As(err, &f) {
		t.Fatalf("%v with %+v", err, report)
	}
	return verdict{report, exitOf(report.Result)}
}

// verify asks the second verifier.
func (p *program) verify(t *testing.T, dir, keys string, kept []string) (v verdict) {
	t.Helper()
	args := []string{"--json", "--keys", keys}
	for _, k := range kept {
		args = append(args, "--checkpoint", k)
	}
	exit, out := p.run(t, append(args, dir))
	check(t, json.Unmarshal(out, &v.Report))
	v.Exit = exit
	return v
}

// agree has both verifiers judge an export and insists on one answer.
func (p *program) agree(t *testing.T, dir, keys string, kept []string) verdict {
	t.Helper()
	first, second := byGo(t, dir, keys, kept), p.verify(t, dir, keys, kept)
	goDetail, pyDetail := first.Report.Detail, second.Report.Detail
	if (goDetail == "") != (first.Report.Result == audit.OK) || (pyDetail == "") != (goDetail == "") {
		t.Errorf("details %q and %q", goDetail, pyDetail)
	}
	first.Report.Detail, second.Report.Detail = "", "" // a sentence, each its own
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the verifiers disagree (- Go, %s, + Python, %s):\n%s", goDetail, pyDetail, diff)
	}
	return first
}

func vectorFile(name string) string { return filepath.Join(vectorDir, name) }

func TestBothVerifiersTakeTheVectors(t *testing.T) {
	second := startPython(t)
	for name, p := range bases(t) {
		t.Run(name, func(t *testing.T) {
			v := second.agree(t, vectorFile(name), vectorFile("good.keys"), nil)
			if v.Report.Result != audit.OK || v.Exit != 0 || v.Report.Size != p.size || v.Report.End != p.effect.End {
				t.Fatalf("%+v", v)
			}
		})
	}
}

// TestP49_BothVerifiersRefuseTheMutants applies every mutant and insists on its
// result, reason and exit code from both.
func TestP49_BothVerifiersRefuseTheMutants(t *testing.T) {
	second := startPython(t)
	mutants := readMutants(t)
	if len(mutants) < 40 {
		t.Fatalf("%d mutants", len(mutants))
	}
	for _, m := range mutants {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "export")
			check(t, os.CopyFS(dir, os.DirFS(vectorFile(m.Base))))
			for _, e := range m.Edits {
				e.apply(t, dir)
			}
			keys := vectorFile("good.keys")
			if m.Keys != "" {
				keys = vectorFile(m.Keys)
			}
			var kept []string
			for _, k := range m.Kept {
				kept = append(kept, vectorFile(k))
			}
			v := second.agree(t, dir, keys, kept)
			if v.Report.Result != m.Result || v.Report.Reason != m.Reason || m.Reason.Result() != m.Result {
				t.Errorf("%s %s at %s: %s, want %s %s", v.Report.Result, v.Report.Reason, v.Report.Where, v.Report.Detail, m.Result, m.Reason)
			}
		})
	}
}

// reasons are all that the page names.
func reasons() []audit.Reason {
	return []audit.Reason{
		audit.NotAnExport, audit.IOError, audit.KeysUnreadable, audit.KeptUnreadable, audit.Unfinished, audit.FileMissing,
		audit.FileShort, audit.RecordGap, audit.ExportRecordMissing, audit.Rollback, audit.NotComparable, audit.Unwitnessed,
		audit.WrongLog, audit.WrongKeys, audit.SignatureInvalid, audit.CheckpointMalformed, audit.ManifestMismatch,
		audit.TileMismatch, audit.RootMismatch, audit.RecordMalformed, audit.SequenceMismatch, audit.ProofInvalid,
		audit.RecordForeign, audit.ExportRecordMismatch, audit.ReadableMismatch, audit.FileExtra, audit.Fork,
	}
}

func TestEveryReasonHasAMutantAndStandsOnThePage(t *testing.T) {
	page, err := os.ReadFile("../docs/formats/export.md")
	check(t, err)
	mutants := readMutants(t)
	for _, r := range reasons() {
		if !strings.Contains(string(page), "`"+string(r)+"`") {
			t.Errorf("%s is not on the page", r)
		}
		if r != audit.IOError && !slices.ContainsFunc(mutants, func(m mutant) bool { return m.Reason == r }) {
			t.Errorf("%s has no mutant", r) // IO_ERROR is no matter of bytes: TestWhatCannotBeReadIsSaid
		}
	}
	names := map[string]bool{}
	for _, m := range mutants {
		if names[m.Name] {
			t.Errorf("two mutants %q", m.Name)
		}
		names[m.Name] = true
	}
}
