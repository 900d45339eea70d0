// Package custodian alone may change what was written once: it sets the inode
// flags that make files append-only and immutable, creates, mends and rewraps key blocks,
// and destroys — key slots, payload ranges, empty segments — under a warrant.
//
// What it guarantees: a writer gets descriptors that can only append; a sealed
// file has no writer; nothing is destroyed without a permit for that bundle and a
// judge who found its decision record under a majority's checkpoint (but for what
// nothing can name any more: unfinished key blocks, an index about to be built
// again, a directory that was put aside); the key goes first; a destruction cut
// short at any point is completed by asking for it again. Local does it in its own
// process, which is the daemon's (then the second gate is no gate, and Protection
// says so) or that of a Server, which a Remote asks and which admits nothing that
// its Gate has not found in its own files. docs/custodian.md has the order of
// steps, the requests, the assumptions and the crash argument.
package custodian

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/internal/crashpoint"
	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

var (
	// ErrNotSealed is returned for a range or a removal in a file that is not
	// sealed, and for a file that the custodian was not told about.
	ErrNotSealed = errors.New("file is not sealed")
	// ErrSealed is returned by Append for a sealed file.
	ErrSealed = errors.New("file is sealed")
	// ErrWriter is returned when somebody still has a file open for writing.
	ErrWriter = errors.New("file is open for writing")
	// ErrName is returned for a name that is no file of the data directory's rooms.
	ErrName = errors.New("not a file in the custodian's care")
)

// The rooms in the custodian's care, below the data directory.
const (
	dirSegments = "segments"
	dirHistory  = "history"
	dirKeys     = "keys"
)

// newSuffix names a key block on its way into place.
const newSuffix = ".new"

const (
	dirPerm  = 0o700
	filePerm = 0o600
	// Both are added where the daemon is another user: it reads, through its group.
	groupReadDir  = 0o050
	groupReadFile = 0o040
)

// Options of a Local.
type Options struct {
	// Judge finds a warrant's decision under a checkpoint. nil refuses everything.
	Judge Judge
	// Group lets the group of this process read what it makes (with a umask that
	// does not forbid it).
	Group bool
}

// Local is the custodian in the daemon's own process. Its methods may be called
// from any goroutine. Names are relative to the data directory, with slashes.
type Local struct {
	dir               string
	judge             Judge
	dirPerm, filePerm fs.FileMode
	// hook is called before (done false) and after each step of changing files
	// that are in use; tests fail there.
	hook func(step string, done bool) error

	// work is held while files in use are changed: destruction, repair, flags.
	work sync.Mutex

	mu         sync.Mutex      // guards the fields below
	sealed     map[string]bool // files known so far; true once sealed
	protection Protection
}

// NewLocal opens the custodian of a data directory: makes the rooms that are
// missing, finds out which flags the file system takes, and wipes key blocks whose
// creation a crash cut short. It refuses a file system on which overwriting does
// not erase (CheckFilesystem). Reassert must be called for every file in use
// before anything else is asked.
func NewLocal(dir string, opts Options) (*Local, error) {
	l := &Local{
		dir: dir, judge: opts.Judge, dirPerm: dirPerm, filePerm: filePerm, sealed: map[string]bool{},
		hook: func(step string, done bool) error { crashpoint.Reached(step, done); return nil },
	}
	if opts.Group {
		l.dirPerm, l.filePerm = dirPerm|groupReadDir, filePerm|groupReadFile
	}
	note, err := CheckFilesystem(dir)
	if err != nil {
		return nil, fmt.Errorf("custodian: %w", err)
	}
	l.protection.note(note)
	for _, d := range []string{dirSegments, dirHistory, dirKeys} {
		if err := os.MkdirAll(filepath.Join(dir, d), l.dirPerm); err != nil {
			return nil, fmt.Errorf("custodian: %w", err)
		}
	}
	if err := durable.SyncDir(dir); err != nil {
		return nil, fmt.Errorf("custodian: %w", err)
	}
	if err := l.probe(); err != nil {
		return nil, fmt.Errorf("custodian: %w", err)
	}
	if err := l.wipeUnfinished(); err != nil {
		return nil, fmt.Errorf("custodian: %w", err)
	}
	return l, nil
}

// SetFault has every step of changing files in use ask a test first, before
// (done false) and after it; an error stops there, as a crash would.
func (l *Local) SetFault(hook func(step string, done bool) error) {
	l.work.Lock()
	defer l.work.Unlock()
	l.hook = hook
}

// locate checks a name and returns its path.
func (l *Local) locate(name string, rooms ...string) (string, error) {
	room, file := path.Split(name)
	if !filepath.IsLocal(name) || path.Clean(name) != name || file == "" || !slices.Contains(rooms, path.Clean(room)) {
		return "", fmt.Errorf("%w: %q", ErrName, name)
	}
	return filepath.Join(l.dir, filepath.FromSlash(name)), nil
}

// Create makes a new file, open for appending only. The append-only flag and the
// name are on disk before the first byte can be.
func (l *Local) Create(name string) (*os.File, error) {
	p, err := l.locate(name, dirSegments, dirHistory)
	if err != nil {
		return nil, err
	}
	f, err := durable.CreateExclusive(p, os.O_WRONLY|os.O_APPEND, l.filePerm)
	if err != nil {
		return nil, fmt.Errorf("custodian: %w", err)
	}
	if err := l.protect(f, flagAppend); err != nil {
		return nil, errors.Join(fmt.Errorf("custodian: %w", err), f.Close())
	}
	l.remember(name, false)
	return f, nil
}

// Place makes a whole file of the history room from what fill writes, durable and
// immutable when it returns nil. An existing file is an error that matches
// fs.ErrExist. After a failure or a crash there is none: the next start wipes what
// was written of it.
func (l *Local) Place(name string, fill func(io.Writer) error) error {
	p, err := l.locate(name, dirHistory)
	if err != nil {
		return err
	}
	if err := l.place(p, fill); err != nil {
		return fmt.Errorf("custodian: placing %s: %w", name, err)
	}
	l.work.Lock()
	defer l.work.Unlock()
	return l.freeze(name, p)
}

// Append opens an existing file that is not sealed, for appending only.
func (l *Local) Append(name string) (*os.File, error) {
	p, err := l.locate(name, dirSegments, dirHistory)
	if err != nil {
		return nil, err
	}
	if l.isSealed(name) {
		return nil, fmt.Errorf("custodian: %s: %w", name, ErrSealed)
	}
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, fmt.Errorf("custodian: %w", err)
	}
	l.remember(name, false)
	return f, nil
}

// Seal makes a file immutable, durably. The caller has closed its descriptor: a
// file that anybody has open for writing is refused with ErrWriter where the
// kernel can tell. Sealing twice is sealing once.
func (l *Local) Seal(name string) error {
	p, err := l.locate(name, dirSegments, dirHistory)
	if err != nil {
		return err
	}
	l.work.Lock()
	defer l.work.Unlock()
	return l.seal(name, p)
}

func (l *Local) seal(name, p string) error {
	err := onFile(p, func(f *os.File) error {
		if err := l.proveNoWriter(f); err != nil {
			return err
		}
		return l.protect(f, flagAppend|flagImmutable)
	})
	if err != nil {
		return fmt.Errorf("custodian: sealing %s: %w", name, err)
	}
	l.remember(name, true)
	return nil
}

// Reassert tells the custodian of a file that exists, at start: it sets the flags
// that belong on it, which a crash may have left cleared, and remembers whether it
// is sealed. Key blocks are always sealed.
func (l *Local) Reassert(name string, sealed bool) error {
	p, err := l.locate(name, dirSegments, dirHistory, dirKeys)
	if err != nil {
		return err
	}
	l.work.Lock()
	defer l.work.Unlock()
	switch {
	case path.Dir(name) == dirKeys: // immutable between the custodian's own writes
		return l.freeze(name, p)
	case sealed:
		return l.seal(name, p)
	}
	return l.flag(name, p, flagAppend)
}

func (l *Local) remember(name string, sealed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed[name] = sealed
}

func (l *Local) isSealed(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sealed[name]
}

// CreateBlock makes a whole key-block file, durable and immutable when it returns
// nil. An existing file is an error that matches fs.ErrExist. A crash leaves the
// whole file or one that the next start wipes: sealed keys never lie about.
func (l *Local) CreateBlock(name string, content []byte) error {
	p, err := l.locate(name, dirKeys)
	if err != nil {
		return err
	}
	l.work.Lock()
	defer l.work.Unlock()
	err = l.place(p, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if err != nil {
		return fmt.Errorf("custodian: creating %s: %w", name, err)
	}
	return l.freeze(name, p)
}

// place writes a file beside its place and moves it there once it is on disk.
func (l *Local) place(p string, fill func(io.Writer) error) (err error) {
	temp := p + newSuffix
	f, err := durable.CreateExclusive(temp, os.O_WRONLY, l.filePerm)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, zeroChunk)
	err = fill(b)
	if err = errors.Join(err, b.Flush(), f.Sync(), f.Close()); err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, p, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		return errors.Join(err, wipe(temp))
	}
	return durable.SyncDir(filepath.Dir(p))
}

// freeze makes a whole file immutable.
func (l *Local) freeze(name, p string) error { return l.flag(name, p, flagImmutable) }

// flag sets a flag by name.
func (l *Local) flag(name, p string, flag uint32) error {
	if err := onFile(p, func(f *os.File) error { return l.protect(f, flag) }); err != nil {
		return fmt.Errorf("custodian: flags of %s: %w", name, err)
	}
	l.remember(name, flag == flagImmutable)
	return nil
}

// RewriteSlot puts a sealed key over a damaged slot. It looks at the slot itself:
// a live or an erased one is refused with keyring.ErrNotDamaged.
func (l *Local) RewriteSlot(name string, offset int64, slot []byte) error {
	index := (offset - format.FileHeaderSize) / keyring.SlotSize
	if index < 0 || keyring.SlotOffset(uint32(index)) != offset || keyring.StateOf(uint32(index), slot) != keyring.SlotLive {
		return fmt.Errorf("custodian: %s at %d: no sealed key of that slot", name, offset)
	}
	return l.mend(name, offset, slot, func(old []byte) bool {
		state := keyring.StateOf(uint32(index), old)
		return state == keyring.SlotDamaged || state == keyring.SlotAbsent
	})
}

// RewriteHeader puts a header over a damaged one; one that verifies is refused
// with keyring.ErrNotDamaged.
func (l *Local) RewriteHeader(name string, header []byte) error {
	h, err := format.DecodeFileHeader(format.KindKeyBlock, header)
	if err != nil || len(header) != format.FileHeaderSize || keyring.FileName(h.Object) != name {
		return fmt.Errorf("custodian: %s: no header of that key block", name)
	}
	return l.mend(name, 0, header, func(old []byte) bool {
		_, err := format.DecodeFileHeader(format.KindKeyBlock, old)
		return err != nil
	})
}

// mend overwrites a part of a key block that damaged says may be.
func (l *Local) mend(name string, offset int64, with []byte, damaged func(old []byte) bool) error {
	p, err := l.locate(name, dirKeys)
	if err != nil {
		return err
	}
	l.work.Lock()
	defer l.work.Unlock()
	err = l.opened(p, flagImmutable, func(f *os.File) error {
		old := make([]byte, len(with))
		if _, err := f.ReadAt(old, offset); err != nil {
			return err
		}
		if !damaged(old) {
			return keyring.ErrNotDamaged
		}
		if _, err := f.WriteAt(with, offset); err != nil {
			return err
		}
		return f.Sync()
	})
	if err != nil {
		return fmt.Errorf("custodian: mending %s: %w", name, err)
	}
	return nil
}
