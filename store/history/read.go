package history

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/segment/series"
)

// frameSize is what precedes each record: its length and a checksum.
const frameSize = 8

// readAhead is how much of a file a scan reads at once, in bytes.
const readAhead = 256 << 10

// appendFrame appends a record as the file stores it: its length, CRC-32C over
// length and bytes, its bytes.
func appendFrame(b, encoded []byte) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(encoded)))
	b = append(b, encoded...)
	sum := format.Checksum(b[at:])
	b = append(b, 0, 0, 0, 0)
	copy(b[at+frameSize:], b[at+4:]) // the bytes move behind the checksum
	binary.BigEndian.PutUint32(b[at+4:], sum)
	return b
}

// frames reads the records of one file in order.
type frames struct {
	name   string
	number uint64
	good   int64
	off    int64 // of the next frame
	r      *bufio.Reader
	buf    [4 + format.MaxRecord]byte
	known  leaves // of its records
}

func newFrames(files *series.Series, f series.File, off int64, ahead int) *frames {
	return &frames{name: files.Name(f.Number), number: f.Number, good: f.Good, off: off,
		r: bufio.NewReaderSize(files.Section(f.Number, off, f.Good), ahead)}
}

// framesAt is newFrames for few records. It uses the memory of frames that are
// given.
func framesAt(r *frames, files *series.Series, f series.File, off int64) *frames {
	if r == nil {
		return newFrames(files, f, off, 16<<10)
	}
	r.name, r.number, r.good, r.off = files.Name(f.Number), f.Number, f.Good, off
	r.r.Reset(files.Section(f.Number, off, f.Good))
	return r
}

// length reads the head of the next frame: the length of its record and its sum.
func (f *frames) length() (n int, sum uint32, err error) {
	var head [frameSize]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return 0, 0, err
	}
	copy(f.buf[:4], head[:4])
	size := binary.BigEndian.Uint32(head[:])
	if size == 0 || size > format.MaxRecord || int64(size) > f.good-f.off-frameSize {
		err := fmt.Errorf("%w: length %d", format.ErrMalformed, size)
		if size <= format.MaxRecord && int64(size) > f.good-f.off-frameSize {
			err = fmt.Errorf("%w: %w", err, errCut)
		}
		return 0, 0, err
	}
	return int(size), binary.BigEndian.Uint32(head[4:]), nil
}

// next returns the next record, valid until the next call.
func (f *frames) next() ([]byte, error) {
	n, sum, err := f.length()
	if err != nil {
		return nil, err
	}
	framed := f.buf[:4+n]
	if _, err := io.ReadFull(f.r, framed[4:]); err != nil {
		return nil, err
	}
	if format.Checksum(framed) != sum {
		return nil, fmt.Errorf("%w: checksum", format.ErrMalformed)
	}
	f.off += int64(frameSize + n)
	return framed[4:], nil
}

// errCut says that a record goes on behind the end of its file.
var errCut = errors.New("the file ends before it")

func isCut(err error) bool {
	return errors.Is(err, errCut) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// skip passes one record without looking at it.
func (f *frames) skip() error {
	n, _, err := f.length()
	if err != nil {
		return err
	}
	_, err = f.r.Discard(n)
	f.off += int64(frameSize + n)
	return err
}

func (f *frames) damage(off int64, seq uint64, err error) error {
	return &format.DamageError{File: f.name, Offset: off, What: recordName(seq), Err: err}
}

// isTorn tells bytes that an interrupted write may leave from a medium that cannot
// be read, which is damage wherever it is.
func isTorn(err error) bool {
	return errors.Is(err, format.ErrMalformed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// load reads every file, and returns where the newest one's last good record ends.
func (l *Log) load(clean bool, each func(uint64, []byte) error) (int64, error) {
	var good int64
	newest, _ := l.files.Newest()
	for _, f := range l.files.Files() {
		if l.stale(f.Number) {
			continue // erased, or about to be
		}
		if f.First != l.size {
			return 0, l.files.Damage(f.Number, 0, recordName(l.size),
				fmt.Errorf("%w: the file begins with %d", ErrSequence, f.First))
		}
		var err error
		if good, err = l.loadFile(f, f.Number == newest.Number && !clean, each); err != nil {
			return 0, err
		}
	}
	return good, nil
}

func (l *Log) loadFile(f series.File, torn bool, each func(uint64, []byte) error) (int64, error) {
	r := newFrames(l.files, f, format.FileHeaderSize, readAhead)
	for r.off < f.Good {
		at := r.off
		encoded, err := r.next()
		if err != nil {
			if torn && isTorn(err) {
				return at, nil
			}
			damage := r.damage(at, l.size, err)
			if newest, _ := l.files.Newest(); isCut(err) && f.Number == newest.Number {
				damage = l.lost(damage)
			}
			return 0, damage
		}
		// Its checksum is good, so it was written like this: never a torn tail.
		if l.entry, err = checkRecord(encoded, l.size); err != nil {
			return 0, r.damage(at, l.size, err)
		}
		if each != nil {
			if err := each(l.size, encoded); err != nil {
				return 0, err
			}
		}
		l.tree.add(tlog.Hash(format.LeafHash(encoded)))
		if len(l.tree.pending) >= settleEvery {
			if err := l.tree.settle(); err != nil {
				return 0, err
			}
		}
		l.note(place{l.size, f.Number, at})
		l.size++
	}
	return r.off, nil
}

// Read returns the record seq, checked against its checksum, its own sequence and
// its leaf hash. What differs is a *format.DamageError; a record that was erased
// at the end of its retention is ErrPruned.
func (l *Log) Read(seq uint64) ([]byte, error) {
	for {
		l.mu.RLock()
		if seq >= l.size {
			defer l.mu.RUnlock()
			return nil, fmt.Errorf("%w: %s of %d", ErrBeyond, recordName(seq), l.size)
		}
		if seq >= l.durable {
			defer l.mu.RUnlock()
			return bytes.Clone(l.tail[seq-l.durable]), nil
		}
		c := l.carried
		l.mu.RUnlock()
		r := l.last.Swap(nil)
		if r == nil {
			r = &reader{}
		}
		encoded, err := r.read(l, c, seq)
		if err == nil {
			encoded = bytes.Clone(encoded)
			l.last.Store(r)
		}
		if err == nil || !l.replaced(c) {
			return encoded, err
		}
	}
}

// reader is frames that stand before a record.
type reader struct {
	*frames
	c    *carried // the carried file at that time
	next uint64   // the record that they stand before
}

// read reads a durable record, by going on where it is near ahead.
func (r *reader) read(l *Log, c *carried, seq uint64) (encoded []byte, err error) {
	if r.frames != nil && r.c == c && seq-r.next < placeEvery && r.off < r.good {
		if encoded, err = l.skipTo(r.frames, r.next, seq); err == nil {
			r.next = seq + 1
			return encoded, nil
		}
	}
	if r.frames, encoded, err = l.locate(c, seq, r.frames); err == nil {
		r.c, r.next = c, seq+1
	}
	return encoded, err
}

// replaced reports whether the carried file was made anew since c was taken: what
// a reader failed to read may have moved.
func (l *Log) replaced(c *carried) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.carried != c
}

// locate finds a durable record and the frames behind it, which may be those that
// are given for it: nil, or ones that nobody uses.
func (l *Log) locate(c *carried, seq uint64, r *frames) (*frames, []byte, error) {
	if c != nil && seq < c.first {
		return c.locate(l, seq)
	}
	if at, err := l.places.before(seq); err == nil {
		if f, ok := l.files.File(at.file); ok && at.offset >= format.FileHeaderSize && at.offset < f.Good {
			r = framesAt(r, l.files, f, at.offset)
			if encoded, err := l.skipTo(r, at.seq, seq); err == nil {
				return r, encoded, nil
			}
		}
	}
	// The place is derived: only what the file itself holds is damage.
	files := l.files.Files()
	i := slices.IndexFunc(files, func(f series.File) bool { return f.First > seq })
	if i < 0 {
		i = len(files)
	}
	if i == 0 {
		return nil, nil, &format.DamageError{File: folder, Offset: -1, What: recordName(seq), Err: io.ErrUnexpectedEOF}
	}
	r = newFrames(l.files, files[i-1], format.FileHeaderSize, readAhead)
	encoded, err := l.skipTo(r, files[i-1].First, seq)
	return r, encoded, err
}

// skipTo reads the record seq from frames that stand before the record at.
func (l *Log) skipTo(r *frames, at, seq uint64) ([]byte, error) {
	for ; at < seq; at++ {
		if err := r.skip(); err != nil {
			return nil, r.damage(r.off, seq, err)
		}
	}
	off := r.off
	encoded, err := r.next()
	if err == nil {
		err = l.checkLeaf(&r.known, seq, encoded)
	}
	if err != nil {
		return nil, r.damage(off, seq, err)
	}
	return encoded, nil
}

// Range calls fn with the records from (included) to to (not included) in order;
// the bytes are valid during the call. An error from fn ends it, and so does the
// first record that was erased (ErrPruned): nothing is passed over.
func (l *Log) Range(ctx context.Context, from, to uint64, fn func(seq uint64, encoded []byte) error) error {
	if from > to || to > l.Size() {
		return fmt.Errorf("%w: records %d to %d of %d", ErrBeyond, from, to, l.Size())
	}
	check := func(_ *leaves, seq uint64, encoded []byte) error { _, err := checkRecord(encoded, seq); return err }
	seq, err := l.scan(ctx, from, min(to, l.Durable()), check, fn)
	if err != nil {
		return err
	}
	for ; seq < to; seq++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		encoded, err := l.Read(seq)
		if err != nil {
			return err
		}
		if err := fn(seq, encoded); err != nil {
			return err
		}
	}
	return nil
}

// Verify reads the durable records from (included) to to (not included) again, as
// far as they were not erased, and compares each with its leaf hash; of what was
// erased, the tree's own hashes with one another. The first that differs is its
// error, a *format.DamageError.
func (l *Log) Verify(ctx context.Context, from, to uint64) error {
	fn := func(uint64, []byte) error { return nil }
	l.mu.RLock()
	c := l.carried
	l.mu.RUnlock()
	if c != nil && from < c.first {
		if err := l.tree.verify(ctx, c.first); err != nil {
			return err
		}
		if err := l.Kept(ctx, from, max(from, min(to, c.first)), fn); err != nil {
			return err
		}
		from = l.Whole()
	}
	_, err := l.scan(ctx, from, min(to, l.Durable()), l.checkLeaf, fn)
	return err
}

type visitor func(seq uint64, encoded []byte) error

// checker is checkLeaf, or what is enough instead of it.
type checker func(known *leaves, seq uint64, encoded []byte) error

// scan reads durable records in order and returns where it ended. What check
// refuses is damage; an error of fn ends it as it is.
func (l *Log) scan(ctx context.Context, from, to uint64, check checker, fn visitor) (uint64, error) {
	for seq := from; ; {
		l.mu.RLock()
		c := l.carried
		l.mu.RUnlock()
		own := false // whether fn ended it
		next, err := l.scanFiles(ctx, c, seq, to, check, func(seq uint64, encoded []byte) error {
			err := fn(seq, encoded)
			own = err != nil
			return err
		})
		if err == nil || own || !l.replaced(c) {
			return next, err
		}
		seq = next
	}
}

// scanFiles is scan while the carried file is c.
func (l *Log) scanFiles(ctx context.Context, c *carried, seq, to uint64, check checker, fn visitor) (uint64, error) {
	for seq < to {
		r, encoded, err := l.locate(c, seq, nil)
		if err != nil {
			return seq, err
		}
		r.r = bufio.NewReaderSize(r.r, readAhead)
		for {
			if err := ctx.Err(); err != nil {
				return seq, err
			}
			if err := fn(seq, encoded); err != nil {
				return seq, err
			}
			if seq++; seq >= to || r.off >= r.good {
				break
			}
			at := r.off
			if encoded, err = r.next(); err == nil && c != nil && seq < c.first && sequenceOf(encoded) != seq {
				return seq, fmt.Errorf("%w: %s", ErrPruned, recordName(seq))
			}
			if err == nil {
				err = check(&r.known, seq, encoded)
			}
			if err != nil {
				return seq, r.damage(at, seq, err)
			}
		}
	}
	return seq, nil
}
