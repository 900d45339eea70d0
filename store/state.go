package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// The digest over all logical rows finds what the running hash cannot: rows that
// were altered at rest (docs/formats/state-rows.md).

// markRows is the body of a MARK that keeps a view of the rows there.
const markRows = "\x01"

// MarkRows is the body of a MARK that keeps a view of the rows there, for
// TakeView.
func MarkRows() []byte { return []byte(markRows) }

// StateView is every logical row as of one MARK, whatever is applied afterwards.
// It keeps the index file from using freed pages again, and the store from being
// closed: Close it soon. It is for one goroutine at a time.
type StateView struct {
	// Mark says where: log entry, history size and root, clock and running hash.
	Mark format.Checkpoint
	view *index.View
}

// RowsDigest is a digest over some rows of one table, or over all tables.
type RowsDigest struct {
	Digest format.Digest
	Count  uint64
}

// TableDigest is the digest over all rows of one table.
type TableDigest struct {
	Table uint8
	RowsDigest
}

// StateDigest is the digest over every logical row, and those over the tables
// that have rows, ascending.
type StateDigest struct {
	RowsDigest
	Tables []TableDigest
}

// keepView opens the view that a MARK asks for; one that nobody has taken goes.
// It decides nothing: a node that cannot open it has no digest to offer.
func (m *Machine) keepView(mark format.Checkpoint) {
	m.dropView()
	if v, err := m.idx.View(); err == nil {
		m.held = &StateView{Mark: mark, view: v}
	}
}

func (m *Machine) dropView() {
	if m.held != nil {
		_ = m.held.Close() // of a transaction that only read
		m.held = nil
	}
}

// TakeView answers the view of the newest MARK that kept one, once; nil when there
// is none. The caller closes it before the store is closed.
func (m *Machine) TakeView() *StateView {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.held
	m.held = nil
	return v
}

// Close ends the view.
func (v *StateView) Close() error { return v.view.Close() }

// Rows tells each of every logical row, by table and key ascending; key and value
// are valid until it returns. A row that is not what was written is a
// *format.DamageError; an error of each ends it.
func (v *StateView) Rows(ctx context.Context, each func(table uint8, key, value []byte) error) error {
	for t := tMeta; t <= lastLogical; t++ {
		if err := v.rows(ctx, t, nil, nil, func(k, val []byte) error { return each(uint8(t), k, val) }); err != nil {
			return err
		}
	}
	return nil
}

// askEvery is after how many rows a walk asks its context.
const askEvery = 1024

func (v *StateView) rows(ctx context.Context, t index.Table, from, to []byte, each func(key, value []byte) error) error {
	n := 0
	return v.view.Ascend(t, from, to, func(k, val []byte) (bool, error) {
		if n++; n%askEvery == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		return true, each(k, val)
	})
}

// Digest is the digest over every logical row.
func (v *StateView) Digest(ctx context.Context) (StateDigest, error) {
	var out StateDigest
	var w format.Writer
	w.Raw([]byte("sago rows v1\n"))
	for t := tMeta; t <= lastLogical; t++ {
		d, err := v.Ranges(ctx, uint8(t), nil, nil, nil)
		if err != nil {
			return out, err
		}
		if d[0].Count == 0 {
			continue // so that a version with more tables agrees while they are empty
		}
		w.U8(uint8(t))
		w.U64(d[0].Count)
		w.Raw(d[0].Digest[:])
		out.Count += d[0].Count
		out.Tables = append(out.Tables, TableDigest{uint8(t), d[0]})
	}
	out.Digest = sha256.Sum256(w.Bytes())
	return out, nil
}

// Ranges is the digests over a table's rows from the key from (nil: the first) to
// to (nil: behind the last), cut at the given keys, ascending: one more than
// there are cuts.
func (v *StateView) Ranges(ctx context.Context, table uint8, from, to []byte, cuts [][]byte) ([]RowsDigest, error) {
	if t := index.Table(table); t < tMeta || t > lastLogical {
		return nil, fmt.Errorf("table %d is not state", table)
	}
	out := make([]RowsDigest, len(cuts)+1)
	for i := range out {
		lo, hi := from, to
		if i > 0 {
			lo = cuts[i-1]
		}
		if i < len(cuts) {
			hi = cuts[i]
		}
		h := sha256.New()
		err := v.rows(ctx, index.Table(table), lo, hi, func(k, val []byte) error {
			var w format.Writer
			w.Blob(k)
			w.Blob(val)
			h.Write(w.Bytes())
			out[i].Count++
			return nil
		})
		if err != nil {
			return nil, err
		}
		out[i].Digest = format.Digest(h.Sum(nil))
	}
	return out, nil
}

// Cuts are keys that part a table's rows between from and to into at most parts
// ranges of like size; none where there are less than two rows.
func (v *StateView) Cuts(ctx context.Context, table uint8, from, to []byte, parts int) ([][]byte, error) {
	d, err := v.Ranges(ctx, table, from, to, nil)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	step := max(1, (d[0].Count+uint64(parts)-1)/uint64(parts))
	n := uint64(0)
	err = v.rows(ctx, index.Table(table), from, to, func(k, _ []byte) error {
		if n > 0 && n%step == 0 {
			out = append(out, append([]byte(nil), k...))
		}
		n++
		return nil
	})
	return out, err
}

// decideState takes a digest over all rows that a majority signed. Whether this
// node's own rows have it is not decided here: they are compared beside Apply.
func (t *turn) decideState() error {
	e, err := format.DecodeStateEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	c := e.Mark
	if c.Cluster != t.own.cluster || c.Entry >= t.entry || c.Size > t.next || t.newest != nil && c.Entry <= t.newest.Mark.Entry {
		return refuse(format.ReasonState, "the digest is not newer, or not of this history")
	}
	if err := t.verifyMajority(e.Message(), e.Signatures); err != nil {
		return refuse(format.ReasonSignature, err.Error())
	}
	if err := t.holdAgainst(c); err != nil {
		return err
	}
	return t.write(draft{action: format.ActState, effect: e})
}

func (m *Machine) foldState(rec *format.Record) error {
	e, err := format.DecodeStateEffect(rec.Effect)
	if err != nil {
		return err
	}
	m.newest = &e
	return m.set(tMeta, []byte(metaState), rec.Effect)
}

// StateRecord is the effect of the newest STATE record; false before the first.
func (m *Machine) StateRecord() (format.StateEffect, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.newest == nil {
		return format.StateEffect{}, false
	}
	return *m.newest, true
}

// Changed reports whether the history holds, behind the MARK of the newest STATE
// record, a record other than CLOCK, CHECKPOINT and STATE.
func (m *Machine) Changed() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.newest == nil || m.changed > m.newest.Mark.Size
}

// ErrRowsDiffer means that rows built again from this node's own history are not
// those that a majority signed.
var ErrRowsDiffer = errors.New("rows built again from the history are not the majority's")

// RebuildRows throws all logical rows away and builds them again from the history
// up to the MARK of a digest that a majority signed; ErrRowsDiffer if they are not
// those. The Machine then stands at that MARK, as one that copies. Nothing is
// applied meanwhile. After a crash the next start builds them.
func (s *Store) RebuildRows(ctx context.Context, e format.StateEffect) error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.ranges.Lock()
	defer s.ranges.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.log.Sync(); err != nil {
		return err
	}
	s.dropView()
	var meta index.Meta
	pos := s.segments.Position()
	meta.Segment.File, meta.Segment.Offset = pos.File, pos.Offset
	if err := s.idx.Clear(allTables()[:lastLogical], meta); err != nil {
		return err
	}
	m := s.Machine
	m.applied, m.next, m.state, m.covering, m.changed = 0, 0, format.Digest{}, 0, 0
	m.window, m.ceremony, m.newest, m.pruned = window{}, nil, nil, format.PrunedRow{}
	m.policy, m.clock, m.checkpoint = format.Policy{}, format.ClockRow{}, format.CheckpointEffect{}
	if err := m.load(); err != nil {
		return err
	}
	if err := s.replay(ctx, e.Mark.Size, meta); err != nil {
		return err
	}
	view, err := s.idx.View()
	if err != nil {
		return err
	}
	v := StateView{Mark: e.Mark, view: view}
	got, err := v.Digest(ctx)
	if err := errors.Join(err, v.Close()); err != nil {
		return err
	}
	if got.Digest != e.Rows || got.Count != e.Count || m.state != e.Mark.State {
		return ErrRowsDiffer
	}
	return nil
}
