package system_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

var update = flag.Bool("update", false, "write what the programs answer to the golden file")

// roles are those of a development directory.
func roles() []string {
	return []string{"app", "officer", "head", "manager", "approver1", "approver2", "approver3", "admin", "auditor", "contractor"}
}

// commanding are those who run every command: a role each. Every call of the API is
// asked as the other two approvers, too (matrix_run_test.go).
func commanding() []string {
	return slices.DeleteFunc(roles(), func(r string) bool { return r == "approver2" || r == "approver3" })
}

// asked is a command of the table: its name there, and its arguments for a role.
type asked struct {
	name string
	args func(role string) []string
}

func fixed(args ...string) func(string) []string { return func(string) []string { return args } }

// everyCommand is the commands about a bundle's content and history; reads and uses once without naming the
// acting person, and once with.
func everyCommand(t *testing.T) []asked {
	file, other := filepath.Join(t.TempDir(), "f"), filepath.Join(t.TempDir(), "o")
	must(t, os.WriteFile(file, contentOf("base"), 0o600))
	must(t, os.WriteFile(other, contentOf("other"), 0o600))
	who := []string{"--purpose", "시험", "--user-name", "가", "--user-department", "나", "--user-contact", "다"}
	number := func(args ...string) []string { return append(args, "--transaction", "BASE") }
	return []asked{
		{"bundle put", func(role string) []string { return putArgs("M-"+role, "P5Y", file) }},
		{"bundle put, number taken", fixed(putArgs("BASE", "P5Y", other)...)},
		{"bundle put, no such definition", func(role string) []string {
			return strings.Split(strings.ReplaceAll(strings.Join(putArgs("U-"+role, "P5Y", file), "\n"), testcluster.BundleID, "MDS9999999"), "\n")
		}},
		{"bundle put, wrong rule", func(role string) []string { return putArgs("R-"+role, "5 years", file) }},
		{"bundle get", fixed(append(number("bundle", "get", "-o", os.DevNull), who...)...)},
		{"bundle get, person unnamed", fixed(number("bundle", "get", "-o", os.DevNull, "--purpose", "시험")...)},
		{"bundle get, no purpose", fixed(number("bundle", "get", "-o", os.DevNull)...)},
		{"bundle get, unknown", fixed(append([]string{"bundle", "get", "-o", os.DevNull, "--transaction", "NOPE"}, who...)...)},
		{"bundle show", fixed(number("bundle", "show")...)},
		{"bundle show, unknown", fixed("bundle", "show", "--transaction", "NOPE")},
		{"bundle verify", fixed(number("bundle", "verify")...)},
		{"bundle list", fixed("bundle", "list")},
		{"bundle list, one subject", fixed("bundle", "list", "--subject-ci", "CI-BASE")},
		{"usage record", fixed(append(number("usage", "record"), who...)...)},
		{"usage record, person unnamed", fixed(number("usage", "record", "--purpose", "시험")...)},
		{"usage list, one number", fixed(number("usage", "list")...)},
		{"usage list, one subject", fixed("usage", "list", "--subject-ci", "CI-BASE")},
		{"history list", fixed("history", "list")},
		{"history show", fixed("history", "show", "1")},
		{"history show, none", fixed("history", "show", "999999")},
		{"history verify", fixed("history", "verify")},
		{"history export", func(role string) []string {
			return []string{"history", "export", "-o", filepath.Join(t.TempDir(), "tree-"+role)}
		}},
		{"history export, one's own", func(role string) []string {
			return []string{"history", "export", "--institution", testcluster.Institution, "-o", filepath.Join(t.TempDir(), "own-"+role)}
		}},
		{"clock status", fixed("clock", "status")},
		{"cluster status", fixed("cluster", "status")},
		{"cluster verify", fixed("cluster", "verify")},
		{"no such command", fixed("bundle", "delete", "--transaction", "BASE")},
		{"version", fixed("version")},
	}
}

// TestP17_P23_RefusalMatrix runs every command as every role and holds exit codes and
// reasons against testdata/refusals.txt, which is for people to judge.
func TestP17_P23_RefusalMatrix(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 120*time.Second)
	d := newDev(t)
	d.start(ctx)
	file := filepath.Join(t.TempDir(), "base")
	must(t, os.WriteFile(file, contentOf("base"), 0o600))
	receipt := d.must(ctx, 0, "app", putArgs("BASE", "P5Y", file)...)
	await(t, ctx, "the first checkpoint", func(ctx context.Context) (bool, string, error) {
		out := d.sago(ctx, "auditor", "history", "verify")
		return out.Exit != 6, out.Stderr, nil
	})
	commands := slices.Concat(everyCommand(t), d.deciding(ctx, file), d.changing(ctx, file), d.reading(t, receipt, file))
	d.everyRouteHasARow(ctx, commands)
	got := make([]string, len(commands))
	var asking sync.WaitGroup
	for i, c := range commands {
		asking.Go(func() { got[i] = d.row(ctx, c) })
	}
	asking.Wait()
	compareGolden(t, filepath.Join("testdata", "refusals.txt"), strings.Join(got, ""))
}

// row is one command's part of the table: the answers, and who gets them.
func (d *dev) row(ctx context.Context, c asked) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n", c.name)
	who := map[string][]string{}
	var order []string
	for _, role := range commanding() {
		out := d.sago(ctx, role, c.args(role)...)
		answer := fmt.Sprint(out.Exit)
		// What is about to be signed stands before it.
		if _, reason, ok := strings.Cut("\n"+out.Stderr, "\nerror: "); ok {
			reason, _, _ = strings.Cut(strings.TrimSpace(reason), ":")
			answer += " " + reason
		}
		if who[answer] == nil {
			order = append(order, answer)
		}
		who[answer] = append(who[answer], role)
	}
	for _, answer := range order {
		fmt.Fprintf(&text, "  %-22s %s\n", answer, strings.Join(who[answer], " "))
	}
	return text.String()
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		must(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	wants, gots := strings.Split(string(want), "\n"), strings.Split(got, "\n")
	for i := range max(len(wants), len(gots)) {
		var w, g string
		if i < len(wants) {
			w = wants[i]
		}
		if i < len(gots) {
			g = gots[i]
		}
		if w != g {
			t.Fatalf("%s, line %d: %q, want %q; all:\n%s", path, i+1, g, w, got)
		}
	}
}
