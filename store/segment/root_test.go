package segment

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
)

// The inode flags of linux/fs.h, which x/sys does not have.
const (
	flagAppend    = 0x20
	flagImmutable = 0x10
)

// setFlags adds the append-only or the immutable flag, or clears both.
func setFlags(path string, set int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	v, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	v &^= flagAppend | flagImmutable
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(v)|set); err != nil {
		return err
	}
	return f.Sync()
}

// flaggedFiles sets the real flags, and clears them when the test ends.
func flaggedFiles(t *testing.T, dir string) *realFiles {
	t.Helper()
	probe := filepath.Join(dir, "probe")
	mustWriteFile(t, probe, nil)
	if err := setFlags(probe, flagAppend); err != nil {
		t.Skipf("inode flags need root and a file system that has them: %v", err)
	}
	if err := setFlags(probe, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		paths, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
		for _, p := range paths {
			if err := setFlags(p, 0); err != nil {
				t.Errorf("clearing flags of %s: %v", p, err)
			}
		}
	})
	files := newFiles(dir)
	files.flags = func(path string, sealed bool) error {
		if sealed {
			return setFlags(path, flagAppend|flagImmutable)
		}
		return setFlags(path, flagAppend)
	}
	return files
}

func TestRoot_WritesUnderTheAppendOnlyFlag(t *testing.T) {
	dir := t.TempDir()
	o := options(dir, false)
	o.Files = flaggedFiles(t, dir)
	s := mustOpen(t, o, Position{})
	a, b := chunkOf(1, 100), chunkOf(2, 100)
	at := mustAppend(t, s, a)
	if err := os.Truncate(segmentPath(dir, 1), 10); !errors.Is(err, unix.EPERM) {
		t.Fatalf("cut a flagged file: %v", err)
	}
	if err := s.Roll(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(segmentPath(dir, 1)); !errors.Is(err, unix.EPERM) {
		t.Fatalf("removed a sealed file: %v", err)
	}
	at = append(at, mustAppend(t, s, b)...)
	if err := s.files.Abandon(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(segmentPath(dir, 2), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(chunkOf(3, 50).Encode()); err != nil { // a header whose ciphertext never came
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o, Position{})
	if s.Position() != (Position{3, format.FileHeaderSize}) {
		t.Fatalf("position %+v", s.Position())
	}
	checkRead(t, s, at[0], a)
	checkRead(t, s, at[1], b)
	mustClose(t, s)
}

func TestRoot_P57_PartialWriteOnAFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("a small file system needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	filler := filepath.Join(dir, "filler")
	mustWriteFile(t, filler, make([]byte, 40<<10))
	o := options(dir, false)
	s := mustOpen(t, o, Position{})
	small, big := chunkOf(1, 9000), chunkOf(2, 90<<10)
	at := mustAppend(t, s, small)
	if _, err := s.Append([]format.Chunk{big}); !errors.Is(err, ErrFull) {
		t.Fatalf("append: %v", err)
	}
	info, err := os.Stat(segmentPath(dir, 1))
	if err != nil || info.Size() <= at[0].Offset+format.ChunkHeaderSize+9000 {
		t.Fatalf("no partial write here: %v, %v", info.Size(), err)
	}
	checkRead(t, s, at[0], small)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	got := mustAppend(t, s, chunkOf(3, 500))
	if got[0].File != 2 {
		t.Fatalf("went on in file %d", got[0].File)
	}
	mustClose(t, s)
	o.Clean = true
	if s = mustOpen(t, o, Position{}); len(s.entries) != 2 {
		t.Fatalf("%d entries", len(s.entries))
	}
	mustClose(t, s)
}
