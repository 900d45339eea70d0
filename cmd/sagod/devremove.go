package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/custodian"
)

// removeDevelopment takes a development directory away, inode flags and all. It
// refuses every other: one without the marker, one in use, and one in which any
// data directory is of production or cannot be told.
func removeDevelopment(s *shell, dir string) (err error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, err := readMarker(root); err != nil {
		return inputf("%s is no development directory and is not removed: %v", root, err)
	}
	lock, err := lockFile(filepath.Join(root, dirLock))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := onlyDevelopment(root); err != nil {
		return err
	}
	if err := custodian.ClearTree(root); err != nil {
		return err
	}
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	return s.say("removed %s", root)
}

// onlyDevelopment reads every manifest under root, also of data put aside.
func onlyDevelopment(root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.IsDir() {
			return ofSomebody(path)
		}
		m, err := store.ReadManifest(path)
		switch {
		case errors.Is(err, store.ErrNoData):
			return nil
		case err != nil:
			return fmt.Errorf("%s: whose data this is cannot be told, so it is not removed: %w", path, err)
		case m.Production:
			return fmt.Errorf("%s: is data of production: nothing is removed", path)
		}
		return lockedByNobody(filepath.Join(filepath.Dir(path), "keys", dirLock))
	})
}

// ofSomebody refuses a file of a node's that stands in no data directory: whose
// it is cannot be told.
func ofSomebody(path string) error {
	switch filepath.Ext(path) {
	case ".seg", ".his", ".kb":
		if _, err := store.ReadManifest(filepath.Dir(filepath.Dir(path))); err != nil {
			return fmt.Errorf("%s: whose data this is cannot be told, so it is not removed: %w", path, err)
		}
	}
	return nil
}

// lockedByNobody refuses while a node runs here in a process of its own.
func lockedByNobody(path string) error {
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	f, err := lockFile(path)
	if err != nil {
		return err
	}
	return f.Close()
}
