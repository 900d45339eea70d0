package store

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// openIndex opens the index and checks every row. One that is damaged or foreign
// is thrown away and built again.
func (s *Store) openIndex(ctx context.Context, o Options) (index.Meta, error) {
	if err := s.custodian.RemoveIndex(filepath.Join(o.Dir, indexFile+index.NewSuffix)); err != nil { // a rewriting was cut short
		return index.Meta{}, err
	}
	db, meta, err := index.Open(filepath.Join(o.Dir, indexFile), s.indexOptions(o))
	if err == nil {
		if err = db.VerifyAll(ctx); err != nil {
			err = errors.Join(err, db.Close())
		}
	}
	var damage *format.DamageError
	switch {
	case err == nil:
		s.idx, s.Machine.idx = db, db
		if r := format.NewReader(meta.Extra); len(meta.Extra) > 0 {
			s.rewritten = r.U64()
		}
		return meta, nil
	case errors.As(err, &damage), errors.Is(err, index.ErrForeign), errors.Is(err, index.ErrTables):
		if damage == nil {
			damage = &format.DamageError{File: indexFile, Offset: -1, What: "index", Err: err}
		}
		o.OnDamage(damage)
		return s.freshIndex(o)
	}
	return meta, err
}

func (s *Store) indexOptions(o Options) index.Options {
	return index.Options{Cluster: s.manifest.Cluster, Incarnation: s.manifest.Incarnation, Tables: allTables(), Probe: o.Probe}
}

// freshIndex throws the index away and begins an empty one.
func (s *Store) freshIndex(o Options) (index.Meta, error) {
	path := filepath.Join(o.Dir, indexFile)
	if s.idx != nil {
		err := s.idx.Close()
		s.idx, s.Machine.idx = nil, nil
		if err != nil {
			return index.Meta{}, err
		}
	}
	if err := s.custodian.RemoveIndex(path); err != nil {
		return index.Meta{}, err
	}
	db, meta, err := index.Open(path, s.indexOptions(o))
	if err != nil {
		return meta, err
	}
	s.idx, s.Machine.idx = db, db
	return meta, nil
}

// recall brings the Machine to where the index stood and the window with it; an
// index that was thrown away is built again from the history. The records of the
// newest entry are left to the log where it still holds that entry: the history
// may hold only some of them.
func (s *Store) recall(ctx context.Context, o Options, meta index.Meta) error {
	m := s.Machine
	m.applied, m.next, m.state, m.covering, m.changed, m.expired = meta.Applied, meta.History, meta.StateHash, meta.History, meta.History, meta.History
	if meta.History > 0 || meta.Applied > 0 || m.log.Size() == 0 {
		return m.refillWindow(ctx)
	}
	if s.refilling != 0 {
		o.FirstLogged = o.Refill.Logged // all that is missing is in the log
	}
	size := m.log.Size()
	last, _, err := m.Record(size - 1)
	if err != nil {
		return err
	}
	if last.Entry >= o.FirstLogged {
		for size > 0 {
			rec, _, err := m.Record(size - 1)
			if err != nil {
				return err
			}
			if rec.Entry != last.Entry {
				break
			}
			size--
		}
	}
	meta = index.Meta{}
	if err := s.idx.Clear(allTables()[:lastLogical], meta); err != nil {
		return err
	}
	if err := s.replay(ctx, size, meta); err != nil {
		return &format.DamageError{File: "history", Offset: -1, What: "rebuild of the index", Err: err}
	}
	if last.Entry >= o.FirstLogged {
		m.applied = max(m.applied, last.Entry-1)
	} else {
		// Everything below the log's beginning was applied and synced before the log
		// was cut, records or none.
		m.applied = max(m.applied, o.FirstLogged-1)
	}
	return s.Flush()
}

// refillWindow reads back the operations that may still be repeated.
func (m *Machine) refillWindow(ctx context.Context) error {
	from := m.next
	for from > m.pruned.Bound { // what lies below is long past repeating
		rec, _, err := m.Record(from - 1)
		if err != nil {
			return err
		}
		if rec.Entry+Window < m.applied {
			break
		}
		from--
	}
	return m.log.Range(ctx, from, m.next, func(_ uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		if err != nil {
			return err
		}
		m.window.remember(&rec, format.LeafHash(encoded))
		return nil
	})
}
