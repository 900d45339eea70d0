package index

import (
	"errors"
	"runtime/debug"
	"sync"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// maxIdle bounds the read transactions that are kept.
const maxIdle = 8

// readTx is a read transaction with a cursor in each table that was looked into.
type readTx struct {
	*bolt.Tx
	of      uint64 // as idle's
	cursors [int(lastTable) + 1]*bolt.Cursor
}

// cursor is the one in a table, nil where there is no such table.
func (r *readTx) cursor(t Table) *bolt.Cursor {
	if r.cursors[t] == nil {
		if b := r.Bucket(bucketName(t)); b != nil {
			r.cursors[t] = b.Cursor()
		}
	}
	return r.cursors[t]
}

// idle keeps read transactions of the newest commit for the next reader: to begin
// one, and to find its tables, takes longer than to look up a row. Each is one
// reader's at a time.
type idle struct {
	mu    sync.Mutex
	list  []*readTx
	of    uint64 // counts commits and files; older transactions are not kept
	ended bool
}

// take answers a transaction of the newest commit, nil when none is kept, and which
// commit that is.
func (i *idle) take() (tx *readTx, of uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n := len(i.list) - 1; n >= 0 {
		tx, i.list = i.list[n], i.list[:n]
	}
	return tx, i.of
}

// give keeps a transaction, or ends it.
func (i *idle) give(tx *readTx) error {
	i.mu.Lock()
	keep := !i.ended && i.of == tx.of && len(i.list) < maxIdle
	if keep {
		i.list = append(i.list, tx)
	}
	i.mu.Unlock()
	if keep {
		return nil
	}
	return tx.Rollback()
}

// drop ends what is kept: there is a newer commit, or another file.
func (i *idle) drop() error {
	i.mu.Lock()
	list := i.list
	i.list = nil
	i.of++
	i.mu.Unlock()
	var errs []error
	for _, tx := range list {
		errs = append(errs, tx.Rollback())
	}
	return errors.Join(errs...)
}

// end is drop for good.
func (i *idle) end() error {
	i.mu.Lock()
	i.ended = true
	i.mu.Unlock()
	return i.drop()
}

// begin answers a read transaction of the newest commit, to be given to idle. Whoever
// looked into memory before it misses nothing: a committed batch leaves memory after
// older transactions are dropped.
func (d *DB) begin() (*readTx, error) {
	for tx, of := d.idle.take(); ; {
		if tx != nil {
			return tx, nil
		}
		b := d.bolt.Load()
		begun, err := b.Begin(false)
		if err == nil {
			return &readTx{Tx: begun, of: of}, nil
		}
		if !errors.Is(err, bolterrors.ErrDatabaseNotOpen) || b == d.bolt.Load() {
			return nil, err
		}
	}
}

// view runs fn in a read transaction of the newest commit; a panic of bbolt over a
// damaged page becomes damage.
func (d *DB) view(fn func(*readTx) error) (err error) {
	defer d.guard(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	tx, err := d.begin()
	if err != nil {
		return err
	}
	sound := false
	defer func() {
		if !sound { // a panic: what the transaction remembers is not used again
			_ = tx.Rollback()
			return
		}
		_ = d.idle.give(tx) // it only read
	}()
	err = fn(tx)
	sound = true
	return err
}
