package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sago-worm/sago/store/custodian"
)

// programs are sagod and sago as they are shipped, built once for a test.
type programs struct{ dir string }

func build(t *testing.T) programs {
	t.Helper()
	p := programs{t.TempDir()}
	cmd := exec.Command("go", "build", "-o", p.dir+string(filepath.Separator), ".", "../sago")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return p
}

// scratch is a directory whose inode flags the test's end takes off: it comes
// before the directory's own removal.
func scratch(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		if err := custodian.ClearTree(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	return dir
}

// daemon is a sagod that runs.
type daemon struct {
	cmd   *exec.Cmd
	lines chan string // of standard output
	errs  bytes.Buffer
	ended bool
}

func (p programs) start(t *testing.T, args ...string) *daemon {
	t.Helper()
	d := &daemon{cmd: exec.Command(filepath.Join(p.dir, "sagod"), args...), lines: make(chan string, 64)}
	d.cmd.Stderr = &d.errs
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		defer close(d.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			d.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		if !d.ended {
			_ = d.cmd.Process.Kill() // a test that failed half-way
			_ = d.cmd.Wait()
		}
	})
	return d
}

// ready waits for the line that says so and returns it.
func (d *daemon) ready(t *testing.T, within time.Duration) string {
	t.Helper()
	limit := time.After(within)
	for {
		select {
		case line, ok := <-d.lines:
			if !ok {
				t.Fatalf("sagod ended before it was ready: %v\n%s", d.wait(), d.errs.String())
			}
			if strings.HasPrefix(line, "ready ") {
				return line
			}
		case <-limit:
			t.Fatalf("not ready within %v", within)
		}
	}
}

func (d *daemon) wait() error {
	d.ended = true
	return d.cmd.Wait()
}

// stop asks the daemon to end and wants exit 0.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range d.lines { // to the end of its output
	}
	if err := d.wait(); err != nil {
		t.Fatalf("sagod: %v\n%s", err, d.errs.String())
	}
}

// sago runs the command line as one of the roles and returns its answer.
func (p programs) sago(dir, as string, args ...string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	args = append([]string{"--context", filepath.Join(dir, "contexts", as+".toml"), "--output", "json"}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(p.dir, "sago"), args...)
	cmd.Env = append(os.Environ(), "SAGO_STATE="+filepath.Join(p.dir, "memory"))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("sago %v: %w: %s", args, err, errs.String())
	}
	answer := map[string]any{}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("sago %v: %w: %s", args, err, out)
	}
	return answer, nil
}

func (p programs) must(t *testing.T, dir, as string, args ...string) map[string]any {
	t.Helper()
	answer, err := p.sago(dir, as, args...)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// storedBefore puts a document, or finds the one that an earlier start put.
func (p programs) storedBefore(t *testing.T, dir string, want []byte, before bool) {
	t.Helper()
	in, out := filepath.Join(t.TempDir(), "in"), filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(in, want, 0o600); err != nil {
		t.Fatal(err)
	}
	put := p.must(t, dir, "app", "bundle", "put", "--transaction", "T1", "--bundle-id", "MDS0000001", "--subject-ci", "CI1",
		"--retain", "P5Y", "--basis", "TEST", in)
	if put["already_stored"] != before {
		t.Fatalf("already stored: %v, want %v", put["already_stored"], before)
	}
	p.must(t, dir, "officer", "bundle", "get", "--transaction", "T1", "--purpose", "심사", "-o", out)
	got, err := os.ReadFile(out)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, %v; stored %d", len(got), err, len(want))
	}
}

// TestProcesses tells stories of real processes.
func TestProcesses(t *testing.T) {
	p := build(t)
	t.Run("development", p.development)
	t.Run("apart", p.apart)
	t.Run("production", p.production)
}

// development puts and gets, starts again elsewhere, finds it, and removes all.
func (p programs) development(t *testing.T) {
	want := bytes.Repeat([]byte("건강보험자격득실확인서\n"), 5000)
	for _, nodes := range []string{"1", "3"} {
		t.Run(nodes, func(t *testing.T) {
			dir := filepath.Join(scratch(t), "d")
			for _, before := range []bool{false, true} {
				// Port 0: each start serves elsewhere, and the contexts follow.
				d := p.start(t, "dev", "--dir", dir, "--nodes", nodes, "--listen", "127.0.0.1:0")
				d.ready(t, 2*time.Minute)
				p.storedBefore(t, dir, want, before)
				if out, err := exec.Command(filepath.Join(p.dir, "sagod"), "dev", "--remove", "--dir", dir).CombinedOutput(); err == nil {
					t.Fatalf("removed under a running cluster: %s", out)
				}
				d.stop(t)
			}
			privateFiles(t, dir)
			if out, err := exec.Command(filepath.Join(p.dir, "sagod"), "dev", "--remove", "--dir", dir).CombinedOutput(); err != nil {
				t.Fatalf("remove: %v: %s", err, out)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("still there: %v", err)
			}
		})
	}
}

// privateFiles wants no file that others than its owner can read.
func privateFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// freePorts is where nine ports in a row are free, and stay so while a node is down:
// they lie below those that the kernel gives to outgoing connections.
func freePorts(t *testing.T) string {
	t.Helper()
	for range 100 {
		first := 10_000 + rand.IntN(20_000)
		free := true
		for port := first; free && port < first+9; port++ {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
			if free = err == nil; free {
				_ = l.Close() // nobody ever connected
			}
		}
		if free {
			return "127.0.0.1:" + strconv.Itoa(first)
		}
	}
	t.Fatal("no free ports")
	return ""
}

// apart runs the nodes of a development directory each in a process of its own,
// by the configuration that lies beside its data; kills one and starts it again;
// and throws an index away and has it built.
func (p programs) apart(t *testing.T) {
	dir := filepath.Join(scratch(t), "d")
	want := []byte("<문서/>")
	first := p.start(t, "dev", "--dir", dir, "--nodes", "3", "--listen", freePorts(t))
	first.ready(t, 2*time.Minute)
	p.storedBefore(t, dir, want, false)
	first.stop(t)

	config := func(i int) string { return filepath.Join(dir, nodeName(i), "node.toml") }
	if out, err := exec.Command(filepath.Join(p.dir, "sagod"), "rebuild-index", "--config", config(2)).CombinedOutput(); err != nil {
		t.Fatalf("rebuild-index: %v: %s", err, out)
	}
	var nodes []*daemon
	for i := range 3 {
		nodes = append(nodes, p.start(t, "run", "--config", config(i)))
	}
	p.awaitAll(t, dir)
	p.storedBefore(t, dir, want, true)
	if out, err := exec.Command(filepath.Join(p.dir, "sagod"), "rebuild-index", "--config", config(0)).CombinedOutput(); err == nil {
		t.Fatalf("index removed under a running node: %s", out)
	}

	if err := nodes[0].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = nodes[0].wait() // killed
	p.awaitRead(t, dir)
	nodes[0] = p.start(t, "run", "--config", config(0))
	p.awaitAll(t, dir)
	if found := p.must(t, dir, "auditor", "cluster", "verify"); found["intact"] != true || found["roots_equal"] != true {
		t.Fatalf("verify: %v", found)
	}
	for _, n := range nodes {
		n.stop(t)
	}
}

// awaitAll waits until three nodes are in reach and the cluster records.
func (p programs) awaitAll(t *testing.T, dir string) {
	t.Helper()
	p.poll(t, func() error {
		status, err := p.sago(dir, "auditor", "cluster", "status")
		if err != nil {
			return err
		}
		var up int
		for _, n := range status["nodes"].([]any) {
			if n := n.(map[string]any); n["reachable"] == true && (n["state"] == "leader" || n["state"] == "follower") {
				up++
			}
		}
		if up != 3 || status["ready"] != true {
			return fmt.Errorf("status: %v", status)
		}
		return nil
	})
}

// awaitRead waits until what was stored can be read without the first node.
func (p programs) awaitRead(t *testing.T, dir string) {
	t.Helper()
	p.poll(t, func() error {
		_, err := p.sago(dir, "officer", "bundle", "get", "--transaction", "T1", "--purpose", "심사", "-o", filepath.Join(t.TempDir(), "out"))
		return err
	})
}

func (p programs) poll(t *testing.T, f func() error) {
	t.Helper()
	limit := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
		<-tick.C
	}
}
