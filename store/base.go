package store

import (
	"bufio"
	"context"
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
	"github.com/sago-worm/sago/store/index"
)

// A base is a file with every logical row as of one MARK, whose digest a majority
// signed (docs/formats/base.md). Where the first records are gone, the state is
// built again from the base and the records behind it.

// maxBaseFrame bounds one row of a base, bytes.
const maxBaseFrame = 1 << 20

// baseFile is a base on disk.
type baseFile struct {
	number uint64
	head   format.BaseHead
}

func baseName(number uint64) string { return fmt.Sprintf("history/%08d.bas", number) }

func baseDamage(number uint64, offset int64, err error) error {
	return &format.DamageError{File: baseName(number), Offset: offset, What: "base", Err: err}
}

// baseNumbers lists the bases that are here, ascending.
func (s *Store) baseNumbers() ([]uint64, error) {
	list, err := filepath.Glob(filepath.Join(s.dir, "history", "*.bas"))
	var numbers []uint64
	for _, p := range list {
		n, perr := strconv.ParseUint(strings.TrimSuffix(filepath.Base(p), ".bas"), 10, 64)
		if perr == nil && n > 0 && baseName(n) == "history/"+filepath.Base(p) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, err
}

// newestBase reads the head of the newest base; nil when there is none.
func (s *Store) newestBase() (*baseFile, error) {
	numbers, err := s.baseNumbers()
	if err != nil || len(numbers) == 0 {
		return nil, err
	}
	r, err := s.openBase(numbers[len(numbers)-1])
	if err != nil {
		return nil, err
	}
	return &r.baseFile, r.f.Close()
}

// baseReader reads the rows of a base.
type baseReader struct {
	baseFile
	f   *os.File
	r   *bufio.Reader
	off int64
}

func (s *Store) openBase(number uint64) (*baseReader, error) {
	f, err := os.Open(filepath.Join(s.dir, baseName(number)))
	if err != nil {
		return nil, err
	}
	b := &baseReader{baseFile: baseFile{number: number}, f: f, r: bufio.NewReaderSize(f, 256<<10), off: format.FileHeaderSize}
	if err := b.begin(s.manifest); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return b, nil
}

func (b *baseReader) begin(own Manifest) error {
	raw := make([]byte, format.FileHeaderSize)
	n, err := io.ReadFull(b.r, raw)
	h, derr := format.DecodeFileHeader(format.KindBase, raw[:n])
	if err = errors.Join(err, derr); err == nil && (h.Cluster != own.Cluster || h.Incarnation != own.Incarnation || h.Number != b.number) {
		err = fmt.Errorf("of cluster %x, incarnation %x, number %d", h.Cluster, h.Incarnation, h.Number)
	}
	if err != nil {
		return baseDamage(b.number, 0, err)
	}
	frame, err := b.next()
	if errors.Is(err, io.EOF) {
		return baseDamage(b.number, b.off, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return err
	}
	if b.head, err = format.DecodeBaseHead(frame); err == nil && (b.head.Mark.Size != h.First || b.head.Mark.Cluster != own.Cluster) {
		err = format.ErrMalformed
	}
	if err != nil {
		return baseDamage(b.number, format.FileHeaderSize, err)
	}
	return nil
}

// next returns the next frame; io.EOF behind the last.
func (b *baseReader) next() ([]byte, error) {
	var head [8]byte
	n, err := io.ReadFull(b.r, head[:])
	if n == 0 && errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	size := binary.BigEndian.Uint32(head[:])
	if err == nil && (size == 0 || size > maxBaseFrame) {
		err = format.ErrMalformed
	}
	if err != nil {
		return nil, baseDamage(b.number, b.off, err)
	}
	framed := append(head[:4:4], make([]byte, size)...)
	if _, err = io.ReadFull(b.r, framed[4:]); err == nil && format.Checksum(framed) != binary.BigEndian.Uint32(head[4:]) {
		err = fmt.Errorf("%w: checksum", format.ErrMalformed)
	}
	if err != nil {
		return nil, baseDamage(b.number, b.off, err)
	}
	b.off += int64(len(head)) + int64(size)
	return framed[4:], nil
}

func writeBaseFrame(w io.Writer, payload []byte) error {
	if len(payload) > maxBaseFrame {
		return fmt.Errorf("a row of %d bytes", len(payload))
	}
	var f format.Writer
	f.U32(uint32(len(payload)))
	f.Raw(payload)
	var sum format.Writer
	sum.U32(format.Checksum(f.Bytes()))
	return errors.Join(second(w.Write(f.Bytes()[:4])), second(w.Write(sum.Bytes())), second(w.Write(payload)))
}

func second(_ int, err error) error { return err }

// WantsBase reports whether records were dropped that no base leaves out yet:
// WriteBase must be called with the view of the next STATE record.
func (s *Store) WantsBase() (bool, error) {
	p := s.Pruned()
	if p.Decision == 0 {
		return false, nil
	}
	b, err := s.newestBase()
	return err == nil && (b == nil || b.head.Mark.Size < p.Decision), err
}

// WriteBase writes the rows of a view into a new base. The majority signed e, and
// the view has that digest.
func (s *Store) WriteBase(ctx context.Context, v *StateView, e format.StateEffect) error {
	if v.Mark != e.Mark {
		return errors.New("the view is of another mark")
	}
	numbers, err := s.baseNumbers()
	if err != nil {
		return err
	}
	number := uint64(1)
	if n := len(numbers); n > 0 {
		number = numbers[n-1] + 1
	}
	return s.custodian.Place(baseName(number), func(w io.Writer) error {
		h := format.FileHeader{Kind: format.KindBase, Cluster: s.manifest.Cluster, Incarnation: s.manifest.Incarnation, Number: number, First: e.Mark.Size}
		head := format.BaseHead{Mark: e.Mark, Rows: e.Rows, Count: e.Count}
		if err := errors.Join(second(w.Write(h.Encode())), writeBaseFrame(w, head.Encode())); err != nil {
			return err
		}
		return v.Rows(ctx, func(table uint8, key, value []byte) error {
			return writeBaseFrame(w, format.BaseRow{Table: table, Key: key, Value: value}.Encode())
		})
	})
}

// baseBatch is how many rows of a base are committed at once.
const baseBatch = 100_000

// loadBase puts the rows of a base into the index, whose logical tables are empty,
// and leaves the Machine where the base stands. It insists on the digest that a
// majority signed. Until the caller saves another, the index has the given meta.
func (s *Store) loadBase(ctx context.Context, b *baseReader, meta index.Meta) error {
	rows := 0
	for {
		frame, err := b.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		row, err := format.DecodeBaseRow(frame)
		if t := index.Table(row.Table); err == nil && (t < tMeta || t > lastLogical || len(row.Key) == 0 || len(row.Key) > index.MaxKey) {
			err = format.ErrMalformed
		}
		if err != nil {
			return baseDamage(b.number, b.off, err)
		}
		s.idx.Put(index.Table(row.Table), row.Key, row.Value)
		if rows++; rows%baseBatch == 0 {
			if err := errors.Join(ctx.Err(), s.idx.Commit(s.idx.Rotate(meta))); err != nil {
				return err
			}
		}
	}
	view, err := s.idx.View()
	if err != nil {
		return err
	}
	v := StateView{Mark: b.head.Mark, view: view}
	got, err := v.Digest(ctx)
	if err := errors.Join(err, v.Close()); err != nil {
		return err
	}
	if got.Digest != b.head.Rows || got.Count != b.head.Count {
		return baseDamage(b.number, -1, ErrRowsDiffer)
	}
	m, mark := s.Machine, b.head.Mark
	m.applied, m.next, m.state, m.covering, m.changed = mark.Entry, mark.Size, mark.State, mark.Size, mark.Size
	if err := m.load(); err != nil {
		return err
	}
	return m.refillWindow(ctx)
}

// replay builds all rows again, which are empty, from the records up to to; where
// the first ones are gone, from the newest base on, which may lie beyond to.
func (s *Store) replay(ctx context.Context, to uint64, meta index.Meta) error {
	from := uint64(0)
	if s.log.Whole() > 0 {
		numbers, err := s.baseNumbers()
		if err != nil {
			return err
		}
		if len(numbers) == 0 {
			return &format.DamageError{File: "history", Offset: -1, What: "base", Err: os.ErrNotExist}
		}
		b, err := s.openBase(numbers[len(numbers)-1])
		if err != nil {
			return err
		}
		if err := errors.Join(s.loadBase(ctx, b, meta), b.f.Close()); err != nil {
			return err
		}
		from = b.head.Mark.Size
	}
	return s.rebuild(ctx, from, max(from, to))
}
