package index

import (
	"bytes"
	"errors"

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
	return d.scan(t, bounds{from, to, false}, fn)
}

// Descend is Ascend over the same rows in the opposite order: the last key below
// to comes first.
func (d *DB) Descend(t Table, from, to []byte, fn func(key, value []byte) (bool, error)) error {
	return d.scan(t, bounds{from, to, true}, fn)
}

// bounds is a range of keys and the direction to walk it in.
type bounds struct {
	from, to []byte // from inclusive, to exclusive, nil for no bound
	down     bool
}

func (b bounds) holds(key []byte) bool {
	return bytes.Compare(key, b.from) >= 0 && (b.to == nil || bytes.Compare(key, b.to) < 0)
}

// before says whether x comes before y.
func (b bounds) before(x, y []byte) bool {
	if b.down {
		x, y = y, x
	}
	return bytes.Compare(x, y) < 0
}

// source walks one of the places that rows are in. key is nil at its end.
type source interface {
	key() []byte
	entry() (entry, error)
	next() error
}

func (d *DB) scan(t Table, b bounds, fn func(key, value []byte) (bool, error)) error {
	v, err := d.View()
	if err != nil {
		return err
	}
	return errors.Join(v.scan(t, b, fn), v.Close())
}

// pick returns the source with the next key; of equal keys the newest source's,
// which comes first in the list.
func pick(sources []source, b bounds) source {
	var first source
	for _, s := range sources {
		if s.key() != nil && (first == nil || b.before(s.key(), first.key())) {
			first = s
		}
	}
	return first
}

type memorySource struct {
	it btree.MapIter[string, entry]
	t  Table
	b  bounds
	k  []byte
}

func newMemorySource(m *rows, t Table, b bounds) *memorySource {
	s := &memorySource{it: m.Iter(), t: t, b: b}
	var ok bool
	switch {
	case !b.down:
		ok = s.it.Seek(memoryKey(t, b.from))
	case s.it.Seek(s.upper()):
		ok = s.it.Prev()
	default:
		ok = s.it.Last()
	}
	s.take(ok)
	return s
}

// upper is the first memory key beyond the range.
func (s *memorySource) upper() string {
	if s.b.to != nil {
		return memoryKey(s.t, s.b.to)
	}
	return string([]byte{byte(s.t) + 1})
}

func (s *memorySource) take(ok bool) {
	s.k = nil
	if !ok {
		return
	}
	k := s.it.Key()
	if Table(k[0]) == s.t && s.b.holds([]byte(k[1:])) {
		s.k = []byte(k[1:])
	}
}

func (s *memorySource) key() []byte           { return s.k }
func (s *memorySource) entry() (entry, error) { return s.it.Value(), nil }

func (s *memorySource) next() error {
	if s.b.down {
		s.take(s.it.Prev())
	} else {
		s.take(s.it.Next())
	}
	return nil
}

type fileSource struct {
	db     *DB
	t      Table
	b      bounds
	cursor *bolt.Cursor
	k, v   []byte
}

func (s *fileSource) start(tx *bolt.Tx) (err error) {
	defer s.db.guard(&err)
	defer faults()()
	bucket := tx.Bucket(bucketName(s.t))
	if bucket == nil {
		return s.db.damage(s.t, nil, "table is missing")
	}
	s.cursor = bucket.Cursor()
	switch {
	case !s.b.down:
		s.take(s.cursor.Seek(s.b.from))
	case s.b.to == nil:
		s.take(s.cursor.Last())
	default:
		if k, _ := s.cursor.Seek(s.b.to); k == nil {
			s.take(s.cursor.Last())
		} else {
			s.take(s.cursor.Prev())
		}
	}
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
	defer faults()()
	value, ok := openRow(s.t, s.k, s.v)
	if !ok {
		return entry{}, s.db.damage(s.t, s.k, "row checksum")
	}
	return entry{value: value}, nil
}

func (s *fileSource) next() (err error) {
	defer s.db.guard(&err)
	defer faults()()
	if s.b.down {
		s.take(s.cursor.Prev())
	} else {
		s.take(s.cursor.Next())
	}
	return nil
}
