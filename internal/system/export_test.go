package system_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// TestExportsWhileWritesGoOn exports the tree and each institution's records from
// a cluster that is written to, kills the command at random points and goes on.
// Both verifiers take every export, and it has the bytes of one without a break.
func TestExportsWhileWritesGoOn(t *testing.T) {
	ctx := bounded(t, 2*time.Minute)
	s := newSite(t, testcluster.Options{Nodes: 3})
	s.hold(ctx, neighbours())
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	_, err := put(ctx, s.client(ctx, 0, "app"), "E1", "P5Y", []byte("theirs to see"))
	must(t, err)
	stop := s.write(ctx, rounds(1600))
	defer stop()

	keys := s.keysFile(ctx)
	random := rand.New(rand.NewPCG(3, uint64(time.Now().UnixNano())))
	for _, e := range []struct {
		who, institution string
		args             []string
	}{
		{"inspector", "", nil}, {"inspector", "", []string{"--until", time.Now().Add(-time.Second).UTC().Format(time.RFC3339)}},
		{"auditor", "demo", []string{"--institution", "demo"}}, {"auditor2", "other", []string{"--institution", "other"}},
	} {
		dir := filepath.Join(t.TempDir(), "x")
		args := append([]string{"history", "export", "--output", "json", "--lang", "en", "-o", dir}, e.args...)
		kills := s.exportKilled(ctx, random, e.who, dir, args)
		report := s.verifyOffline(ctx, dir, keys)
		t.Logf("%s %v: %d kills, %v records", e.who, e.args, kills, report["records"])
		if e.institution != "" {
			onlyOf(t, dir, e.institution)
		}
		again := filepath.Join(t.TempDir(), "y")
		must(t, os.Mkdir(again, 0o700))
		manifest := strings.Replace(filesOf(t, dir)["export.json"], `"complete": true`, `"complete": false`, 1)
		must(t, os.WriteFile(filepath.Join(again, "export.json"), []byte(manifest), 0o600))
		answer := s.sago(ctx, 0, 1, e.who, append([]string{"history", "export", "-o", again}, e.args...)...)
		if answer["resumed"] != true || !maps.Equal(filesOf(t, dir), filesOf(t, again)) {
			t.Errorf("%s %v: without a break %v, and other bytes", e.who, e.args, answer)
		}
	}
	s.sago(ctx, 4, 0, "auditor", "history", "export", "-o", filepath.Join(t.TempDir(), "x"))
	s.sago(ctx, 4, 0, "auditor2", "history", "export", "--institution", "demo", "-o", filepath.Join(t.TempDir(), "x"))
}

// write leaves so many records, and goes on leaving some until the answered
// function is called.
func (s *site) write(ctx context.Context, records int) func() {
	ctx, cancel := context.WithCancel(ctx)
	var wg, first sync.WaitGroup
	first.Add(8)
	for i := range 8 {
		role := []string{"auditor", "auditor2"}[i%2]
		cl := s.client(ctx, i%3, role)
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if n == records/8 {
					first.Done()
				}
				_, err := cl.ListHistory(ctx, &sagov1.HistoryServiceListRequest{Transaction: "E1", Limit: 1})
				if err != nil && ctx.Err() == nil && n < records/8 {
					s.t.Errorf("writing: %v", err)
					n = max(n, records/8-1)
				}
			}
		})
	}
	first.Wait()
	return func() { cancel(); wg.Wait() }
}

// exportKilled runs an export, killing and interrupting it by turns, until it
// ends by itself; it answers how often it was. An interrupted one says how it goes
// on.
func (s *site) exportKilled(ctx context.Context, random *rand.Rand, who, dir string, args []string) int {
	s.t.Helper()
	for kills := 0; ; kills++ {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "sago"), append([]string{"--context", s.ContextAt(0, who)}, args...)...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		must(s.t, cmd.Start())
		if kills < 4 {
			end := os.Signal(os.Kill)
			if kills%2 == 1 {
				end = os.Interrupt
			}
			timer := time.AfterFunc(time.Duration(30+random.IntN(60*(kills+1)))*time.Millisecond, func() { _ = cmd.Process.Signal(end) })
			defer timer.Stop()
		}
		err := cmd.Wait()
		var exit *exec.ExitError
		switch {
		case err == nil:
			return kills
		case !errors.As(err, &exit):
			s.t.Fatal(err)
		case exit.ExitCode() == 1 && strings.Contains(out.String(), "CANCELED"):
			_, begun := os.Stat(filepath.Join(dir, "export.json"))
			if said := strings.Contains(out.String(), "the same command again"); said != (begun == nil) {
				s.t.Errorf("interrupted, begun: %v: %s", begun == nil, out.String())
			}
		case exit.ExitCode() != -1:
			s.t.Fatalf("%v: %v: %s", args, err, out.String())
		}
	}
}

// keysFile is what a verifier brings along.
func (s *site) keysFile(ctx context.Context) string {
	s.t.Helper()
	text, ok := s.sago(ctx, 0, 0, "inspector", "history", "keys")["file"].(string)
	if !ok {
		s.t.Fatal("no keys file")
	}
	path := filepath.Join(s.t.TempDir(), "keys")
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// verifyOffline has both verifiers read an export.
func (s *site) verifyOffline(ctx context.Context, dir, keys string) map[string]any {
	s.t.Helper()
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "sago"), "--output", "json", "history", "verify", "--offline", dir, "--keys", keys).CombinedOutput()
	if err != nil {
		s.t.Fatalf("offline: %v: %s", err, out)
	}
	report := object(s.t, string(out))
	if report["reason"] != "OK" {
		s.t.Fatalf("offline: %v", report)
	}
	if _, err := exec.LookPath("python3"); err == nil {
		second, err := exec.CommandContext(ctx, "python3", "-I", "-B", filepath.Join("..", "..", "docs", "verify", "sago_verify.py"), "--keys", keys, dir).CombinedOutput()
		if err != nil {
			s.t.Fatalf("second verifier: %v: %s", err, second)
		}
	}
	return report
}

// onlyOf holds that no line of an export is another institution's.
func onlyOf(t *testing.T, dir, institution string) {
	t.Helper()
	lines := filesOf(t, dir)["records.jsonl"]
	if n := strings.Count(lines, "\n"); n == 0 || strings.Count(lines, `"institution":"`+institution+`"`) != n {
		t.Errorf("%d lines, not all of %s", n, institution)
	}
}

// filesOf reads a directory whole.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		out[path] = string(b)
		return err
	}))
	return out
}
