package gate

import (
	"context"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// placedHold is a hold (보존 조치) in place, by the sequence of its HOLD_PLACE record.
type placedHold struct {
	format.HoldEffect
	key format.BundleKey // of the bundle; of a wider hold its institution alone
	at  retention.Instant
}

// takeHold notes a hold.
func (h *history) takeHold(rec *format.Record) error {
	e, err := format.DecodeHoldEffect(rec.Effect)
	h.holds[rec.Sequence] = placedHold{e, keyOf(rec), retention.Instant(rec.Clock)}
	return err
}

// takeRelease notes the end of a hold: only the act that names its record ends it. A
// bundle that a wider one reached is let go by a record of its own, behind that act.
func (h *history) takeRelease(rec *format.Record) error {
	if end, err := format.DecodeHoldEndEffect(rec.Effect); err == nil {
		if _, stands := h.holds[end.Placed]; stands {
			return nil
		}
		for seq, hold := range h.holds {
			if hold.From == end.Placed+1 && hold.key == keyOf(rec) {
				delete(h.holds, seq)
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
		delete(h.holds, p.Placed)
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
	for seq, hold := range h.holds {
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
