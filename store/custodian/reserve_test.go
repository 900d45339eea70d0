package custodian

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// blocksOf is how many bytes of a disk a file takes.
func blocksOf(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// TestRoot_P70_Reserve fills a disk behind a reserve: a claim takes its blocks from
// it and the claimed writes succeed, payload stops at half of it, and it is whole
// again when there is room.
func TestRoot_P70_Reserve(t *testing.T) {
	_, mount := mountLoop(t, "discard")
	r, err := OpenReserve(mount)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	whole := blocksOf(t, filepath.Join(mount, ReserveFile))
	if whole < 3<<20 {
		t.Fatalf("a reserve of %d bytes", whole)
	}
	fill(t, mount)
	if room, err := r.Refill(); err != nil || room != 0 {
		t.Errorf("a full disk has room for %d bytes, %v", room, err)
	}
	log, err := os.OpenFile(filepath.Join(mount, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := r.Claim(log, 300<<10); err != nil {
		t.Fatal(err)
	}
	fill(t, mount) // another wave: what is claimed is not free
	for range 3 {
		if _, err := log.Write(make([]byte, 100<<10)); err != nil {
			t.Fatalf("a claimed write: %v", err)
		}
	}
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
	if left := blocksOf(t, filepath.Join(mount, ReserveFile)); left >= whole {
		t.Errorf("the reserve has %d of %d bytes and gave some", left, whole)
	}
	if ok, err := r.Take(whole); ok || err != nil {
		t.Errorf("payload takes the whole reserve: %v, %v", ok, err)
	}
	if err := r.Keep(); err != nil {
		t.Fatal(err)
	}
	if free, err := Free(mount); err != nil || free == 0 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
	names, err := filepath.Glob(filepath.Join(mount, "fill*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	room, err := r.Refill()
	if err != nil || blocksOf(t, filepath.Join(mount, ReserveFile)) < whole {
		t.Errorf("with room again the reserve has %d of %d bytes, %v", blocksOf(t, filepath.Join(mount, ReserveFile)), whole, err)
	}
	if ok, err := r.Take(1 << 10); room > 0 && !ok || err != nil {
		t.Errorf("payload with room for %d: %v, %v", room, ok, err)
	}
}

func TestRunsOfSlots(t *testing.T) {
	var got [][]uint32
	for run := range runs([]uint32{7, 3, 4, 9, 4, 8, 0}) {
		got = append(got, run)
	}
	want := [][]uint32{{0}, {3, 4}, {7, 8, 9}}
	if !slices.EqualFunc(got, want, slices.Equal[[]uint32]) {
		t.Errorf("%v, want %v", got, want)
	}
	for range runs(nil) {
		t.Error("a run of nothing")
	}
}

func TestHoldsBlock(t *testing.T) {
	for _, c := range []struct {
		offset, length int64
		want           bool
	}{{0, 4096, true}, {1, 4096, false}, {1, 8191, true}, {4000, 600, false}, {4095, 4097, true}, {0, 4095, false}} {
		if got := holdsBlock(c.offset, c.length, 4096); got != c.want {
			t.Errorf("%d bytes at %d: %v", c.length, c.offset, got)
		}
	}
}
