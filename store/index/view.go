package index

import (
	"bytes"
	"errors"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// View is every row as of one moment, whatever is put, rotated and committed
// afterwards. Opening one copies nothing. While it is open the file cannot use
// freed pages again and grows instead, and DB.Close waits for it: close it soon.
// It is for one goroutine at a time.
type View struct {
	db     *DB
	tx     *bolt.Tx
	memory []*rows // newest first
}

// View opens a view of memory and file as of one moment: the read transaction
// begins under the lock under which a committed batch leaves memory.
func (d *DB) View() (*View, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tx, err := d.bolt.Load().Begin(false)
	if err != nil {
		return nil, err
	}
	v := &View{db: d, tx: tx, memory: []*rows{d.memory.Copy()}}
	if d.rotating != nil {
		v.memory = append(v.memory, d.rotating.rows)
	}
	return v, nil
}

// Close ends the view. Closing it again does nothing.
func (v *View) Close() error {
	if err := v.tx.Rollback(); err != nil && !errors.Is(err, bolterrors.ErrTxClosed) {
		return err
	}
	return nil
}

// Ascend is DB.Ascend over the view. Every row is held against its checksum.
func (v *View) Ascend(t Table, from, to []byte, fn func(key, value []byte) (bool, error)) error {
	sources, err := v.sources(t, bounds{from, to})
	if err != nil {
		return err
	}
	for {
		first := pick(sources)
		if first == nil {
			return nil
		}
		key := first.key()
		e, err := first.entry()
		if err != nil {
			return err
		}
		if !e.deleted {
			if more, err := fn(key, e.value); err != nil || !more {
				return err
			}
		}
		for _, s := range sources {
			if s.key() == nil || !bytes.Equal(s.key(), key) {
				continue
			}
			if err := s.next(); err != nil {
				return err
			}
		}
	}
}

func (v *View) sources(t Table, b bounds) ([]source, error) {
	var list []source
	for _, m := range v.memory {
		list = append(list, newMemorySource(m, t, b))
	}
	fs := &fileSource{db: v.db, t: t, b: b}
	if err := fs.start(v.tx); err != nil {
		return nil, err
	}
	return append(list, fs), nil
}

// Clear throws every row of the given tables away, those in memory too, and saves
// the meta, in one synced transaction: what is built again begins here. Nothing
// may be rotated and not yet committed. A failure is final, as Commit's.
func (d *DB) Clear(tables []Table, m Meta) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rotating != nil {
		return errors.New("index: a batch is on its way")
	}
	kept := &rows{}
	gone := make(map[Table]bool, len(tables))
	for _, t := range tables {
		gone[t] = true
	}
	d.memory.Scan(func(k string, e entry) bool {
		if !gone[Table(k[0])] {
			kept.Set(k, e)
		}
		return true
	})
	if err := d.save(&Batch{rows: kept, meta: m, clear: tables}); err != nil {
		return err
	}
	d.memory = &rows{}
	return nil
}

// drop empties the batch's tables.
func (b *Batch) drop(tx *bolt.Tx, tallies map[Table]tally) error {
	for _, t := range b.clear {
		if err := tx.DeleteBucket(bucketName(t)); err != nil {
			return err
		}
		tallies[t] = tally{}
	}
	return nil
}
