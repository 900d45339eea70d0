package system_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// rootKey reads a node's root key.
func (s *site) rootKey(i int) keyring.RootKey {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.NodeDir(i), "keys", "root.key"))
	must(s.t, err)
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	must(s.t, err)
	return keyring.RootKey(raw)
}

// slotKey opens a slot of node i by its files and root key alone.
func (s *site) slotKey(i int, slot format.Slot) ([32]byte, format.ID) {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.DataDir(i), keyring.FileName(slot.Block)))
	must(s.t, err)
	h, err := format.DecodeFileHeader(format.KindKeyBlock, raw)
	must(s.t, err)
	ring, err := keyring.Open(s.DataDir(i), s.rootKey(i), h.Cluster, nil)
	must(s.t, err)
	key, err := ring.Key(slot)
	must(s.t, errors.Join(err, ring.Close()))
	return key, h.Cluster
}

// memoryOf searches the memory of a process and answers, for each needle, in which
// mappings it stands.
func memoryOf(t *testing.T, pid int, needles map[string][]byte) map[string][]string {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	must(t, err)
	defer maps.Close()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	must(t, err)
	defer mem.Close()
	found := map[string][]string{}
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		line := lines.Text()
		var from, to int64
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil || !strings.HasPrefix(strings.Fields(line)[1], "rw") {
			continue
		}
		b := make([]byte, to-from)
		n, err := mem.ReadAt(b, from)
		if n == 0 && err != nil {
			continue // a guard page, or gone meanwhile
		}
		for name, what := range needles {
			for range bytes.Count(b[:n], what) {
				found[name] = append(found[name], line)
			}
		}
	}
	return found
}

func xored(key [32]byte, with byte) []byte {
	out := bytes.Clone(key[:])
	for i := range out {
		out[i] ^= with
	}
	return out
}

// keyForms are all the forms in which a bundle's data key, or the key of its
// chunks, could lie in memory.
func keyForms(key [32]byte, cluster format.ID, slot format.Slot) map[string][]byte {
	var place format.Writer
	place.Raw(cluster[:])
	place.Slot(slot)
	chunk := keyring.DeriveKey(key, "sago chunk v1", place.Bytes())
	commitment := keyring.DeriveKey(key, "sago commitment v1", nil)
	return map[string][]byte{"data key": key[:], "data key, inner pad": xored(key, 0x36), "data key, outer pad": xored(key, 0x5c),
		"chunk key": chunk[:], "commitment key": commitment[:]}
}

// TestRoot_P42_KeysInMemory: a daemon's root key stands in one locked page, and
// after a bundle's erasure root finds the bundle's keys nowhere in its memory.
func TestRoot_P42_KeysInMemory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("reads the memory of another process: needs root")
	}
	ctx := bounded(t, time.Minute)
	s := startSite(t, ctx, testcluster.Options{Nodes: 1})
	pid, _ := s.Pid(0)
	app, officer := s.client(ctx, 0, "app"), s.client(ctx, 0, "officer")
	before := len(s.chunks(0))
	_, err := put(ctx, app, "GOES", "PT6S", contentOf("GOES"))
	must(t, err)
	slot := s.chunks(0)[before].Header.Slot
	key, cluster := s.slotKey(0, slot)
	forms := keyForms(key, cluster, slot)
	for range 20 {
		_, _, err = read(ctx, officer, "GOES")
		must(t, err)
	}
	t.Log("while it lives: ", counts(memoryOf(t, pid, forms)))
	s.awaitState(ctx, 0, "erased", nil)
	if found := memoryOf(t, pid, forms); len(found) > 0 {
		t.Errorf("after the erasure: %v", counts(found))
	}
	root := s.rootKey(0)
	// A look may meet the key in use; then there is a copy for as long.
	await(t, ctx, "the root key in one place", func(context.Context) (bool, string, error) {
		at := memoryOf(t, pid, map[string][]byte{"root key": root[:]})["root key"]
		if len(at) == 0 {
			return false, "", errors.New("the search does not even find the root key, which is in use")
		}
		return len(at) == 1, strings.Join(at, "; "), nil
	})
}

// TestRoot_P42_BlocksOnTheirWay: three nodes have sent each other their key blocks, and
// root finds of none of their keys a copy in any of them: not in the connections'
// buffers either.
func TestRoot_P42_BlocksOnTheirWay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("reads the memory of another process: needs root")
	}
	ctx := bounded(t, 2*time.Minute)
	s := startSite(t, ctx, testcluster.Options{Nodes: 3})
	s.acknowledge(ctx, 0, "A", 3)
	must(t, s.Stop(ctx, 2))
	must(t, s.Wipe(2))
	must(t, s.Start(2)) // asks the others for all blocks
	must(t, s.ReadyAt(ctx, 2))
	files, err := filepath.Glob(filepath.Join(s.DataDir(0), "keys", "*.kb"))
	must(t, err)
	needles := map[string][]byte{}
	for _, f := range files {
		raw, err := hex.DecodeString(strings.TrimSuffix(filepath.Base(f), ".kb"))
		must(t, err)
		for i := uint32(100); i < 4000; i += 400 {
			key, _ := s.slotKey(0, format.Slot{Block: format.ID(raw), Index: i})
			needles[fmt.Sprintf("%x/%d", raw[:3], i)] = bytes.Clone(key[:])
		}
	}
	if len(needles) < 30 {
		t.Fatalf("only %d keys to look for", len(needles))
	}
	for i := range s.Size() {
		pid, _ := s.Pid(i)
		if found := memoryOf(t, pid, needles); len(found) > 0 {
			t.Errorf("node %d: %d of %d keys: %v", i+1, len(found), len(needles), counts(found))
		}
	}
}

func counts(found map[string][]string) map[string]int {
	n := map[string]int{}
	for name, at := range found {
		n[name] = len(at)
	}
	return n
}

// aborted starts a program that may dump core as far as this system lets, waits
// for a word on its standard output and has it abort; it answers whether the
// kernel wrote a core.
func aborted(t *testing.T, ctx context.Context, word string, command ...string) (core bool) {
	t.Helper()
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `ulimit -c unlimited && exec "$@"`, "sh"}, command...)...)
	cmd.Dir = t.TempDir()
	// crash: Go's runtime ends a SIGABRT in the kernel's own way.
	cmd.Env = append(os.Environ(), "GOTRACEBACK=crash")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	_, err := cmd.StdinPipe() // open until it ends: a shell waits there
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	ready := false
	for lines := bufio.NewScanner(out); !ready && lines.Scan(); {
		ready = strings.Contains(lines.Text(), word)
	}
	must(t, cmd.Process.Signal(syscall.SIGABRT))
	err = cmd.Wait()
	var exit *exec.ExitError
	if !ready || !errors.As(err, &exit) {
		t.Fatalf("ready %v, ended as %v", ready, err)
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGABRT {
		t.Fatalf("ended as %v, not by SIGABRT", err)
	}
	cores, err := filepath.Glob(filepath.Join(cmd.Dir, "*core*"))
	must(t, err)
	return status.CoreDump() || len(cores) > 0
}

// TestP42_NoCoreDump aborts the daemon where another program leaves a core.
func TestP42_NoCoreDump(t *testing.T) {
	ctx := bounded(t, time.Minute)
	if !aborted(t, ctx, "ready", "sh", "-c", "echo ready; read line") {
		t.Skip("no program leaves a core on this system")
	}
	d := newDev(t)
	if aborted(t, ctx, "ready", filepath.Join(bin, "sagod"), "dev", "--dir", d.dir, "--listen", "127.0.0.1:0") {
		t.Fatal("sagod left a core")
	}
}
