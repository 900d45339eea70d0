package testcluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
)

// frameHead is what stands before each record of a history file, in bytes.
const frameHead = 8

// CutHistory is [CutHistory] for node i, which is stopped.
func (c *Cluster) CutHistory(i, n int) (left int, err error) {
	if c.Running(i) {
		return 0, fmt.Errorf("%s: %w", c.nodes[i].name, ErrRuns)
	}
	return CutHistory(c.DataDir(i), n)
}

// CutHistory takes the last n records from the history files of a data directory,
// and their hashes from its tree, inode flags or not. It answers how many records
// are left.
func CutHistory(dir string, n int) (left int, err error) {
	if err := ClearFlags(dir); err != nil {
		return 0, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "history", "*.his"))
	if err != nil {
		return 0, err
	}
	type place struct {
		file string
		off  int64
	}
	var records []place
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		for off := int64(format.FileHeaderSize); off+frameHead <= int64(len(raw)); {
			records = append(records, place{f, off})
			off += frameHead + int64(binary.BigEndian.Uint32(raw[off:]))
		}
	}
	if left = len(records) - n; left < 0 || n < 1 {
		return 0, fmt.Errorf("%d records of %d", n, len(records))
	}
	first := records[left]
	errs := []error{os.Truncate(first.file, first.off),
		os.Truncate(filepath.Join(dir, "history.tree"), tlog.StoredHashCount(int64(left))*tlog.HashSize)}
	for _, f := range files {
		if f > first.file {
			errs = append(errs, os.Remove(f))
		}
	}
	return left, errors.Join(errs...)
}
