package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// appendOnly is FS_APPEND_FL, for which golang.org/x/sys/unix has the call and not
// the value.
const appendOnly = 0x20

// book is one file of lines. It is only ever appended to.
type book struct{ path string }

// content is what a book holds.
type content struct {
	entries []Entry
	torn    []byte // what follows the last line feed
	foreign int    // lines that are none: a power cut may leave such
}

// last is the sequence from which on the book is to be written, and the hash of
// its last line.
func (c *content) last() (next uint64, previous format.Digest) {
	if n := len(c.entries); n > 0 {
		return c.entries[n-1].Sequence + 1, c.entries[n-1].Line
	}
	return 0, previous
}

// read reads the whole book; a file that is not there is an empty one.
func (b *book) read() (c content, err error) {
	text, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	c.torn = text[whole:]
	for l := range bytes.Lines(text[:whole]) {
		e, err := decode(bytes.TrimSuffix(l, []byte("\n")))
		if err != nil {
			c.foreign++
			continue
		}
		c.entries = append(c.entries, e)
	}
	return c, nil
}

// open opens the book for appending, made where there is none, with the inode flag
// that lets nobody cut it where that is permitted.
func (b *book) open() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(b.path), 0o750); err != nil {
		return nil, err
	}
	f, err := durable.CreateExclusive(b.path, os.O_WRONLY|os.O_APPEND, fileMode)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(b.path, os.O_WRONLY|os.O_APPEND, 0)
	}
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is not a regular file", b.path), err, f.Close())
	}
	if flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS); err == nil && flags&appendOnly == 0 {
		// Refused without the capability, or by a file system that has no flags: the
		// chain and the comparison of the three do not rest on it.
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags|appendOnly))
	}
	return f, nil
}

// add appends the steps behind the book's end and syncs them. What a crash left of
// the next line is completed, or ended as a line that is none. It answers the lines
// that it wrote.
func (b *book) add(c *content, steps []store.SpecialStep) (lines [][]byte, err error) {
	if len(steps) == 0 {
		return nil, nil
	}
	_, previous := c.last()
	var out bytes.Buffer
	for i, s := range steps {
		e := entryOf(s, previous)
		text, err := e.encode()
		if err != nil {
			return nil, err
		}
		lines = append(lines, text)
		whole := append(bytes.Clone(text), '\n')
		if i == 0 && len(c.torn) > 0 {
			rest, begun := bytes.CutPrefix(whole, c.torn)
			if !begun {
				rest = append([]byte("\n"), whole...)
			}
			whole = rest
		}
		out.Write(whole)
		c.entries, previous = append(c.entries, e), e.Line
	}
	f, err := b.open()
	if err != nil {
		return nil, err
	}
	_, err = f.Write(out.Bytes())
	return lines, errors.Join(err, f.Sync(), f.Close())
}
