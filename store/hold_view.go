package store

import (
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// Hold answers a hold by the sequence of its HOLD_PLACE record, or nil.
func (m *Machine) Hold(institution uint32, placed uint64) (*format.HeldRow, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.heldRow(institution, placed)
}

// HoldOn answers the hold in force with e's id on what e's scope names, or nil.
func (m *Machine) HoldOn(institution uint32, e format.HoldEffect) (*format.HeldRow, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, err := m.idx.Get(tScopeHold, cat(scopePrefix(institution, e.Scope, whatOf(e)), key64(e.ID)))
	if err != nil || v == nil {
		return nil, err
	}
	r := format.NewReader(v)
	return m.heldRow(institution, r.U64())
}

// HoldsOver lists the holds in force on a bundle, those on its subject and
// definition that reach it included.
func (m *Machine) HoldsOver(k format.BundleKey, b *format.BundleRow) ([]format.HeldRow, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.holdsOver(k, b)
}

// Holds lists an institution's holds in the order in which they were placed, from
// a HOLD_PLACE record on, at most limit; next is where to go on, 0 at the end.
func (m *Machine) Holds(institution uint32, from uint64, limit int) (holds []format.HeldRow, next uint64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	prefix := key32(institution)
	err = m.idx.Ascend(tHold, holdKey(institution, from), after(prefix), func(_, v []byte) (bool, error) {
		h, err := format.DecodeHeldRow(v)
		if len(holds) == limit {
			next = h.Placed
			return false, err
		}
		holds = append(holds, h)
		return true, err
	})
	return holds, next, err
}

// Foreseen is what a put would lead to.
type Foreseen struct {
	Floor   int64 // of the deadline, microseconds; 0 while the rule gives none
	Waits   bool  // the period would start at a clock entry to come
	Longest int64 // the latest deadline that the policy allows now, microseconds; 0 for none
	Held    bool  // a hold on the subject or the definition would keep it
}

// Foresee judges what a put brings as Apply would, and stores nothing. What Apply
// would refuse has its reason and a sentence; else it is ReasonOK.
func (m *Machine) Foresee(institution uint32, e format.StoreEffect) (Foreseen, format.Reason, string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	f, err := m.foresee(institution, e)
	reason, why, err := refusedFor(err)
	return f, reason, why, err
}

func (m *Machine) foresee(institution uint32, e format.StoreEffect) (f Foreseen, err error) {
	t := turn{Machine: m, op: &Op{Institution: institution}}
	if err := t.serves(institution); err != nil {
		return f, err
	}
	if err := t.checkDefinition(e); err != nil {
		return f, err
	}
	r, err := t.checkRetention(e)
	if err != nil {
		return f, err
	}
	floor, _ := r.Rule.Floor(m.atLeast())
	f = Foreseen{Floor: int64(max(floor, r.End())), Waits: r.Waiting()}
	limits, err := bounds(m.policy)
	if err != nil {
		return f, err
	}
	if most, err := limits.Max.Deadline(m.atLeast()); err == nil {
		f.Longest = int64(most)
	}
	b := format.BundleRow{Store: m.next, Subject: e.Subject, Definition: e.Definition, Retention: retentionRow(r)}
	held, err := m.heldByScope(format.BundleKey{Institution: institution}, &b)
	f.Held = held != nil
	return f, err
}

// HoldNamed finds among holds in force on a bundle the one of a name; 0 for none.
func (s *Store) HoldNamed(k format.BundleKey, b *format.BundleRow, name string) (uint64, error) {
	holds, err := s.HoldsOver(k, b)
	if err != nil {
		return 0, err
	}
	for _, h := range holds {
		id, err := s.HoldRef(k.Institution, h.Scope, name)
		if err != nil {
			return 0, err
		}
		if id == h.ID {
			return id, nil
		}
	}
	return 0, nil
}

// ReviewDue reports whether a hold's review date has passed. It releases nothing.
func (m *Machine) ReviewDue(h format.HeldRow) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return h.Review != 0 && m.now() >= retention.Instant(h.Review)
}
