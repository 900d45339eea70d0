package store

import (
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// decideExport finds the range that an export asks for and records it. Every
// node finds the same one, so a majority vouches that the range is whole.
func (t *turn) decideExport() error {
	if err := t.permit(access.VerbHistoryExport); err != nil {
		return err
	}
	e, err := format.DecodeExportEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	if e.First != 0 || e.End != 0 || e.Minimum != 0 {
		return refuse(format.ReasonInvalid, "the range of an export is found by the appliance")
	}
	if e.Since < 0 || e.Until < 0 || e.Until != 0 && e.Until <= e.Since {
		return refuse(format.ReasonInvalid, "an export ends after it begins")
	}
	switch e.Scope {
	case format.ExportTree:
		if err := t.permitTree(); err != nil {
			return err
		}
		e.Minimum = t.pruned.Bound
		err = t.span(&e, t.next, t.clockOf)
	case format.ExportInstitution:
		err = t.spanOwn(&e)
	default:
		return refuse(format.ReasonInvalid, "no such scope of an export")
	}
	if err != nil {
		return err
	}
	return t.write(draft{action: format.ActExport, institution: t.op.Institution, effect: e, detail: true})
}

// permitTree refuses the whole tree to whom it would show another institution
// (ADR 0018).
func (t *turn) permitTree() error {
	ok, err := t.mayExportTree(t.op.Institution)
	if err == nil && !ok {
		err = refuse(format.ReasonNotPermitted, "the whole log is exported by the appliance's own auditor")
	}
	return err
}

// MayExportTree reports whether auditors of the institution may export the whole
// log: those of the appliance, and those of the only institution that it serves.
func (m *Machine) MayExportTree(institution uint32) (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.mayExportTree(institution)
}

func (m *Machine) mayExportTree(institution uint32) (bool, error) {
	if institution == 0 {
		return true, nil
	}
	served := 0
	err := m.idx.Ascend(tInstitution, key32(1), nil, func(_, _ []byte) (bool, error) {
		served++
		return served < 2, nil
	})
	return served == 1, err
}

// spanOwn finds the range in the institution's own sequence.
func (t *turn) spanOwn(e *format.ExportEffect) error {
	inst, err := t.institution(t.op.Institution)
	if err != nil {
		return err
	}
	if e.Minimum, err = t.ownMinimum(inst); err != nil {
		return err
	}
	return t.span(e, inst.Records, func(own uint64) (int64, error) {
		sequence, err := t.sequenceOf(inst.Number, own)
		if err != nil {
			return 0, err
		}
		return t.clockOf(sequence)
	})
}

// ownMinimum is the institution's own sequence of its first record that history
// retention has not come to.
func (t *turn) ownMinimum(inst format.InstitutionRow) (uint64, error) {
	own, err := t.ownSequence(inst.Number, t.pruned.Bound)
	if err != nil || own == inst.Records {
		return own, err
	}
	// It may lie among the erased ones before that record.
	prefix, first := key32(inst.Number), inst.Records
	err = t.idx.Ascend(tOwnHistory, cat(prefix, key64(own)), after(prefix), func(k, _ []byte) (bool, error) {
		r := format.NewReader(k[len(prefix):])
		first = r.U64()
		return false, r.Done()
	})
	return first, err
}

// span finds, among n records whose clocks never go back, those from Since on and
// before Until. Without Until the range ends with the EXPORT record itself, which
// is number n.
func (t *turn) span(e *format.ExportEffect, n uint64, clockOf func(uint64) (int64, error)) (err error) {
	if e.First, err = firstAt(e.Minimum, n, e.Since, clockOf); err != nil {
		return err
	}
	if e.End = n + 1; e.Until != 0 {
		e.End, err = firstAt(e.First, n, e.Until, clockOf)
	}
	if e.First == e.Minimum {
		// What was kept of the records below may be of the time that was asked for.
		e.First = 0
	}
	return err
}

// firstAt is the least number in [from, n) whose clock is at or after the instant
// (microseconds), n when there is none.
func firstAt(from, n uint64, instant int64, clockOf func(uint64) (int64, error)) (uint64, error) {
	if instant == 0 {
		return from, nil
	}
	for n > from {
		middle := from + (n-from)/2
		clock, err := clockOf(middle)
		if err != nil {
			return 0, err
		}
		if clock < instant {
			from = middle + 1
		} else {
			n = middle
		}
	}
	return n, nil
}

// clockOf is the quorum clock of a record, microseconds.
func (m *Machine) clockOf(sequence uint64) (int64, error) {
	rec, _, err := m.Record(sequence)
	return rec.Clock, err
}

// sequenceOf is the sequence of an institution's record by its own number.
func (m *Machine) sequenceOf(institution uint32, own uint64) (uint64, error) {
	v, err := m.idx.Get(tOwnHistory, cat(key32(institution), key64(own)))
	if err != nil {
		return 0, err
	}
	r := format.NewReader(v)
	sequence := r.U64()
	return sequence, r.Done()
}

// OwnSequences lists the sequences of an institution's records by their own
// numbers, from (included) to to (not included).
func (m *Machine) OwnSequences(institution uint32, from, to uint64) ([]uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []uint64
	prefix := key32(institution)
	err := m.idx.Ascend(tOwnHistory, cat(prefix, key64(from)), cat(prefix, key64(to)), func(_, v []byte) (bool, error) {
		r := format.NewReader(v)
		out = append(out, r.U64())
		return true, r.Done()
	})
	return out, err
}

// Tile reads the hashes of a tile of the history's tree, 32 bytes each.
func (m *Machine) Tile(t format.Tile) ([]byte, error) {
	return tlog.ReadTileData(tlog.Tile{H: format.TileHeight, L: t.Level, N: int64(t.N), W: t.Width}, m.log.HashReader())
}
