package custodian

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

const (
	segmentOne = "segments/00000001.seg"
	segmentTwo = "segments/00000002.seg"
	recordSize = 5000 // not aligned to anything
	records    = 6
)

// yes and no are judges.
type yes struct{}

func (yes) Judge(Warrant, uint64) error { return nil }

func (yes) JudgeUnused(Warrant, []format.Slot) error { return nil }

func (yes) JudgeHistory(Warrant, []string) error { return nil }

type no struct{}

func (no) JudgeHistory(Warrant, []string) error { return errNo }

var errNo = errors.New("no checkpoint covers it")

func (no) Judge(Warrant, uint64) error { return errNo }

func (no) JudgeUnused(Warrant, []format.Slot) error { return errNo }

// house is a small data directory: two sealed segments of marked records and a
// key block.
type house struct {
	dir   string
	block keyring.Block
	ring  *keyring.Ring
	*Local
}

func newLocal(t *testing.T, dir string) *Local {
	t.Helper()
	l, err := NewLocal(dir, Options{Judge: yes{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ClearTree(dir); err != nil {
			t.Error(err)
		}
	})
	return l
}

func newHouse(t *testing.T, dir string) house {
	t.Helper()
	h := house{dir: dir, Local: newLocal(t, dir)}
	for i, name := range []string{segmentOne, segmentTwo} {
		writeSegment(t, h.Local, name, byte(i))
		if err := h.Seal(name); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if h.ring, err = keyring.Open(dir, keyring.RootKey{1}, format.ID{2}, h.Local); err != nil {
		t.Fatal(err)
	}
	if h.block, err = keyring.NewBlock(rand.Reader, 1, 4); err != nil {
		t.Fatal(err)
	}
	if err := h.ring.Install(h.block); err != nil {
		t.Fatal(err)
	}
	return h
}

func writeSegment(t *testing.T, l *Local, name string, file byte) {
	t.Helper()
	f, err := l.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, format.FileHeaderSize)
	for i := range records {
		b = append(b, record(file, i)...)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func record(file byte, i int) []byte {
	return bytes.Repeat([]byte{'F', '0' + file, 'R', '0' + byte(i), '|'}, recordSize/5)
}

func rangeOf(name string, i int) Range {
	return Range{File: name, Offset: format.FileHeaderSize + int64(i)*recordSize, Length: recordSize}
}

// restart is what a start after a crash does.
func (h *house) restart(t *testing.T) {
	t.Helper()
	h.Local = newLocal(t, h.dir)
	for _, name := range []string{segmentOne, segmentTwo, keyring.FileName(h.block.ID)} {
		if err := h.Reassert(name, true); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// work is one bundle with two chunks in the first segment and one in the second.
func (h *house) work() Work {
	return Work{
		Bundle: 7,
		Slots:  []format.Slot{{Block: h.block.ID, Index: 1}, {Block: h.block.ID, Index: 3}},
		Ranges: []Range{rangeOf(segmentOne, 1), rangeOf(segmentOne, 4), rangeOf(segmentTwo, 0)},
	}
}

func warrantFor(t *testing.T, bundle uint64) Warrant {
	t.Helper()
	rule, err := retention.ParseRule("PT1H")
	if err != nil {
		t.Fatal(err)
	}
	r, err := retention.New(rule, retention.BasisStatute, retention.DefaultBounds(), 1)
	if err == nil {
		r, err = r.Started(1)
	}
	if err != nil {
		t.Fatal(err)
	}
	permit, err := r.Expire(retention.RecordID(bundle), r.End())
	if err != nil {
		t.Fatal(err)
	}
	return Warrant{Permit: permit, Decision: []byte("EXPIRE")}
}

// erased says which records read as zeros; every other record must be whole.
func erased(t *testing.T, dir, name string, file byte) (gone []int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != format.FileHeaderSize+records*recordSize {
		t.Fatalf("%s has %d bytes", name, len(b))
	}
	for i := range records {
		got := b[format.FileHeaderSize+i*recordSize:][:recordSize]
		switch {
		case bytes.Equal(got, make([]byte, recordSize)):
			gone = append(gone, i)
		case !bytes.Equal(got, record(file, i)):
			return append(gone, -1-i) // partly overwritten
		}
	}
	return gone
}

// slotStates opens every slot.
func (h *house) slotStates(t *testing.T) (erased []int) {
	t.Helper()
	for i := range h.block.Keys {
		key, err := h.ring.Key(format.Slot{Block: h.block.ID, Index: uint32(i)})
		switch {
		case errors.Is(err, keyring.ErrErased):
			erased = append(erased, i)
		case err != nil || key != h.block.Keys[i]:
			t.Fatalf("slot %d: %v", i, err)
		}
	}
	return erased
}

func fileFlags(t *testing.T, path string) uint32 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flags, err := getFlags(f)
	if err != nil {
		t.Skipf("no inode flags here: %v", err)
	}
	return flags & (flagAppend | flagImmutable)
}

// needFlags skips unless flags can really be set here.
func needFlags(t *testing.T, l *Local) {
	t.Helper()
	if p := l.Protection(); !p.AppendOnly || !p.Immutable {
		t.Skip("needs root on a file system with inode flags: ", p)
	}
}
