package gate

import (
	"context"
	"fmt"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// retentionOf is what the history says of a bundle's retention, from its STORE
// record, the clock records that start its periods and what else touched it. In
// doubt it is later than the truth, or an error: it never ends early.
func (h *history) retentionOf(ctx context.Context, stored *format.Record, e format.StoreEffect, size uint64) (retention.Retention, error) {
	rule, err := retention.ParseRule(e.Rule)
	if err != nil {
		return retention.Retention{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	r, err := retention.New(rule, retention.BasisKind(e.BasisKind), retention.DefaultBounds(), retention.Instant(max(stored.Clock, h.begun)))
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	waits := stored.Sequence
	for _, seq := range h.touched[keyOf(stored)] {
		if r, err = h.started(ctx, r, waits, seq); err != nil {
			return r, err
		}
		was := r.Waiting()
		if r, err = h.touch(ctx, r, seq); err != nil {
			return r, err
		}
		if !was && r.Waiting() {
			waits = seq
		}
	}
	return h.started(ctx, r, waits, size)
}

// started starts what has waited since a record, if that came before another.
func (h *history) started(ctx context.Context, r retention.Retention, since, before uint64) (retention.Retention, error) {
	if !r.Waiting() {
		return r, nil
	}
	at, start, err := h.startAfter(ctx, since, before)
	if err != nil || at == 0 {
		return r, err
	}
	r, err = r.Started(start)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return r, err
}

// touch takes in a record that changed a bundle's retention.
func (h *history) touch(ctx context.Context, r retention.Retention, seq uint64) (retention.Retention, error) {
	encoded, err := h.record(ctx, seq)
	if err != nil {
		return r, err
	}
	rec, err := format.DecodeRecord(encoded)
	if err != nil {
		return r, err
	}
	switch rec.Action {
	case format.ActRead:
		var e format.ReadEffect
		if e, err = format.DecodeReadEffect(rec.Effect); err == nil {
			r, err = r.Read(rec.Actor, e.Request, retention.Instant(rec.Clock))
		}
	case format.ActEvent:
		var e format.EventEffect
		if e, err = format.DecodeEventEffect(rec.Effect); err == nil {
			r, err = r.SetEvent(retention.Instant(e.At))
		}
	case format.ActExtend:
		r, err = extended(r, &rec)
	default:
		err = fmt.Errorf("what record %d of %s does to a retention is not known here", seq, rec.Action)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return r, err
}

// extended takes in an EXTEND record.
func extended(r retention.Retention, rec *format.Record) (retention.Retention, error) {
	e, err := format.DecodeExtendEffect(rec.Effect)
	if err != nil {
		return r, err
	}
	rule, err := retention.ParseRule(e.Rule)
	if err != nil {
		return r, err
	}
	return r.Extend(rule, retention.BasisKind(e.BasisKind), retention.DefaultBounds(), retention.Instant(rec.Clock))
}

// clockPair is where periods start that began to wait in [from, to).
type clockPair struct {
	from, to uint64
	at       uint64 // sequence of the second clock record behind them
	start    retention.Instant
}

// startAfter finds the second clock record behind since and below before, which
// starts what began to wait there: the votes of the first may be older than it.
// at is 0 where there is none yet.
func (h *history) startAfter(ctx context.Context, since, before uint64) (at uint64, start retention.Instant, err error) {
	if c := h.pair; c.at == 0 || since < c.from || since >= c.to {
		next := clockPair{from: since}
		err := h.walk(ctx, since+1, func(seq uint64, encoded []byte) (bool, error) {
			if actionOf(encoded) != format.ActClock {
				return true, nil
			}
			if next.to == 0 {
				next.to = seq
				return true, nil
			}
			rec, err := format.DecodeRecord(encoded)
			if err != nil {
				return false, err
			}
			e, err := format.DecodeClockEffect(rec.Effect)
			next.at, next.start = seq, retention.Instant(e.Start)
			return false, err
		})
		if err != nil || next.at == 0 {
			return 0, 0, err
		}
		h.pair = next
	}
	if h.pair.at >= before {
		return 0, 0, nil
	}
	return h.pair.at, h.pair.start, nil
}
