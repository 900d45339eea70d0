package store

import (
	"errors"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// What a closing (폐지) does after it was executed, step by step, whoever leads:
// over the institution's bundles once, in the order of their keys; then over those
// that it kept, because a hold was on them, until none is left; then its use-record
// keys; and when every node has attested all of it, the institution is closed.

// Bounds of one step: how many bundles it ends, keeps, and goes over.
const (
	maxCloseSweep = 1000
	maxKeptAtOnce = 32
	maxCloseLook  = 8192
)

// closings lists the institutions that are closing, with their rows.
func (m *Machine) closings() (numbers []uint32, rows []format.TenantRow, err error) {
	err = m.idx.Ascend(tTenant, nil, nil, func(k, v []byte) (bool, error) {
		row, err := format.DecodeTenantRow(v)
		if err == nil && row.State == format.TenantClosing {
			r := format.NewReader(k)
			numbers, rows = append(numbers, r.U32()), append(rows, row)
			err = r.Done()
		}
		return true, err
	})
	return numbers, rows, err
}

// mayLeave reports whether the decision function lets a bundle go by a closing. A
// hold, also one on its subject or definition, keeps it; what has expired goes by
// its expiry.
func (m *Machine) mayLeave(k format.BundleKey, b *format.BundleRow) (bool, error) {
	if held, err := m.heldByScope(k, b); err != nil || held != nil {
		return false, err
	}
	id := retention.RecordID(b.Store)
	permit, err := retentionOf(b.Retention).Leave(id, retention.ExitClose, m.now())
	return err == nil && permit.Covers(id), nil
}

// decideCloseSweep takes the next step over the bundles of closing institutions.
func (t *turn) decideCloseSweep() error {
	r := format.NewReader(t.op.Body)
	limit := int(min(r.U32(), maxCloseSweep))
	if r.Done() != nil || limit == 0 {
		return refuse(format.ReasonInvalid, "a sweep names how many bundles at most")
	}
	if stopped, err := t.expiryStopped(); stopped || err != nil {
		return err // holds that a restore lost may keep what would go
	}
	numbers, rows, err := t.closings()
	if err != nil {
		return err
	}
	for i, n := range numbers {
		step := t.sweepKept
		if !rows[i].Swept {
			step = t.sweepAll
		}
		ended, err := step(n, &rows[i], limit)
		if err != nil {
			return err
		}
		if limit -= ended; limit <= 0 {
			return nil
		}
	}
	return nil
}

// sweepAll goes on over all bundles of the institution, and says how far it came.
func (t *turn) sweepAll(n uint32, row *format.TenantRow, limit int) (int, error) {
	e := format.InstitutionEffect{Verb: format.InstitutionSwept, Number: n}
	var leave []dueBundle
	from := key32(n)
	if len(row.Passed) > 0 {
		from = cat(row.Passed, []byte{0}) // behind it: no key begins with another
	}
	looked := 0
	err := t.idx.Ascend(tBundle, from, after(key32(n)), func(k, v []byte) (bool, error) {
		e.Passed = nil
		if looked++; looked > maxCloseLook || len(leave) == limit || len(e.Kept) == maxKeptAtOnce {
			e.Passed = slices.Clone(row.Passed)
			return false, nil
		}
		row.Passed = slices.Clone(k)
		key, err := format.DecodeBundleKey(k)
		if err != nil {
			return false, err
		}
		b, err := t.decodeBundle(v)
		if err != nil || b.Expire != 0 {
			return err == nil, err
		}
		may, err := t.mayLeave(key, &b)
		if may {
			leave = append(leave, dueBundle{key: key, bundleAt: bundleAt{row: b}})
		} else {
			e.Kept = append(e.Kept, key)
		}
		return err == nil, err
	})
	if err == nil {
		err = t.endClosed(row, leave)
	}
	if err != nil {
		return 0, err
	}
	return len(leave), t.write(draft{action: format.ActInstitution, institution: n, effect: e})
}

// endClosed writes the record by which each bundle goes.
func (t *turn) endClosed(row *format.TenantRow, leave []dueBundle) error {
	for _, d := range leave {
		e := format.CloseEffect{Store: d.row.Store, Act: row.Close - 1}
		if err := t.write(aboutBundle(format.ActClose, d.key, e)); err != nil {
			return err
		}
	}
	return nil
}

// sweepKept ends those that were kept and may go now. With nothing kept and all
// erased the institution is closed.
func (t *turn) sweepKept(n uint32, row *format.TenantRow, limit int) (int, error) {
	leave, kept, err := t.keptBundles(n, limit)
	if err != nil {
		return 0, err
	}
	if err := t.endClosed(row, leave); err != nil || kept {
		return len(leave), err
	}
	if done, err := t.closedWhole(n); err != nil || !done {
		return 0, err
	}
	return 0, t.write(draft{action: format.ActInstitution, institution: n, effect: format.InstitutionEffect{Verb: format.InstitutionClosed, Number: n}})
}

// keptBundles lists at most limit of the kept bundles that may go now, and whether
// any is kept at all.
func (m *Machine) keptBundles(n uint32, limit int) (leave []dueBundle, kept bool, err error) {
	err = m.idx.Ascend(tKept, key32(n), after(key32(n)), func(_, v []byte) (bool, error) {
		kept = true
		key, err := format.DecodeBundleKey(v)
		if err != nil {
			return false, err
		}
		b, err := m.bundle(key)
		if err != nil || b == nil {
			return false, errors.Join(err, errors.New("a closing keeps a bundle that is not there"))
		}
		may, err := m.mayLeave(key, b)
		if may {
			leave = append(leave, dueBundle{key: key, bundleAt: bundleAt{row: *b}})
		}
		return len(leave) < limit, err
	})
	return leave, kept, err
}

// closedWhole reports whether nothing of a closing waits any more: no erasure that
// a node has not attested, and no use-record key.
func (m *Machine) closedWhole(n uint32) (bool, error) {
	done := true
	err := m.idx.Ascend(tErasure, nil, nil, func(_, v []byte) (bool, error) {
		key, err := format.DecodeBundleKey(v)
		done = done && key.Institution != n
		return done, err
	})
	if err != nil || !done {
		return false, err
	}
	if _, next, err := m.nextUseEnd(n); err != nil || next {
		return false, err
	}
	err = m.idx.Ascend(tEpochEnd, nil, nil, func(_, v []byte) (bool, error) {
		row, err := format.DecodeEpochEndRow(v)
		done = done && row.Institution != n
		return done, err
	})
	return done, err
}

func (m *Machine) foldKept(e format.InstitutionEffect) error {
	for _, k := range e.Kept {
		b, err := m.bundle(k)
		if err != nil || b == nil {
			return errors.Join(err, errors.New("a closing keeps a bundle that is not there"))
		}
		if err := m.set(tKept, cat(key32(e.Number), key64(b.Store)), k.Encode()); err != nil {
			return err
		}
	}
	return nil
}

// foldClosedBundle takes in that one bundle goes with its institution's closing.
func (m *Machine) foldClosedBundle(rec *format.Record) error {
	e, err := format.DecodeCloseEffect(rec.Effect)
	if err != nil {
		return err
	}
	row, err := m.tenant(rec.Institution)
	if err != nil {
		return err
	}
	exit := format.ExitRow{Exit: uint8(retention.ExitClose), Act: row.Act, Decision: rec.Sequence}
	if err := m.set(tExit, keyOf(rec).Encode(), exit.Encode()); err != nil {
		return err
	}
	return m.end(keyOf(rec), e.Store, rec.Sequence)
}

// CloseDuty is the next step of a closing: what to propose; 0 when there is none
// that can be taken now.
func (m *Machine) CloseDuty(limit uint32) (Kind, []byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if stopped, err := m.expiryStopped(); stopped || err != nil {
		return 0, nil, err
	}
	numbers, rows, err := m.closings()
	if err != nil {
		return 0, nil, err
	}
	for i, n := range numbers {
		leave, kept, err := m.keptBundles(n, 1)
		if err != nil {
			return 0, nil, err
		}
		if !rows[i].Swept || len(leave) > 0 {
			return KindCloseSweep, key32(limit), nil
		}
		if kept {
			continue
		}
		e, found, err := m.nextUseEnd(n)
		if err != nil {
			return 0, nil, err
		}
		if found {
			return KindKey, format.EncodeEffect(e), nil
		}
		if done, err := m.closedWhole(n); err != nil || done {
			return KindCloseSweep, key32(limit), err
		}
	}
	return 0, nil, nil
}

// KeptByClosing lists at most limit bundles that an institution's closing keeps, because a
// hold is on them or their own end is under way.
func (m *Machine) KeptByClosing(n uint32, limit int) ([]format.BundleKey, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []format.BundleKey
	err := m.idx.Ascend(tKept, key32(n), after(key32(n)), func(_, v []byte) (bool, error) {
		key, err := format.DecodeBundleKey(v)
		out = append(out, key)
		return len(out) < limit, err
	})
	return out, err
}
