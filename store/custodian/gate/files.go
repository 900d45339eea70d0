package gate

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sago-worm/sago/store/format"
)

// The files of the history room, as docs/formats/history-file.md draws them, read a
// second time and apart from the daemon's reader: the custodian owns them.

// room is the folder of the history below the data directory.
const room = "history"

// source is one file of records.
type source struct {
	path    string
	number  uint64
	first   uint64 // sequence of its first record; of a carried file, behind its last
	good    int64  // where its records end; -1: at the first that is not whole
	carried bool
}

// header reads a file's header. A file that holds no more than a broken one has no
// records; ok is false then.
func header(path string, kind format.FileKind) (h format.FileHeader, ok bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, format.FileHeaderSize+1)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return h, false, err
	}
	h, err = format.DecodeFileHeader(kind, b[:min(n, format.FileHeaderSize)])
	if err != nil && n <= format.FileHeaderSize {
		return h, false, nil
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return h, err == nil, err
}

// numbered lists the files of an extension in the history room, ascending.
func numbered(dir, ext string) (numbers []uint64, err error) {
	list, err := filepath.Glob(filepath.Join(dir, room, "*."+ext))
	for _, p := range list {
		n, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(p), "."+ext), 10, 64)
		if err == nil && fileName(dir, n, ext) == p {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, err
}

func fileName(dir string, number uint64, ext string) string {
	return filepath.Join(dir, room, fmt.Sprintf("%08d.%s", number, ext))
}

// sources lists what the history stands in, in the order of its records: whole
// files, and before them, where the first are gone, the carried file that speaks
// for just these. who wrote them is the same everywhere.
func sources(dir string) (list []source, who format.FileHeader, err error) {
	numbers, err := numbered(dir, "his")
	if err != nil {
		return nil, who, err
	}
	for _, n := range numbers {
		path := fileName(dir, n, "his")
		h, ok, err := header(path, format.KindHistory)
		if err != nil {
			return nil, who, err
		}
		if !ok {
			continue
		}
		if k := len(list); k == 0 {
			who = h
		} else if list[k-1].good = int64(h.PrevGood); list[k-1].first > h.First {
			return nil, who, refuse("%s begins before the file before it", path)
		}
		if h.Number != n || h.Cluster != who.Cluster || h.Incarnation != who.Incarnation {
			return nil, who, refuse("%s is not of this history", path)
		}
		list = append(list, source{path: path, number: n, first: h.First, good: -1})
	}
	for len(list) > 1 && list[0].good == format.FileHeaderSize && list[1].first > list[0].first {
		list = list[1:] // begun before the history was copied from a peer, and empty
	}
	if len(list) == 0 || list[0].first == 0 {
		return list, who, nil
	}
	base, err := carriedFor(dir, who, list[0].first)
	return append([]source{base}, list...), who, err
}

// carriedFor finds the oldest carried file that speaks for the records before first.
func carriedFor(dir string, who format.FileHeader, first uint64) (source, error) {
	numbers, err := numbered(dir, "car")
	if err != nil {
		return source{}, err
	}
	for _, n := range numbers {
		path := fileName(dir, n, "car")
		h, ok, err := header(path, format.KindCarried)
		if err != nil {
			return source{}, err
		}
		if ok && h.First == first && h.Number == n && h.Cluster == who.Cluster && h.Incarnation == who.Incarnation {
			return source{path: path, number: n, first: first, good: -1, carried: true}, nil
		}
	}
	return source{}, refuse("the records before %d are gone and nothing speaks for them", first)
}

// tape reads the records of one file in order.
type tape struct {
	f    *os.File
	r    *bufio.Reader
	off  int64
	good int64
	buf  [4 + format.MaxRecord]byte
}

// readAhead is how much of a file is read at once, in bytes.
const readAhead = 128 << 10

func openTape(s source, off int64) (*tape, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	t := &tape{f: f, off: off, good: s.good}
	if t.good < 0 {
		st, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		t.good = st.Size()
	}
	t.r = bufio.NewReaderSize(io.NewSectionReader(f, off, max(t.good-off, 0)), readAhead)
	return t, nil
}

// next returns the next record, valid until the next call; io.EOF at the end, and
// io.ErrUnexpectedEOF or format.ErrMalformed where no whole record follows.
func (t *tape) next() ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(t.r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > format.MaxRecord {
		return nil, fmt.Errorf("%w: record of %d bytes", format.ErrMalformed, n)
	}
	framed := t.buf[:4+n]
	copy(framed, head[:4])
	if _, err := io.ReadFull(t.r, framed[4:]); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	if format.Checksum(framed) != binary.BigEndian.Uint32(head[4:]) {
		return nil, fmt.Errorf("%w: checksum", format.ErrMalformed)
	}
	t.off += int64(8 + n)
	return framed[4:], nil
}

// ended says that no whole record follows, which is how a file ends that is still
// being written.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, format.ErrMalformed)
}

// sequenceOf and actionOf read an encoded record's fields in place.
func sequenceOf(encoded []byte) uint64 {
	if len(encoded) < 9 {
		return ^uint64(0)
	}
	return binary.BigEndian.Uint64(encoded[1:])
}

// actionAt is where the action stands in an encoded record (docs/formats/
// history-record.md): behind version, sequence, clock, interval and front.
const actionAt = 1 + 8 + 8 + 8 + 8 + 4

func actionOf(encoded []byte) format.Action {
	if len(encoded) < actionAt+2 {
		return 0
	}
	return format.Action(binary.BigEndian.Uint16(encoded[actionAt:]))
}
