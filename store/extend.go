package store

import (
	"errors"
	"slices"
	"time"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// What changes a bundle's retention while it is kept, never to a shorter one: an
// extension (보유기간 연장), the event that an event-based rule waits for, and the
// read of a one-time view.

// maxEventAhead is how far an event's instant may lie ahead of the clock,
// microseconds: a day, for a clock that lags and an event told as a day. An event
// in the past ends nothing early: the period counts from the next clock entry.
const maxEventAhead = int64(24 * time.Hour / time.Microsecond)

// decideExtend makes a bundle's retention longer.
func (t *turn) decideExtend() error {
	if err := t.permit(access.VerbExtend); err != nil {
		return err
	}
	e, err := format.DecodeExtendEffect(t.op.Body)
	if err != nil || e.Store != 0 {
		return refuse(format.ReasonInvalid, "not an extension")
	}
	if len(t.op.Detail) == 0 {
		return refuse(format.ReasonBasis, "an extension brings a reference to what it rests on")
	}
	b, err := t.present()
	if err != nil {
		return err
	}
	if err := t.checkExtensionBasis(b, e); err != nil {
		return err
	}
	if _, err := t.extended(b.Retention, e); err != nil {
		return refuseExtension(err)
	}
	e.Store = b.Store
	if err := t.write(t.about(format.ActExtend, e)); err != nil {
		return err
	}
	t.out.Bundle, err = t.bundle(t.key())
	return err
}

// checkExtensionBasis holds an extension by the definition against the rule that
// the definition has now.
func (t *turn) checkExtensionBasis(b *format.BundleRow, e format.ExtendEffect) error {
	if retention.BasisKind(e.BasisKind) != retention.BasisDefinition {
		return nil
	}
	d, err := t.definition(t.op.Institution, b.Definition)
	if err != nil {
		return err
	}
	if d == nil || d.Rule != "" && d.Rule != e.Rule {
		return refuse(format.ReasonBasis, "the basis is the definition, which has another rule or none")
	}
	return nil
}

// extended is the retention after an extension.
func (m *Machine) extended(row format.RetentionRow, e format.ExtendEffect) (retention.Retention, error) {
	rule, err := retention.ParseRule(e.Rule)
	if err != nil {
		return retention.Retention{}, err
	}
	limits, err := bounds(m.policy)
	if err != nil {
		return retention.Retention{}, err
	}
	return retentionOf(row).Extend(rule, retention.BasisKind(e.BasisKind), limits, m.now())
}

func refuseExtension(err error) error {
	switch {
	case errors.Is(err, retention.ErrExpired):
		return refuse(format.ReasonExpired, "its retention has ended")
	case errors.Is(err, retention.ErrViewed):
		return refuse(format.ReasonOneTimeUsed, "the one-time view is taken")
	case errors.Is(err, retention.ErrUnset):
		return refuse(format.ReasonClock, err.Error())
	case errors.Is(err, retention.ErrBasis), errors.Is(err, retention.ErrPrecedence):
		return refuse(format.ReasonBasis, err.Error())
	case errors.Is(err, retention.ErrLocked):
		return refuse(format.ReasonState, err.Error())
	}
	return refuse(format.ReasonBadRule, err.Error())
}

func (m *Machine) foldExtend(rec *format.Record) error {
	e, err := format.DecodeExtendEffect(rec.Effect)
	if err != nil {
		return err
	}
	return m.changeBundle(keyOf(rec), e.Store, func(row *format.BundleRow) error {
		r, err := m.extended(row.Retention, e)
		if err == nil {
			row.Retention = retentionRow(r)
		}
		return err
	})
}

// decideEvent records that the event of an event-based rule happened, once.
func (t *turn) decideEvent() error {
	if err := t.permit(access.VerbBundleEvent); err != nil {
		return err
	}
	e, err := format.DecodeEventEffect(t.op.Body)
	if err != nil || e.Store != 0 {
		return refuse(format.ReasonInvalid, "not an event")
	}
	b, err := t.present()
	if err != nil {
		return err
	}
	if t.clock.Now == 0 {
		return refuse(format.ReasonClock, "no clock to judge an event by")
	}
	if e.At > max(t.clock.Now, t.clock.Start)+maxEventAhead {
		return refuse(format.ReasonInvalid, "the event lies more than a day ahead")
	}
	if _, err := retentionOf(b.Retention).SetEvent(retention.Instant(e.At)); err != nil {
		return refuseEvent(err)
	}
	e.Store = b.Store
	if err := t.write(t.about(format.ActEvent, e)); err != nil {
		return err
	}
	t.out.Bundle, err = t.bundle(t.key())
	return err
}

func refuseEvent(err error) error {
	switch {
	case errors.Is(err, retention.ErrKind):
		return refuse(format.ReasonBadRule, "its rule waits for no event")
	case errors.Is(err, retention.ErrEventSet):
		return refuse(format.ReasonState, "its event is recorded already")
	case errors.Is(err, retention.ErrUnset):
		return refuse(format.ReasonInvalid, "an event has an instant")
	}
	return refuse(format.ReasonState, err.Error())
}

func (m *Machine) foldEvent(rec *format.Record) error {
	e, err := format.DecodeEventEffect(rec.Effect)
	if err != nil {
		return err
	}
	return m.changeBundle(keyOf(rec), e.Store, func(row *format.BundleRow) error {
		r, err := retentionOf(row.Retention).SetEvent(retention.Instant(e.At))
		row.Retention = retentionRow(r)
		return err
	})
}

// mayRead decides a read. Past its deadline a held bundle is read for the purpose
// of a hold only: the request names one that keeps it. e.Store is that hold's id.
func (t *turn) mayRead(b *format.BundleRow, e format.ReadEffect) error {
	s, err := t.stateOf(t.key(), b)
	if err != nil {
		return err
	}
	if e.Store != 0 {
		holds, err := t.holdsOver(t.key(), b)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(holds, func(h format.HeldRow) bool { return h.ID == e.Store }) {
			return refuse(format.ReasonNotFound, "no hold of this name keeps it")
		}
	}
	if s == retention.StateHeld {
		if e.Store == 0 {
			return refuse(format.ReasonHeld, "its retention has ended: it is kept for a hold's purpose only")
		}
		return nil
	}
	if _, err := retentionOf(b.Retention).Read(t.op.Actor, e.Request, t.now()); err != nil {
		return refuseRead(err)
	}
	return nil
}
