package sink

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// fileMode lets a site's collector read the file by its group.
const fileMode = 0o640

// lookBack is how much of a file's end is read to find the sink's place in it.
const lookBack = 8 << 20

// errNotOurs refuses a file that holds something else: nothing is written to it.
var errNotOurs = errors.New("holds no line of a history sink, and is not empty")

// errUnsynced says that what was written may not reach the disk although it can
// be read: the file's own end is then no proof.
var errUnsynced = errors.New("the file could not be synced")

// fileTarget is a file that lines are appended to. It is never cut: a line that
// was torn is completed, so that an append-only file serves as well.
type fileTarget struct {
	path string
	f    *os.File
	w    *bufio.Writer
}

// openFile opens the file, made where there is none.
func openFile(path string) (*fileTarget, error) {
	f, err := durable.CreateExclusive(path, os.O_RDWR|os.O_APPEND, fileMode)
	switch {
	case errors.Is(err, fs.ErrExist):
		f, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	case err == nil:
		err = f.Chmod(fileMode) // whatever the umask
	}
	if err != nil {
		return nil, err
	}
	t := &fileTarget{path: path, f: f, w: bufio.NewWriterSize(f, 64<<10)}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is not a regular file", path), err, f.Close())
	}
	return t, nil
}

// fileEnd is what the end of a file tells.
type fileEnd struct {
	last  place
	found bool   // last is one
	torn  []byte // what follows the last line feed
}

// end finds the newest record up to which the file has no gap. Lines that were
// settled, those before the cursor, need not be without one: history retention
// may have been there.
func (t *fileTarget) end(settled uint64) (e fileEnd, err error) {
	st, err := t.f.Stat()
	if err != nil {
		return e, err
	}
	from := max(0, st.Size()-lookBack)
	tail := make([]byte, st.Size()-from)
	if _, err := t.f.ReadAt(tail, from); err != nil {
		return e, err
	}
	if from > 0 { // the first line is cut by where the reading began
		_, tail, _ = bytes.Cut(tail, []byte("\n"))
	}
	whole := bytes.LastIndexByte(tail, '\n') + 1
	e.torn = tail[whole:]
	for text := range bytes.Lines(tail[:whole]) {
		p, err := decodeLine(bytes.TrimSuffix(text, []byte("\n")))
		if err != nil {
			continue // a line that a power cut garbled
		}
		if e.found && p.sequence > e.last.sequence+1 && p.sequence > settled {
			break
		}
		if !e.found || p.sequence > e.last.sequence {
			e.last, e.found = p, true
		}
	}
	if !e.found && whole > 0 {
		return e, fmt.Errorf("%s: %w", t.path, errNotOurs)
	}
	return e, nil
}

func (t *fileTarget) write(text []byte, _ *format.Record, _ format.Digest) error {
	if _, err := t.w.Write(text); err != nil {
		return err
	}
	return t.w.WriteByte('\n')
}

func (t *fileTarget) flush(context.Context) error { return t.w.Flush() }

func (t *fileTarget) settle(context.Context) error {
	if err := t.f.Sync(); err != nil {
		return fmt.Errorf("%w: %w", errUnsynced, err)
	}
	return nil
}

// check notices that the site has rotated the file.
func (t *fileTarget) check() error {
	mine, err := t.f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(t.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, named) {
		return errReopen
	}
	return err
}

func (t *fileTarget) close() error { return t.f.Close() }
