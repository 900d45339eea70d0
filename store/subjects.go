package store

import (
	"context"
	"errors"

	"github.com/sago-worm/sago/store/format"
)

// Whom a suspension or closing must be told to, and what was handed over.

// BundlesOf counts a subject's bundles that have not ended.
func (m *Machine) BundlesOf(institution uint32, subject format.Digest) (int, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n := 0
	prefix := subjectKey(institution, subject)
	err := m.idx.Ascend(tSubject, prefix, after(prefix), func(_, v []byte) (bool, error) {
		lives, err := m.lives(v)
		if lives {
			n++
		}
		return true, err
	})
	return n, err
}

// lives reports whether the bundle whose key stands in a row has not ended.
func (m *Machine) lives(key []byte) (bool, error) {
	k, err := format.DecodeBundleKey(key)
	if err != nil {
		return false, err
	}
	b, err := m.bundle(k)
	return b != nil && b.Expire == 0, err
}

// subjectsAtOnce is how many rows one look at the subjects goes over while Apply
// waits.
const subjectsAtOnce = 4096

// Subjects counts the institution's subjects that have a bundle which has not
// ended. It looks in steps, so that bundles stored meanwhile may be counted or not.
func (m *Machine) Subjects(ctx context.Context, institution uint32) (n uint64, err error) {
	from := key32(institution)
	var counted format.Digest
	for from != nil && err == nil {
		from, err = m.subjectsFrom(institution, from, func(subject format.Digest, lives bool) {
			if lives && (n == 0 || subject != counted) {
				counted = subject
				n++
			}
		})
		err = errors.Join(err, ctx.Err())
	}
	return n, err
}

func (m *Machine) subjectsFrom(institution uint32, from []byte, each func(format.Digest, bool)) (next []byte, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	looked := 0
	err = m.idx.Ascend(tSubject, from, after(key32(institution)), func(k, v []byte) (bool, error) {
		if looked++; looked > subjectsAtOnce {
			next = cat(k)
			return false, nil
		}
		lives, err := m.lives(v)
		each(format.Digest(k[4:36]), lives)
		return true, err
	})
	return next, err
}

// NewestExport is what the newest EXPORT record of an institution's own records
// says, among its last ones; false when there is none.
func (m *Machine) NewestExport(institution uint32) (e format.ExportEffect, found bool, err error) {
	inst, err := m.Institution(institution)
	if err != nil {
		return e, false, err
	}
	for end := inst.Records; end > 0 && inst.Records-end < maxUnhanded && !found && err == nil; {
		start := end - min(end, 512)
		e, found, err = m.exportIn(institution, start, end)
		end = start
	}
	return e, found, err
}

func (m *Machine) exportIn(institution uint32, start, end uint64) (e format.ExportEffect, found bool, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	prefix := key32(institution)
	err = m.idx.Ascend(tOwnHistory, cat(prefix, key64(start)), cat(prefix, key64(end)), func(_, v []byte) (bool, error) {
		rec, err := m.recordAt(v)
		if err != nil || rec.Action != format.ActExport {
			return err == nil, err
		}
		one, err := format.DecodeExportEffect(rec.Effect)
		if err == nil && one.Scope == format.ExportInstitution {
			e, found = one, true
		}
		return true, err
	})
	return e, found, err
}
