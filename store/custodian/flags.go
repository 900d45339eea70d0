package custodian

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The inode flags; golang.org/x/sys/unix has the calls and not the values.
const (
	flagImmutable   = 0x10   // FS_IMMUTABLE_FL
	flagAppend      = 0x20   // FS_APPEND_FL
	flagJournalData = 0x4000 // FS_JOURNAL_DATA_FL
)

// probeName is the file on which NewLocal tries the flags: in a room, where nobody
// else can put something under its name.
const probeName = dirHistory + "/.flag-probe"

func getFlags(f *os.File) (uint32, error) {
	return unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
}

// setFlags adds and takes flags. Only fsync puts that on disk, fdatasync does not.
func setFlags(f *os.File, add, take uint32) error {
	old, err := getFlags(f)
	if err != nil {
		return err
	}
	flags := old&^take | add
	if flags == old {
		return nil
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags))
}

// unavailable says that a failed call means "not here" or "not permitted", not a
// failing disk.
func unavailable(err error) bool {
	for _, e := range []unix.Errno{unix.EPERM, unix.EACCES, unix.ENOTTY, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOSYS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// protect sets flags where that is possible and remembers where it is not. The
// file is synced either way.
func (l *Local) protect(f *os.File, flags uint32) error {
	err := setFlags(f, flags, 0)
	if err != nil && !unavailable(err) {
		return err
	}
	if err != nil {
		l.lost(flags, err)
	}
	return f.Sync()
}

// unprotect takes the flags off. Where there are none nothing is asked for. That
// they are off need not be on disk: a start sets them again, whatever a crash left.
func unprotect(f *os.File) error {
	flags, err := getFlags(f)
	if err != nil && unavailable(err) {
		return nil
	}
	if err != nil || flags&(flagAppend|flagImmutable) == 0 {
		return err
	}
	return setFlags(f, 0, flagAppend|flagImmutable)
}

// opened runs fn on a file open for reading and writing with its flags off, and
// sets them again whatever fn answers. It is the only place that holds such a
// descriptor.
func (l *Local) opened(p string, flags uint32, fn func(*os.File) error) (err error) {
	guard, err := os.Open(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guard.Close()) }()
	if err := l.step("clear flags", func() error { return unprotect(guard) }); err != nil {
		return errors.Join(err, l.protect(guard, flags))
	}
	err = l.writable(p, fn)
	return errors.Join(err, l.step("set flags", func() error { return l.protect(guard, flags) }))
}

func (l *Local) writable(p string, fn func(*os.File) error) (err error) {
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return fn(f)
}

// step runs fn between two calls of the hook.
func (l *Local) step(name string, fn func() error) error {
	if err := l.hook(name, false); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := fn(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := l.hook(name, true); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// proveNoWriter takes a read lease, which the kernel refuses while anybody has the
// file open for writing, and gives it back.
func (l *Local) proveNoWriter(f *os.File) error {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if errors.Is(err, unix.EAGAIN) {
		return ErrWriter
	}
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.protection.note("no read leases (" + err.Error() + "): that a sealed file has no writer is not proved")
		return nil
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		return fmt.Errorf("giving the lease back: %w", err)
	}
	return nil
}

// probe tries both flags on a file of its own.
func (l *Local) probe() (err error) {
	p := filepath.Join(l.dir, probeName)
	f, err := os.OpenFile(p, os.O_RDONLY|os.O_CREATE|unix.O_NOFOLLOW, filePerm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(p)) }()
	if err := unprotect(f); err != nil {
		return err
	}
	l.protection.AppendOnly, l.protection.Immutable = true, true
	for _, flag := range []uint32{flagAppend, flagImmutable} {
		if err := setFlags(f, flag, 0); err != nil {
			l.lost(flag, err)
		}
		if err := unprotect(f); err != nil {
			return err
		}
	}
	return nil
}

// ClearTree takes the flags off every regular file under dir, so that it can be
// removed: for development directories and tests only, which have nothing to keep.
// It goes on past failures and returns them joined.
func ClearTree(dir string) error {
	var errs []error
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		errs = append(errs, unprotect(f), f.Close())
		return nil
	})
	return errors.Join(append(errs, err)...)
}
