package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

// orderedFill is how full bbolt fills pages when most rows that are new lie behind the
// old ones: little will be inserted between them.
const orderedFill = 0.95

// yieldEvery is after how many rows a commit lets others run first: nobody waits for
// it, and there may be hundreds of thousands.
const yieldEvery = 64

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
// that wraps ErrLatched, and the process should end. Commit(nil) only answers whether
// an earlier one failed: behind that, Rotate gives no batch.
func (d *DB) Commit(b *Batch) error {
	if b == nil {
		d.commit.Lock()
		defer d.commit.Unlock()
		return d.failed
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
	next := maps.Clone(*d.tallies.Load())
	if err := d.idle.drop(); err != nil { // they keep pages from being used again
		return err
	}
	if err := d.update(func(tx *bolt.Tx) error { return d.write(tx, b, next) }); err != nil {
		d.failed = fmt.Errorf("%w: %w", ErrLatched, err)
		return d.failed
	}
	d.tallies.Store(&next) // before the batch leaves memory
	return d.idle.drop()
}

// update is bbolt's Update with panics made damage.
func (d *DB) update(fn func(*bolt.Tx) error) (err error) {
	defer d.guard(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return d.bolt.Load().Update(fn)
}

// write puts b into tx and brings the tallies up to date. Rows come in the order
// of tables and keys, which is what makes bbolt fast.
func (d *DB) write(tx *bolt.Tx, b *Batch, next tallies) error {
	if tx.Size() > mapSize/2 { // from mapSize on, mapping the file anew waits for every reader
		if err := d.idle.end(); err != nil {
			return err
		}
	}
	if err := b.drop(tx, next); err != nil {
		return err
	}
	for t := range next {
		if _, err := tx.CreateBucketIfNotExists(bucketName(t)); err != nil {
			return err
		}
	}
	if err := d.writeRows(tx, b.rows, next); err != nil {
		return err
	}
	mb, err := tx.CreateBucketIfNotExists(bucketName(metaTable))
	if err != nil {
		return err
	}
	saved := savedMeta{owner: d.owner, Meta: b.meta, tallies: next}
	return mb.Put(metaKey, sealRow(metaTable, metaKey, saved.encode()))
}

// writeRows puts a memory table into tx, one table of the file after another.
func (d *DB) writeRows(tx *bolt.Tx, from *rows, next tallies) error {
	it, n := from.Iter(), 0
	for more := it.First(); more; {
		t := Table(it.Key()[0])
		w, err := d.openTable(tx, t, next[t])
		if err != nil {
			return err
		}
		for ; more && Table(it.Key()[0]) == t; more = it.Next() {
			if n++; n%yieldEvery == 0 {
				runtime.Gosched()
			}
			if err := w.write(it.Key()[1:], it.Value()); err != nil {
				return err
			}
		}
		w.fill()
		next[t] = w.sum
	}
	return nil
}

// tableWriter brings rows, which come in the order of their keys, into one table.
type tableWriter struct {
	db   *DB
	t    Table
	sum  tally
	rows *bolt.Bucket
	at   *bolt.Cursor
	last []byte // of the rows that were there
	next []byte // what stood at or behind the key last looked for: there is none before it
	key  []byte // kept for its room
	// behindLast and between count the rows that were put in where none was.
	behindLast, between int
}

func (d *DB) openTable(tx *bolt.Tx, t Table, sum tally) (*tableWriter, error) {
	b := tx.Bucket(bucketName(t))
	if b == nil {
		return nil, fmt.Errorf("no table %d", t)
	}
	w := &tableWriter{db: d, t: t, sum: sum, rows: b, at: b.Cursor()}
	w.last, _ = w.at.Last()
	return w, nil
}

func (w *tableWriter) write(key string, e entry) error {
	w.key = append(w.key[:0], key...)
	found, err := w.takeOut()
	switch {
	case err != nil:
		return err
	case !e.deleted:
		return w.putIn(e.value, found)
	case found:
		return w.at.Delete()
	}
	return nil
}

// takeOut looks for the row under the key, checks it, and takes it out of the
// tally. The cursor stands on it then.
func (w *tableWriter) takeOut() (found bool, err error) {
	if w.behind() || w.next != nil && bytes.Compare(w.key, w.next) < 0 {
		return false, nil
	}
	k, old := w.at.Seek(w.key)
	if w.next = k; !bytes.Equal(k, w.key) {
		return false, nil
	}
	if _, ok := openRow(w.t, w.key, old); !ok {
		return false, w.db.damage(w.t, w.key, "row checksum")
	}
	w.sum.remove(old)
	return true, nil
}

func (w *tableWriter) putIn(value []byte, found bool) error {
	switch {
	case found:
	case w.behind():
		w.behindLast++
	default:
		w.between++
	}
	stored := sealRow(w.t, w.key, value)
	w.sum.add(stored)
	return w.rows.Put(w.key, stored)
}

// fill says how full pages may become: half, bbolt's own measure, leaves room between
// rows, and what mostly comes in order leaves half of the file and of the memory empty.
// Requests that run beside one another come in order but for a few.
func (w *tableWriter) fill() {
	if w.behindLast > w.between {
		w.rows.FillPercent = orderedFill
	}
}

// behind reports whether the key lies behind every row that was there.
func (w *tableWriter) behind() bool { return bytes.Compare(w.key, w.last) > 0 }

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
