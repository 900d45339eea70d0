package retention

import (
	"fmt"
	"slices"
)

// HoldBasis says what a hold rests on. The numbers are stored and never change.
type HoldBasis uint8

// The bases of a hold.
const (
	HoldLaw   HoldBasis = 1 // another law (다른 법령)
	HoldCourt HoldBasis = 2 // a court order (법원의 명령)
)

// MaxHolds is how many holds one record can have at a time.
const MaxHolds = 64

// Hold is one legal hold. Its name, reason and document are elsewhere; here are
// its id, its owner's actor id, what it rests on and when it is to be reviewed.
// A review date that passes releases nothing.
type Hold struct {
	ID     uint64
	Owner  uint64
	Basis  HoldBasis
	Review Instant // unset: no review is due
}

// Check reports why this cannot be a hold, as ErrHold, or nil.
func (h Hold) Check() error {
	switch {
	case h.ID == 0 || h.Owner == 0:
		return fmt.Errorf("%w: id and owner are required", ErrHold)
	case h.Basis != HoldLaw && h.Basis != HoldCourt:
		return fmt.Errorf("%w: unknown basis %d", ErrHold, h.Basis)
	case !unsetOr(h.Review):
		return fmt.Errorf("%w: review date out of range", ErrHold)
	}
	return nil
}

// PlaceHold is the retention with one more hold. From the tick on that passed
// the deadline a hold comes too late (ErrExpired), unless another one keeps the
// record still: its release must not take what a second order is about. Errors:
// also ErrLocked, ErrHold, ErrHoldExists.
func (r Retention) PlaceHold(h Hold, now Instant) (Retention, error) {
	if err := r.Check(); err != nil {
		return r, err
	}
	if err := h.Check(); err != nil {
		return r, err
	}
	at, found := r.findHold(h.ID)
	switch {
	case r.Status(now) == StateExpired:
		return r, fmt.Errorf("%w: at %v", ErrExpired, r.End())
	case found:
		return r, fmt.Errorf("%w: %d", ErrHoldExists, h.ID)
	case len(r.Holds) == MaxHolds:
		return r, fmt.Errorf("%w: %d are in place already", ErrHold, MaxHolds)
	}
	r.Holds = slices.Insert(slices.Clone(r.Holds), at, h)
	return r, nil
}

// ReleaseHold is the retention without the hold of that id; all others stay
// (P26). Whether the release may be is an act's matter. It is possible after the
// deadline too, and then ends the record's keeping if it was the last hold.
// Errors: ErrLocked, ErrHoldUnknown.
func (r Retention) ReleaseHold(id uint64) (Retention, error) {
	if err := r.Check(); err != nil {
		return r, err
	}
	at, found := r.findHold(id)
	if !found {
		return r, fmt.Errorf("%w: %d", ErrHoldUnknown, id)
	}
	r.Holds = slices.Delete(slices.Clone(r.Holds), at, at+1)
	if len(r.Holds) == 0 {
		r.Holds = nil // one form for "no holds": replicas compare bytes
	}
	return r, nil
}

func (r Retention) findHold(id uint64) (int, bool) {
	return slices.BinarySearchFunc(r.Holds, id, func(h Hold, id uint64) int {
		switch {
		case h.ID < id:
			return -1
		case h.ID > id:
			return 1
		}
		return 0
	})
}
