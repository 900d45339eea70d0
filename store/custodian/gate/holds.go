package gate

import (
	"context"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// placedHold is a hold (보존 조치) in place, by the sequence of its HOLD_PLACE record.
type placedHold struct {
	format.HoldEffect
	key format.BundleKey // of the bundle; of a wider hold its institution alone
	at  retention.Instant
}

// holdOn is what a hold is on: a bundle, or a subject or definition of an institution.
type holdOn struct {
	key        format.BundleKey
	subject    format.Digest
	definition string
}

func (hold placedHold) on() holdOn {
	of := format.BundleKey{Institution: hold.key.Institution}
	switch hold.Scope {
	case format.HoldSubject:
		return holdOn{key: of, subject: hold.Subject}
	case format.HoldDefinition:
		return holdOn{key: of, definition: hold.Definition}
	}
	return holdOn{key: hold.key}
}

// holdsOn lists the holds in place on a bundle, its subject and its definition: one on
// a definition may have reached a hundred thousand bundles, each by a hold of its own.
func (h *history) holdsOn(stored *format.Record, e format.StoreEffect) []uint64 {
	of := format.BundleKey{Institution: stored.Institution}
	return slices.Concat(h.heldBy[holdOn{key: keyOf(stored)}], h.heldBy[holdOn{key: of, subject: e.Subject}], h.heldBy[holdOn{key: of, definition: e.Definition}])
}

// takeHold notes a hold.
func (h *history) takeHold(rec *format.Record) error {
	e, err := format.DecodeHoldEffect(rec.Effect)
	hold := placedHold{e, keyOf(rec), retention.Instant(rec.Clock)}
	h.holds[rec.Sequence] = hold
	h.heldBy[hold.on()] = append(h.heldBy[hold.on()], rec.Sequence)
	return err
}

// endHold lets go of a hold in place.
func (h *history) endHold(seq uint64) {
	on := h.holds[seq].on()
	delete(h.holds, seq)
	if h.heldBy[on] = slices.DeleteFunc(h.heldBy[on], func(s uint64) bool { return s == seq }); len(h.heldBy[on]) == 0 {
		delete(h.heldBy, on)
	}
}

// takeRelease notes the end of a hold: only the act that names its record ends it. A
// bundle that a wider one reached is let go by a record of its own, behind that act.
func (h *history) takeRelease(rec *format.Record) error {
	if end, err := format.DecodeHoldEndEffect(rec.Effect); err == nil {
		if _, stands := h.holds[end.Placed]; stands {
			return nil
		}
		for _, seq := range slices.Clone(h.heldBy[holdOn{key: keyOf(rec)}]) {
			if h.holds[seq].From == end.Placed+1 {
				h.endHold(seq)
			}
		}
		return nil
	}
	act, err := h.signed(rec, format.ActKindHoldRelease)
	if err != nil {
		return nil // it stays in place
	}
	p, err := format.DecodeHoldReleaseParams(act.Params)
	if err != nil {
		return err
	}
	object, err := format.DecodeActObject(act.Object)
	if hold, ok := h.holds[p.Placed]; ok && err == nil && hold.From == 0 && hold.key == object.Key() {
		h.endHold(p.Placed)
		if hold.key.Transaction == "" {
			h.released[p.Placed] = rec.Clock
		}
	}
	return err
}

// unheld refuses a bundle that a hold keeps from what a record decides about it: its
// own, one that reached it (From), and one on its subject (정보주체) or definition
// that was placed before this record and before the bundle's deadline had passed.
func (h *history) unheld(ctx context.Context, stored *format.Record, e format.StoreEffect, decision uint64) error {
	for _, seq := range h.holdsOn(stored, e) {
		hold := h.holds[seq]
		keeps := hold.Scope == format.HoldBundle && hold.key == keyOf(stored)
		if hold.covers(stored, e) && seq < decision {
			r, err := h.retentionOf(ctx, stored, e, decision)
			if err != nil {
				return err
			}
			s := r.Status(hold.at)
			keeps = s != retention.StateExpired && s != retention.StateHeld
		}
		if keeps {
			return refuse("the hold of record %d keeps the bundle", seq)
		}
	}
	return nil
}

// covers says whether a hold is on the subject or definition of a bundle.
func (hold placedHold) covers(stored *format.Record, e format.StoreEffect) bool {
	if hold.key.Institution != stored.Institution {
		return false
	}
	return hold.Scope == format.HoldSubject && hold.Subject == e.Subject ||
		hold.Scope == format.HoldDefinition && hold.Definition == e.Definition
}
