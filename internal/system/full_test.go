package system_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/testcluster"
	"github.com/sago-worm/sago/service/client"
)

// diskSize is that of each node's own file system, in MiB; an eighth is its reserve.
const diskSize = 768

// smallDisks mounts an ext4 of its own for each node.
func smallDisks(t *testing.T, nodes int) (dirs []string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	for _, tool := range []string{"mkfs.ext4", "losetup", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs ", tool)
		}
	}
	for i := range nodes {
		base := t.TempDir()
		image, mount := filepath.Join(base, "image"), filepath.Join(base, "node"+fmt.Sprint(i+1))
		must(t, errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, diskSize<<20), os.Mkdir(mount, 0o700)))
		tool(t, "mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,nodiscard", image)
		device := tool(t, "losetup", "-f", "--show", image)
		t.Cleanup(func() { tool(t, "losetup", "-d", device) })
		tool(t, "mount", "-o", "discard", device, mount)
		t.Cleanup(func() { tool(t, "umount", mount) })
		dirs = append(dirs, mount)
	}
	return dirs
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v: %s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// foreign is the file of somebody else that fills a disk.
const foreign = "foreign"

// fillDisk has the foreign file of node i take all that is free, to the last block.
func (s *site) fillDisk(i int) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.NodeDir(i), foreign), os.O_CREATE|os.O_RDWR, 0o600)
	must(s.t, err)
	defer func() { must(s.t, f.Close()) }()
	end, err := f.Seek(0, io.SeekEnd)
	must(s.t, err)
	for n := int64(256 << 20); n >= 4096; n /= 2 {
		for err = nil; err == nil; {
			if err = unix.Fallocate(int(f.Fd()), 0, end, n); err == nil {
				end += n
			}
		}
		if !errors.Is(err, unix.ENOSPC) {
			s.t.Fatal(err)
		}
	}
}

func (s *site) freeDisk(i int) {
	s.t.Helper()
	must(s.t, os.Remove(filepath.Join(s.NodeDir(i), foreign)))
}

// reserved is how many bytes of node i's reserve are left.
func (s *site) reserved(i int) int64 {
	info, err := os.Stat(filepath.Join(s.DataDir(i), "reserve"))
	must(s.t, err)
	return info.Size()
}

// putExit stores through the command line at node i and expects an exit code and,
// for a refusal, its reason.
func (s *site) putExit(ctx context.Context, exit, i int, transaction, reason string) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "f")
	must(s.t, os.WriteFile(file, contentOf(transaction), 0o600))
	out, err := s.SagoAt(ctx, i, "app", append([]string{"--output", "json"}, putArgs(transaction, "P5Y", file)...)...)
	must(s.t, err)
	if out.Exit != exit || !strings.Contains(out.Stderr+out.Stdout, reason) {
		s.t.Fatalf("put %s at %s: exit %d, want %d %s: %s%s", transaction, s.Name(i), out.Exit, exit, reason, out.Stdout, out.Stderr)
	}
}

// awaitFull waits until puts at node i are refused for want of room, which must
// be soon, and must be the answer from then on.
func (s *site) awaitFull(ctx context.Context, i int, within time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cl := s.client(ctx, i, "app")
	n := 0
	await(s.t, ctx, "puts are refused at "+s.Name(i), func(ctx context.Context) (bool, string, error) {
		n++
		_, err := put(ctx, cl, fmt.Sprintf("FULL-%d-%d", i, n), "P5Y", []byte("x"))
		if reason := client.ReasonOf(err); err != nil && reason != "STORAGE_FULL" {
			return false, "", fmt.Errorf("refused with %s: %w", reason, err)
		}
		return err != nil, fmt.Sprint(err), nil
	})
}

func (s *site) awaitPuts(ctx context.Context, i int, within time.Duration) time.Duration {
	s.t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cl := s.client(ctx, i, "app")
	await(s.t, ctx, "puts work at "+s.Name(i), func(ctx context.Context) (bool, string, error) {
		_, err := put(ctx, cl, fmt.Sprintf("ROOM-%d-%d", i, begin.UnixNano()), "P5Y", []byte("x"))
		return err == nil, fmt.Sprint(err), nil
	})
	return time.Since(begin)
}

// whileFull is what must go on while all disks are full (P70).
var whileFull = []struct {
	name string
	do   func(*testing.T, context.Context, *site)
}{
	{"a put is refused", func(t *testing.T, ctx context.Context, s *site) {
		for i := range s.Size() { // what was on its way when the disks were filled has given its room back
			s.fillDisk(i)
			s.awaitFull(ctx, i, 3*time.Second)
		}
		for i := range s.Size() {
			s.putExit(ctx, 6, i, "MORE", "STORAGE_FULL")
		}
	}},
	{"the same put again is answered", func(t *testing.T, ctx context.Context, s *site) {
		r, err := put(ctx, s.client(ctx, 0, "app"), "STAYS", "P5Y", contentOf("STAYS"))
		if err != nil || !r.GetAlreadyStored() {
			t.Errorf("%v, %v", r, err)
		}
	}},
	{"reads", func(t *testing.T, ctx context.Context, s *site) {
		for i := range s.Size() {
			_, data, err := read(ctx, s.client(ctx, i, "officer"), "STAYS")
			if err != nil || string(data) != string(contentOf("STAYS")) {
				t.Errorf("%s: %d bytes, %v", s.Name(i), len(data), err)
			}
		}
		if n := len(rowsOf(t, s.sago(ctx, 0, 0, "auditor", "history", "list", "--action", "READ", "--transaction", "STAYS"), "records")); n < s.Size() {
			t.Errorf("%d of %d reads are recorded", n, s.Size())
		}
	}},
	{"a denial", func(t *testing.T, ctx context.Context, s *site) {
		s.sago(ctx, 4, 0, "contractor", "bundle", "get", "--transaction", "STAYS", "--purpose", "시험", "-o", os.DevNull)
	}},
	{"expiry and erasure", func(t *testing.T, ctx context.Context, s *site) {
		s.awaitState(ctx, 0, "erased", nil)
	}},
	{"special deletion", func(t *testing.T, ctx context.Context, s *site) {
		id, _ := s.sago(ctx, 0, 0, "officer", order("LEAVES")...)["request_id"].(string)
		s.sago(ctx, 4, 0, "officer", "special-delete", "approve", "--request", id)
		for _, who := range []string{"manager", "approver1"} {
			s.sago(ctx, 0, s.Size()-1, who, "special-delete", "approve", "--request", id)
		}
		s.awaitSpecial(ctx, 0, id, "executed")
		s.awaitCertificate(ctx, 0, id, "final")
		s.sago(ctx, 5, 0, "officer", "bundle", "get", "--transaction", "LEAVES", "--purpose", "시험", "-o", os.DevNull)
		for i := range s.Size() {
			if key, payload := s.left(i, s.leaves); key || payload {
				t.Errorf("left of it at %s: key %v, payload %v", s.Name(i), key, payload)
			}
		}
	}},
	{"history", func(t *testing.T, ctx context.Context, s *site) {
		s.sago(ctx, 0, 0, "auditor", "history", "list", "--limit", "10")
		s.sago(ctx, 0, 0, "auditor", "history", "verify")
	}},
	{"a checkpoint is taken", func(t *testing.T, ctx context.Context, s *site) {
		_, _, err := read(ctx, s.client(ctx, 0, "officer"), "STAYS")
		must(t, err)
		s.sago(ctx, 0, 0, "inspector", "history", "checkpoint", "-o", t.TempDir())
	}},
	{"all files verify", func(t *testing.T, ctx context.Context, s *site) { s.intact(ctx) }},
}

// TestRoot_P57_P70_FullDisks fills the disk of every node with a foreign file to
// the last block, in the middle of a put, in a cluster of one node and of three.
// Puts are refused with STORAGE_FULL, and everything else goes on; a second wave
// takes what was given up meanwhile. With room again puts work, by the same processes.
func TestRoot_P57_P70_FullDisks(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			ctx := bounded(t, 2*time.Minute)
			s := startSite(t, ctx, testcluster.Options{Nodes: nodes, NodeDirs: smallDisks(t, nodes), Policy: testcluster.Policy{CoolingOff: time.Second}})
			app := s.client(ctx, 0, "app")
			_, err := put(ctx, app, "STAYS", "P5Y", contentOf("STAYS"))
			must(t, err)
			before := len(s.chunks(0))
			_, err = put(ctx, app, "LEAVES", "P5Y", contentOf("LEAVES"))
			must(t, err)
			s.leaves = s.chunks(0)[before:]
			_, err = put(ctx, app, "GOES", "PT10S", contentOf("GOES"))
			must(t, err)
			begin := time.Now()
			err = s.streamWhile(ctx, func() {
				for i := range nodes {
					s.fillDisk(i)
				}
			})
			if reason := client.ReasonOf(err); reason != "STORAGE_FULL" {
				t.Errorf("a put in whose middle the disks were filled: %v", err)
			}
			for i := range nodes {
				s.awaitFull(ctx, i, 3*time.Second)
			}
			t.Logf("refused everywhere %v after the put began; reserve %d MiB", time.Since(begin), s.reserved(0)>>20)
			for _, op := range whileFull {
				t.Run(strings.ReplaceAll(op.name, " ", "_"), func(t *testing.T) {
					inner := *s
					inner.t = t
					op.do(t, ctx, &inner)
				})
				for i := range nodes {
					s.fillDisk(i)
				}
			}
			if nodes == 1 {
				s.measureReads(ctx)
			}
			t.Logf("reserve at the end %d MiB", s.reserved(0)>>20)
			s.neverStopped(nodes)
			must(t, s.Kill(0))
			must(t, s.Start(0)) // a start finds the reserve as it was left
			must(t, s.ReadyAt(ctx, 0))
			s.awaitFull(ctx, 0, 3*time.Second)
			for i := range nodes {
				s.freeDisk(i)
			}
			for i := range nodes {
				t.Logf("puts work at %s again after %v", s.Name(i), s.awaitPuts(ctx, i, 5*time.Second))
			}
			s.neverStopped(nodes)
			s.healthy(ctx)
			s.intact(ctx)
		})
	}
}

// fullReads is how many reads are measured on a full disk: enough to outweigh the one
// step of some MiB by which an index grows that meets many requests.
const fullReads = 8000

// measureReads says how much of the disk a recorded read costs when it is full, and
// fails where the reserve would not last for 100 000 of them.
func (s *site) measureReads(ctx context.Context) {
	s.t.Helper()
	used := func() map[string]int64 {
		sum := map[string]int64{}
		must(s.t, filepath.WalkDir(s.DataDir(0), func(path string, e fs.DirEntry, err error) error {
			var st unix.Stat_t
			if err == nil && e.Type().IsRegular() && unix.Stat(path, &st) == nil {
				name, _ := filepath.Rel(s.DataDir(0), path)
				sum[strings.SplitN(name, "/", 2)[0]] += st.Blocks * 512
			}
			return nil
		}))
		return sum
	}
	before, begin := used(), time.Now()
	var done sync.WaitGroup
	for range 16 {
		officer := s.client(ctx, 0, "officer")
		done.Go(func() {
			for range fullReads / 16 {
				if _, _, err := read(ctx, officer, "STAYS"); err != nil {
					s.t.Errorf("a read on a full disk: %v", err)
					return
				}
			}
		})
	}
	done.Wait()
	after := used()
	total := int64(0)
	for name, bytes := range after {
		if name != "reserve" && bytes > before[name] {
			total += bytes - before[name]
			s.t.Logf("%d reads cost %d bytes each of %s", fullReads, (bytes-before[name])/fullReads, name)
		}
	}
	s.t.Logf("%d reads in %v, %d bytes each", fullReads, time.Since(begin), total/fullReads)
	if whole := int64(128 << 20); total/fullReads*50_000 > whole {
		s.t.Errorf("a reserve of %d bytes would last for %d reads only", whole, whole/(total/fullReads))
	}
}

// streamWhile puts a bundle of many chunks and calls half in its middle.
func (s *site) streamWhile(ctx context.Context, half func()) error {
	const size = 48 << 20
	cl := s.client(ctx, 0, "app")
	_, err := cl.Put(ctx, bundle("STREAM", "P5Y"), client.Content{Name: "d.bin", MediaType: "application/octet-stream", Size: size,
		Data: &calling{at: size / 2, f: sync.OnceFunc(half)}})
	return err
}

// calling is content that calls when it is read from a place on.
type calling struct {
	at int64
	f  func()
}

func (c *calling) ReadAt(b []byte, off int64) (int, error) {
	if off >= c.at {
		c.f()
	}
	for i := range b {
		b[i] = byte(off + int64(i))
	}
	return len(b), nil
}

// neverStopped fails if a node's process has ended.
func (s *site) neverStopped(nodes int) {
	s.t.Helper()
	for i := range nodes {
		if !s.Running(i) {
			s.t.Errorf("%s has ended: %v", s.Name(i), s.Failure(i))
		}
	}
}

// TestRoot_P70_OneFullDisk fills the disk of the leader alone: another one leads,
// puts go on at the others, the full node stays up, and has everything soon after
// it has room again.
func TestRoot_P70_OneFullDisk(t *testing.T) {
	ctx := bounded(t, 2*time.Minute)
	s := startSite(t, ctx, testcluster.Options{NodeDirs: smallDisks(t, 3)})
	full, err := s.Leader(ctx)
	must(t, err)
	s.fillDisk(full)
	s.awaitFull(ctx, full, 3*time.Second)
	var stored []string
	for i := range s.Size() {
		if i == full {
			continue
		}
		t.Logf("puts work at %s after %v", s.Name(i), s.awaitPuts(ctx, i, 15*time.Second))
		cl := s.client(ctx, i, "app")
		for k := range 40 { // more than the reserve gives for payload
			number := fmt.Sprintf("N-%d-%d", i, k)
			_, err := put(ctx, cl, number, "P5Y", make([]byte, 1<<20))
			must(t, err)
			stored = append(stored, number)
		}
	}
	s.neverStopped(3)
	s.freeDisk(full)
	t.Logf("puts work at the full node after %v", s.awaitPuts(ctx, full, 30*time.Second))
	for _, number := range stored {
		if _, data, err := read(ctx, s.client(ctx, full, "officer"), number); err != nil || len(data) != 1<<20 {
			t.Fatalf("%s at %s: %d bytes, %v", number, s.Name(full), len(data), err)
		}
	}
	s.neverStopped(3)
	s.healthy(ctx)
	s.intact(ctx)
}
