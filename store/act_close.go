package store

import (
	"errors"

	"github.com/sago-worm/sago/store/format"
)

// Closing of an institution (폐지): the one act that erases before the deadline
// without an order. Its use records were handed over first.

// maxUnhanded is how many records an institution may have at most behind those
// that were handed over when its closing is proposed.
const maxUnhanded = 100_000

// How far ahead a closing date may lie, and how far back when persons sign late,
// microseconds: further off it is a slip of the pen.
const (
	maxCloseAhead  = 2 * 366 * 24 * 3600 * 1e6
	maxCloseBehind = maxCloseAhead / 2
)

// checkClose lets an institution be closed whose use records, all of them, were
// handed over against a receipt.
func (m *Machine) checkClose(a *openAct) error {
	p, err := format.DecodeCloseParams(a.doc.Params)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	row, err := m.tenant(a.object.Institution)
	if err != nil {
		return err
	}
	switch {
	case row.State == format.TenantClosing || row.State == format.TenantClosed:
		return refuse(format.ReasonClosed, "the institution is "+row.State.String())
	case a.object.Institution == 0 || a.object.Transaction != "" || a.object.Part != 0:
		return refuse(format.ReasonInvalid, "a closing is about one institution")
	case p.Receipt == format.Digest{}:
		return refuse(format.ReasonState, "a closing needs the receipt for the use records that were handed over")
	case p.Date < max(1, m.clock.Now-maxCloseBehind) || p.Date > m.clock.Now+maxCloseAhead:
		return refuse(format.ReasonInvalid, "a closing has a date, at most two years ahead and one year back")
	}
	if err := m.checkHandedOver(a, row, p); err != nil {
		return err
	}
	return m.checkExportRoot(a.object.Institution, p)
}

// checkHandedOver insists that no USE record of the institution lies outside what
// was handed over. From the first proposal on its last one is kept in its row, so what
// lies before is gone through when a closing is proposed, and then never again.
func (m *Machine) checkHandedOver(a *openAct, row format.TenantRow, p format.CloseParams) error {
	n := a.object.Institution
	inst, err := m.institution(n)
	if err != nil {
		return err
	}
	first := inst.Records
	prefix := key32(n)
	err = m.idx.Ascend(tOwnHistory, prefix, after(prefix), func(k, _ []byte) (bool, error) {
		r := format.NewReader(k[len(prefix):])
		first = r.U64()
		return false, r.Done()
	})
	if err != nil {
		return err
	}
	if p.First > first || p.End <= p.First || p.End > inst.Records {
		return refuse(format.ReasonState, "the records handed over do not begin with the institution's first one, or end behind its last")
	}
	later := refuse(format.ReasonState, "use records came after those that were handed over: hand these over as well")
	if row.LastUse > p.End {
		return later
	}
	if a.row.Proposed != 0 {
		return nil
	}
	watched := inst.Records
	if row.Watch != 0 {
		watched = row.Watch
	}
	if watched > p.End && watched-p.End > maxUnhanded {
		return refuse(format.ReasonState, "too much was recorded since the use records were handed over: hand them over anew")
	}
	if watched <= p.End {
		return nil
	}
	return m.idx.Ascend(tOwnHistory, cat(prefix, key64(p.End)), cat(prefix, key64(watched)), func(_, v []byte) (bool, error) {
		rec, err := m.recordAt(v)
		if err == nil && rec.Action == format.ActUse {
			err = later
		}
		return true, err
	})
}

// recordAt reads the record whose sequence stands in a row.
func (m *Machine) recordAt(sequence []byte) (format.Record, error) {
	r := format.NewReader(sequence)
	n := r.U64()
	if err := r.Done(); err != nil {
		return format.Record{}, err
	}
	rec, _, err := m.Record(n)
	return rec, err
}

// checkExportRoot insists that the tree which the persons saw is this history's,
// was cosigned, and holds all that was handed over.
func (m *Machine) checkExportRoot(n uint32, p format.CloseParams) error {
	last, err := m.idx.Get(tOwnHistory, cat(key32(n), key64(p.End-1)))
	if err != nil {
		return err
	}
	checkpoint, err := m.idx.Get(tCheckpoint, key64(p.Size))
	if err != nil {
		return err
	}
	r := format.NewReader(last)
	if last == nil || checkpoint == nil || r.U64() >= p.Size {
		return errors.Join(r.Err(), refuse(format.ReasonState, "no checkpoint of that size covers the records handed over"))
	}
	root, err := m.log.RootAt(p.Size)
	if err == nil && root != p.Root {
		err = refuse(format.ReasonInvalid, "the root is not this history's at that size")
	}
	return err
}

// foldCloseProposed begins to keep the institution's last USE record in its row.
func (m *Machine) foldCloseProposed(rec *format.Record) error {
	return m.changeTenant(rec.Institution, func(row *format.TenantRow) {
		if row.Watch == 0 {
			row.Watch = rec.InstitutionSequence
		}
	})
}

func (m *Machine) foldUse(rec *format.Record) error {
	e, err := format.DecodeUseEffect(rec.Effect)
	if err != nil {
		return err
	}
	if err := m.watchUse(rec); err != nil {
		return err
	}
	return m.set(tUse, cat(subjectKey(rec.Institution, e.Subject), key64(rec.Sequence)), []byte{})
}

// watchUse notes a USE record while a closing is proposed.
func (m *Machine) watchUse(rec *format.Record) error {
	row, err := m.tenant(rec.Institution)
	if err != nil || row.Watch == 0 {
		return err
	}
	return m.changeTenant(rec.Institution, func(row *format.TenantRow) { row.LastUse = rec.InstitutionSequence + 1 })
}

// foldClose begins the closing: no intake, no reads, and its bundles are to go.
func (m *Machine) foldClose(rec *format.Record, a *openAct) error {
	p, err := format.DecodeCloseParams(a.doc.Params)
	if err != nil {
		return err
	}
	return m.changeTenant(a.object.Institution, func(row *format.TenantRow) {
		row.State, row.Since, row.Until = format.TenantClosing, rec.Clock, 0
		row.Act, row.Close, row.Date = a.doc.Nonce, rec.Sequence+1, p.Date
		row.Passed, row.Swept = nil, false
	})
}
