package segment

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

func TestRoundTrip(t *testing.T) {
	dir := scratch(t)
	s := mustOpen(t, options(dir, false), Position{})
	chunks := []format.Chunk{chunkOf(1, 100), chunkOf(2, 17), chunkOf(3, format.MaxChunk+format.ChunkOverhead)}
	at := mustAppend(t, s, chunks...)
	more := chunkOf(4, 300)
	at = append(at, mustAppend(t, s, more)...)
	chunks = append(chunks, more)
	middle := Position{File: at[2].File, Offset: at[2].Offset}
	for i, c := range chunks {
		checkRead(t, s, at[i], c)
	}
	end := s.Position()
	mustClose(t, s)

	s = mustOpen(t, options(dir, true), Position{})
	if len(s.entries) != len(chunks) || s.Position() != end {
		t.Fatalf("%d entries, position %+v, want %+v", len(s.entries), s.Position(), end)
	}
	for i, e := range s.entries {
		if e.Location != at[i] || e.ChunkHeader != chunks[i].ChunkHeader {
			t.Fatalf("entry %d: %+v, want %+v", i, e, at[i])
		}
	}
	next := mustAppend(t, s, chunkOf(5, 40))
	if next[0].File != end.File || next[0].Offset != end.Offset {
		t.Fatalf("went on at %+v, want %+v", next[0], end)
	}
	mustClose(t, s)

	s = mustOpen(t, options(dir, true), middle)
	if len(s.entries) != 3 || s.entries[0].Location != at[2] {
		t.Fatalf("from the middle: %+v", s.entries)
	}
}

func TestStubHasNoCiphertext(t *testing.T) {
	dir := scratch(t)
	s := mustOpen(t, options(dir, false), Position{})
	stub := format.Chunk{ChunkHeader: chunkOf(1, 500).ChunkHeader}
	stub.Erased = true
	after := chunkOf(2, 60)
	at := mustAppend(t, s, stub, after)
	if at[0].Length != 0 {
		t.Fatalf("stub of %d bytes", at[0].Length)
	}
	if _, err := s.Read(at[0], stub.ChunkHeader); !errors.Is(err, ErrErased) {
		t.Fatalf("stub: %v", err)
	}
	checkRead(t, s, at[1], after)
	if _, err := s.Append([]format.Chunk{{ChunkHeader: chunkOf(3, 9).ChunkHeader}}); !errors.Is(err, format.ErrMalformed) {
		t.Fatalf("chunk without its bytes: %v", err)
	}
	mustClose(t, s)
	if s = mustOpen(t, options(dir, true), Position{}); len(s.entries) != 2 || !s.entries[0].Erased {
		t.Fatalf("entries %+v", s.entries)
	}
}

func TestRollsAtMaxFile(t *testing.T) {
	dir := scratch(t)
	o := options(dir, false)
	o.MaxFile = 1000
	s := mustOpen(t, o, Position{})
	var at []Location
	for i := range 10 {
		at = append(at, mustAppend(t, s, chunkOf(i, 300))...)
	}
	if at[0].File != 1 || at[9].File != 5 {
		t.Fatalf("files %d to %d", at[0].File, at[9].File)
	}
	if !s.Sealed(4) || s.Sealed(5) || !o.Files.(*realFiles).sealed[s.Name(4)] {
		t.Fatal("sealed state is wrong")
	}
	big := mustAppend(t, s, chunkOf(20, 5000)) // larger than a file may be: alone in one
	if big[0].File != 6 {
		t.Fatalf("big chunk in file %d", big[0].File)
	}
	for i, l := range at {
		checkRead(t, s, l, chunkOf(i, 300))
	}
	mustClose(t, s)
	o.Clean = true
	if s = mustOpen(t, o, Position{}); len(s.entries) != 11 {
		t.Fatalf("%d entries", len(s.entries))
	}
}

func TestRollBeforeZeroing(t *testing.T) {
	dir := scratch(t)
	s := mustOpen(t, options(dir, false), Position{})
	if err := s.Roll(); err != nil || s.Position().File != 1 {
		t.Fatalf("rolled an empty file: %v", err)
	}
	a, b, c := chunkOf(1, 200), chunkOf(2, 200), chunkOf(3, 200)
	at := mustAppend(t, s, a, b)
	zero(t, s, dir, at[0])
	if _, err := s.Read(at[0], a.ChunkHeader); errors.Is(err, ErrErased) {
		t.Fatal("zeros in an unsealed file passed as erased")
	}
	if err := s.Roll(); err != nil {
		t.Fatal(err)
	}
	at = append(at, mustAppend(t, s, c)...)
	if at[2].File != 2 || !s.Sealed(1) {
		t.Fatalf("after the roll: %+v", at[2])
	}
	if _, err := s.Read(at[0], a.ChunkHeader); !errors.Is(err, ErrErased) {
		t.Fatalf("zeroed range: %v", err)
	}
	checkRead(t, s, at[1], b)
	erased := 0
	if err := s.Verify(context.Background(), func(e Entry, err error) error {
		if errors.Is(err, ErrErased) && e.ChunkHeader == a.ChunkHeader {
			erased++
			return nil
		}
		return err
	}); err != nil || erased != 1 {
		t.Fatalf("verify: %v, %d erased", err, erased)
	}
	mustClose(t, s)
	if s = mustOpen(t, options(dir, true), Position{}); len(s.entries) != 3 {
		t.Fatalf("a scan met %d entries", len(s.entries))
	}
}

// zero does what the custodian does to a due range.
func zero(t *testing.T, s opened, dir string, l Location) {
	t.Helper()
	path := dir + "/" + s.Name(l.File)
	b := mustReadFile(t, path)
	clear(b[l.Offset+format.ChunkHeaderSize:][:l.Length])
	mustWriteFile(t, path, b)
}

func TestReadWantsTheVeryChunk(t *testing.T) {
	dir := scratch(t)
	s := mustOpen(t, options(dir, false), Position{})
	a, b := chunkOf(1, 64), chunkOf(2, 64)
	at := mustAppend(t, s, a, b)
	for name, loc := range map[string]Location{
		"other chunk":     at[1],
		"shifted":         {File: 1, Offset: at[0].Offset + 1, Length: 64},
		"shorter":         {File: 1, Offset: at[0].Offset, Length: 63},
		"longer":          {File: 1, Offset: at[0].Offset, Length: 65},
		"beyond the end":  {File: 1, Offset: at[1].Offset, Length: 65},
		"no such file":    {File: 9, Offset: at[0].Offset, Length: 64},
		"file zero":       {File: 0, Offset: at[0].Offset, Length: 64},
		"negative":        {File: 1, Offset: -5, Length: 64},
		"absurdly long":   {File: 1, Offset: at[0].Offset, Length: 1 << 31},
		"far away offset": {File: 1, Offset: 1<<63 - 1, Length: 64},
	} {
		if _, err := s.Read(loc, a.ChunkHeader); err == nil {
			t.Errorf("%s: read something", name)
		} else {
			wantDamage(t, err)
		}
	}
	other := a.ChunkHeader
	other.Digest = sha256.Sum256([]byte("else"))
	if _, err := s.Read(at[0], other); err == nil {
		t.Error("answered a chunk with another digest")
	}
}

func TestConcurrentAppendsAndReads(t *testing.T) {
	o := options(scratch(t), false)
	o.MaxFile = 500 // more files than descriptors are kept
	s := mustOpen(t, o, Position{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			var at []Location
			for i := range 40 {
				l, err := s.Append([]format.Chunk{chunkOf(g*40+i, 300)})
				if err != nil {
					t.Error(err)
					return
				}
				at = append(at, l...)
				for k, l := range at {
					if _, err := s.Read(l, chunkOf(g*40+k, 300).ChunkHeader); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	seen := 0
	if err := s.Verify(context.Background(), func(_ Entry, err error) error { seen++; return err }); err != nil || seen != 160 {
		t.Fatalf("verified %d: %v", seen, err)
	}
}

func TestP63_ForeignFilesAreRefused(t *testing.T) {
	dir := scratch(t)
	mustClose(t, mustOpen(t, options(dir, false), Position{}))
	for _, change := range []func(*Options){
		func(o *Options) { o.Cluster[3]++ },
		func(o *Options) { o.Incarnation[3]++ },
	} {
		o := options(dir, true)
		change(&o)
		if _, err := open(t, o, Position{}); err == nil {
			t.Fatal("opened another directory's files")
		}
	}
}

func TestMissingFilesAndTheOldestErased(t *testing.T) {
	dir := scratch(t)
	o := options(dir, false)
	o.MaxFile = 500
	s := mustOpen(t, o, Position{})
	for i := range 5 {
		mustAppend(t, s, chunkOf(i, 400))
	}
	end := s.Position()
	mustClose(t, s)
	o.Clean = true

	middle := o
	middle.Dir = copyDir(t, dir)
	if err := os.Remove(segmentPath(middle.Dir, 3)); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, middle, end)
	if d := wantDamage(t, err); d.File != "segments/00000003.seg" {
		t.Fatalf("named %s", d.File)
	}

	last := o
	last.Dir = copyDir(t, dir)
	if err := os.Remove(segmentPath(last.Dir, 5)); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, last, end)
	wantDamage(t, err)

	if err := os.Remove(segmentPath(dir, 1)); err != nil {
		t.Fatal(err)
	}
	if s = mustOpen(t, o, Position{}); len(s.entries) != 4 {
		t.Fatalf("without the oldest: %d entries", len(s.entries))
	}
}

func TestClosedStoreAnswersNothing(t *testing.T) {
	s := mustOpen(t, options(scratch(t), false), Position{})
	c := chunkOf(1, 50)
	at := mustAppend(t, s, c)
	mustClose(t, s)
	if _, err := s.Append([]format.Chunk{c}); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("append: %v", err)
	}
	if _, err := s.Read(at[0], c.ChunkHeader); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("read: %v", err)
	}
}
