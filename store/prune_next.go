package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
)

// Pruned is how far the history was erased.
func (m *Machine) Pruned() format.PrunedRow {
	m.mu.RLock()
	defer m.mu.RUnlock()
	p := m.pruned
	p.Loose = slices.Clone(p.Loose)
	return p
}

// NextPrune is the next step of erasing history records whose time has come, as a
// PRUNE's body; nil when there is none. cut is the newest CLOCK record that ended
// its retention (PruneCut), 0 for none; from is where to look on among the carried
// records, and next where the following call does, 0 at their end.
func (m *Machine) NextPrune(cut, from uint64) (body []byte, next uint64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	to := min(m.pruned.Bound+PruneLimit, cut, m.checkpoint.Checkpoint.Size)
	if m.newest == nil {
		return nil, 0, nil
	}
	if to = min(to, m.newest.Mark.Size); to > m.pruned.Bound {
		return format.EncodeEffect(format.PruneEffect{From: m.pruned.Bound, To: to, Cut: cut}), from, nil
	}
	e := format.PruneEffect{Again: true, From: from}
	n, due := 0, false
	err = m.idx.Ascend(tCarried, key64(from), nil, func(k, value []byte) (bool, error) {
		v, err := m.judgeCarried(k, value)
		if err != nil {
			return false, err
		}
		n, due, e.To = n+1, due || v.drop != nil, v.sequence+1
		return n < PruneLimit, nil
	})
	if n == PruneLimit {
		next = e.To
	}
	if err != nil || !due {
		return nil, next, err
	}
	return format.EncodeEffect(e), next, nil
}

// PruneCut is the newest CLOCK record whose reading lies at or before an instant
// and after which nothing is repeated any more; 0 for none. It reads a few records.
func (m *Machine) PruneCut(before retention.Instant) (uint64, error) {
	m.mu.RLock()
	low, high, applied := m.pruned.Bound, m.next, m.applied
	m.mu.RUnlock()
	for end := high; low < end; { // the first record behind the instant
		mid := low + (end-low)/2
		rec, _, err := m.Record(mid)
		if err != nil {
			return 0, err
		}
		if retention.Instant(rec.Clock) <= before {
			low = mid + 1
		} else {
			end = mid
		}
		high = end
	}
	bound := m.Pruned().Bound
	for seq := min(low, high); seq > bound; seq-- {
		rec, _, err := m.Record(seq - 1)
		if err != nil {
			return 0, err
		}
		if rec.Action != format.ActClock || rec.Entry+Window >= applied {
			continue
		}
		e, err := format.DecodeClockEffect(rec.Effect)
		if err != nil {
			return 0, err
		}
		if retention.Instant(e.Now) <= before {
			return seq - 1, nil
		}
	}
	return 0, nil
}

// Kept is History over the records that are still here: it passes over what was
// erased at the end of its retention. A record that is carried and not there is a
// *format.DamageError.
func (m *Machine) Kept(ctx context.Context, from, to uint64, each func(sequence uint64, encoded []byte) error) error {
	at := from
	err := m.log.Kept(ctx, from, to, func(sequence uint64, encoded []byte) error {
		if err := m.checkGap(at, sequence); err != nil {
			return err
		}
		at = sequence + 1
		return each(sequence, encoded)
	})
	if err != nil {
		return err
	}
	return m.checkGap(at, to)
}

// checkGap insists that of the records from one to before another, which are not
// there, none is carried. Its row goes before its bytes do.
func (m *Machine) checkGap(from, to uint64) error {
	if from >= to {
		return nil
	}
	wanted, err := m.nextCarried(from)
	if err == nil && wanted < to {
		err = &format.DamageError{File: "history", Offset: -1, What: fmt.Sprintf("record %d: it is carried, and not there", wanted)}
	}
	return err
}

// ErrPruned says that a record was erased at the end of its retention.
var ErrPruned = history.ErrPruned
