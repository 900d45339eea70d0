// Package index is what can be looked up: tables of rows in one bbolt file,
// with the newest rows in memory in front of it. It can always be built again
// from the history and the segments, so it is the room that is thrown away when
// in doubt.
//
// What it guarantees: rows and the log index that they reflect are saved in one
// synced transaction; a row that is not what was written is answered with a
// *format.DamageError and never with other bytes; a lost or foreign row is found
// by Open (which looks at the whole file before bbolt does) and by VerifyAll;
// after a failed commit nothing is ever committed again. docs/formats/index.md
// draws the file.
package index

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"
	bolt "go.etcd.io/bbolt"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// Table names one table, 1 to 254. Table 0 is the package's own: it holds the
// meta row.
type Table uint8

// MaxKey is the greatest length of a key, in bytes.
const MaxKey = 4096

var (
	// ErrForeign is returned by Open for a file of another cluster or another
	// incarnation.
	ErrForeign = errors.New("index of another cluster or incarnation")
	// ErrTables is returned by Open for a file with other tables than asked for:
	// it has to be built again.
	ErrTables = errors.New("index has other tables")
	// ErrLatched wraps the first failed commit; every later one returns it.
	ErrLatched = errors.New("index no longer takes commits")
)

const (
	// mapSize is the address space (not memory) asked for: below it bbolt never
	// maps the file anew, so a writer never waits for readers and a reader may
	// read inside a scan.
	mapSize = 64 << 30
	// growSize is by how many bytes the file grows.
	growSize = 1 << 20
	// lockTimeout bounds the wait for another process's lock on the file.
	lockTimeout = 2 * time.Second
)

// Options say which file belongs here.
type Options struct {
	Cluster, Incarnation format.ID
	Tables               []Table
	// Probe looks at an existing file before bbolt does. A damaged page can end
	// the process that maps it, so after an unclean stop the caller runs
	// CheckFile in a child process. nil means CheckFile in this process.
	Probe func(path string) error
}

// DB is an open index: many readers beside one writer. The writer's calls are
// Put, Delete and Rotate; Commit may run beside them on one other goroutine.
type DB struct {
	name  string // for damage reports, relative to the data directory
	path  string
	bolt  atomic.Pointer[bolt.DB] // replaced by Rewrite
	owner owner

	mu       sync.RWMutex // memory, rotating
	memory   *rows
	rotating *Batch // rotated and not yet committed

	idle idle

	commit  sync.Mutex // failed, and who changes tallies
	tallies atomic.Pointer[tallies]
	failed  error
}

// rows is a memory table: keys are the table's byte and the row's key.
type rows struct {
	btree.Map[string, entry]
	// readers are the views that it must stay the same for. More come only under
	// the lock, and none once it is not the newest.
	readers atomic.Int32
}

// entry is a row in memory, or the word that it is gone.
type entry struct {
	value   []byte
	deleted bool
}

// Batch is a memory table on its way to the file, and the meta that goes with it.
type Batch struct {
	rows  *rows
	meta  Meta
	clear []Table // tables to empty first
}

// Open opens the index at path, or makes an empty one, and returns the meta saved
// with its rows. It returns a *format.DamageError for a file to be built again,
// ErrForeign, ErrTables, or what the file system says.
func Open(path string, o Options) (*DB, Meta, error) {
	d := &DB{
		name:   filepath.Base(path),
		path:   path,
		owner:  owner{o.Cluster, o.Incarnation},
		memory: &rows{},
	}
	if slices.Contains(o.Tables, metaTable) || slices.Contains(o.Tables, lastTable) {
		return nil, Meta{}, fmt.Errorf("index: tables %d and %d are reserved", metaTable, lastTable)
	}
	_, err := os.Stat(path)
	fresh := errors.Is(err, os.ErrNotExist)
	if err != nil && !fresh {
		return nil, Meta{}, fmt.Errorf("index: %w", err)
	}
	if !fresh {
		probe := o.Probe
		if probe == nil {
			probe = CheckFile
		}
		if err := probe(path); err != nil {
			return nil, Meta{}, fmt.Errorf("index: %w", err)
		}
	}
	if err := d.open(path, fresh); err != nil {
		return nil, Meta{}, fmt.Errorf("index: %w", err)
	}
	meta, err := d.load(fresh, o.Tables)
	if err != nil {
		return nil, Meta{}, errors.Join(err, d.Close())
	}
	return d, meta, nil
}

func (d *DB) open(path string, fresh bool) (err error) {
	defer d.guard(&err)
	if fresh {
		f, err := durable.CreateExclusive(path, os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	b, err := openBolt(path)
	if err != nil {
		return err
	}
	d.bolt.Store(b)
	return nil
}

func openBolt(path string) (*bolt.DB, error) {
	b, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:         lockTimeout,
		InitialMmapSize: mapSize,
		FreelistType:    bolt.FreelistMapType,
	})
	if err == nil {
		b.AllocSize = growSize
	}
	return b, err
}

// load reads the meta row, or writes the first one and the empty tables.
func (d *DB) load(fresh bool, tables []Table) (Meta, error) {
	if fresh {
		none := make(tallies, len(tables))
		for _, t := range tables {
			none[t] = tally{}
		}
		d.tallies.Store(&none)
		return Meta{}, d.save(&Batch{rows: &rows{}})
	}
	var saved savedMeta
	err := d.view(func(tx *readTx) (err error) {
		saved, err = readMeta(d.name, tx.Tx)
		return err
	})
	if err != nil {
		return Meta{}, err
	}
	if saved.owner != d.owner {
		return Meta{}, fmt.Errorf("%w: cluster %x, incarnation %x", ErrForeign, saved.Cluster, saved.Incarnation)
	}
	d.tallies.Store(&saved.tallies)
	if !slices.Equal(tableList(saved.tallies), sorted(tables)) {
		return Meta{}, fmt.Errorf("%w: %v", ErrTables, tableList(saved.tallies))
	}
	return saved.Meta, nil
}

// Close ends the use of the file. Rows that were not committed are dropped: they
// are in the log.
func (d *DB) Close() error {
	return errors.Join(d.idle.end(), d.bolt.Load().Close())
}

// Get returns the value under key, or nil when there is none. The caller must not
// change it. A row that is not what was written is a *format.DamageError.
func (d *DB) Get(t Table, key []byte) ([]byte, error) {
	if e, ok := d.recent(memoryKey(t, key)); ok {
		return e.value, nil
	}
	if !d.tallies.Load().stand(t) { // a batch leaves memory after this knows its rows
		return nil, nil
	}
	var out []byte
	err := d.view(func(tx *readTx) error {
		c := tx.cursor(t)
		if c == nil {
			return d.damage(t, nil, "table is missing")
		}
		found, stored := c.Seek(key)
		if found == nil || !bytes.Equal(found, key) {
			return nil
		}
		value, ok := openRow(t, key, stored)
		if !ok {
			return d.damage(t, key, "row checksum")
		}
		out = append([]byte{}, value...)
		return nil
	})
	return out, err
}

// recent looks into the memory tables, newest first.
func (d *DB) recent(k string) (entry, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e, ok := d.memory.Get(k); ok {
		return e, true
	}
	if d.rotating == nil {
		return entry{}, false
	}
	return d.rotating.rows.Get(k)
}

// Put sets the value under key, in memory until the next Rotate and Commit. Keys
// are of 1 to MaxKey bytes; another length is a programming error and panics.
func (d *DB) Put(t Table, key, value []byte) {
	d.set(t, key, entry{value: append([]byte{}, value...)})
}

// Delete removes the row under key, as Put sets one.
func (d *DB) Delete(t Table, key []byte) { d.set(t, key, entry{deleted: true}) }

func (d *DB) set(t Table, key []byte, e entry) {
	if len(key) == 0 || len(key) > MaxKey || t == metaTable {
		panic(fmt.Sprintf("index: key of %d bytes in table %d", len(key), t))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.memory.readers.Load() > 0 {
		d.memory = &rows{Map: *d.memory.Copy()}
	}
	d.memory.Set(memoryKey(t, key), e)
}

// Pending is the number of rows not yet committed, for back-pressure.
func (d *DB) Pending() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	n := d.memory.Len()
	if d.rotating != nil {
		n += d.rotating.rows.Len()
	}
	return n
}

// guard turns a panic into damage, and so a fault on the mapped file, which
// debug.SetPanicOnFault makes a panic of the goroutine. Both must be deferred by the
// function that touches bbolt, and by nothing that runs the caller's code.
func (d *DB) guard(err *error) {
	if r := recover(); r != nil {
		*err = &format.DamageError{File: d.name, Offset: -1, What: "page", Err: fmt.Errorf("%v", r)}
	}
}

func (d *DB) damage(t Table, key []byte, what string) error {
	return rowDamage(d.name, t, key, what)
}

func rowDamage(file string, t Table, key []byte, what string) error {
	where := fmt.Sprintf("table %d", t)
	if key != nil {
		where += " row " + hex.EncodeToString(key)
	}
	return &format.DamageError{File: file, Offset: -1, What: where, Err: errors.New(what)}
}

func memoryKey(t Table, key []byte) string {
	var room [128]byte
	return string(append(append(room[:0], byte(t)), key...))
}

func bucketName(t Table) []byte { return []byte{byte(t)} }

func sorted(ts []Table) []Table {
	ts = slices.Clone(ts)
	slices.Sort(ts)
	return ts
}
