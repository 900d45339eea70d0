package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/sago-worm/sago/store/format"
)

const (
	bundleWidth = 256 // hashes in a full tile, records in a full bundle
	hashSize    = 32
	maxBundle   = bundleWidth * (2 + format.MaxRecord)
	maxPath     = 64 * hashSize // an inclusion path, bytes
	maxProofs   = bundleWidth * (2 + maxPath)
	maxNames    = 4096 // in one folder; the layout has at most about 2000
)

// folder is the export on disk. Nothing outside what a check names is opened.
type folder string

// read returns a file of at most max bytes. A name that is not a regular file (a
// link, a pipe) is a missing one.
func (d folder) read(name string, max int) ([]byte, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(max)+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	switch {
	case err != nil:
		return nil, failed(IOError, name, "%v", err)
	case len(b) > max:
		return nil, failed(FileExtra, name, "it is longer than %d bytes", max)
	}
	return b, nil
}

func (d folder) open(name string) (*os.File, error) {
	path := filepath.Join(string(d), filepath.FromSlash(name))
	info, err := os.Lstat(path)
	switch {
	case absent(err), err == nil && !info.Mode().IsRegular():
		return nil, failed(FileMissing, name, "there is no such file")
	case err != nil:
		return nil, failed(IOError, name, "%v", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, failed(IOError, name, "%v", err)
	}
	return f, nil
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// has reports whether a regular file of that name is there.
func (d folder) has(name string) bool {
	info, err := os.Lstat(filepath.Join(string(d), filepath.FromSlash(name)))
	return err == nil && info.Mode().IsRegular()
}

// names lists a folder in order; none when it is not there.
func (d folder) names(name string) ([]fs.DirEntry, error) {
	f, err := os.Open(filepath.Join(string(d), filepath.FromSlash(name)))
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(IOError, name, "%v", err)
	}
	found, err := f.ReadDir(maxNames + 1)
	if cerr := f.Close(); err == nil || errors.Is(err, io.EOF) {
		err = cerr
	}
	if err == nil && len(found) > maxNames {
		return nil, failed(FileExtra, name, "more than %d names in one folder", maxNames)
	}
	if err != nil && !errors.Is(err, syscall.ENOTDIR) {
		return nil, failed(IOError, name, "%v", err)
	}
	return found, nil
}

// tilePath is where tile or bundle n stands under prefix, as C2SP tlog-tiles
// encodes it.
func tilePath(prefix string, n uint64, width int) string {
	path := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	if width < bundleWidth {
		path += ".p/" + strconv.Itoa(width)
	}
	return prefix + "/" + path
}

// parseTile takes apart what tilePath made: the number and width of the tile that
// stands at rest under its prefix.
func parseTile(rest string) (n uint64, width int, ok bool) {
	width = bundleWidth
	path, partial, cut := strings.Cut(rest, ".p/")
	if cut {
		w, err := strconv.Atoi(partial)
		if err != nil || w < 1 || w >= bundleWidth {
			return 0, 0, false
		}
		width = w
	}
	for _, part := range strings.Split(path, "/") {
		digits := strings.TrimPrefix(part, "x")
		v, err := strconv.ParseUint(digits, 10, 10)
		if err != nil || v > 999 || n > 1<<53 {
			return 0, 0, false
		}
		n = n*1000 + v
	}
	return n, width, tilePath("", n, width) == "/"+rest
}

// widthOf is how many of all things tile n has; 0 when there is no such tile.
func widthOf(n, all uint64) int {
	if n > all/bundleWidth {
		return 0
	}
	return int(min(all-n*bundleWidth, bundleWidth))
}
