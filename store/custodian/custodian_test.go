package custodian

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// TestRoot_FlagsFromTheFirstByteToTheSeal tries on a real file system what the
// flags must refuse, as root.
func TestRoot_FlagsFromTheFirstByteToTheSeal(t *testing.T) {
	dir := t.TempDir()
	l := newLocal(t, dir)
	needFlags(t, l)
	f, err := l.Create(segmentOne)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := filepath.Join(dir, segmentOne)
	if got := fileFlags(t, path); got != flagAppend {
		t.Fatalf("flags %#x before the first byte", got)
	}
	if _, err := f.Write([]byte("record")); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() error{
		"open for writing": func() error { _, err := os.OpenFile(path, os.O_WRONLY, 0); return err },
		"truncate":         func() error { return os.Truncate(path, 0) },
		"truncate by fd":   func() error { return f.Truncate(0) },
		"unlink":           func() error { return os.Remove(path) },
		"rename":           func() error { return os.Rename(path, path+"x") },
		"clear O_APPEND":   func() error { _, err := unix.FcntlInt(f.Fd(), unix.F_SETFL, 0); return err },
		"punch": func() error {
			return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 6)
		},
	} {
		if err := try(); !errors.Is(err, unix.EPERM) {
			t.Errorf("append-only: %s: %v", name, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Seal(segmentOne); err != nil {
		t.Fatal(err)
	}
	if got := fileFlags(t, path); got != flagAppend|flagImmutable {
		t.Fatalf("flags %#x after the seal", got)
	}
	if _, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("appending to a sealed file: %v", err)
	}
}

func TestWritersAndSeals(t *testing.T) {
	dir := t.TempDir()
	l := newLocal(t, dir)
	f, err := l.Create(segmentOne)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Create(segmentOne); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("created twice: %v", err)
	}
	if err := l.Seal(segmentOne); !errors.Is(err, ErrWriter) {
		t.Fatalf("sealed under a writer: %v", err)
	}
	f.Close()
	if f, err = l.Append(segmentOne); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for range 2 {
		if err := l.Seal(segmentOne); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Append(segmentOne); !errors.Is(err, ErrSealed) {
		t.Fatalf("appending to a sealed file: %v", err)
	}
}

func TestNamesStayInTheirRooms(t *testing.T) {
	l := newLocal(t, t.TempDir())
	for _, name := range []string{"", "x", "../x", "segments", "segments/", "segments/../x", "segments/a/b", "/segments/x", "keys/x.kb", "index.db"} {
		if _, err := l.Create(name); !errors.Is(err, ErrName) {
			t.Errorf("Create(%q): %v", name, err)
		}
	}
	if err := l.CreateBlock(segmentOne, nil); !errors.Is(err, ErrName) {
		t.Error(err)
	}
}

// TestReassertSetsWhatACrashLeft clears all flags, as a crash inside a destruction
// leaves them.
func TestReassertSetsWhatACrashLeft(t *testing.T) {
	h := newHouse(t, t.TempDir())
	needFlags(t, h.Local)
	if err := ClearTree(h.dir); err != nil {
		t.Fatal(err)
	}
	h.restart(t)
	for name, want := range map[string]uint32{segmentOne: flagAppend | flagImmutable, keyring.FileName(h.block.ID): flagImmutable} {
		if got := fileFlags(t, filepath.Join(h.dir, name)); got != want {
			t.Errorf("%s: flags %#x, want %#x", name, got, want)
		}
	}
}

func TestMendOnlyWhatIsDamaged(t *testing.T) {
	h := newHouse(t, t.TempDir())
	name, path := keyring.FileName(h.block.ID), filepath.Join(h.dir, keyring.FileName(h.block.ID))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	slot := b[keyring.SlotOffset(2):keyring.SlotOffset(3)]
	rewrite := func() error { return h.RewriteSlot(name, keyring.SlotOffset(2), slot) }
	if err := rewrite(); !errors.Is(err, keyring.ErrNotDamaged) {
		t.Fatalf("over a live slot: %v", err)
	}
	if err := h.RewriteHeader(name, b[:format.FileHeaderSize]); !errors.Is(err, keyring.ErrNotDamaged) {
		t.Fatalf("over a good header: %v", err)
	}
	damage(t, h, keyring.SlotOffset(2)+9)
	damage(t, h, 40)
	if err := h.RewriteSlot(name, keyring.SlotOffset(2), keyring.ErasedSlot()); err == nil {
		t.Fatal("mending erased a slot without a warrant")
	}
	if err := errors.Join(rewrite(), h.RewriteHeader(name, b[:format.FileHeaderSize])); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != string(b) {
		t.Fatal("the block is not what it was", err)
	}
	work := Work{Bundle: 7, Slots: []format.Slot{{Block: h.block.ID, Index: 2}}}
	if _, err := h.Destroy(t.Context(), warrantFor(t, 7), work); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(); !errors.Is(err, keyring.ErrNotDamaged) {
		t.Fatalf("P37: over an erased slot: %v", err)
	}
}

// damage changes one byte of the key block, flags or not.
func damage(t *testing.T, h house, at int64) {
	t.Helper()
	err := h.opened(filepath.Join(h.dir, keyring.FileName(h.block.ID)), flagImmutable, func(f *os.File) error {
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, at); err != nil {
			return err
		}
		_, err := f.WriteAt([]byte{^b[0]}, at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestUnfinishedBlocksAreWiped leaves what a crash in CreateBlock leaves.
func TestUnfinishedBlocksAreWiped(t *testing.T) {
	h := newHouse(t, t.TempDir())
	temp := filepath.Join(h.dir, keyring.FileName(format.ID{9})+newSuffix)
	if err := os.WriteFile(temp, []byte("half a block of sealed keys"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "still-open")
	if err := os.Link(temp, again); err != nil {
		t.Fatal(err)
	}
	h.restart(t)
	if _, err := os.Stat(temp); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(again); err != nil || strings.Trim(string(b), "\x00") != "" {
		t.Fatalf("bytes left: %q, %v", b, err)
	}
	if err := h.CreateBlock(keyring.FileName(h.block.ID), []byte("other")); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("a block was replaced: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(h.dir, "keys", "*"+newSuffix)); len(left) != 0 {
		t.Fatal(left)
	}
	h.slotStates(t)
}

func TestJudgeFilesystem(t *testing.T) {
	for _, c := range []struct {
		name    string
		magic   int64
		options []string
		flags   uint32
		ok      bool
	}{
		{"ext4", unix.EXT4_SUPER_MAGIC, []string{"rw", "data=ordered"}, 0, true},
		{"ext4 journalling data", unix.EXT4_SUPER_MAGIC, []string{"rw", "data=journal"}, 0, false},
		{"ext4 directory with +j", unix.EXT4_SUPER_MAGIC, nil, flagJournalData, false},
		{"xfs", unix.XFS_SUPER_MAGIC, nil, 0, true},
		{"tmpfs", unix.TMPFS_MAGIC, nil, 0, true},
		{"overlayfs", unix.OVERLAYFS_SUPER_MAGIC, nil, 0, true},
		{"btrfs", unix.BTRFS_SUPER_MAGIC, nil, 0, false},
		{"zfs", magicZFS, nil, 0, false},
		{"nfs", unix.NFS_SUPER_MAGIC, nil, 0, false},
		{"unknown", 0x12345, nil, 0, false},
	} {
		if _, err := judgeFilesystem(c.magic, c.options, c.flags); (err == nil) != c.ok || (err != nil && !errors.Is(err, ErrFilesystem)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	table := "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext4 /dev/root rw,data=journal\n37 35 98:1 / / rw - xfs /dev/x rw\nbroken\n"
	if got := mountOptions(table, "98:0"); !slices.Equal(got, []string{"rw", "data=journal"}) {
		t.Errorf("options %v", got)
	}
}

// TestUnprivileged runs the house without the right to set flags: everything
// works, and Protection says what is missing. Root starts itself again as another
// user for it.
func TestUnprivileged(t *testing.T) {
	const variable, user = "SAGO_TEST_UNPRIVILEGED_DIR", 12345
	if os.Geteuid() != 0 {
		unprivileged(t, t.TempDir())
		return
	}
	if dir := os.Getenv(variable); dir != "" {
		t.Fatal("still root in the child")
	}
	dir := t.TempDir()
	binary, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	child := filepath.Join(dir, "test")
	err = errors.Join(os.WriteFile(child, binary, 0o700), os.Chown(child, user, user),
		os.Chown(dir, user, user), os.Chmod(filepath.Dir(dir), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), child, "-test.run=^TestUnprivileged$", "-test.v")
	cmd.Dir = dir
	cmd.Env = []string{variable + "=" + dir, "TMPDIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestUnprivileged") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func unprivileged(t *testing.T, dir string) {
	h := newHouse(t, dir)
	p := h.Protection()
	if p.AppendOnly || p.Immutable || p.Split || len(p.Notes) == 0 || !strings.Contains(p.String(), "NOT active") {
		t.Fatalf("protection: %s", p)
	}
	if done, err := h.Destroy(t.Context(), warrantFor(t, 7), h.work()); err != nil || done.Slots != 2 {
		t.Fatal(done, err)
	}
	if got := fmt.Sprint(erased(t, dir, segmentOne, 0), h.slotStates(t)); got != "[1 4] [1 3]" {
		t.Fatal(got)
	}
}
