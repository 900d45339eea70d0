package store

import (
	"fmt"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

func (m *Machine) foldClock(rec *format.Record) error {
	e, err := format.DecodeClockEffect(rec.Effect)
	if err != nil {
		return err
	}
	next, tick, err := m.quorumClock().Advance(m.voters(), votesOf(e.Votes), clockPolicy(m.policy))
	if err != nil {
		return err
	}
	if int64(next.Now) != e.Now || int64(tick.Start) != e.Start || int64(next.Floor) != e.Floor {
		return fmt.Errorf("the record says %d, the ratchet %d", e.Now, next.Now)
	}
	for _, v := range e.Votes {
		row := m.members[v.Voter]
		row.Commit, row.Size, row.Room = max(row.Commit, v.Commit), max(row.Size, v.Size), v.Room
		if err := m.putMember(row); err != nil {
			return err
		}
	}
	m.clock = clockRow(next, tick.Start)
	if err := m.set(tMeta, []byte(metaClock), m.clock.Encode()); err != nil {
		return err
	}
	if err := m.coolActs(tick); err != nil {
		return err
	}
	if err := m.startWaiting(tick); err != nil {
		return err
	}
	return m.foldUnsettled()
}

// startWaiting starts every period (and grace) that was committed in an earlier
// round than the one this clock entry answered.
func (m *Machine) startWaiting(tick retention.Tick) error {
	type waiting struct {
		store uint64
		key   format.BundleKey
	}
	var ready []waiting
	err := m.idx.Ascend(tWaiting, nil, nil, func(key, value []byte) (bool, error) {
		r, v := format.NewReader(key), format.NewReader(value[:min(8, len(value))])
		w := waiting{store: r.U64()}
		if open := v.U64(); !tick.Starts(open) {
			return true, nil
		}
		var err error
		w.key, err = format.DecodeBundleKey(value[8:])
		ready = append(ready, w)
		return true, err
	})
	if err != nil {
		return err
	}
	for _, w := range ready {
		err := m.changeBundle(w.key, w.store, func(row *format.BundleRow) error {
			r, err := retentionOf(row.Retention).Started(tick.Start)
			if err != nil {
				// A deadline beyond the calendar, or damaged metadata: it stays, locked.
				return nil
			}
			row.Retention = retentionRow(r)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
