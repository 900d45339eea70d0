package forensic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// source is a file that is searched. One goroutine at a time uses it.
type source struct {
	path   string
	size   int64
	pages  *pages // of a database file
	covers []cover
	faults []string
}

func (s *source) place(at int64) Place { return Place{s.path, at, s.pages.describe(at)} }

func (s *source) fault(f string, args ...any) {
	const most = 3 // of one file
	if len(s.faults) < most {
		s.faults = append(s.faults, s.path+": "+fmt.Sprintf(f, args...))
	}
}

// open opens for reading alone, without leaving an access time where that is ours
// to say.
func (s *source) open() (*os.File, error) {
	f, err := os.OpenFile(s.path, os.O_RDONLY|syscall.O_NOATIME, 0)
	if errors.Is(err, fs.ErrPermission) {
		f, err = os.Open(s.path)
	}
	return f, err
}

// sector is how much is given up where a medium does not answer.
const sector = 4096

// fill reads into b what stands at the offset and answers how much there is. What
// the medium does not give is zeros and a fault.
func (s *source) fill(f io.ReaderAt, b []byte, at int64) int {
	n := int(max(0, min(int64(len(b)), s.size-at)))
	b = b[:n]
	if _, err := f.ReadAt(b, at); err == nil || errors.Is(err, io.EOF) && n == 0 {
		return n
	}
	for done := 0; done < n; done += sector {
		part := b[done:min(done+sector, n)]
		if _, err := f.ReadAt(part, at+int64(done)); err != nil {
			clear(part)
			s.fault("cannot be read at offset %d: %v", at+int64(done), err)
		}
	}
	return n
}

// read answers up to n bytes at an offset.
func (s *source) read(at int64, n int) []byte {
	f, err := s.open()
	if err != nil {
		s.fault("%v", err)
		return nil
	}
	defer f.Close() // opened for reading: nothing can be lost
	b := make([]byte, n)
	return b[:s.fill(f, b, at)]
}

// stride is how many places are looked at between two reads.
const stride = 4 << 20

// look is shown bytes of a source. It answers for the first n places; what lies
// behind them in b, at least as much as the scan was asked for, is to look ahead.
type look func(src *source, at int64, b []byte, n int)

// scan shows every byte of [from, to) to a look.
func (s *source) scan(ctx context.Context, from, to int64, ahead int, fn look) error {
	f, err := s.open()
	if err != nil {
		s.fault("%v", err)
		return nil
	}
	defer f.Close() // opened for reading: nothing can be lost
	b := make([]byte, min(stride+int64(ahead), max(0, s.size-from)))
	for at := from; at < to; at += stride {
		if err := ctx.Err(); err != nil {
			return err
		}
		have := s.fill(f, b, at)
		fn(s, at, b[:have], int(min(int64(have), stride, to-at)))
	}
	return nil
}

// scanAll scans every source, several at a time; a look is called by several
// goroutines.
func (s *search) scanAll(ctx context.Context, ahead int, fn look) error {
	work := make(chan *source)
	errs := make([]error, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			for src := range work {
				errs[i] = errors.Join(errs[i], src.scan(ctx, 0, src.size, ahead, fn))
			}
		})
	}
	for _, src := range s.sources {
		work <- src
	}
	close(work)
	group.Wait()
	return errors.Join(errs...)
}

// collect lists the files under the paths, each once.
func (s *search) collect() {
	seen := map[string]bool{}
	for _, p := range s.in.Paths {
		root, err := filepath.EvalSymlinks(p)
		if err != nil {
			s.problem("%v", err)
			continue
		}
		err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				s.problem("%v", err)
				return nil
			}
			if e.IsDir() || seen[path] {
				return nil
			}
			seen[path] = true
			s.add(path, e.Type(), path == root)
			return nil
		})
		if err != nil {
			s.problem("%v", err)
		}
	}
	slices.SortFunc(s.sources, func(a, b *source) int { return strings.Compare(a.path, b.path) })
}

// add takes a file in: a regular one, or a block device that was named itself.
func (s *search) add(path string, kind fs.FileMode, named bool) {
	if !kind.IsRegular() && !(named && kind&fs.ModeDevice != 0 && kind&fs.ModeCharDevice == 0) {
		s.bound("%s is no regular file and was passed over", path)
		return
	}
	src := &source{path: path}
	f, err := src.open()
	if err == nil {
		defer f.Close() // opened for reading: nothing can be lost
		src.size, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		s.problem("%v", err)
		return
	}
	s.sources = append(s.sources, src)
	head := make([]byte, 6)
	src.fill(f, head, 0)
	for kind, magic := range compressed {
		if bytes.HasPrefix(head, []byte(magic)) {
			s.problem("%s is compressed (%s): unpack it and give what is in it", path, kind)
		}
	}
	if src.pages = readPages(f, src.size); src.pages != nil {
		s.way(WayPages).Of += len(src.pages.used)
		s.way(WayPages).Found += src.pages.unused()
	}
}

// compressed are the beginnings of files whose bytes say nothing as they are.
var compressed = map[string]string{"gzip": "\x1f\x8b\x08", "zstd": "\x28\xb5\x2f\xfd", "xz": "\xfd7zXZ\x00", "zip": "PK\x03\x04", "bzip2": "BZh", "7z": "7z\xbc\xaf\x27\x1c"}
