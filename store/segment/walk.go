package segment

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/segment/series"
)

// walker goes through the chunks of one file up to its good length. entry and err
// describe the chunk that next met: nil, ErrErased, or why it is bad.
type walker struct {
	files *series.Series
	file  series.File
	off   int64 // of the next header
	lost  bool  // no header where one belongs: off is where to look for the next
	r     *bufio.Reader
	buf   []byte // one ciphertext, reused
	entry Entry
	err   error
}

func (s *Store) walk(f series.File, off int64) *walker {
	w := &walker{files: s.files, file: f}
	w.seek(off)
	return w
}

// readAhead is how much of a file is read at once, in bytes.
const readAhead = 256 << 10

func (w *walker) seek(off int64) {
	w.off = off
	section := w.files.Section(w.file.Number, off, w.file.Good)
	if w.r == nil {
		w.r = bufio.NewReaderSize(section, readAhead)
		return
	}
	w.r.Reset(section)
}

// next goes to the next chunk; false at the end of the file. Behind a header that
// does not verify it looks for the next one that does.
func (w *walker) next() bool {
	if w.lost {
		w.resync(w.off)
	}
	if w.off >= w.file.Good {
		return false
	}
	at := w.off
	w.entry = Entry{Location: Location{File: w.file.Number, Offset: at}}
	var h [format.ChunkHeaderSize]byte
	if _, w.err = io.ReadFull(w.r, h[:]); w.err == nil {
		w.entry.ChunkHeader, w.err = format.DecodeChunkHeader(h[:])
	}
	n := int64(w.entry.ChunkHeader.Length)
	if w.err == nil && !w.entry.Erased && n > w.file.Good-at-format.ChunkHeaderSize {
		w.err = io.ErrUnexpectedEOF
	}
	if w.err != nil {
		w.lost, w.off = true, at+1
		return true
	}
	w.off = at + format.ChunkHeaderSize
	if w.entry.Erased {
		return true
	}
	w.entry.Location.Length = uint32(n)
	w.off += n
	w.readSealed(int(n))
	return true
}

func (w *walker) readSealed(n int) {
	if cap(w.buf) < n {
		w.buf = make([]byte, n)
	}
	b := w.buf[:n]
	if _, w.err = io.ReadFull(w.r, b); w.err != nil {
		w.seek(w.off)
		return
	}
	w.err = verify(w.entry.ChunkHeader, b, w.files.Sealed(w.file.Number))
}

// resync moves to the first header at or behind off that verifies, or to the end.
// Ciphertext looks like one with probability 2^-64, and its digest decides then.
func (w *walker) resync(off int64) {
	w.lost = false
	buf := make([]byte, readAhead)
	for off < w.file.Good {
		n := int(min(int64(len(buf)), w.file.Good-off))
		if err := w.files.ReadAt(w.file.Number, buf[:n], off); err != nil {
			break
		}
		if i := findHeader(buf[:n]); i >= 0 {
			w.seek(off + int64(i))
			return
		}
		if n < len(buf) {
			break
		}
		off += int64(n - format.ChunkHeaderSize + 1) // a header may lie across
	}
	w.seek(w.file.Good)
}

// findHeader returns the place of the first chunk header in b, or -1.
func findHeader(b []byte) int {
	magic := format.ChunkHeader{}.Encode()[:4]
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], magic)
		if i < 0 {
			return -1
		}
		at += i
		if _, err := format.DecodeChunkHeader(b[at:]); err == nil {
			return at
		}
	}
}

// isTorn tells bytes that an interrupted write may leave from a medium that cannot
// be read, which is damage wherever it is.
func isTorn(err error) bool {
	return errors.Is(err, format.ErrMalformed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

func (w *walker) damage() *format.DamageError {
	what := "chunk header"
	if w.entry.Digest != (format.Digest{}) {
		what = chunkName(w.entry.ChunkHeader)
	}
	return w.files.Damage(w.file.Number, w.entry.Offset, what, w.err)
}

// Verify reads every chunk of every file up to the good lengths and reports each
// once: with nil, with ErrErased, or with a *format.DamageError; of a header that
// does not verify only the Location is known. An error from report ends it.
func (s *Store) Verify(ctx context.Context, report func(Entry, error) error) error {
	for _, f := range s.files.Files() {
		w := s.walk(f, format.FileHeaderSize)
		for w.next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := report(w.entry, judge(w)); err != nil {
				return fmt.Errorf("%s: %w", s.Name(f.Number), err)
			}
		}
	}
	return nil
}

// judge is what a scan of good bytes makes of a chunk.
func judge(w *walker) error {
	switch {
	case w.err == nil && w.entry.Erased, errors.Is(w.err, ErrErased):
		return ErrErased
	case w.err == nil:
		return nil
	}
	return w.damage()
}
