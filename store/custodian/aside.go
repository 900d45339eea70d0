package custodian

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// DestroyAside destroys a data directory that its node has replaced by a whole
// new incarnation: flags off, every key block zeroed, then everything removed.
// What it held lives on the other nodes and in the new incarnation; without this
// an old copy of a key could outlive the key's erasure.
func DestroyAside(dir string) error {
	if err := ClearTree(dir); err != nil {
		return err
	}
	blocks, err := filepath.Glob(filepath.Join(dir, dirKeys, "*"))
	if err != nil {
		return err
	}
	for _, p := range blocks {
		if err := wipe(p); err != nil {
			return fmt.Errorf("wiping %s: %w", p, err)
		}
	}
	return os.RemoveAll(dir)
}

// removeOwn removes what this process's user may remove of a directory that was
// put aside: the daemon's share, whose folders nobody else can empty.
func removeOwn(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		var st unix.Stat_t
		p := filepath.Join(dir, e.Name())
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		if int(st.Uid) != os.Geteuid() || slices.Contains([]string{dirSegments, dirHistory, dirKeys}, e.Name()) {
			continue
		}
		if e.Type().IsRegular() {
			err = wipe(p)
		} else {
			err = os.RemoveAll(p)
		}
		if err != nil {
			return fmt.Errorf("removing %s: %w", p, err)
		}
	}
	return nil
}
