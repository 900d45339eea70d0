package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	bolt "go.etcd.io/bbolt"
)

// orderedFill is how full bbolt fills pages when all new keys lie behind the old
// ones: nothing will be inserted between them.
const orderedFill = 0.95

// verifyEvery is after how many rows VerifyAll asks its context.
const verifyEvery = 1024

// Rotate takes the rows in memory out of the writer's way, with the meta that
// they reflect, for Commit. It is cheap. It returns nil while an earlier batch is
// not committed: then the rows stay where they are.
func (d *DB) Rotate(m Meta) *Batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rotating != nil {
		return nil
	}
	d.rotating = &Batch{rows: d.memory, meta: m}
	d.memory = &rows{}
	return d.rotating
}

// Commit writes a batch in one synced transaction. When it returns nil rows and
// meta are durable. A failure is final: this and every later call return an error
// that wraps ErrLatched, and the process should end. Commit(nil) does nothing.
func (d *DB) Commit(b *Batch) error {
	if b == nil {
		return nil
	}
	if err := d.save(b); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rotating = nil
	return nil
}

func (d *DB) save(b *Batch) error {
	d.commit.Lock()
	defer d.commit.Unlock()
	if d.failed != nil {
		return d.failed
	}
	next := maps.Clone(d.tallies)
	if err := d.idle.drop(); err != nil { // they keep pages from being used again
		return err
	}
	if err := d.update(func(tx *bolt.Tx) error { return d.write(tx, b, next) }); err != nil {
		d.failed = fmt.Errorf("%w: %w", ErrLatched, err)
		return d.failed
	}
	d.tallies = next
	return d.idle.drop()
}

// update is bbolt's Update with panics made damage.
func (d *DB) update(fn func(*bolt.Tx) error) (err error) {
	defer d.guard(&err)
	defer faults()()
	return d.bolt.Load().Update(fn)
}

// write puts b into tx and brings the tallies up to date. Rows come in the order
// of tables and keys, which is what makes bbolt fast.
func (d *DB) write(tx *bolt.Tx, b *Batch, tallies map[Table]tally) error {
	if tx.Size() > mapSize/2 { // from mapSize on, mapping the file anew waits for every reader
		if err := d.idle.end(); err != nil {
			return err
		}
	}
	if err := b.drop(tx, tallies); err != nil {
		return err
	}
	for t := range tallies {
		if _, err := tx.CreateBucketIfNotExists(bucketName(t)); err != nil {
			return err
		}
	}
	var err error
	var into *bolt.Bucket
	current := metaTable
	b.rows.Scan(func(k string, e entry) bool {
		t, key := Table(k[0]), []byte(k[1:])
		if t != current {
			into, err = openTable(tx, t, key)
			current = t
		}
		if err == nil {
			err = d.writeRow(into, t, key, e, tallies)
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	mb, err := tx.CreateBucketIfNotExists(bucketName(metaTable))
	if err != nil {
		return err
	}
	saved := savedMeta{owner: d.owner, Meta: b.meta, tallies: tallies}
	return mb.Put(metaKey, sealRow(metaTable, metaKey, saved.encode()))
}

// openTable returns a table's bucket, set to fill pages well if the batch, whose
// first key is given, only appends.
func openTable(tx *bolt.Tx, t Table, first []byte) (*bolt.Bucket, error) {
	b := tx.Bucket(bucketName(t))
	if b == nil {
		return nil, fmt.Errorf("no table %d", t)
	}
	if last, _ := b.Cursor().Last(); bytes.Compare(first, last) > 0 {
		b.FillPercent = orderedFill
	}
	return b, nil
}

func (d *DB) writeRow(b *bolt.Bucket, t Table, key []byte, e entry, tallies map[Table]tally) error {
	sum := tallies[t]
	if old := b.Get(key); old != nil {
		if _, ok := openRow(t, key, old); !ok {
			return d.damage(t, key, "row checksum")
		}
		sum.remove(old)
	}
	if e.deleted {
		tallies[t] = sum
		return b.Delete(key)
	}
	stored := sealRow(t, key, e.value)
	sum.add(stored)
	tallies[t] = sum
	return b.Put(key, stored)
}

// VerifyAll reads every committed row, in one transaction, and compares each with
// its checksum and each table with its count and sum. It returns everything that
// does not fit, joined *format.DamageErrors, or the context's error.
func (d *DB) VerifyAll(ctx context.Context) error {
	a := newAudit(d.name)
	var errs []error
	err := d.view(func(tx *readTx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			if len(name) != 1 || b == nil {
				errs = append(errs, rowDamage(a.file, metaTable, name, "table that is not ours"))
				return nil
			}
			a.table(Table(name[0]))
			n := 0
			return b.ForEach(func(key, stored []byte) error {
				if n++; n%verifyEvery == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
				if err := a.row(Table(name[0]), key, stored); err != nil {
					errs = append(errs, err)
				}
				return nil
			})
		})
	})
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, a.finish())...)
}
