package system_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// attack is a try to change or take away what a file holds; scratch is a file of
// the attacker's own beside the data.
type attack struct {
	name string
	try  func(path, scratch string) error
}

// opened opens a file and does something to it.
func opened(flags int, what func(fd int, path string) error) func(string, string) error {
	return func(path, _ string) error {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return errors.Join(what(fd, path), unix.Close(fd))
	}
}

func fallocate(mode uint32) func(string, string) error {
	return opened(unix.O_WRONLY|unix.O_APPEND, func(fd int, _ string) error { return unix.Fallocate(fd, mode, 0, 4096) })
}

// attacks are all that take something away; adding at the end of a file that
// grows is what an append-only flag allows, and is looked at by itself.
func attacks() []attack {
	return []attack{
		{"overwrite", opened(unix.O_WRONLY, func(fd int, _ string) error { _, err := unix.Pwrite(fd, []byte("X"), 200); return err })},
		{"mapped write", opened(unix.O_RDWR, func(fd int, _ string) error {
			b, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			if err == nil {
				b[200] ^= 1
				err = unix.Munmap(b)
			}
			return err
		})},
		{"O_TRUNC", opened(unix.O_WRONLY|unix.O_TRUNC, func(int, string) error { return nil })},
		{"truncate", func(path, _ string) error { return unix.Truncate(path, 170) }},
		{"ftruncate", opened(unix.O_WRONLY|unix.O_APPEND, func(fd int, _ string) error { return unix.Ftruncate(fd, 170) })},
		{"end of O_APPEND", opened(unix.O_WRONLY|unix.O_APPEND, func(fd int, _ string) error {
			_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0)
			return err
		})},
		{"punch", fallocate(unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE)},
		{"zero range", fallocate(unix.FALLOC_FL_ZERO_RANGE)},
		{"collapse range", fallocate(unix.FALLOC_FL_COLLAPSE_RANGE)},
		{"insert range", fallocate(unix.FALLOC_FL_INSERT_RANGE)},
		{"unlink", func(path, _ string) error { return unix.Unlink(path) }},
		{"rename away", func(path, scratch string) error { return unix.Rename(path, scratch+".away") }},
		{"rename over", func(path, scratch string) error { return unix.Rename(scratch, path) }},
		{"exchange", func(path, scratch string) error {
			return unix.Renameat2(unix.AT_FDCWD, scratch, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
		}},
		{"hard link", func(path, scratch string) error { return unix.Link(path, scratch+".link") }},
		{"mode", func(path, _ string) error { return unix.Chmod(path, 0o777) }},
		{"owner", func(path, _ string) error { return unix.Chown(path, 1, 1) }},
		{"attribute", func(path, _ string) error { return unix.Setxattr(path, "user.x", []byte("x"), 0) }},
	}
}

// as runs what on a thread of its own as another user without any capability; user
// 0 is root, who has them all and takes no flag off.
func as(user uint32, what func()) {
	done := make(chan struct{})
	go func() { // ends with what; its thread ends with it
		defer close(done)
		runtime.LockOSThread()
		if user != 0 {
			for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
				if _, _, errno := unix.RawSyscall(call, uintptr(user), uintptr(user), uintptr(user)); errno != 0 {
					panic(errno)
				}
			}
		}
		what()
	}()
	<-done
}

// strike tries every attack on a file as a user, and answers those that were not
// refused.
func strike(user uint32, path string) (open []string, tries int) {
	as(user, func() {
		scratch := filepath.Join(filepath.Dir(filepath.Dir(path)), fmt.Sprint("scratch-", user, "-", filepath.Base(path)))
		for _, a := range attacks() {
			if err := os.WriteFile(scratch, []byte("not history"), 0o600); err != nil {
				open = append(open, "scratch: "+err.Error())
			}
			err := a.try(path, scratch)
			if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
				open = append(open, fmt.Sprintf("%s of %s as user %d: %v", a.name, path, user, err))
			}
			tries++
		}
		open = append(open, removed(scratch)...)
	})
	return open, tries
}

func removed(path string) []string {
	if err := os.Remove(path); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// daemonUser is who the nodes of these tests run as.
const daemonUser = 64123

// userSite is a cluster whose nodes run as daemonUser.
func userSite(t *testing.T, ctx context.Context) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("running nodes as another user, and trying as root, needs root")
	}
	// Both folders are the tests' own; another user shall only pass through.
	for _, dir := range []string{bin, filepath.Dir(t.TempDir())} {
		must(t, os.Chmod(dir, 0o711))
	}
	s := startSite(t, ctx, testcluster.Options{User: daemonUser})
	for i := range s.Size() {
		n, err := s.memberAt(ctx, i, i)
		must(t, err)
		if !strings.Contains(n.GetProtection(), "append-only flag active; immutable flag active") {
			t.Skipf("this file system has no inode flags: %s", n.GetProtection())
		}
	}
	return s
}

// acknowledged is what writers were promised: leaf hashes by sequence.
type acknowledged struct {
	mu     sync.Mutex
	leaves map[uint64][]byte
	failed atomic.Int64
}

// write has n clients write, spread over the nodes, until ctx ends.
func (a *acknowledged) write(ctx context.Context, s *site, n int, name string) *sync.WaitGroup {
	var writers sync.WaitGroup
	for k := range n {
		app := s.client(context.WithoutCancel(ctx), k%s.Size(), "app")
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				number := fmt.Sprintf("%s-%d-%d", name, k, i)
				call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callWithin)
				r, err := put(call, app, number, "P5Y", []byte(number))
				cancel()
				if err != nil {
					a.failed.Add(1)
					continue
				}
				a.mu.Lock()
				a.leaves[r.GetHistorySequence()] = r.GetLeafHash()
				a.mu.Unlock()
			}
		})
	}
	return &writers
}

// everywhere wants every acknowledged record, byte for byte, in what each node
// serves of its own history.
func (a *acknowledged) everywhere(ctx context.Context, s *site) {
	s.t.Helper()
	for i := range s.Size() {
		records, _, err := s.client(ctx, i, "auditor").Records(ctx, &sagov1.HistoryServiceListRequest{All: true})
		must(s.t, err)
		have := map[uint64][]byte{}
		for _, r := range records {
			have[r.GetSequence()] = r.GetLeafHash()
		}
		lost := 0
		for seq, leaf := range a.leaves {
			if !bytes.Equal(have[seq], leaf) {
				lost++
			}
		}
		if lost > 0 || len(a.leaves) == 0 {
			s.t.Errorf("%s lacks %d of %d acknowledged records", s.Name(i), lost, len(a.leaves))
		}
	}
}

// TestRoot_AttacksOnLiveHistory has 64 clients write while the history files,
// sealed ones and those in use, are attacked as the daemon's own user and as root:
// every try is refused, and every record that was acknowledged is at every node.
func TestRoot_AttacksOnLiveHistory(t *testing.T) {
	ctx := bounded(t, 2*time.Minute)
	s := userSite(t, ctx)
	for i := range s.Size() { // an unclean stop seals a file
		must(t, s.Kill(i))
		must(t, s.Start(i))
		must(t, s.ReadyAt(ctx, i))
	}
	a := &acknowledged{leaves: map[uint64][]byte{}}
	writing, end := context.WithTimeout(ctx, 10*time.Second)
	defer end()
	writers := a.write(writing, s, 64, "A")
	tries := s.strikeAll(writing)
	writers.Wait()
	t.Logf("%d attacks, %d records acknowledged meanwhile, %d puts failed", tries, len(a.leaves), a.failed.Load())
	if a.failed.Load() > 0 {
		t.Errorf("%d puts failed under attacks that were refused", a.failed.Load())
	}
	s.healthy(ctx)
	a.everywhere(ctx, s)
	s.intact(ctx)
}

// strikeAll attacks every history file of every node until ctx ends.
func (s *site) strikeAll(ctx context.Context) (tries int) {
	s.t.Helper()
	for ctx.Err() == nil {
		for i := range s.Size() {
			files, err := filepath.Glob(filepath.Join(s.DataDir(i), "history", "*.his"))
			must(s.t, err)
			if len(files) < 2 {
				s.t.Fatalf("%s has no sealed history file: %v", s.Name(i), files)
			}
			for _, f := range files {
				for _, user := range []uint32{daemonUser, 0} {
					open, n := strike(user, f)
					if tries += n; len(open) > 0 {
						s.t.Fatalf("not refused: %s", strings.Join(open, "\n"))
					}
				}
			}
		}
	}
	return tries
}

// liveAttack is done to the data directory of a running node.
type liveAttack struct {
	name  string
	named string // what the node must name when it finds out; "": nothing is amiss
	try   func(data string) error
}

var noise = bytes.Repeat([]byte{0xA5}, 16<<10)

// over writes noise over a part of a file; instead puts a file of noise in its
// place.
func over(name string, at int64, n int) func(string) error {
	return func(data string) error {
		f, err := os.OpenFile(filepath.Join(data, name), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(noise[:n], at)
		return errors.Join(err, f.Close())
	}
}

func instead(name string) func(string) error {
	return func(data string) error {
		other := filepath.Join(data, "x")
		return errors.Join(os.WriteFile(other, noise, 0o600), os.Rename(other, filepath.Join(data, name)))
	}
}

// TestRoot_P45_DerivedFilesUnderARunningNode: history.tree and index.db carry no
// flag. Whoever runs the daemon can spoil them; the node finds it, and nothing is
// lost.
func TestRoot_P45_DerivedFilesUnderARunningNode(t *testing.T) {
	attackRunning(t, []liveAttack{
		{"history.tree overwritten", "history.tree", over("history.tree", 128, 64)},
		{"index.db overwritten", "index.db", over("index.db", 4096, len(noise))},
		{"history.tree replaced", "history.tree", instead("history.tree")},
		{"index.db removed", "", func(d string) error { return os.Remove(filepath.Join(d, "index.db")) }},
	})
}

// TestRoot_P45_LogAndFolderUnderARunningNode: neither does raft.db, a folder can
// be renamed, and what grows by appending can be appended to.
func TestRoot_P45_LogAndFolderUnderARunningNode(t *testing.T) {
	attackRunning(t, []liveAttack{
		{"raft.db cut", "damage in raft.db", func(d string) error { return os.Truncate(filepath.Join(d, "raft.db"), 9000) }},
		{"raft.db replaced", "damage in raft.db", instead("raft.db")},
		{"history folder renamed", "records 0 to ", func(d string) error {
			return os.Rename(filepath.Join(d, "history"), filepath.Join(d, "yrotsih"))
		}},
		{"history file appended to", " are missing", func(d string) error {
			f, err := os.OpenFile(filepath.Join(d, "history", "00000001.his"), os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.Write(noise[:100])
			return errors.Join(err, f.Close())
		}},
	})
}

// attackRunning does each attack to another node, as the daemon's user and while
// clients write, and kills the node then: it names the damage, at the latest as
// it starts, and comes back whole.
func attackRunning(t *testing.T, attacks []liveAttack) {
	t.Helper()
	ctx := bounded(t, 2*time.Minute)
	s := userSite(t, ctx)
	a := &acknowledged{leaves: map[uint64][]byte{}}
	for k, c := range attacks {
		victim := k % s.Size()
		a.writeFor(ctx, s, fmt.Sprint("B-", k))
		before, err := s.Log(victim)
		must(t, err)
		as(daemonUser, func() { err = c.try(s.DataDir(victim)) })
		must(t, err)
		a.writeFor(ctx, s, fmt.Sprint("D-", k))
		must(t, s.Kill(victim))
		must(t, s.Start(victim))
		must(t, s.ReadyAt(ctx, victim))
		s.healthy(ctx)
		log, err := s.Log(victim)
		must(t, err)
		found := findings(log[len(before):])
		t.Logf("%s: %s", c.name, found)
		if (found == "") != (c.named == "") || !strings.Contains(found, c.named) {
			t.Errorf("%s: the log names no %q", c.name, c.named)
		}
	}
	a.everywhere(ctx, s)
	s.intact(ctx)
}

// writeFor has some clients write for a moment; one node may be failing.
func (a *acknowledged) writeFor(ctx context.Context, s *site, name string) {
	writing, end := context.WithTimeout(ctx, 500*time.Millisecond)
	defer end()
	a.write(writing, s, 6, name).Wait()
}

// findings are the log's words about damage, of each message the first.
func findings(log string) string {
	var found []string
	said := map[string]bool{}
	for line := range strings.Lines(log) {
		var entry struct{ Msg string }
		_ = json.Unmarshal([]byte(line), &entry)
		if said[entry.Msg] || !strings.Contains(line, "damage") && !strings.Contains(line, "not used again") {
			continue
		}
		said[entry.Msg] = true
		found = append(found, strings.TrimSpace(line))
	}
	return strings.Join(found, "\n")
}
