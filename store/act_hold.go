package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// Legal holds (보존 조치): placing them, and their release by an act. A hold on one
// bundle stands in the bundle's own row. What one on a subject or a definition
// keeps is in hold_scope.go.

// decideHold places a hold. It takes hold at once.
func (t *turn) decideHold() error {
	if err := t.permit(access.VerbHoldPlace); err != nil {
		return err
	}
	e, err := format.DecodeHoldEffect(t.op.Body)
	switch {
	case err != nil:
		return refuse(format.ReasonInvalid, err.Error())
	case e.Store != 0 || e.From != 0:
		return refuse(format.ReasonInvalid, "what a hold reaches is decided here")
	case len(t.op.Detail) == 0:
		return refuse(format.ReasonInvalid, "a hold brings its name and what it rests on")
	}
	switch e.Scope {
	case format.HoldBundle:
		return t.holdBundle(e)
	case format.HoldSubject, format.HoldDefinition:
		return t.holdScope(e)
	}
	return refuse(format.ReasonInvalid, "a hold is on a bundle, a subject or a definition")
}

func (t *turn) holdBundle(e format.HoldEffect) error {
	if e.Subject != (format.Digest{}) || e.Definition != "" {
		return refuse(format.ReasonInvalid, "a hold is on one thing")
	}
	b, err := t.present()
	if err != nil {
		return err
	}
	at, err := t.holdAt(t.key(), b)
	if err != nil {
		return err
	}
	if _, err := retentionOf(b.Retention).PlaceHold(holdOf(e, t.op.Actor), at); err != nil {
		return refuseHold(err)
	}
	e.Store = b.Store
	if err := t.write(t.about(format.ActHoldPlace, e)); err != nil {
		return err
	}
	t.out.Bundle, err = t.bundle(t.key())
	return err
}

// holdAt is the instant at which a hold is placed on a bundle: now, or when the wider
// hold was placed that keeps the bundle and may not stand in its row yet.
func (m *Machine) holdAt(key format.BundleKey, b *format.BundleRow) (retention.Instant, error) {
	wider, err := m.heldByScope(key, b)
	if err != nil || wider == nil {
		return m.now(), err
	}
	return retention.Instant(wider.At), nil
}

// holdScope places a hold on a subject or a definition. What is stored under it
// later is kept as well.
func (t *turn) holdScope(e format.HoldEffect) error {
	one := e.Subject != format.Digest{} && e.Definition == ""
	if e.Scope == format.HoldDefinition {
		one = e.Subject == format.Digest{} && e.Definition != ""
	}
	if !one || t.op.Transaction != "" || t.op.Part != 0 {
		return refuse(format.ReasonInvalid, "a hold is on one thing")
	}
	if e.Scope == format.HoldDefinition {
		d, err := t.definition(t.op.Institution, e.Definition)
		if err != nil {
			return err
		}
		if d == nil {
			return refuse(format.ReasonDefinition, "no such bundle definition")
		}
	}
	standing, err := t.holdsOn(t.op.Institution, e.Scope, whatOf(e))
	if err != nil {
		return err
	}
	if err := holdOf(e, t.op.Actor).Check(); err != nil {
		return refuseHold(err)
	}
	if slices.ContainsFunc(standing, func(h format.HeldRow) bool { return h.ID == e.ID }) {
		return refuseHold(retention.ErrHoldExists)
	}
	if len(standing) >= retention.MaxHolds {
		return refuse(format.ReasonInvalid, fmt.Sprintf("at most %d holds on one thing", retention.MaxHolds))
	}
	return t.write(t.about(format.ActHoldPlace, e))
}

func holdOf(e format.HoldEffect, owner uint64) retention.Hold {
	return retention.Hold{ID: e.ID, Owner: owner, Basis: retention.HoldBasis(e.Basis), Review: retention.Instant(e.Review)}
}

func refuseHold(err error) error {
	switch {
	case errors.Is(err, retention.ErrExpired):
		return refuse(format.ReasonExpired, "its retention has ended: a hold comes too late")
	case errors.Is(err, retention.ErrHoldExists):
		return refuse(format.ReasonConflict, "a hold of this name is in place already")
	case errors.Is(err, retention.ErrHold):
		return refuse(format.ReasonInvalid, err.Error())
	}
	return refuse(format.ReasonState, err.Error())
}

// foldHold takes a hold in.
func (m *Machine) foldHold(rec *format.Record) error {
	e, err := format.DecodeHoldEffect(rec.Effect)
	if err != nil {
		return err
	}
	if e.From != 0 {
		return m.foldReached(rec, e)
	}
	row := format.HeldRow{
		Scope: e.Scope, Bundle: format.BundleKey{Institution: rec.Institution}, Store: e.Store, Subject: e.Subject, Definition: e.Definition,
		ID: e.ID, Owner: rec.Actor, Basis: e.Basis, Review: e.Review, Placed: rec.Sequence, At: rec.Clock,
	}
	if e.Scope == format.HoldBundle {
		row.Bundle = keyOf(rec)
		err := m.changeBundle(row.Bundle, e.Store, func(b *format.BundleRow) error {
			at, err := m.holdAt(row.Bundle, b)
			if err != nil {
				return err
			}
			r, err := retentionOf(b.Retention).PlaceHold(holdOf(e, rec.Actor), at)
			b.Retention = retentionRow(r)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := m.set(tHold, holdKey(rec.Institution, rec.Sequence), row.Encode()); err != nil {
		return err
	}
	return m.set(tScopeHold, cat(scopePrefix(rec.Institution, e.Scope, whatOf(e)), key64(e.ID)), key64(rec.Sequence))
}

// heldRow reads a hold by the sequence of its HOLD_PLACE record, or nil.
func (m *Machine) heldRow(institution uint32, placed uint64) (*format.HeldRow, error) {
	return lookup(m, tHold, holdKey(institution, placed), format.DecodeHeldRow)
}

// released reads the hold that an act releases: exactly the one that its document
// names.
func (m *Machine) released(a *openAct) (*format.HeldRow, error) {
	p, err := format.DecodeHoldReleaseParams(a.doc.Params)
	if err != nil {
		return nil, refuse(format.ReasonInvalid, err.Error())
	}
	h, err := m.heldRow(a.object.Institution, p.Placed)
	switch {
	case err != nil:
		return nil, err
	case h == nil || h.Released != 0 || h.ID != p.Hold || h.Bundle != a.object.Key():
		return nil, refuse(format.ReasonNotFound, "no such hold is in place")
	}
	return h, nil
}

func (m *Machine) checkHoldRelease(a *openAct) error {
	_, err := m.released(a)
	return err
}

// foldHoldRelease lets go what the named hold kept, and nothing else (P26). The
// bundles that a wider hold has reached follow in bounded steps.
func (m *Machine) foldHoldRelease(rec *format.Record, a *openAct) error {
	h, err := m.released(a)
	if err != nil {
		return err
	}
	if h.Scope == format.HoldBundle {
		if err := m.letGo(h.Bundle, h.Store, h.ID); err != nil {
			return err
		}
	}
	if err := m.set(tScopeHold, cat(scopePrefix(rec.Institution, h.Scope, whatOfRow(h)), key64(h.ID)), nil); err != nil {
		return err
	}
	reached, err := m.reached(h, 1)
	if err != nil {
		return err
	}
	key := holdKey(rec.Institution, h.Placed)
	if len(reached) == 0 {
		return m.set(tHold, key, nil)
	}
	h.Released = rec.Sequence + 1
	if err := m.set(tHold, key, h.Encode()); err != nil {
		return err
	}
	return m.set(tMeta, releasedKey(key), []byte{})
}

// letGo takes one hold from one bundle's row.
func (m *Machine) letGo(key format.BundleKey, store, id uint64) error {
	return m.changeBundle(key, store, func(b *format.BundleRow) error {
		r, err := retentionOf(b.Retention).ReleaseHold(id)
		if err != nil {
			return fmt.Errorf("hold %d of record %d: %w", id, store, err)
		}
		b.Retention = retentionRow(r)
		return nil
	})
}
