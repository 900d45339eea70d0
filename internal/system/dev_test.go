package system_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

// dev is a `sagod dev` on a directory of the test, which ends with it.
type dev struct {
	t   *testing.T
	dir string
	// memory is where the command line remembers.
	memory string
	args   []string // more of the command line
	end    context.CancelFunc
	done   chan error
}

// newDev makes room for a development directory.
func newDev(t *testing.T) *dev {
	t.Helper()
	d := &dev{t: t, dir: filepath.Join(t.TempDir(), "d"), memory: t.TempDir()}
	t.Cleanup(func() {
		d.stop()
		if out, err := exec.Command(filepath.Join(bin, "sagod"), "dev", "--remove", "--dir", d.dir).CombinedOutput(); err != nil {
			t.Errorf("sagod dev --remove: %v: %s", err, out)
		}
	})
	return d
}

// start runs sagod and answers how long it took to say that it is ready.
func (d *dev) start(ctx context.Context) time.Duration {
	d.t.Helper()
	ctx, d.end = context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "sagod"), append([]string{"dev", "--dir", d.dir, "--listen", "127.0.0.1:0"}, d.args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.StdoutPipe()
	must(d.t, err)
	said := make(chan string, 1)
	d.done = make(chan error, 1)
	begun := time.Now()
	go func() { // ends with the process, which stop ends
		runtime.LockOSThread() // the death signal is bound to this thread
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			d.done <- err
			return
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "ready") {
				said <- lines.Text()
				break
			}
		}
		d.done <- cmd.Wait()
	}()
	select {
	case <-said:
	case err := <-d.done:
		d.done <- err
		d.t.Fatalf("sagod dev ended: %v", err)
	case <-ctx.Done():
		d.t.Fatal("sagod dev is not ready")
	}
	return time.Since(begun)
}

// stop asks sagod to end, which must be with exit code 0.
func (d *dev) stop() {
	d.t.Helper()
	if d.end == nil {
		return
	}
	d.end()
	d.end = nil
	if err := <-d.done; err != nil && err != context.Canceled {
		d.t.Errorf("sagod dev: %v", err)
	}
}

// sago runs the command line as a role; it answers what it said.
func (d *dev) sago(ctx context.Context, role string, args ...string) testcluster.Output {
	d.t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "sago"), append([]string{"--context", filepath.Join(d.dir, "contexts", role+".toml"), "--lang", "en"}, args...)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.Env = &stdout, &stderr, append(os.Environ(), "SAGO_STATE="+d.memory)
	if err := cmd.Run(); cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	return testcluster.Output{Stdout: stdout.String(), Stderr: stderr.String(), Exit: cmd.ProcessState.ExitCode()}
}

// must is sago with JSON and an exit code that must be.
func (d *dev) must(ctx context.Context, exit int, role string, args ...string) map[string]any {
	d.t.Helper()
	out := d.sago(ctx, role, append([]string{"--output", "json"}, args...)...)
	if out.Exit != exit {
		d.t.Fatalf("%v of %s: exit %d, want %d: %s", args, role, out.Exit, exit, out.Stderr)
	}
	if exit != 0 && (strings.Count(strings.TrimSpace(out.Stderr), "\n") != 0 || !strings.HasPrefix(out.Stderr, "error: ")) {
		d.t.Errorf("%v of %s does not say why in one line: %q", args, role, out.Stderr)
	}
	return object(d.t, out.Stdout)
}

// TestDevStory is the first hour of somebody new: store, read, be refused, look
// at the history, start again.
func TestDevStory(t *testing.T) {
	ctx := bounded(t, time.Minute)
	d := newDev(t)
	if took := d.start(ctx); took > 5*time.Second {
		t.Errorf("ready after %v", took)
	}
	file, back := filepath.Join(t.TempDir(), "F"), filepath.Join(t.TempDir(), "G")
	data := contentOf("the file F")
	must(t, os.WriteFile(file, data, 0o600))
	store := []string{"bundle", "put", "--transaction", "T1", "--bundle-id", "MDS0000001", "--subject-ci", "CI1", "--retain", "P5Y", "--basis", "TEST"}
	receipt := d.must(ctx, 0, "app", append(store, file)...)
	for _, field := range []string{"institution", "transaction", "part", "fingerprint", "size", "stored_at", "retain_until", "history_sequence", "already_stored"} {
		if _, ok := receipt[field]; !ok {
			t.Errorf("a receipt without %s: %v", field, slices.Sorted(maps.Keys(receipt)))
		}
	}
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(data)); receipt["fingerprint"] != want || receipt["already_stored"] != false {
		t.Errorf("receipt %v, want fingerprint %s", receipt, want)
	}
	get := []string{"bundle", "get", "--transaction", "T1", "-o", back}
	d.must(ctx, 0, "officer", append(get, "--purpose", "X")...)
	same(t, back, data)
	d.must(ctx, 2, "officer", get...)
	d.must(ctx, 4, "admin", append(get, "--purpose", "X")...)
	must(t, os.WriteFile(file+"2", []byte("other"), 0o600))
	d.must(ctx, 3, "app", append(store, file+"2")...)
	if again := d.must(ctx, 0, "app", append(store, file)...); again["already_stored"] != true || again["history_sequence"] != receipt["history_sequence"] {
		t.Errorf("the second put of the same answers %v", again)
	}
	d.must(ctx, 5, "officer", "bundle", "get", "--transaction", "NOPE", "--purpose", "X", "-o", back+"2")
	before := d.actions(ctx)
	inOrder(t, before, "STORE", "READ", "DENY")
	d.stop()
	d.start(ctx)
	must(t, os.Remove(back))
	d.must(ctx, 0, "officer", append(get, "--purpose", "again")...)
	same(t, back, data)
	if after := d.actions(ctx); len(after) < len(before) || !slices.Equal(after[:len(before)], before) {
		t.Errorf("the history was %v, and is %v", before, after)
	}
	if shown := d.must(ctx, 0, "auditor", "bundle", "show", "--transaction", "T1"); shown["state"] != "active" || shown["fingerprint"] != receipt["fingerprint"] {
		t.Errorf("after the restart: %v", shown)
	}
	d.must(ctx, 0, "admin", "cluster", "verify")
}

func same(t *testing.T, file string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(file)
	must(t, err)
	if string(got) != string(want) {
		t.Errorf("%s holds other bytes than were stored", file)
	}
}

// actions are those of the whole history, with their numbers.
func (d *dev) actions(ctx context.Context) (all []string) {
	d.t.Helper()
	for _, r := range rowsOf(d.t, d.must(ctx, 0, "auditor", "history", "list"), "records") {
		all = append(all, fmt.Sprint(r["sequence"], " ", r["action"]))
	}
	return all
}

// inOrder holds that the first record of each action comes after that of the one
// before.
func inOrder(t *testing.T, history []string, actions ...string) {
	t.Helper()
	at := -1
	for _, a := range actions {
		next := slices.IndexFunc(history, func(r string) bool { return strings.HasSuffix(r, " "+a) })
		if next <= at {
			t.Errorf("%s is not where it belongs in %v", a, history)
		}
		at = next
	}
}
