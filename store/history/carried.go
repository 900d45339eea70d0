package history

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
	"github.com/sago-worm/sago/store/segment/series"
)

// What is left of the oldest files once records in them were erased stands in
// one carried file: the same bytes under the same sequences, ascending, with gaps
// where records are gone. It is made anew, whole, whenever more is erased, and
// never changed. Files that it speaks for are not read any more, whether they are
// still there or not.

// carried is the open carried file.
type carried struct {
	number  uint64
	decided uint64 // sequence plus one of the PRUNE record that it was made after
	first   uint64 // the record behind the last one it speaks for: the first of a whole file
	minimum uint64 // from it on no record is missing
	count   uint64
	size    int64
	f       *os.File
	places  *places
}

func carriedName(number uint64) string { return fmt.Sprintf("%s/%08d.car", folder, number) }

// carriedNumbers lists the carried files that are here, ascending.
func carriedNumbers(dir string) ([]uint64, error) {
	list, err := filepath.Glob(filepath.Join(dir, folder, "*.car"))
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, p := range list {
		n, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(p), ".car"), 10, 64)
		if err == nil && n > 0 && carriedName(n) == folder+"/"+filepath.Base(p) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// newestCarried opens the newest carried file and reads its header; nil when
// there is none. The ones before it are leftovers.
func newestCarried(o Options) (*carried, error) {
	numbers, err := carriedNumbers(o.Dir)
	if err != nil || len(numbers) == 0 {
		return nil, err
	}
	return openCarried(o, numbers[len(numbers)-1])
}

func openCarried(o Options, number uint64) (*carried, error) {
	c := &carried{number: number}
	var err error
	if c.f, err = os.Open(filepath.Join(o.Dir, carriedName(number))); err != nil {
		return nil, err
	}
	head := make([]byte, format.FileHeaderSize)
	n, err := io.ReadFull(c.f, head)
	h, derr := format.DecodeFileHeader(format.KindCarried, head[:n])
	if err == nil {
		err = derr
	}
	if err == nil && (h.Cluster != o.Cluster || h.Incarnation != o.Incarnation || h.Number != number) {
		err = fmt.Errorf("%w: cluster %x, incarnation %x, number %d", series.ErrForeign, h.Cluster, h.Incarnation, h.Number)
	}
	if err != nil {
		return nil, errors.Join(&format.DamageError{File: carriedName(number), Offset: 0, What: "file header", Err: err}, c.f.Close())
	}
	st, err := c.f.Stat()
	if err == nil {
		c.first, c.decided, c.size = h.First, h.PrevGood, st.Size()
		c.places, err = newPlaces(o.Dir, carriedPlaces)
	}
	if err != nil {
		return nil, errors.Join(err, c.f.Close())
	}
	return c, nil
}

// close ends the use of the file; a nil carried has none.
func (c *carried) close() error {
	if c == nil {
		return nil
	}
	return errors.Join(c.f.Close(), c.places.f.Close())
}

func (c *carried) frames(off int64, ahead int) *frames {
	f := &frames{name: carriedName(c.number), good: c.size, off: off}
	f.r = bufio.NewReaderSize(io.NewSectionReader(c.f, off, max(c.size-off, 0)), ahead)
	return f
}

// sequenceOf is the sequence in an encoded record: it stands behind the version.
func sequenceOf(encoded []byte) uint64 {
	if len(encoded) < 9 {
		return ^uint64(0)
	}
	return binary.BigEndian.Uint64(encoded[1:])
}

// each reads the file from off on, checking each record against its leaf hash.
func (c *carried) each(l *Log, off int64, fn func(seq uint64, at int64, encoded []byte) error) error {
	last, r := int64(-1), c.frames(off, readAhead)
	for r.off < r.good {
		at := r.off
		encoded, err := r.next()
		if err != nil {
			return r.damage(at, uint64(last+1), err)
		}
		seq := sequenceOf(encoded)
		if seq >= c.first || int64(seq) <= last {
			return r.damage(at, seq, fmt.Errorf("%w: behind record %d, below %d", ErrSequence, last, c.first))
		}
		last = int64(seq)
		if err := l.checkLeaf(&r.known, seq, encoded); err != nil {
			return r.damage(at, seq, err)
		}
		if err := fn(seq, at, encoded); err != nil {
			return err
		}
	}
	return nil
}

// scan reads the whole file once and notes its places.
func (c *carried) scan(l *Log, each func(seq uint64, encoded []byte) error) error {
	next := ^uint64(0)
	err := c.each(l, format.FileHeaderSize, func(seq uint64, at int64, encoded []byte) error {
		if _, err := checkRecord(encoded, seq); err != nil {
			return &format.DamageError{File: carriedName(c.number), Offset: at, What: recordName(seq), Err: err}
		}
		if c.count%placeEvery == 0 {
			c.places.add(place{seq, c.number, at})
		}
		if seq != next {
			c.minimum = seq
		}
		next = seq + 1
		c.count++
		if each == nil {
			return nil
		}
		return each(seq, encoded)
	})
	if next != c.first {
		c.minimum = c.first
	}
	return err
}

// locate finds a carried record; ErrPruned for one that is not there.
func (c *carried) locate(l *Log, seq uint64) (*frames, []byte, error) {
	from := int64(format.FileHeaderSize)
	if at, err := c.places.before(seq); err == nil {
		from = at.offset
	}
	r, encoded, err := c.find(l, from, seq)
	if err != nil && !errors.Is(err, ErrPruned) && from != format.FileHeaderSize {
		return c.find(l, format.FileHeaderSize, seq)
	}
	return r, encoded, err
}

func (c *carried) find(l *Log, from int64, seq uint64) (*frames, []byte, error) {
	r := c.frames(from, 16<<10)
	for r.off < r.good {
		at := r.off
		encoded, err := r.next()
		if err != nil {
			return nil, nil, r.damage(at, seq, err)
		}
		if have := sequenceOf(encoded); have < seq {
			continue
		} else if have > seq {
			break
		}
		if err := l.checkLeaf(&r.known, seq, encoded); err != nil {
			return nil, nil, r.damage(at, seq, err)
		}
		return r, encoded, nil
	}
	return nil, nil, fmt.Errorf("%w: %s", ErrPruned, recordName(seq))
}

// stale reports whether a history file is one that the carried file speaks for.
func (l *Log) stale(number uint64) bool {
	if l.carried == nil {
		return false
	}
	files := l.files.Files()
	i := slices.IndexFunc(files, func(f series.File) bool { return f.Number == number })
	return i >= 0 && i+1 < len(files) && files[i+1].First <= l.carried.first
}

// loadCarried takes the leaf hashes of what the carried file speaks for from the
// tree's file, where alone they all are, and holds the carried records against
// them.
func (l *Log) loadCarried(each func(uint64, []byte) error) error {
	if err := l.tree.adopt(l.carried.first); err != nil {
		return err
	}
	l.size = l.carried.first
	return l.carried.scan(l, each)
}

// Minimum is the least sequence from which on every record is here.
func (l *Log) Minimum() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.carried == nil {
		return 0
	}
	return l.carried.minimum
}

// Whole is the least sequence that no carried file speaks for: what is before it
// and not carried is gone.
func (l *Log) Whole() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.carried == nil {
		return 0
	}
	return l.carried.first
}

// Decided is the sequence plus one of the PRUNE record that the carried file was
// made after; 0 while there is none.
func (l *Log) Decided() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.carried == nil {
		return 0
	}
	return l.carried.decided
}

// Kept is Range over the records that are still here: it passes over what was
// erased.
func (l *Log) Kept(ctx context.Context, from, to uint64, fn func(seq uint64, encoded []byte) error) error {
	for {
		l.mu.RLock()
		c := l.carried
		l.mu.RUnlock()
		own := false // whether fn ended it
		visit := func(seq uint64, encoded []byte) error {
			from = seq + 1
			err := fn(seq, encoded)
			own = err != nil
			return err
		}
		var err error
		if c != nil && from < c.first {
			if err = l.keptBy(ctx, c, from, min(to, c.first), visit); err == nil {
				from = c.first
			}
		}
		if err == nil && from < to {
			err = l.Range(ctx, from, to, visit)
		}
		if err == nil || own || !l.replaced(c) {
			return err
		}
	}
}

func (l *Log) keptBy(ctx context.Context, c *carried, from, to uint64, fn visitor) error {
	off := int64(format.FileHeaderSize)
	if at, err := c.places.before(from); err == nil && at.offset > off && c.stands(at) {
		off = at.offset
	}
	err := c.each(l, off, func(seq uint64, _ int64, encoded []byte) error {
		if seq >= to {
			return errPassed // and so are all behind it
		}
		if err := ctx.Err(); err != nil || seq < from {
			return err
		}
		return fn(seq, encoded)
	})
	if errors.Is(err, errPassed) {
		return nil
	}
	return err
}

// stands reports whether a place is that of its record. The next carried file is
// read back while this one is still in use, and has the same file of places.
func (c *carried) stands(at place) bool {
	encoded, err := c.frames(at.offset, 16<<10).next()
	return err == nil && sequenceOf(encoded) == at.seq
}

// errPassed ends the reading of a carried file behind what was asked for.
var errPassed = errors.New("behind what was asked for")
