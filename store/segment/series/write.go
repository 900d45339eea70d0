package series

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// Resume makes the series ready for appends, once its caller has scanned it: good
// is the end of the newest file's last good record, first the First of a file that
// begins now. After a clean stop the newest file goes on. After any other it is
// sealed, and a new one begins that states good and the digest of the torn bytes;
// a file that holds nothing at all just goes on. ErrFull leaves the series open:
// the file begins with a later append.
func (s *Series) Resume(good int64, first uint64) error {
	newest, ok := s.Newest()
	if !ok {
		return s.begin(first)
	}
	whole := good == newest.Good
	if s.spec.Clean && !whole {
		return s.Damage(newest.Number, good, "tail after a clean stop", nil)
	}
	if s.spec.Clean || whole && good == format.FileHeaderSize && s.next == newest.Number+1 {
		f, err := s.spec.Files.Append(s.Name(newest.Number))
		if err != nil {
			return err
		}
		s.active = f
		return nil
	}
	s.setGood(good)
	if err := s.spec.Files.Seal(s.Name(newest.Number)); err != nil {
		return fmt.Errorf("sealing %s: %w", s.Name(newest.Number), err)
	}
	return s.begin(first)
}

// Append writes b at the end, in one write, and syncs it. first is the First of
// the file that begins if the newest one is full. It returns where b begins.
func (s *Series) Append(b []byte, first uint64) (number uint64, offset int64, err error) {
	if s.failed != nil {
		return 0, 0, s.failed
	}
	newest, _ := s.Newest()
	if s.active != nil && newest.Good+int64(len(b)) > s.spec.MaxFile {
		if err := s.Roll(first); err != nil {
			return 0, 0, err
		}
	}
	if s.active == nil {
		if err := s.begin(first); err != nil {
			return 0, 0, err
		}
	}
	newest, _ = s.Newest()
	if err := s.claim(s.active, newest.Good+int64(len(b))); err != nil {
		return 0, 0, s.latch(err)
	}
	if _, err := s.active.Write(b); err != nil {
		return 0, 0, s.writeFailed(err)
	}
	if err := datasync(s.active); err != nil {
		return 0, 0, s.latch(err)
	}
	s.setGood(newest.Good + int64(len(b)))
	return newest.Number, newest.Good, nil
}

// Roll seals the newest file and begins the next. A file without a record stays.
func (s *Series) Roll(first uint64) error {
	if s.failed != nil {
		return s.failed
	}
	if newest, ok := s.Newest(); s.active != nil && ok {
		if newest.Good == format.FileHeaderSize {
			return nil
		}
		if err := s.retire(); err != nil {
			return err
		}
	}
	return s.begin(first)
}

// Skip seals the newest file, which may hold no record, and begins the next.
func (s *Series) Skip(first uint64) error {
	if s.failed != nil {
		return s.failed
	}
	if s.active != nil {
		if err := s.retire(); err != nil {
			return err
		}
	}
	return s.begin(first)
}

// writeFailed seals the file where it is good when there was no room, and latches
// every other failure. What a partial write left is a torn tail, as after a crash.
func (s *Series) writeFailed(err error) error {
	if !isFull(err) {
		return s.latch(err)
	}
	if err := datasync(s.active); err != nil {
		return s.latch(err)
	}
	if err := s.retire(); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrFull, err)
}

// retire closes and seals the newest file.
func (s *Series) retire() error {
	newest, _ := s.Newest()
	err := s.active.Close()
	s.active = nil
	if err != nil {
		return s.latch(err)
	}
	if err := s.spec.Files.Seal(s.Name(newest.Number)); err != nil {
		return s.latch(err)
	}
	return nil
}

// begin makes the next file, its header synced, and appends to it from then on.
func (s *Series) begin(first uint64) error {
	h := format.FileHeader{Kind: s.spec.Kind, Cluster: s.spec.Cluster, Incarnation: s.spec.Incarnation, Number: s.next, First: first}
	if prev, ok := s.Newest(); ok {
		torn, err := s.digestFrom(prev)
		if err != nil {
			return s.latch(err)
		}
		h.PrevGood, h.PrevTorn = uint64(prev.Good), torn
	}
	f, err := s.create(s.Name(s.next))
	if err != nil {
		return s.beginFailed(err)
	}
	if err := s.claim(f, format.FileHeaderSize); err != nil {
		return errors.Join(s.latch(err), f.Close())
	}
	if _, err := f.Write(h.Encode()); err != nil {
		if info, serr := f.Stat(); serr == nil && info.Size() > 0 {
			s.next++ // void: it holds a part of a header, and can never be cut
		}
		return errors.Join(s.beginFailed(err), f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(s.latch(err), f.Close())
	}
	s.active = f
	s.mu.Lock()
	s.files = append(s.files, File{Number: s.next, First: first, Good: format.FileHeaderSize})
	s.mu.Unlock()
	s.next++
	return nil
}

func (s *Series) claim(f *os.File, end int64) error {
	if s.spec.Claim == nil {
		return nil
	}
	return s.spec.Claim(f, end)
}

func (s *Series) beginFailed(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return s.latch(err)
}

// create makes a file, or takes the empty one that a cut-short creation left.
func (s *Series) create(name string) (*os.File, error) {
	folder := filepath.Join(s.spec.Dir, s.spec.Folder)
	if err := os.Mkdir(folder, 0o750); err == nil {
		if err := durable.SyncDir(s.spec.Dir); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	f, err := s.spec.Files.Create(name)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	info, serr := os.Stat(filepath.Join(s.spec.Dir, name))
	if serr != nil || info.Size() != 0 {
		return nil, errors.Join(err, serr)
	}
	return s.spec.Files.Append(name)
}

// digestFrom is the SHA-256 of a file's bytes beyond its good length.
func (s *Series) digestFrom(f File) (format.Digest, error) {
	r, err := s.reader(f.Number)
	if err != nil {
		return format.Digest{}, err
	}
	info, err := r.Stat()
	if err != nil {
		return format.Digest{}, err
	}
	h := sha256.New()
	if _, err := io.Copy(h, s.Section(f.Number, f.Good, info.Size())); err != nil {
		return format.Digest{}, err
	}
	return format.Digest(h.Sum(nil)), nil
}

func (s *Series) setGood(good int64) {
	s.mu.Lock()
	s.files[len(s.files)-1].Good = good
	s.mu.Unlock()
}

// latch makes err the answer to every later write.
func (s *Series) latch(err error) error {
	if s.failed == nil {
		s.failed = fmt.Errorf("%w: %s: %w", ErrLatched, s.spec.Folder, err)
	}
	return s.failed
}

// Close ends the series. Only after nil may the caller mark the stop as clean: a
// file that was sealed for want of room needs its successor's statement first,
// and a latched failure stays one. first is the First of such a successor.
func (s *Series) Close(first uint64) error {
	err := s.failed
	if err == nil && s.active == nil {
		err = s.begin(first)
	}
	if s.active != nil {
		err = errors.Join(err, s.active.Close())
		s.active = nil
	}
	if s.failed == nil {
		s.failed = fmt.Errorf("%s: %w", s.spec.Folder, os.ErrClosed)
	}
	return errors.Join(err, s.closeReaders())
}

// datasync is fdatasync, repeated only when a signal interrupted it.
func datasync(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := c.Control(func(fd uintptr) {
		for {
			if serr = unix.Fdatasync(int(fd)); !errors.Is(serr, unix.EINTR) {
				return
			}
		}
	}); err != nil {
		return err
	}
	if serr != nil {
		return fmt.Errorf("fdatasync %s: %w", f.Name(), serr)
	}
	return nil
}

// Abandon ends a series whose opening failed: it writes nothing.
func (s *Series) Abandon() error {
	var err error
	if s.active != nil {
		err = s.active.Close()
		s.active = nil
	}
	return errors.Join(err, s.closeReaders())
}
