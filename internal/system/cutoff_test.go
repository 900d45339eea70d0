package system_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

// answersWithin is how long somebody waits before a cut-off node says what it can
// say by itself.
const answersWithin = 8 * time.Second

// TestCutOffNode leaves one of three nodes: it tells about itself and refuses
// all that needs a record, until the others are back.
func TestCutOffNode(t *testing.T) {
	ctx := bounded(t, 2*time.Minute)
	s := startSite(t, ctx, testcluster.Options{})
	file := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(file, contentOf("C-1"), 0o600))
	other := filepath.Join(t.TempDir(), "other")
	must(t, os.WriteFile(other, contentOf("C-2"), 0o600))
	s.sago(ctx, 0, 0, "app", putArgs("C-1", "P5Y", file)...)
	must(t, s.Stop(ctx, 1))
	must(t, s.Stop(ctx, 2))
	for _, what := range []string{"cluster", "clock"} {
		begun := time.Now()
		s.sago(ctx, 0, 0, "auditor", what, "status")
		if took := time.Since(begun); took > answersWithin {
			t.Errorf("%s status took %v", what, took)
		}
	}
	await(t, ctx, "the node says that it is cut off", func(ctx context.Context) (bool, string, error) {
		answer := s.sago(ctx, 0, 0, "auditor", "cluster", "status")
		return answer["ready"] == false && answer["leader"] == "", fmt.Sprint(answer), nil
	})
	get := []string{"bundle", "get", "--transaction", "C-1", "--purpose", "시험", "-o", filepath.Join(t.TempDir(), "g")}
	refused := []struct {
		role string
		args []string
	}{
		{"app", putArgs("C-2", "P5Y", file)},
		{"officer", get},
		{"auditor", []string{"bundle", "show", "--transaction", "C-1"}},
		{"auditor", []string{"history", "list"}},
	}
	// A put of what is stored already is a put as well, and so is one that a rule
	// refuses: each says 6, though the node may know better.
	for _, f := range []string{file, other} {
		out, err := s.SagoAt(ctx, 0, "app", putArgs("C-1", "P5Y", f)...)
		must(t, err)
		if out.Exit != 6 {
			t.Errorf("put of a number that is taken (same content: %v): exit %d, want 6: %s%s", f == file, out.Exit, out.Stdout, out.Stderr)
		}
	}
	var asked sync.WaitGroup
	for _, r := range refused {
		asked.Go(func() {
			out, err := s.SagoAt(ctx, 0, r.role, r.args...)
			if err != nil || out.Exit != 6 {
				t.Errorf("%v: exit %d, want 6: %v %s", r.args[:2], out.Exit, err, out.Stderr)
			}
		})
	}
	asked.Wait()
	if _, err := os.Stat(get[len(get)-1]); !os.IsNotExist(err) {
		t.Errorf("a refused get left a file: %v", err)
	}
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	for _, r := range refused {
		s.sago(ctx, 0, 0, r.role, r.args...)
	}
	s.healthy(ctx)
	s.intact(ctx)
}

// putArgs is a put of a file at the command line.
func putArgs(transaction, retain, file string) []string {
	return []string{"bundle", "put", "--transaction", transaction, "--bundle-id", testcluster.BundleID, "--subject-ci", "CI-" + transaction,
		"--retain", retain, "--basis", "전자정부법 제43조의2", file}
}
