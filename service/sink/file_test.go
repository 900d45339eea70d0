package sink

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
)

// settled waits until everything that p has is safe.
func settled(t *testing.T, s *Sink, p *past) {
	t.Helper()
	await(t, "everything is sent", func() bool { return s.position().next == p.DurableSize() })
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

// TestP59_OnlyDurableAppliedRecords: neither a record that a power cut may take
// nor one that is not applied is sent; the others come as they become so.
func TestP59_OnlyDurableAppliedRecords(t *testing.T) {
	p := &past{}
	p.add(40)
	p.durable, p.applied = 30, 20
	o, _ := optionsFor(t.TempDir(), p)
	s := start(t, o)
	await(t, "twenty", func() bool { return s.position().next == 20 })
	p.mu.Lock()
	p.applied = 40
	p.mu.Unlock()
	await(t, "thirty", func() bool { return s.position().next == 30 })
	if got := read(t, o.File); got != p.lines(t, 0, 30) {
		t.Errorf("the file holds %q", got)
	}
	if st, err := os.Stat(o.File); err != nil || st.Mode().Perm() != fileMode {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// TestP59_FileTornAtEveryByte: whatever a crash left of the file, it ends up with
// every line once.
func TestP59_FileTornAtEveryByte(t *testing.T) {
	p := &past{}
	p.add(4)
	whole := p.lines(t, 0, 4)
	o, _ := optionsFor(t.TempDir(), p)
	ctx := context.Background()
	for cut := range len(whole) + 1 {
		must(t, os.WriteFile(o.File, []byte(whole[:cut]), 0o600))
		s := &Sink{opts: o}
		target, at, err := s.open(ctx)
		must(t, err)
		_, err = s.forward(ctx, target, at, s.size())
		must(t, errors.Join(err, target.close()))
		if got := read(t, o.File); got != whole {
			t.Fatalf("cut at %d: %q", cut, got)
		}
	}
}

// TestP59_GarbledEnd: bytes that a power cut left at the end, or in the middle of
// what was not synced, are ended as a line of their own; every record is there.
func TestP59_GarbledEnd(t *testing.T) {
	p := &past{}
	p.add(9)
	for name, file := range map[string]string{
		"zeros at the end":    p.lines(t, 0, 5) + "\x00\x00\x00",
		"zeros in the middle": p.lines(t, 0, 3) + strings.Repeat("\x00", 700) + "\n" + p.lines(t, 4, 6),
		"nothing whole":       "\x00\x00",
		"again and again":     p.lines(t, 0, 5) + p.lines(t, 2, 5) + "{\"sequence\":5",
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := optionsFor(t.TempDir(), p)
			must(t, os.WriteFile(o.File, []byte(file), 0o600))
			s := start(t, o)
			settled(t, s, p)
			got := read(t, o.File)
			if !strings.HasPrefix(got, file) {
				t.Errorf("what was there was changed: %q", got)
			}
			complete(t, got, 9)
		})
	}
}

// complete wants every record up to n in the lines of a file, each as it is.
func complete(t *testing.T, text string, n int) {
	t.Helper()
	found := map[uint64]format.Digest{}
	for l := range strings.Lines(text) {
		if at, err := decodeLine([]byte(strings.TrimSuffix(l, "\n"))); err == nil {
			if was, ok := found[at.sequence]; ok && was != at.leaf {
				t.Errorf("two records %d", at.sequence)
			}
			found[at.sequence] = at.leaf
		}
	}
	for seq := range n {
		if _, ok := found[uint64(seq)]; !ok {
			t.Errorf("record %d is missing", seq)
		}
	}
}

// TestRotatedFile: a file that the site moves away is left whole, and its
// successor goes on behind it, also when nobody ran at that moment.
func TestRotatedFile(t *testing.T) {
	p := &past{}
	p.add(10)
	o, _ := optionsFor(t.TempDir(), p)
	s := start(t, o)
	settled(t, s, p)
	must(t, os.Rename(o.File, o.File+".1"))
	p.add(10)
	settled(t, s, p)
	// Lines that were written before the rotation was noticed are in the old file.
	await(t, "a new file", func() bool { _, err := os.Stat(o.File); return err == nil })
	p.add(10)
	settled(t, s, p)
	stop(t, s)
	must(t, os.Rename(o.File, o.File+".2"))
	p.add(10)
	s = start(t, o)
	settled(t, s, p)
	if all := read(t, o.File+".1") + read(t, o.File+".2") + read(t, o.File); all != p.lines(t, 0, 40) {
		t.Errorf("the three files: %q", all)
	}
}

// TestForeignFileIsLeftAlone: neither a file of something else nor the lines of
// another history are added to.
func TestForeignFileIsLeftAlone(t *testing.T) {
	p, other := &past{}, &past{}
	p.add(3)
	other.add(3)
	other.records[2][20] ^= 1
	for name, c := range map[string]struct {
		file string
		want error
	}{
		"prose":           {"Dear diary,\n", errNotOurs},
		"another history": {other.lines(t, 0, 3), errOther},
		"a longer one":    {func() string { p := &past{}; p.add(5); return p.lines(t, 0, 5) }(), errAhead},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := optionsFor(t.TempDir(), p)
			must(t, os.WriteFile(o.File, []byte(c.file), 0o600))
			s := &Sink{opts: o}
			if _, _, err := s.open(context.Background()); !errors.Is(err, c.want) {
				t.Errorf("%v", err)
			}
			if got := read(t, o.File); got != c.file {
				t.Errorf("the file became %q", got)
			}
		})
	}
}

// TestErasedBeforeSent: what the history holds no more is named, and the rest
// comes.
func TestErasedBeforeSent(t *testing.T) {
	p := &past{first: 300}
	p.add(310)
	o, log := optionsFor(t.TempDir(), p)
	s := start(t, o)
	settled(t, s, p)
	if got := read(t, o.File); got != p.lines(t, 300, 310) {
		t.Errorf("the file holds %q", got)
	}
	st := s.Status(context.Background())
	if st.Erased != 300 || !strings.Contains(st.String(), "300 records were erased before they were sent") || log.count("were erased before they were sent") == 0 {
		t.Errorf("status %q", st)
	}
}

// TestDamagedCursor: everything is sent again rather than nothing.
func TestDamagedCursor(t *testing.T) {
	p := &past{}
	p.add(5)
	o, _ := optionsFor(t.TempDir(), p)
	s := start(t, o)
	settled(t, s, p)
	stop(t, s)
	text := read(t, o.Cursor)
	for at := range text {
		if _, err := readCursor(o.Cursor); err != nil {
			t.Fatal(err)
		}
		must(t, os.WriteFile(o.Cursor, []byte(text[:at]+string(text[at]^1)+text[at+1:]), 0o600))
		if _, err := readCursor(o.Cursor); !errors.Is(err, errCursor) {
			t.Errorf("byte %d flipped: %v", at, err)
		}
		must(t, os.WriteFile(o.Cursor, []byte(text), 0o600))
	}
	must(t, os.WriteFile(o.Cursor, []byte(text[:9]), 0o600))
	must(t, os.Remove(o.File))
	s = start(t, o)
	settled(t, s, p)
	if got := read(t, o.File); got != p.lines(t, 0, 5) {
		t.Errorf("the file holds %q", got)
	}
}

// TestP59_FileThatFails: a place that cannot be written is tried again and
// reported once; the history does not wait for it.
func TestP59_FileThatFails(t *testing.T) {
	p := &past{}
	p.add(5)
	o, log := optionsFor(t.TempDir(), p)
	o.Patience = 1
	must(t, os.Mkdir(o.File, 0o700))
	s := start(t, o)
	await(t, "it lags", func() bool { return log.count("sink lags") == 1 })
	if st := s.Status(context.Background()); st.Behind != 5 || st.Err == nil || !strings.HasPrefix(st.String(), "history sink: 5 records behind: ") {
		t.Errorf("status %q", st)
	}
	must(t, os.Remove(o.File))
	settled(t, s, p)
	await(t, "it has caught up", func() bool { return log.count("has caught up") == 1 })
	if st := s.Status(context.Background()); st != (Status{}) {
		t.Errorf("status %+v", st)
	}
}

// TestRoot_P59_FullDisk: a disk that is full in the middle of a line costs nothing
// once there is room again.
func TestRoot_P59_FullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("sink", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system needs root: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	p := &past{}
	p.add(1000)
	o, _ := optionsFor(t.TempDir(), p)
	o.File = filepath.Join(dir, "out.jsonl")
	s := start(t, o)
	await(t, "the full disk", func() bool { return errors.Is(s.Status(context.Background()).Err, unix.ENOSPC) })
	must(t, unix.Mount("sink", dir, "tmpfs", unix.MS_REMOUNT, "size=4m"))
	settled(t, s, p)
	if read(t, o.File) != p.lines(t, 0, 1000) {
		t.Error("the file does not hold every line once")
	}
	stop(t, s)
}

// TestP48_SinkTellsOfARollback: what the sink was sent and the history lacks, or
// has otherwise, is said as an error once it has lasted.
func TestP48_SinkTellsOfARollback(t *testing.T) {
	for name, sent := range map[string]int{"shorter": 5, "other": 3} {
		t.Run(name, func(t *testing.T) {
			p, before := &past{}, &past{}
			p.add(3)
			before.add(sent)
			before.records[2][20] ^= byte(5 - sent)
			o, log := optionsFor(t.TempDir(), p)
			o.Patience = 50 * time.Millisecond
			must(t, os.WriteFile(o.File, []byte(before.lines(t, 0, sent)), 0o600))
			start(t, o)
			await(t, "the rollback to be told", func() bool { return log.count("level=ERROR msg=\"ROLLBACK: ") == 1 })
		})
	}
}
