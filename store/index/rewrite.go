package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"

	"github.com/sago-worm/sago/internal/durable"
)

// NewSuffix is behind the index's name while a file that takes its place is
// written, and then of the one that it replaced: such a file is wiped at a start.
const NewSuffix = ".new"

// rewriteBatch is how many rows are copied in one transaction.
const rewriteBatch = 50_000

// Files is who may replace and destroy an index file.
type Files interface {
	// ExchangeIndex lets the file at path and the one beside it, path and NewSuffix,
	// take each other's place at once, or changes nothing. The directory is not synced.
	ExchangeIndex(path string) error
	// RemoveIndex destroys a file that nobody has open.
	RemoveIndex(path string) error
}

// Rewrite makes the file anew with the rows alone, and has the old one destroyed:
// bbolt keeps deleted rows in free pages. Readers go on; commits wait while it
// copies, and it waits for views that are open. A crash at any point leaves one
// whole file in place.
func (d *DB) Rewrite(files Files) error {
	old, err := d.replace(files)
	if err != nil {
		return err
	}
	// Views of the old file are waited for, and nothing else waits meanwhile.
	if err := errors.Join(old.Close(), files.RemoveIndex(d.path+NewSuffix)); err != nil {
		return fmt.Errorf("index: the file that was replaced: %w", err)
	}
	return nil
}

// replace puts a copy in the file's place and answers the file that was there.
func (d *DB) replace(files Files) (old *bolt.DB, err error) {
	d.commit.Lock()
	defer d.commit.Unlock()
	if d.failed != nil {
		return nil, d.failed
	}
	next, err := d.copyInto(d.path + NewSuffix)
	if err != nil {
		return nil, fmt.Errorf("index: %w", errors.Join(err, files.RemoveIndex(d.path+NewSuffix)))
	}
	if err := files.ExchangeIndex(d.path); err != nil {
		return nil, fmt.Errorf("index: %w", errors.Join(err, next.Close(), files.RemoveIndex(d.path+NewSuffix)))
	}
	d.mu.Lock()
	old = d.bolt.Swap(next)
	d.mu.Unlock()
	if err := d.idle.drop(); err != nil {
		return nil, errors.Join(fmt.Errorf("index: %w", err), old.Close())
	}
	if err := durable.SyncDir(filepath.Dir(d.path)); err != nil {
		d.failed = fmt.Errorf("%w: %w", ErrLatched, err) // as after a failed commit
		return nil, errors.Join(d.failed, old.Close())
	}
	return old, nil
}

// copyInto copies every row into a new file, durably.
func (d *DB) copyInto(path string) (next *bolt.DB, err error) {
	defer d.guard(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	f, err := durable.CreateExclusive(path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if next, err = openBolt(path); err != nil {
		return nil, err
	}
	err = d.bolt.Load().View(func(from *bolt.Tx) error {
		return from.ForEach(func(name []byte, rows *bolt.Bucket) error { return copyTable(next, name, rows.Cursor()) })
	})
	if err == nil {
		err = next.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, next.Close())
	}
	return next, nil
}

func copyTable(next *bolt.DB, name []byte, rows *bolt.Cursor) error {
	k, v := rows.First()
	for first := true; first || k != nil; first = false {
		err := next.Update(func(to *bolt.Tx) error {
			b, err := to.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			b.FillPercent = orderedFill
			for n := 0; k != nil && n < rewriteBatch; n++ {
				if err := b.Put(k, v); err != nil {
					return err
				}
				k, v = rows.Next()
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
