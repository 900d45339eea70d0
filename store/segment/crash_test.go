package segment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// threeChunks writes a closed store of one file and returns where the chunks are.
func threeChunks(t *testing.T) (dir string, chunks []format.Chunk, at []Location) {
	t.Helper()
	dir = scratch(t)
	s := mustOpen(t, options(dir, false), Position{})
	chunks = []format.Chunk{chunkOf(1, 40), chunkOf(2, 33), chunkOf(3, 50)}
	at = mustAppend(t, s, chunks...)
	mustClose(t, s)
	return dir, chunks, at
}

func TestP64_TornAtEveryByteOfTheLastChunk(t *testing.T) {
	dir, chunks, at := threeChunks(t)
	whole := mustReadFile(t, segmentPath(dir, 1))
	for cut := at[2].Offset; cut < int64(len(whole)); cut++ {
		for _, torn := range [][]byte{
			whole[:cut],
			append(bytes.Clone(whole[:cut]), make([]byte, int64(len(whole))-cut)...), // length there, data not
		} {
			if bytes.Equal(torn, whole) {
				continue
			}
			spoilt := copyDir(t, dir)
			mustWriteFile(t, segmentPath(spoilt, 1), torn)
			if cut > at[2].Offset || int64(len(torn)) > cut {
				_, err := open(t, options(spoilt, true), Position{})
				wantDamage(t, err)
				if got := mustReadFile(t, segmentPath(spoilt, 1)); !bytes.Equal(got, torn) {
					t.Fatal("a refused open changed the file")
				}
			}
			checkSealedTail(t, spoilt, torn, chunks, at)
		}
	}
}

// checkSealedTail opens after an unclean stop, twice, and checks what the new file
// states about the torn one.
func checkSealedTail(t *testing.T, dir string, torn []byte, chunks []format.Chunk, at []Location) {
	t.Helper()
	s := mustOpen(t, options(dir, false), Position{})
	if len(s.entries) != 2 || s.Position() != (Position{2, format.FileHeaderSize}) || !s.Sealed(1) {
		t.Fatalf("%d entries, position %+v", len(s.entries), s.Position())
	}
	h, err := format.DecodeFileHeader(format.KindSegment, mustReadFile(t, segmentPath(dir, 2)))
	if err != nil || int64(h.PrevGood) != at[2].Offset || h.PrevTorn != sha256.Sum256(torn[at[2].Offset:]) {
		t.Fatalf("statement %+v, %v", h, err)
	}
	if _, err := s.Read(at[2], chunks[2].ChunkHeader); err == nil {
		t.Fatal("read a torn chunk")
	}
	again := mustAppend(t, s, chunks[2])
	checkRead(t, s, again[0], chunks[2])
	checkRead(t, s, at[1], chunks[1])
	mustClose(t, s)
	if got := mustReadFile(t, segmentPath(dir, 1)); !bytes.Equal(got, torn) {
		t.Fatal("the torn file was changed")
	}
	if s = mustOpen(t, options(dir, true), Position{}); len(s.entries) != 3 {
		t.Fatalf("reopened: %d entries", len(s.entries))
	}
	mustClose(t, s)
}

func TestP52_EveryFlippedByteIsFound(t *testing.T) {
	dir, chunks, at := threeChunks(t)
	s := mustOpen(t, options(dir, false), Position{}) // unclean: the first file is sealed
	last := chunkOf(4, 30)
	chunks, at = append(chunks, last), append(at, mustAppend(t, s, last)...)
	mustClose(t, s)
	for n := 1; n <= 2; n++ {
		whole := mustReadFile(t, segmentPath(dir, n))
		for i := range whole {
			spoilt := copyDir(t, dir)
			b := bytes.Clone(whole)
			b[i] ^= 0x41
			mustWriteFile(t, segmentPath(spoilt, n), b)
			_, err := open(t, options(spoilt, true), Position{})
			if d := wantDamage(t, err); d.File != fmt.Sprintf("segments/%08d.seg", n) {
				t.Fatalf("byte %d of file %d: named %s", i, n, d.File)
			}
			if i >= format.FileHeaderSize {
				checkFoundLater(t, spoilt, chunks, at)
			}
		}
	}
}

// checkFoundLater opens without a scan: reading and verifying must find the one
// damaged chunk, and answer the others.
func checkFoundLater(t *testing.T, dir string, chunks []format.Chunk, at []Location) {
	t.Helper()
	s := mustOpen(t, options(dir, true), Position{File: 2, Offset: at[3].Offset + format.ChunkHeaderSize + int64(at[3].Length)})
	bad := 0
	for i, c := range chunks {
		b, err := s.Read(at[i], c.ChunkHeader)
		if err != nil {
			wantDamage(t, err)
			bad++
		} else if !bytes.Equal(b, c.Sealed) {
			t.Fatal("wrong bytes")
		}
	}
	good, found := 0, 0
	if err := s.Verify(context.Background(), func(_ Entry, err error) error {
		if err == nil {
			good++
			return nil
		}
		wantDamage(t, err)
		found++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if bad != 1 || found != 1 || good != len(chunks)-1 {
		t.Fatalf("read found %d, verify %d damaged and %d good", bad, found, good)
	}
	mustClose(t, s)
}

func TestOnDamageLetsTheScanGoOn(t *testing.T) {
	dir, _, at := threeChunks(t)
	b := mustReadFile(t, segmentPath(dir, 1))
	b[at[1].Offset+5] ^= 1
	mustWriteFile(t, segmentPath(dir, 1), b)
	o := options(dir, true)
	var damages []*format.DamageError
	o.OnDamage = func(d *format.DamageError) { damages = append(damages, d) }
	s := mustOpen(t, o, Position{})
	if len(s.entries) != 2 || len(damages) != 1 || damages[0].Offset != at[1].Offset {
		t.Fatalf("%d entries, damages %v", len(s.entries), damages)
	}
}

func TestCreationCutShort(t *testing.T) {
	for _, c := range []struct {
		name string
		left []byte
		file uint64 // that the next chunk goes to
	}{
		{"nothing written", nil, 2},
		{"part of a header", []byte("SAGOSEG1"), 3},
		{"length without data", make([]byte, format.FileHeaderSize), 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, chunks, at := threeChunks(t)
			mustWriteFile(t, segmentPath(dir, 2), c.left)
			_, err := open(t, options(dir, true), Position{})
			wantDamage(t, err)
			s := mustOpen(t, options(dir, false), Position{})
			if got := mustAppend(t, s, chunkOf(9, 20)); got[0].File != c.file {
				t.Fatalf("went on in file %d", got[0].File)
			}
			mustClose(t, s)
			s = mustOpen(t, options(dir, true), Position{})
			if len(s.entries) != 4 {
				t.Fatalf("%d entries", len(s.entries))
			}
			checkRead(t, s, at[2], chunks[2])
		})
	}
}

func TestP65_RepeatedUncleanStopsLoseNothing(t *testing.T) {
	dir := scratch(t)
	for i := range 20 {
		s := mustOpen(t, options(dir, false), Position{})
		if len(s.entries) != i {
			t.Fatalf("start %d: %d entries", i, len(s.entries))
		}
		mustAppend(t, s, chunkOf(i, 100))
		if err := s.files.Abandon(); err != nil { // as kill -9 leaves it
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "segments", "*"))
	if err != nil || len(files) != 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
}

func TestPositionThatTheFilesDoNotReach(t *testing.T) {
	dir, _, at := threeChunks(t)
	for _, clean := range []bool{true, false} {
		for _, from := range []Position{{1, at[2].Offset + 1000}, {2, 160}} {
			_, err := open(t, options(dir, clean), from)
			wantDamage(t, err)
		}
	}
}

func TestP57_FullDeviceFailsOneAppend(t *testing.T) {
	dir := scratch(t)
	o := options(dir, false)
	files := o.Files.(*realFiles)
	s := mustOpen(t, o, Position{})
	kept := chunkOf(1, 80)
	at := mustAppend(t, s, kept)
	mustClose(t, s)

	full := true
	files.open = func(name string, flag int) (*os.File, error) {
		f, err := os.OpenFile(files.path(name), flag, 0o600)
		if err != nil || !full {
			return f, err
		}
		return os.OpenFile("/dev/full", os.O_WRONLY, 0)
	}
	s = mustOpen(t, o, Position{}) // the new file's header finds no room: reading must go on
	for range 3 {
		if _, err := s.Append([]format.Chunk{kept}); !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("append: %v", err)
		}
	}
	if err := s.Roll(); !errors.Is(err, ErrFull) || s.Sealed(1) {
		t.Fatalf("roll: %v, sealed %v", err, s.Sealed(1))
	}
	checkRead(t, s, at[0], kept)
	full = false
	if got := mustAppend(t, s, kept); got[0].File != 2 {
		t.Fatalf("room again: %+v", got)
	}
	mustClose(t, s)
	if s = mustOpen(t, options(dir, true), Position{}); len(s.entries) != 2 {
		t.Fatalf("%d entries", len(s.entries))
	}
}

func TestP51_FailedWritesAreLatched(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(path string, flag int) (*os.File, error)
	}{
		{"read-only descriptor", func(path string, _ int) (*os.File, error) { return os.Open(path) }},
		{"closed descriptor", func(path string, flag int) (*os.File, error) {
			f, err := os.OpenFile(path, flag, 0)
			if err == nil {
				err = f.Close()
			}
			return f, err
		}},
		{"sync fails", func(string, int) (*os.File, error) { return os.OpenFile("/dev/null", os.O_WRONLY, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, chunks, at := threeChunks(t)
			o := options(dir, true)
			files := o.Files.(*realFiles)
			files.open = func(name string, flag int) (*os.File, error) { return c.open(files.path(name), flag) }
			s := mustOpen(t, o, Position{})
			end := s.Position()
			_, first := s.Append(chunks[:1])
			if !errors.Is(first, ErrLatched) || s.Position() != end {
				t.Fatalf("append: %v", first)
			}
			files.open = nil
			if _, err := s.Append(chunks[:1]); err == nil || err.Error() != first.Error() {
				t.Fatalf("after the failure: %v", err)
			}
			if err := s.Roll(); !errors.Is(err, ErrLatched) {
				t.Fatalf("roll: %v", err)
			}
			checkRead(t, s, at[2], chunks[2]) // reading goes on
			if err := s.Close(); !errors.Is(err, ErrLatched) {
				t.Fatalf("a latched store closed cleanly: %v", err)
			}
		})
	}
}
