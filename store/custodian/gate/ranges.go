package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// segmentReader reads chunk headers in segment files; one file stays open.
type segmentReader struct {
	dir  string
	name string
	f    *os.File
}

func (s *segmentReader) close() error {
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f, s.name = nil, ""
	return err
}

func (s *segmentReader) open(name string) error {
	if s.name == name && s.f != nil {
		return nil
	}
	if err := s.close(); err != nil {
		return err
	}
	var err error
	s.f, err = os.Open(filepath.Join(s.dir, filepath.FromSlash(name)))
	s.name = name
	return err
}

// check insists that a range is exactly one chunk's ciphertext: the header before it
// names one of the slots and this length, and no header of another slot stands
// within. A file that is not here has nothing to lose.
func (s *segmentReader) check(r custodian.Range, slots map[format.Slot]bool) error {
	err := s.judge(r, slots)
	if errors.Is(err, ErrRefused) {
		err = fmt.Errorf("%w: %w", custodian.ErrRange, err)
	}
	return err
}

func (s *segmentReader) judge(r custodian.Range, slots map[format.Slot]bool) error {
	if !filepath.IsLocal(r.File) || filepath.Dir(r.File) != "segments" {
		return refuse("%q is no segment", r.File)
	}
	if r.Offset < format.FileHeaderSize+format.ChunkHeaderSize || r.Length < 1 || r.Length > format.MaxChunk+format.ChunkOverhead {
		return refuse("%d bytes at %d of %s are no chunk", r.Length, r.Offset, r.File)
	}
	if err := s.open(r.File); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	b := make([]byte, format.ChunkHeaderSize+r.Length+format.ChunkHeaderSize)
	n, err := s.f.ReadAt(b, r.Offset-format.ChunkHeaderSize)
	if int64(n) < format.ChunkHeaderSize+r.Length {
		return fmt.Errorf("%w: %s: %w", ErrRefused, r.File, err)
	}
	head, err := format.DecodeChunkHeader(b)
	if err != nil || head.Erased || int64(head.Length) != r.Length || !slots[head.Slot] {
		return refuse("%d bytes at %d of %s are not a chunk of a slot that goes", r.Length, r.Offset, r.File)
	}
	return onlyOf(b[format.ChunkHeaderSize:n], slots, r)
}

// onlyOf refuses a range in which another slot's chunk begins, header included: a
// header that was written to lie over its neighbours. In ciphertext none stands by
// chance. b goes on a header's length behind the range.
func onlyOf(b []byte, slots map[format.Slot]bool, r custodian.Range) error {
	magic := format.ChunkHeader{}.Encode()[:4]
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], magic)
		if at += i; i < 0 || int64(at) >= r.Length {
			return nil
		}
		if h, err := format.DecodeChunkHeader(b[at:]); err == nil && !slots[h.Slot] {
			return refuse("the %d bytes at %d of %s hold a chunk of slot %s", r.Length, r.Offset, r.File, h.Slot)
		}
	}
}
