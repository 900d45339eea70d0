// Package series keeps a numbered series of append-only files, as segments and
// history are: their names, the chain of their headers, the descriptor that
// appends, the roll to the next file, and the error that ends all writing. It
// knows no record: its callers scan, and tell it where the last good record ends.
//
// It guarantees that no file is ever cut or overwritten, that nothing is read
// beyond a file's good length, and that after one failed write or sync nothing is
// acknowledged any more (docs/formats/file-header.md).
package series

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
)

// Errors that callers decide on.
var (
	// ErrLatched wraps the first failed write or sync. Every later call answers the
	// same error: the process must end, and find out on its next start what is on disk.
	ErrLatched = errors.New("writing has failed and is not tried again")
	// ErrFull says that the file system had no room (ENOSPC). Nothing of the failed
	// call counts, the file was sealed where it was good, and a later call begins a
	// new file.
	ErrFull = errors.New("no room for an append")
	// ErrForeign says that a file belongs to another cluster or another data directory.
	ErrForeign = errors.New("file of another data directory")
)

// Files hands out append-only descriptors and takes files out of use. Names are
// relative to the data directory, such as "segments/00000001.seg".
type Files interface {
	// Create makes a new file and opens it O_WRONLY|O_APPEND. The append-only flag
	// (where there is one) and the name are on disk when it returns. An existing
	// file is an error that matches fs.ErrExist.
	Create(name string) (*os.File, error)
	// Append opens an existing file that is not sealed, O_WRONLY|O_APPEND.
	Append(name string) (*os.File, error)
	// Seal makes a file immutable. No descriptor that writes it is open any more.
	// Sealing a sealed file succeeds.
	Seal(name string) error
}

// Spec says which series, where.
type Spec struct {
	Dir                  string // the data directory
	Folder, Ext          string // "segments", "seg"
	Kind                 format.FileKind
	Files                Files
	Cluster, Incarnation format.ID
	MaxFile              int64 // a file that would grow beyond it, in bytes, is sealed first
	// Clean says that the last run closed the series: the newest file has no torn tail.
	Clean bool
	// Trimmed allows the oldest files to be gone, erased whole.
	Trimmed bool
	// Claim, when set, gives a file its blocks up to end before it is written.
	Claim func(f *os.File, end int64) error
}

// File is one file of a series.
type File struct {
	Number uint64
	First  uint64 // the header's First
	Good   int64  // end of the last good record, in bytes from the file's begin
}

// Series is an open series. Append, Roll, Resume and Close are one writer's, one
// call at a time; everything else is safe beside them.
type Series struct {
	spec Spec
	next uint64 // number of the file to begin next; writer only

	mu      sync.RWMutex
	files   []File              // ascending numbers
	readers map[uint64]*os.File // bounded by maxReaders
	closed  bool

	active *os.File // appends to the newest of files; nil while the next is not begun
	failed error    // latched
}

// Open reads the names and headers of a series and checks their chain. It changes
// nothing on disk; Resume does. A header that does not verify, a missing file and
// one shorter than its successor states are a *format.DamageError.
func Open(spec Spec) (*Series, error) {
	s := &Series{spec: spec, readers: map[uint64]*os.File{}}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.closeReaders())
	}
	if n := len(s.files); n > 0 && !spec.Clean {
		if err := s.settleCache(s.files[n-1].Number); err != nil {
			return nil, errors.Join(err, s.closeReaders())
		}
	}
	return s, nil
}

// settleCache puts the newest file's pages on disk and drops them from memory:
// what the scan then reads is what a power cut would leave. Without it, a page
// whose write-back failed in the last run would be believed from memory.
func (s *Series) settleCache(number uint64) error {
	f, err := s.reader(number)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", s.Name(number), err)
	}
	// Only advice: where the file system ignores it, the scan still checks all it reads.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	return nil
}

// Name is the file's name relative to the data directory.
func (s *Series) Name(number uint64) string { return s.spec.name(number) }

func (p Spec) name(number uint64) string {
	return fmt.Sprintf("%s/%08d.%s", p.Folder, number, p.Ext)
}

func (s *Series) path(number uint64) string { return filepath.Join(s.spec.Dir, s.Name(number)) }

// Files returns the files in order. The newest one's Good is its size until Resume.
func (s *Series) Files() []File {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return append([]File(nil), s.files...)
}

// Newest returns the newest file; false while there is none.
func (s *Series) Newest() (File, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.files) == 0 {
		return File{}, false
	}
	return s.files[len(s.files)-1], true
}

// File returns the file with that number; false if there is none.
func (s *Series) File(number uint64) (File, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.files) == 0 || number < s.files[0].Number {
		return File{}, false
	}
	// Numbers ascend and void files are rare, so the place is at or just before this.
	for i := min(number-s.files[0].Number, uint64(len(s.files)-1)); ; i-- {
		if f := s.files[i]; f.Number <= number {
			return f, f.Number == number
		}
	}
}

// Drop forgets the files before a number, which are gone or about to go: nothing
// reads them any more.
func (s *Series) Drop(before uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for len(s.files) > 1 && s.files[0].Number < before {
		if f, ok := s.readers[s.files[0].Number]; ok {
			errs = append(errs, f.Close())
			delete(s.readers, s.files[0].Number)
		}
		s.files = s.files[1:]
	}
	return errors.Join(errs...)
}

// Sealed reports whether a later file states this one's good length: nothing
// about it changes any more, so that ranges in it may be zeroed.
func (s *Series) Sealed(number uint64) bool {
	n, ok := s.Newest()
	return ok && number < n.Number
}

// Damage names bytes of a file that are not what was written.
func (s *Series) Damage(number uint64, offset int64, what string, err error) *format.DamageError {
	return &format.DamageError{File: s.Name(number), Offset: offset, What: what, Err: err}
}

// ReadAt fills p from offset off of a file. A range that is not within the good
// length, or a file that is gone or cannot be read, is a *format.DamageError.
func (s *Series) ReadAt(number uint64, p []byte, off int64) error {
	f, ok := s.File(number)
	if !ok {
		return s.Damage(number, -1, "file", os.ErrNotExist)
	}
	if off < 0 || off > f.Good || int64(len(p)) > f.Good-off {
		return s.Damage(number, off, fmt.Sprintf("%d bytes", len(p)),
			fmt.Errorf("the file is good up to %d only", f.Good))
	}
	n, err := s.pread(number, p, off)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, os.ErrClosed) {
		return err
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return s.Damage(number, off, fmt.Sprintf("%d bytes", len(p)), err)
}

// Section reads a file from off up to end, for scanning. Errors are the file's own.
func (s *Series) Section(number uint64, off, end int64) io.Reader {
	return io.NewSectionReader(cached{s, number}, off, max(end-off, 0))
}

// cached reads one file through the bounded set of descriptors.
type cached struct {
	s      *Series
	number uint64
}

func (c cached) ReadAt(p []byte, off int64) (int, error) { return c.s.pread(c.number, p, off) }

// maxReaders bounds the descriptors kept open for reading.
const maxReaders = 64

// pread reads through a kept descriptor. Another reader may push that descriptor
// out and close it meanwhile; then it is opened again.
func (s *Series) pread(number uint64, p []byte, off int64) (int, error) {
	for {
		f, err := s.reader(number)
		if err != nil {
			return 0, err
		}
		n, err := f.ReadAt(p, off)
		if errors.Is(err, os.ErrClosed) {
			continue
		}
		return n, err
	}
}

// reader returns a kept read-only descriptor, never the one that appends.
func (s *Series) reader(number uint64) (*os.File, error) {
	s.mu.RLock()
	f, ok := s.readers[number]
	s.mu.RUnlock()
	if ok {
		return f, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("%s: %w", s.spec.Folder, os.ErrClosed)
	}
	if f, ok := s.readers[number]; ok {
		return f, nil
	}
	f, err := os.Open(s.path(number))
	if err != nil {
		return nil, err
	}
	if len(s.readers) >= maxReaders {
		for n, old := range s.readers {
			delete(s.readers, n)
			_ = old.Close() // a read-only descriptor: nothing can be lost
			break
		}
	}
	s.readers[number] = f
	return f, nil
}

func (s *Series) closeReaders() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for n, f := range s.readers {
		errs = append(errs, f.Close())
		delete(s.readers, n)
	}
	return errors.Join(errs...)
}

// isFull tells a file system without room from every other failure.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }
