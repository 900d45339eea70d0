package backup

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/sago-worm/sago/store/format"
)

// Frames are those of history files: u32 length, u32 CRC-32C over length and
// bytes, the bytes.

// maxFrame bounds one frame, bytes: a row of a base and its kind.
const maxFrame = 1<<20 + 1

// framed is the frame of a payload that comes in parts.
func framed(parts ...[]byte) []byte {
	payload := slices.Concat(parts...)
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	sum := format.Checksum(slices.Concat(head, payload))
	return append(binary.BigEndian.AppendUint32(head, sum), payload...)
}

// reader reads a file of a backup from behind its header.
type reader struct {
	d    *Dir
	name string
	f    *os.File
	r    *bufio.Reader
	head format.FileHeader
	off  int64
}

// open opens a file and checks its header.
func (d *Dir) open(name string, kind format.FileKind) (*reader, error) {
	f, err := os.Open(d.at(name))
	if err != nil {
		return nil, err
	}
	r := &reader{d: d, name: name, f: f, r: bufio.NewReaderSize(f, 256<<10), off: format.FileHeaderSize}
	raw := make([]byte, format.FileHeaderSize)
	n, err := io.ReadFull(r.r, raw)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close())
	}
	if r.head, err = format.DecodeFileHeader(kind, raw[:n]); err == nil && r.head.Cluster != d.cluster {
		err = fmt.Errorf("of cluster %x", r.head.Cluster[:])
	}
	if err != nil {
		return nil, errors.Join(d.damage(name, 0, "file header", err), f.Close())
	}
	return r, nil
}

func (r *reader) damage(what string, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return r.d.damage(r.name, r.off, what, err)
}

// frame returns the next frame; io.EOF behind the last.
func (r *reader) frame() ([]byte, error) {
	var head [8]byte
	n, err := io.ReadFull(r.r, head[:])
	if n == 0 && errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	size := binary.BigEndian.Uint32(head[:])
	if err == nil && (size == 0 || size > maxFrame) {
		err = fmt.Errorf("%w: length %d", format.ErrMalformed, size)
	}
	if err != nil {
		return nil, r.damage("frame", err)
	}
	framed := append(head[:4:4], make([]byte, size)...)
	if _, err = io.ReadFull(r.r, framed[4:]); err == nil && format.Checksum(framed) != binary.BigEndian.Uint32(head[4:]) {
		err = fmt.Errorf("%w: checksum", format.ErrMalformed)
	}
	if err != nil {
		return nil, r.damage("frame", err)
	}
	r.off += int64(len(head)) + int64(size)
	return framed[4:], nil
}
