package series

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sago-worm/sago/store/format"
)

// load fills files and next from the directory.
func (s *Series) load() error {
	numbers, err := s.list()
	if err != nil {
		return err
	}
	s.next = 1
	void := false // whether a file's creation was cut short since the last header
	for i, n := range numbers {
		if i == 0 && n != 1 && !s.spec.Trimmed {
			return s.Damage(1, -1, "file", os.ErrNotExist)
		}
		if i > 0 && n != numbers[i-1]+1 {
			return s.Damage(numbers[i-1]+1, -1, "file", os.ErrNotExist)
		}
		h, size, err := s.header(n)
		s.next = n + 1
		switch {
		case err != nil && size <= format.FileHeaderSize && errors.Is(err, format.ErrMalformed):
			// No record can be in it: the header is on disk before the first one.
			void = true
			if size == 0 && i == len(numbers)-1 {
				s.next = n
			}
			continue
		case err != nil:
			return s.Damage(n, 0, "file header", err)
		}
		void = false
		if err := s.link(h, size); err != nil {
			return err
		}
	}
	if void && s.spec.Clean {
		return s.Damage(numbers[len(numbers)-1], 0, "file header", format.ErrMalformed)
	}
	return nil
}

// list returns the numbers of the series' files in ascending order.
func (s *Series) list() ([]uint64, error) {
	entries, err := os.ReadDir(filepath.Join(s.spec.Dir, s.spec.Folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), "."+s.spec.Ext)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || n == 0 || s.Name(n) != s.spec.Folder+"/"+e.Name() {
			continue
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers, nil
}

// header reads one file's header and size. A header of another cluster or data
// directory is ErrForeign.
func (s *Series) header(number uint64) (format.FileHeader, int64, error) {
	var h format.FileHeader
	f, err := s.reader(number)
	if err != nil {
		return h, -1, err
	}
	info, err := f.Stat()
	if err != nil {
		return h, -1, err
	}
	b := make([]byte, format.FileHeaderSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return h, info.Size(), err
	}
	h, err = format.DecodeFileHeader(s.spec.Kind, b[:n])
	if err != nil {
		return h, info.Size(), err
	}
	if h.Cluster != s.spec.Cluster || h.Incarnation != s.spec.Incarnation {
		return h, info.Size(), fmt.Errorf("%w: cluster %x, incarnation %x", ErrForeign, h.Cluster, h.Incarnation)
	}
	if h.Number != number {
		return h, info.Size(), fmt.Errorf("%w: header says file %d", format.ErrMalformed, h.Number)
	}
	return h, info.Size(), nil
}

// link checks what h says of the file before it and adds the file.
func (s *Series) link(h format.FileHeader, size int64) error {
	if k := len(s.files); k > 0 {
		prev := &s.files[k-1]
		if int64(h.PrevGood) < format.FileHeaderSize || h.PrevGood > uint64(prev.Good) {
			return s.Damage(prev.Number, prev.Good, "end of file",
				fmt.Errorf("%d bytes, and the next file states %d good ones", prev.Good, h.PrevGood))
		}
		prev.Good = int64(h.PrevGood)
	} else if h.PrevGood != 0 && !s.spec.Trimmed {
		return s.Damage(h.Number, 0, "file header", errors.New("the first file speaks of one before it"))
	}
	s.files = append(s.files, File{Number: h.Number, First: h.First, Good: size})
	return nil
}
