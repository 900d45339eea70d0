package store

import (
	"fmt"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// Holds on a subject (정보주체) or a definition keep every bundle of it, those to
// come included, without touching each one's row. A bundle that would be due is
// met by the sweep, which writes the hold into its row: so it leaves the expiry
// table and is not looked at again for nothing (P22, P40). After such a hold's
// release those bundles are let go in bounded steps.

// MaxHoldSweep is how many bundles one step lets go at most.
const MaxHoldSweep = 1000

func holdKey(institution uint32, placed uint64) []byte { return cat(key32(institution), key64(placed)) }

// releasedKey is the meta row of a hold that was released while it had reached
// bundles.
func releasedKey(hold []byte) []byte { return cat([]byte(metaReleased), hold) }

func scopePrefix(institution uint32, scope format.HoldScope, what []byte) []byte {
	return cat(key32(institution), []byte{byte(scope)}, what)
}

// whatOf is what a hold is on, as a part of a key that no other begins with.
func whatOf(e format.HoldEffect) []byte {
	switch e.Scope {
	case format.HoldSubject:
		return e.Subject[:]
	case format.HoldDefinition:
		var w format.Writer
		w.Str(e.Definition)
		return w.Bytes()
	}
	return key64(e.Store)
}

func whatOfRow(h *format.HeldRow) []byte {
	return whatOf(format.HoldEffect{Scope: h.Scope, Store: h.Store, Subject: h.Subject, Definition: h.Definition})
}

// holdsOn lists the holds on one thing, by ascending id.
func (m *Machine) holdsOn(institution uint32, scope format.HoldScope, what []byte) ([]format.HeldRow, error) {
	var out []format.HeldRow
	prefix := scopePrefix(institution, scope, what)
	err := m.idx.Ascend(tScopeHold, prefix, after(prefix), func(k, v []byte) (bool, error) {
		r := format.NewReader(v)
		h, err := m.heldRow(institution, r.U64())
		if err == nil && h == nil {
			err = fmt.Errorf("a hold is listed and not there: %x", k)
		}
		if err == nil {
			out = append(out, *h)
		}
		return true, err
	})
	return out, err
}

// holdsOver lists the holds in force on a bundle: its own, and those on its subject
// and definition that reach it.
func (m *Machine) holdsOver(key format.BundleKey, b *format.BundleRow) ([]format.HeldRow, error) {
	own, err := m.holdsOn(key.Institution, format.HoldBundle, key64(b.Store))
	if err != nil {
		return nil, err
	}
	wider, err := m.widerHolds(key, b)
	return append(own, wider...), err
}

// widerHolds lists the holds on a bundle's subject and definition that reach it.
func (m *Machine) widerHolds(key format.BundleKey, b *format.BundleRow) ([]format.HeldRow, error) {
	var out []format.HeldRow
	for _, e := range []format.HoldEffect{{Scope: format.HoldSubject, Subject: b.Subject}, {Scope: format.HoldDefinition, Definition: b.Definition}} {
		holds, err := m.holdsOn(key.Institution, e.Scope, whatOf(e))
		if err != nil {
			return nil, err
		}
		out = append(out, holds...)
	}
	return slices.DeleteFunc(out, func(h format.HeldRow) bool { return !reaches(h, b) }), nil
}

// reaches reports whether a hold on a bundle's subject or definition keeps it: one
// that was placed from the tick on that passed the deadline came too late, as it
// would have on the bundle itself, and so did one behind the decision that ended it.
func reaches(h format.HeldRow, b *format.BundleRow) bool {
	if b.Expire != 0 && h.Placed >= b.Expire {
		return false
	}
	switch retentionOf(b.Retention).Status(retention.Instant(h.At)) {
	case retention.StateExpired, retention.StateHeld:
		return false
	}
	return true
}

// heldByScope answers a hold on the bundle's subject or definition that keeps it,
// or nil. Who asks whether a bundle may go or be read asks this as well as its row.
func (m *Machine) heldByScope(key format.BundleKey, b *format.BundleRow) (*format.HeldRow, error) {
	holds, err := m.widerHolds(key, b)
	if err != nil || len(holds) == 0 {
		return nil, err
	}
	return &holds[0], nil
}

// stateOf is what a bundle's retention means now, with every hold.
func (m *Machine) stateOf(key format.BundleKey, b *format.BundleRow) (retention.State, error) {
	s := retentionOf(b.Retention).Status(m.now())
	if s != retention.StateExpired {
		return s, nil
	}
	h, err := m.heldByScope(key, b)
	if err == nil && h != nil {
		s = retention.StateHeld
	}
	return s, err
}

// reachedBy is the draft of the record by which a wider hold reaches one bundle.
func reachedBy(key format.BundleKey, b *format.BundleRow, h *format.HeldRow) draft {
	return aboutBundle(format.ActHoldPlace, key, format.HoldEffect{Scope: format.HoldBundle, Store: b.Store, ID: h.ID, Basis: h.Basis, Review: h.Review, From: h.Placed + 1})
}

// foldReached writes a wider hold into the row of a bundle whose deadline has
// passed under it. It counts from where the wider one was placed.
func (m *Machine) foldReached(rec *format.Record, e format.HoldEffect) error {
	wider, err := m.heldRow(rec.Institution, e.From-1)
	if err != nil {
		return err
	}
	if wider == nil {
		return fmt.Errorf("no hold was placed by record %d", e.From-1)
	}
	err = m.changeBundle(keyOf(rec), e.Store, func(b *format.BundleRow) error {
		r, err := retentionOf(b.Retention).PlaceHold(holdOf(e, wider.Owner), retention.Instant(wider.At))
		b.Retention = retentionRow(r)
		return err
	})
	if err != nil {
		return err
	}
	return m.set(tHeldBy, cat(holdKey(rec.Institution, wider.Placed), key64(e.Store)), keyOf(rec).Encode())
}

// reachedBundle is a bundle that a wider hold was written into.
type reachedBundle struct {
	store uint64
	key   format.BundleKey
}

// reached lists at most limit bundles that a hold was written into.
func (m *Machine) reached(h *format.HeldRow, limit int) ([]reachedBundle, error) {
	var out []reachedBundle
	prefix := holdKey(h.Bundle.Institution, h.Placed)
	err := m.idx.Ascend(tHeldBy, prefix, after(prefix), func(k, v []byte) (bool, error) {
		if len(out) == limit {
			return false, nil
		}
		r := format.NewReader(k[len(prefix):])
		key, err := format.DecodeBundleKey(v)
		out = append(out, reachedBundle{r.U64(), key})
		return true, err
	})
	return out, err
}

// leaving lists the released holds that bundles have still to be let go of.
func (m *Machine) leaving() ([]format.HeldRow, error) {
	var out []format.HeldRow
	prefix := []byte(metaReleased)
	err := m.idx.Ascend(tMeta, prefix, after(prefix), func(k, _ []byte) (bool, error) {
		h, err := lookup(m, tHold, k[len(prefix):], format.DecodeHeldRow)
		if err == nil && h == nil {
			err = fmt.Errorf("a released hold is not there: %x", k)
		}
		if err == nil {
			out = append(out, *h)
		}
		return true, err
	})
	return out, err
}

// HoldsToEnd reports whether bundles of a released hold have still to be let go:
// whoever leads proposes a KindHoldSweep.
func (m *Machine) HoldsToEnd() (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	holds, err := m.leaving()
	return len(holds) > 0, err
}

// decideHoldSweep lets bundles go that released holds had reached, one record each.
func (t *turn) decideHoldSweep() error {
	r := format.NewReader(t.op.Body)
	left := int(min(r.U32(), MaxHoldSweep))
	if r.Done() != nil {
		return refuse(format.ReasonInvalid, "a sweep names how many bundles at most")
	}
	holds, err := t.leaving()
	if err != nil {
		return err
	}
	for i := range holds {
		h := &holds[i]
		bundles, err := t.reached(h, left)
		if err != nil {
			return err
		}
		left -= len(bundles)
		for _, b := range bundles {
			e := format.HoldEndEffect{Store: b.store, Hold: h.ID, Placed: h.Placed, Release: h.Released - 1}
			if err := t.write(aboutBundle(format.ActHoldRelease, b.key, e)); err != nil {
				return err
			}
		}
	}
	return nil
}

// foldHoldEnd lets one bundle go of a released hold; with the last one the hold is
// gone.
func (m *Machine) foldHoldEnd(rec *format.Record, e format.HoldEndEffect) error {
	if err := m.letGo(keyOf(rec), e.Store, e.Hold); err != nil {
		return err
	}
	key := holdKey(rec.Institution, e.Placed)
	if err := m.set(tHeldBy, cat(key, key64(e.Store)), nil); err != nil {
		return err
	}
	h, err := m.heldRow(rec.Institution, e.Placed)
	if err != nil {
		return err
	}
	if h == nil {
		return fmt.Errorf("no hold was placed by record %d", e.Placed)
	}
	left, err := m.reached(h, 1)
	if err != nil || len(left) > 0 {
		return err
	}
	if err := m.set(tHold, key, nil); err != nil {
		return err
	}
	return m.set(tMeta, releasedKey(key), nil)
}
