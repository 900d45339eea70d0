// Package durable has the file calls that survive a power cut once they have
// returned nil: replace a file, create one, remove one. Each syncs what it wrote
// and the directory entry that names it. Nothing is retried: a sync that failed
// may have lost its pages, and a second one would answer nil all the same. A
// caller that gets an error knows only that the old or the new state is on disk.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// tempSuffix names the file that WriteFile renames into place. It is fixed, so a
// crash leaves at most one, which the next call overwrites.
const tempSuffix = ".tmp"

// WriteFile replaces path by a file that holds data, all of it or nothing. A path
// has one writer at a time.
//
//	open(path.tmp, O_WRONLY|O_CREAT|O_TRUNC), fchmod, write, fsync, close,
//	rename(path.tmp, path), open(dir), fsync(dir), close
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	temp := path + tempSuffix
	if err := writeSynced(temp, data, perm); err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temp)))
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temp)))
	}
	return SyncDir(filepath.Dir(path))
}

func writeSynced(path string, data []byte, perm fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	// A failed close after a good fsync is still a failure to acknowledge.
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// CreateExclusive makes a new empty file whose name is on disk; flag says how it
// is opened (os.O_WRONLY|os.O_APPEND, os.O_RDWR). An existing file is an error
// that matches fs.ErrExist. What the caller writes is the caller's to sync.
//
//	open(path, flag|O_CREAT|O_EXCL), open(dir), fsync(dir), close
func CreateExclusive(path string, flag int, perm fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, err
	}
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Remove takes the name path away. A missing file is an error that matches
// fs.ErrNotExist.
//
//	unlink(path), open(dir), fsync(dir), close
func Remove(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir puts the names in dir on disk.
//
//	open(dir, O_RDONLY), fsync, close
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing directory %s: %w", dir, err)
	}
	return nil
}
