package custodian

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/keyring"
)

// TestRoot_P35_ErasedBytesAreGoneFromTheDevice destroys a bundle on a file system
// of its own and looks for its bytes in the raw image, journal included.
func TestRoot_P35_ErasedBytesAreGoneFromTheDevice(t *testing.T) {
	for _, discard := range []string{"nodiscard", "discard"} {
		t.Run(discard, func(t *testing.T) {
			image, mount := mountLoop(t, discard)
			h := newHouse(t, mount)
			slot := readAt(t, filepath.Join(mount, keyring.FileName(h.block.ID)), keyring.SlotOffset(1), keyring.SlotSize)
			run(t, "sync", "-f", mount)
			if count(t, image, record(0, 1)[:50]) == 0 || count(t, image, slot) == 0 {
				t.Fatal("the bytes are not even on the device before")
			}
			if _, err := h.Destroy(t.Context(), warrantFor(t, 7), h.work()); err != nil {
				t.Fatal(err)
			}
			for name, what := range map[string][]byte{"payload": record(0, 1)[:50], "second range": record(0, 4)[:50], "key slot": slot} {
				if n := count(t, image, what); n != 0 {
					t.Errorf("%s: %d times on the device after its destruction", name, n)
				}
			}
			if count(t, image, record(0, 2)[:50]) == 0 || h.state(t) != finished {
				t.Error("neighbours are not intact")
			}
		})
	}
}

// TestRoot_P70_FullDiskErases fills the disk to the last block: a destruction, and
// the same one again, need no room.
func TestRoot_P70_FullDiskErases(t *testing.T) {
	_, mount := mountLoop(t, "discard")
	h := newHouse(t, mount)
	for range 2 {
		fill(t, mount)
		if _, err := h.Destroy(t.Context(), warrantFor(t, 7), h.work()); err != nil {
			t.Fatal(err)
		}
		if got := h.state(t); got != finished {
			t.Fatal(got)
		}
	}
}

// fill writes until there is no room, with ever smaller pieces.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.CreateTemp(dir, "fill")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := 1 << 20; n > 0; n /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

func TestRoot_DataJournalIsRefused(t *testing.T) {
	_, mount := mountLoop(t, "data=journal")
	if _, err := NewLocal(mount, Options{}); !errors.Is(err, ErrFilesystem) {
		t.Fatal(err)
	}
}

// mountLoop makes a small ext4 in an image file and mounts it.
func mountLoop(t *testing.T, options string) (image, mount string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a loop device")
	}
	dir := t.TempDir()
	image, mount = filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 32<<20), os.Mkdir(mount, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"mkfs.ext4", "losetup", "mount", "umount", "sync"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs ", tool)
		}
	}
	run(t, "mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=0,nodiscard", image)
	out, err := exec.Command("losetup", "-f", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { run(t, "losetup", "-d", device) })
	run(t, "mount", "-o", options, device, mount)
	t.Cleanup(func() { run(t, "umount", mount) })
	return image, mount
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v: %s", name, args, err, out)
	}
}

func readAt(t *testing.T, path string, at int64, n int) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b[at : at+int64(n)]
}

// count looks into the image file itself: a buffered read of the loop device shows
// stale pages.
func count(t *testing.T, image string, what []byte) int {
	t.Helper()
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, what)
}
