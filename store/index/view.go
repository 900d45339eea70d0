package index

import (
	"errors"

	bolt "go.etcd.io/bbolt"
)

// View is every row as of one moment, whatever is put, rotated and committed
// afterwards. Opening one copies nothing. While it is open the file cannot use
// freed pages again and grows instead, and DB.Close waits for it: close it soon.
// It is for one goroutine at a time.
type View struct {
	db     *DB
	tx     *readTx  // nil if nothing of the file is needed
	memory [2]*rows // newest first; the second is nil when nothing is rotated
	file   tallies
}

// View opens a view of memory and file as of one moment.
func (d *DB) View() (*View, error) {
	v, err := d.look(metaTable)
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// look is View for one table: of the file only if the table has rows there, which
// table 0 always has. The read transaction begins under the lock under which a
// committed batch leaves memory; tallies from before that commit do, since its rows
// are in memory then.
func (d *DB) look(t Table) (View, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	v := View{db: d, memory: [2]*rows{d.memory}, file: *d.tallies.Load()}
	if v.file.stand(t) {
		var err error
		if v.tx, err = d.begin(); err != nil {
			return View{}, err
		}
	}
	if d.rotating != nil {
		v.memory[1] = d.rotating.rows
	}
	d.memory.readers.Add(1)
	return v, nil
}

// Close ends the view. Closing it again does nothing.
func (v *View) Close() error {
	if v.memory[0] == nil {
		return nil
	}
	v.memory[0].readers.Add(-1)
	v.memory = [2]*rows{}
	tx := v.tx
	if v.tx = nil; tx == nil {
		return nil
	}
	return v.db.idle.give(tx)
}

// Ascend is DB.Ascend over the view. Every row is held against its checksum.
func (v *View) Ascend(t Table, from, to []byte, fn func(key, value []byte) (bool, error)) error {
	b := bounds{from, to}
	sources := make([]source, 0, len(v.memory)+1)
	for _, m := range v.memory {
		if m == nil {
			continue
		}
		if s := newMemorySource(m, t, b); s.k != nil {
			sources = append(sources, s)
		}
	}
	if !v.file.stand(t) {
		return merge(sources, fn)
	}
	s := &fileSource{db: v.db, t: t, b: b}
	if err := s.start(v.tx); err != nil {
		return err
	}
	if err := merge(append(sources, s), fn); err != nil {
		return err
	}
	v.tx.cursors[t] = s.cursor
	return nil
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
func (b *Batch) drop(tx *bolt.Tx, next tallies) error {
	for _, t := range b.clear {
		if err := tx.DeleteBucket(bucketName(t)); err != nil {
			return err
		}
		next[t] = tally{}
	}
	return nil
}
