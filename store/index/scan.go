package index

import (
	"bytes"
	"errors"
	"runtime/debug"

	"github.com/tidwall/btree"
	bolt "go.etcd.io/bbolt"
)

// Ascend calls fn for the rows of a table from the key from (inclusive; nil is
// the first) to the key to (exclusive; nil is behind the last), in order, as they
// were when Ascend was called. fn answers whether to go on; key and value are
// valid only until it returns. fn may read the index and may Put: it does not see
// what it puts. It should not take long: until Ascend returns, the file cannot
// use freed pages again.
func (d *DB) Ascend(t Table, from, to []byte, fn func(key, value []byte) (bool, error)) error {
	v, err := d.look(t)
	if err != nil {
		return err
	}
	return errors.Join(v.Ascend(t, from, to, fn), v.Close())
}

// bounds is a range of keys.
type bounds struct {
	from, to []byte // from inclusive, to exclusive, nil for no bound
}

func (b bounds) holds(key []byte) bool {
	return bytes.Compare(key, b.from) >= 0 && (b.to == nil || bytes.Compare(key, b.to) < 0)
}

// source walks one of the places that rows are in. key is nil at its end, and
// valid until next.
type source interface {
	key() []byte
	entry() (entry, error)
	next() error
}

// merge calls fn for the rows of sources, the newest source first in the list.
func merge(sources []source, fn func(key, value []byte) (bool, error)) error {
	for {
		first := pick(sources)
		if first == nil {
			return nil
		}
		e, err := first.entry()
		if err != nil {
			return err
		}
		if !e.deleted {
			if more, err := fn(first.key(), e.value); err != nil || !more {
				return err
			}
		}
		for _, s := range sources {
			if s == first || !bytes.Equal(s.key(), first.key()) {
				continue
			}
			if err := s.next(); err != nil {
				return err
			}
		}
		if err := first.next(); err != nil {
			return err
		}
	}
}

// pick returns the source with the next key; of equal keys the newest source's,
// which comes first in the list.
func pick(sources []source) source {
	var first source
	for _, s := range sources {
		if s.key() != nil && (first == nil || bytes.Compare(s.key(), first.key()) < 0) {
			first = s
		}
	}
	return first
}

type memorySource struct {
	it   btree.MapIter[string, entry]
	t    Table
	b    bounds
	k    []byte
	room [64]byte // of k, if it is not longer
}

func newMemorySource(m *rows, t Table, b bounds) *memorySource {
	s := &memorySource{it: m.Iter(), t: t, b: b}
	s.take(s.it.Seek(memoryKey(t, b.from)))
	return s
}

func (s *memorySource) take(ok bool) {
	s.k = nil
	if !ok || Table(s.it.Key()[0]) != s.t {
		return
	}
	if k := append(s.room[:0], s.it.Key()[1:]...); s.b.holds(k) {
		s.k = k
	}
}

func (s *memorySource) key() []byte           { return s.k }
func (s *memorySource) entry() (entry, error) { return s.it.Value(), nil }

func (s *memorySource) next() error {
	s.take(s.it.Next())
	return nil
}

type fileSource struct {
	db     *DB
	t      Table
	b      bounds
	cursor *bolt.Cursor
	k, v   []byte
}

// start takes the transaction's cursor: a scan inside this one gets another.
func (s *fileSource) start(tx *readTx) (err error) {
	defer s.db.guard(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if s.cursor = tx.cursor(s.t); s.cursor == nil {
		return s.db.damage(s.t, nil, "table is missing")
	}
	tx.cursors[s.t] = nil
	s.take(s.cursor.Seek(s.b.from))
	return nil
}

func (s *fileSource) take(k, v []byte) {
	s.k, s.v = nil, nil
	if k != nil && s.b.holds(k) {
		s.k, s.v = k, v
	}
}

func (s *fileSource) key() []byte { return s.k }

func (s *fileSource) entry() (e entry, err error) {
	defer s.db.guard(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	value, ok := openRow(s.t, s.k, s.v)
	if !ok {
		return entry{}, s.db.damage(s.t, s.k, "row checksum")
	}
	return entry{value: value}, nil
}

func (s *fileSource) next() (err error) {
	defer s.db.guard(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	s.take(s.cursor.Next())
	return nil
}
