package custodian

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

var (
	// ErrWarrant is returned for a warrant that does not allow what is asked.
	ErrWarrant = errors.New("no warrant for this destruction")
	// ErrRange is returned for a range that is not inside a file's records.
	ErrRange = errors.New("range is not inside the file's records")
	// ErrNotEmpty is returned for the removal of a file that still holds something.
	ErrNotEmpty = errors.New("file is not empty")
)

// zeroChunk is how much is zeroed, or looked at, in one call, in bytes.
const zeroChunk = 1 << 20

// Destroy is DestroyAll of one order.
func (l *Local) Destroy(ctx context.Context, w Warrant, work Work) (Done, error) {
	return l.DestroyAll(ctx, []Order{{w, work}})
}

// DestroyAll overwrites the key slots of all orders, then zeroes their ranges, then
// removes the files named, each file opened once. When it returns nil all of it is
// on disk. If one order has no good warrant nothing is touched (ErrWarrant). A
// range in a file that is not sealed is ErrNotSealed, after the slots are gone:
// the caller seals the file and asks again. After any error or crash the same
// orders may be given again, whole.
func (l *Local) DestroyAll(ctx context.Context, orders []Order) (Done, error) {
	for _, o := range orders {
		if err := l.admit(o); err != nil {
			return Done{}, fmt.Errorf("custodian: bundle %d: %w", o.Work.Bundle, err)
		}
		runtime.Gosched() // as a whole this takes long, and others have to answer somebody
	}
	done, err := l.destroy(ctx, orders)
	if err != nil {
		return done, fmt.Errorf("custodian: %w", err)
	}
	return done, nil
}

func (l *Local) admit(o Order) error {
	if err := o.permitted(); err != nil {
		return err
	}
	if l.judge == nil {
		return fmt.Errorf("%w: there is no judge", ErrWarrant)
	}
	var err error
	switch {
	case o.Work.Unused:
		err = l.judge.JudgeUnused(o.Warrant, o.Work.Slots)
	case o.Work.History:
		err = l.judge.JudgeHistory(o.Warrant, o.Work.files())
	default:
		err = l.judge.Judge(o.Warrant, o.Work.Bundle)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWarrant, err)
	}
	return nil
}

// destroy is the one function that destroys: everything that overwrites slots,
// zeroes, punches or unlinks is called from here.
func (l *Local) destroy(ctx context.Context, orders []Order) (Done, error) {
	l.work.Lock()
	defer l.work.Unlock()
	var done Done
	slots, ranges, removals, sizes := map[string][]uint32{}, map[string][]Range{}, map[string]bool{}, map[string]int64{}
	for _, o := range orders {
		for _, s := range o.Work.Slots {
			name := keyring.FileName(s.Block)
			slots[name] = append(slots[name], s.Index)
		}
		for _, r := range o.Work.Ranges {
			if err := l.inside(r, sizes); err != nil {
				return done, err
			}
			ranges[r.File] = append(ranges[r.File], r)
		}
		for _, name := range o.Work.Remove {
			removals[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(slots)) {
		if err := l.orAbsent(&done, name, l.eraseSlots(ctx, &done, name, slots[name])); err != nil {
			return done, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ranges)) {
		if err := l.orAbsent(&done, name, l.eraseRanges(ctx, &done, name, ranges[name])); err != nil {
			return done, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(removals)) {
		if err := l.orAbsent(&done, name, l.removeEmpty(name)); err != nil {
			return done, err
		}
	}
	return done, nil
}

// inside refuses a malformed range before anything is touched. A missing file is
// found later. sizes remembers those of the files, -1 for a missing one: to
// look at a file once and not for each of hundreds of ranges.
func (l *Local) inside(r Range, sizes map[string]int64) error {
	size, known := sizes[r.File]
	if !known {
		p, err := l.locate(r.File, dirSegments, dirHistory)
		if err != nil {
			return err
		}
		if st, err := os.Stat(p); err == nil {
			size = st.Size()
		} else if size = -1; !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		sizes[r.File] = size
	}
	if size >= 0 && (r.Offset < format.FileHeaderSize || r.Length < 1 || r.Length > size || r.Offset > size-r.Length) {
		return fmt.Errorf("%w: %d bytes at %d of %s, which has %d", ErrRange, r.Length, r.Offset, r.File, size)
	}
	return nil
}

func (l *Local) orAbsent(done *Done, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		done.Absent = append(done.Absent, name)
		return nil
	}
	return err
}

func (l *Local) eraseSlots(ctx context.Context, done *Done, name string, indexes []uint32) error {
	p, err := l.locate(name, dirKeys)
	if err != nil {
		return err
	}
	st, err := os.Stat(p)
	if err != nil {
		return err
	}
	if last := slices.Max(indexes); keyring.SlotOffset(last)+keyring.SlotSize > st.Size() {
		return fmt.Errorf("%w: slot %d of %s", ErrRange, last, name)
	}
	if err := wipeReplaced(p); err != nil { // a rewrapping failed: the same keys lie there
		return fmt.Errorf("slots of %s: %w", name, err)
	}
	err = l.opened(p, flagImmutable, func(f *os.File) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := l.step("overwrite slots", func() error {
			erased := bytes.Repeat(keyring.ErasedSlot(), len(indexes))
			for run := range runs(indexes) {
				if _, err := f.WriteAt(erased[:len(run)*keyring.SlotSize], keyring.SlotOffset(run[0])); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return l.step("sync slots", func() error { return unix.Fdatasync(int(f.Fd())) })
	})
	if err != nil {
		return fmt.Errorf("slots of %s: %w", name, err)
	}
	done.Slots += len(indexes)
	return nil
}

// runs cuts slot numbers into stretches without a gap, each to be written at once.
func runs(indexes []uint32) iter.Seq[[]uint32] {
	sorted := slices.Compact(slices.Sorted(slices.Values(indexes)))
	return func(yield func([]uint32) bool) {
		for from := 0; from < len(sorted); {
			to := from + 1
			for to < len(sorted) && sorted[to] == sorted[to-1]+1 {
				to++
			}
			if !yield(sorted[from:to]) {
				return
			}
			from = to
		}
	}
}

// sealedFile returns the path of a file that is sealed and has no writer.
func (l *Local) sealedFile(name string) (p string, err error) {
	if p, err = l.locate(name, dirSegments, dirHistory); err != nil {
		return "", err
	}
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if !l.isSealed(name) {
		return "", fmt.Errorf("%s: %w", name, ErrNotSealed)
	}
	if err := l.proveNoWriter(f); err != nil {
		return "", fmt.Errorf("%s: %w: %w", name, ErrNotSealed, err)
	}
	return p, nil
}

func (l *Local) eraseRanges(ctx context.Context, done *Done, name string, ranges []Range) error {
	p, err := l.sealedFile(name)
	if err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(p, &fs); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	block := max(int64(fs.Bsize), 1)
	err = l.opened(p, flagAppend|flagImmutable, func(f *os.File) error {
		err := l.step("zero ranges", func() error {
			fetch(f, ranges, block)
			longest := slices.MaxFunc(ranges, func(a, b Range) int { return cmp.Compare(a.Length, b.Length) }).Length
			zeros := make([]byte, min(longest, zeroChunk))
			for _, r := range ranges {
				if err := zero(ctx, f, r.Offset, r.Length, block, zeros); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := l.step("sync zeros", func() error { return unix.Fdatasync(int(f.Fd())) }); err != nil {
			return err
		}
		punched := false
		err = l.step("punch ranges", func() (err error) {
			punched, err = punch(done, f, ranges, block)
			return err
		})
		if err != nil {
			return err
		}
		return l.step("sync holes", func() error {
			if !punched { // as in a file of small bundles: what was written is on disk
				return nil
			}
			return f.Sync()
		})
	})
	if err != nil {
		return fmt.Errorf("ranges of %s: %w", name, err)
	}
	done.Ranges += len(ranges)
	for _, r := range ranges {
		done.Bytes += r.Length
	}
	return nil
}

// near is how far apart, in bytes, two places of a file lie that are read at once.
const near = 64 << 10

// fetch has the kernel begin to read the blocks that zeros will fill in part: the first
// and the last of each range. Each would be waited for by itself. It is a hint.
func fetch(f *os.File, ranges []Range, block int64) {
	var starts []int64
	for _, r := range ranges {
		starts = append(starts, r.Offset/block*block, (r.Offset+r.Length-1)/block*block)
	}
	slices.Sort(starts)
	for from := 0; from < len(starts); {
		to := from + 1
		for to < len(starts) && starts[to]-starts[to-1] <= near {
			to++
		}
		_ = unix.Fadvise(int(f.Fd()), starts[from], starts[to-1]+block-starts[from], unix.FADV_WILLNEED)
		from = to
	}
}

// zero overwrites what there is of a range. Holes are passed over: what was punched
// before reads as zeros, and writing there again would need room that a full disk
// does not have. zeros are some, as many as a range has or zeroChunk.
func zero(ctx context.Context, f *os.File, offset, length, block int64, zeros []byte) error {
	if length <= int64(len(zeros)) && !holdsBlock(offset, length, block) { // nothing of it can have been punched
		_, err := f.WriteAt(zeros[:length], offset)
		return err
	}
	for at, end := offset, offset+length; at < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || data >= end {
			return nil
		}
		if err != nil { // the file system does not tell: all of it is data
			data = at
		}
		n := min(end-data, int64(len(zeros)))
		if hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE); err == nil && hole > data {
			n = min(n, hole-data)
		}
		if _, err := f.WriteAt(zeros[:n], data); err != nil {
			return err
		}
		at = data + n
	}
	return nil
}

// holdsBlock reports whether a range holds a whole block of the file system, of so
// many bytes: only such a one can be given back.
func holdsBlock(offset, length, block int64) bool {
	first := (offset + block - 1) / block * block
	return first+block <= offset+length
}

// punch gives the blocks back, once the zeros are on disk: punching alone leaves
// the old bytes on the device. some says that there were any.
func punch(done *Done, f *os.File, ranges []Range, block int64) (some bool, err error) {
	for _, r := range ranges {
		if !holdsBlock(r.Offset, r.Length, block) {
			continue
		}
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, r.Offset, r.Length)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
			done.NotPunched = true
			return some, nil
		}
		if err != nil {
			return some, err
		}
		some = true
	}
	return some, nil
}
