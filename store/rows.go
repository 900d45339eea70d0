package store

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// Lookups of single rows. They answer nil for a row that is not there, and an
// error only for damage or a row that does not decode: both halt an Apply.

func lookup[T any](m *Machine, t index.Table, key []byte, decode func([]byte) (T, error)) (*T, error) {
	v, err := m.idx.Get(t, key)
	if err != nil || v == nil {
		return nil, err
	}
	row, err := decode(v)
	if err != nil {
		return nil, fmt.Errorf("table %d: %w", t, err)
	}
	return &row, nil
}

// set changes one row of the state and takes the change into the running hash. A
// nil value removes the row.
func (m *Machine) set(t index.Table, key, value []byte) error {
	old, err := m.idx.Get(t, key)
	if err == nil {
		m.replace(t, key, old, value)
	}
	return err
}

// add is set of a row that cannot be there: a record's own number is in its key, or
// another row says so.
func (m *Machine) add(t index.Table, key, value []byte) { m.replace(t, key, nil, value) }

// replace is set of a row that the caller has just read:
// H' = SHA-256(H || table || key || old row hash || new row hash).
func (m *Machine) replace(t index.Table, key, old, value []byte) {
	var room [160]byte
	w := format.WriterOn(room[:0])
	w.Raw(m.state[:])
	w.U8(uint8(t))
	w.Blob(key)
	for _, row := range [][]byte{old, value} {
		var h format.Digest
		if row != nil {
			h = sha256.Sum256(row)
		}
		w.Raw(h[:])
	}
	m.state = sha256.Sum256(w.Bytes())
	switch t {
	case tInstitution:
		m.counted = countedRow{}
	case tBundle, tEnded:
		m.recent = bundleAt{}
	}
	if value == nil {
		m.idx.Delete(t, key)
	} else {
		m.idx.Put(t, key, value)
	}
}

// allRows reads a whole table, of few rows.
func allRows[T any](m *Machine, t index.Table, decode func([]byte) (T, error)) ([]T, error) {
	var out []T
	err := m.idx.Ascend(t, nil, nil, func(_, v []byte) (bool, error) {
		row, err := decode(v)
		out = append(out, row)
		return true, err
	})
	return out, err
}

// bundleAt is a bundle's row as it stands in the index, and its key there; row has its
// end as well.
type bundleAt struct {
	key, encoded []byte
	row          format.BundleRow
}

// bundleAt reads a bundle's row; without encoded there is none.
func (m *Machine) bundleAt(k format.BundleKey) (b bundleAt, err error) {
	b.key = k.Encode()
	if b.encoded, err = m.idx.Get(tBundle, b.key); err != nil || b.encoded == nil {
		return b, err
	}
	b.row, err = m.decodeBundle(b.encoded)
	return b, err
}

// decodeBundle reads a bundle's row, and its end where it has one.
func (m *Machine) decodeBundle(encoded []byte) (format.BundleRow, error) {
	row, err := format.DecodeBundleRow(encoded)
	if err != nil {
		return row, fmt.Errorf("table %d: %w", tBundle, err)
	}
	end, err := lookup(m, tEnded, key64(row.Store), format.DecodeBundleEnd)
	if end != nil {
		row.BundleEnd = *end
	}
	return row, err
}

// countedRow is an institution's row as it stands in the index; none without encoded.
type countedRow struct {
	encoded []byte
	row     format.InstitutionRow
}

func (m *Machine) bundle(k format.BundleKey) (*format.BundleRow, error) {
	b, err := m.bundleAt(k)
	if err != nil || b.encoded == nil {
		return nil, err
	}
	return &b.row, nil
}

// erasurePending reports whether the erasure of a bundle that has ended waits for
// somebody.
func (m *Machine) erasurePending(b *format.BundleRow) (bool, error) {
	v, err := m.idx.Get(tErasure, key64(b.Expire-1))
	return v != nil, err
}

func (m *Machine) person(id uint64) (*format.Person, error) {
	return lookup(m, tPerson, key64(id), format.DecodePerson)
}

func (m *Machine) definition(institution uint32, bundleID string) (*format.Definition, error) {
	return lookup(m, tDefinition, definitionKey(institution, bundleID), format.DecodeDefinition)
}

func (m *Machine) block(id format.ID) (*format.BlockRow, error) {
	return lookup(m, tBlock, id[:], format.DecodeBlockRow)
}

func (m *Machine) epoch(institution, epoch uint32) (*format.EpochRow, error) {
	return lookup(m, tEpoch, epochKey(institution, epoch), format.DecodeEpochRow)
}

func (m *Machine) institution(number uint32) (format.InstitutionRow, error) {
	row, ok, err := m.institutionOrNone(number)
	if err == nil && !ok {
		err = fmt.Errorf("no institution %d", number)
	}
	return row, err
}

// institutionOrNone answers whether an institution exists. Unlike institution it
// keeps "there is none" apart from a row that cannot be read, which must halt.
func (m *Machine) institutionOrNone(number uint32) (format.InstitutionRow, bool, error) {
	if m.counted.encoded != nil && m.counted.row.Number == number {
		return m.counted.row, true, nil
	}
	row, err := lookup(m, tInstitution, key32(number), format.DecodeInstitutionRow)
	if err != nil || row == nil {
		return format.InstitutionRow{}, false, err
	}
	return *row, true, nil
}

// dueBundle is a bundle that the decision function lets go, or with held one that
// a hold on its subject or definition has reached.
type dueBundle struct {
	key format.BundleKey
	bundleAt
	held *format.HeldRow
}

// due lists at most limit bundles whose deadline has passed, oldest end first. What
// stands among them and is held by itself or locked is passed over and takes no
// place, so that it keeps no other waiting (P22, P40).
func (m *Machine) due(limit int) ([]dueBundle, error) {
	if m.clock.Now == 0 || limit <= 0 {
		return nil, nil
	}
	if stopped, err := m.expiryStopped(); stopped || err != nil {
		return nil, err
	}
	holds, err := m.stands(tScopeHold, nil, nil)
	if err != nil {
		return nil, err
	}
	var out []dueBundle
	err = m.idx.Ascend(tExpiry, m.ends, key64(uint64(m.clock.Now)+1), func(_, value []byte) (bool, error) {
		k, err := format.DecodeBundleKey(value)
		if err != nil {
			return false, err
		}
		b, err := m.bundleAt(k)
		if err != nil {
			return false, err
		}
		if b.encoded == nil || b.row.Expire != 0 {
			return false, fmt.Errorf("expiry table names %v, which is not there to expire", k)
		}
		if retentionOf(b.row.Retention).Status(m.now()) == retention.StateExpired {
			d := dueBundle{key: k, bundleAt: b}
			if holds {
				if d.held, err = m.heldByScope(k, &d.row); err != nil {
					return false, err
				}
			}
			out = append(out, d)
		}
		return len(out) < limit, nil
	})
	return out, err
}

// passEnded notes where the expiry table begins.
func (m *Machine) passEnded() error {
	return m.idx.Ascend(tExpiry, m.ends, nil, func(k, _ []byte) (bool, error) {
		m.ends = slices.Clone(k)
		return false, nil
	})
}

// stands reports whether a table has a row between two keys.
func (m *Machine) stands(t index.Table, from, to []byte) (found bool, err error) {
	err = m.idx.Ascend(t, from, to, func(_, _ []byte) (bool, error) {
		found = true
		return false, nil
	})
	return found, err
}

// anyRow reports whether a table has a row whose key begins with prefix.
func (m *Machine) anyRow(t index.Table, prefix []byte) (bool, error) {
	return m.stands(t, prefix, after(prefix))
}

// load fills the caches from the index.
func (m *Machine) load() error {
	m.members, m.marks, m.ends = map[uint32]format.MemberRow{}, map[uint64]format.Checkpoint{}, nil
	m.counted, m.recent, m.attests = countedRow{}, bundleAt{}, m.spans()
	row := func(name string, decode func([]byte) error) error {
		v, err := m.idx.Get(tMeta, []byte(name))
		if err != nil || v == nil {
			return err
		}
		return decode(v)
	}
	steps := []struct {
		name   string
		decode func([]byte) error
	}{
		{metaCeremony, func(v []byte) (err error) { m.ceremony, err = decodeCeremonyRow(v); return err }},
		{metaPolicy, func(v []byte) (err error) { m.policy, err = format.DecodePolicy(v); return err }},
		{metaClock, func(v []byte) (err error) { m.clock, err = format.DecodeClockRow(v); return err }},
		{metaCheckpoint, func(v []byte) (err error) { m.checkpoint, err = format.DecodeCheckpointEffect(v); return err }},
		{metaPruned, func(v []byte) (err error) { m.pruned, err = format.DecodePrunedRow(v); return err }},
		{metaState, func(v []byte) error { e, err := format.DecodeStateEffect(v); m.newest = &e; return err }},
	}
	for _, s := range steps {
		if err := row(s.name, s.decode); err != nil {
			return fmt.Errorf("state row %q: %w", s.name, err)
		}
	}
	if m.ceremony != nil && m.ceremony.digest != m.own.ceremony {
		return fmt.Errorf("the data directory began with another ceremony")
	}
	return m.idx.Ascend(tMember, nil, nil, func(_, v []byte) (bool, error) {
		row, err := format.DecodeMemberRow(v)
		m.members[row.Number] = row
		return true, err
	})
}
