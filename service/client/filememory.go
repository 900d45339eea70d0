package client

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// FileMemory is a [Memory] in a folder: the newest checkpoint of a cluster as its
// whole signed note, in <cluster id, hex>.checkpoint, and beside it, in
// <cluster id>.fork-<digest>, what contradicted it. Processes that run at the
// same time may share a folder.
type FileMemory struct {
	dir  string
	name string
}

var _ Memory = (*FileMemory)(nil)

// NewFileMemory is the memory of a cluster in dir, which is made when something
// is first remembered.
func NewFileMemory(dir string, cluster [16]byte) *FileMemory {
	return &FileMemory{dir: dir, name: hex.EncodeToString(cluster[:])}
}

// Path is the file that holds the newest checkpoint.
func (m *FileMemory) Path() string { return filepath.Join(m.dir, m.name+".checkpoint") }

// Load implements [Memory].
func (m *FileMemory) Load() (string, error) {
	b, err := os.ReadFile(m.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil && len(b) == 0 {
		err = fmt.Errorf("%s is empty", m.Path())
	}
	return string(b), err
}

// Swap implements [Memory]. The file is replaced in one step that survives a
// power cut, under a lock that all processes take; a note of fewer records never
// takes the place of one of more.
func (m *FileMemory) Swap(old, new string) (done bool, err error) {
	unlock, err := m.lock()
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	now, err := m.Load()
	if err != nil || now != old {
		return false, err
	}
	if old != "" {
		if err := grows(old, new); err != nil {
			return false, err
		}
	}
	return true, durable.WriteFile(m.Path(), []byte(new), 0o600)
}

// grows refuses a note that is not of more records.
func grows(old, new string) error {
	var sizes [2]uint64
	for i, note := range []string{old, new} {
		n, err := format.ParseNote(note)
		if err != nil {
			return err
		}
		c, err := format.ParseCheckpoint(n.Text)
		if err != nil {
			return err
		}
		sizes[i] = c.Size
	}
	if sizes[1] <= sizes[0] {
		return fmt.Errorf("a checkpoint of %d records does not take the place of one of %d", sizes[1], sizes[0])
	}
	return nil
}

// Keep implements [Memory]: both notes, one behind the other, in a file whose
// name follows from them.
func (m *FileMemory) Keep(a, b string) (string, error) {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return "", err
	}
	both := []byte(a + "\n" + b)
	digest := format.LeafHash(both)
	path := filepath.Join(m.dir, m.name+".fork-"+hex.EncodeToString(digest[:8]))
	return path, durable.WriteFile(path, both, 0o600)
}

// lock takes the memory's lock; the lock file stays.
func (m *FileMemory) lock() (unlock func() error, err error) {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(m.dir, m.name+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil // closing gives the lock up
}
