package gate

import (
	"context"

	"github.com/sago-worm/sago/store/format"
)

// The closing of an institution (폐지): its act, the bundles that go with it, and the
// keys of its use records, which go when no bundle is left.

// takeClosing notes that the closing of an institution was executed.
func (h *history) takeClosing(rec *format.Record) error {
	act, err := h.signed(rec, format.ActKindClose)
	if err != nil {
		return nil // an act of another kind, or one that too few signed
	}
	object, err := format.DecodeActObject(act.Object)
	if err == nil && object.Institution != 0 && object == (format.ActObject{Institution: object.Institution}) {
		h.closings[rec.Sequence] = object.Institution
	}
	return err
}

// judgeClose judges the end of one bundle by its institution's closing.
func (h *history) judgeClose(ctx context.Context, rec format.Record) (format.Slot, error) {
	end, err := format.DecodeCloseEffect(rec.Effect)
	if err != nil {
		return format.Slot{}, err
	}
	stored, e, err := h.stored(ctx, end.Store)
	if err != nil {
		return format.Slot{}, err
	}
	closed, executed := h.closings[end.Act]
	if !executed || end.Act >= rec.Sequence || closed != stored.Institution || keyOf(&stored) != keyOf(&rec) {
		return format.Slot{}, refuse("record %d closes no bundle of institution %d by its act", rec.Sequence, stored.Institution)
	}
	return e.Slot, h.unheld(ctx, &stored, e, rec.Sequence)
}

// closing refuses an institution whose closing no act before a record decided, or
// that has a bundle which nothing has ended.
func (h *history) closing(institution uint32, before uint64) error {
	if n := h.open[institution]; n > 0 {
		return refuse("institution %d has %d bundles", institution, n)
	}
	for act, closed := range h.closings {
		if closed == institution && act < before {
			return nil
		}
	}
	return refuse("no act closes institution %d", institution)
}

// begin and end count the bundles of an institution that nothing has ended. An end
// counts once, and only where the STORE record is here.
func (h *history) begin(rec *format.Record) {
	h.live.add(rec.Sequence)
	h.open[rec.Institution]++
}

func (h *history) end(rec *format.Record) error {
	store, err := endedBy(rec)
	if err == nil && h.live.has(store) {
		h.live.remove(store)
		h.open[rec.Institution]--
	}
	return err
}

// endedBy is the bundle (the sequence of its STORE record) that a record ends.
func endedBy(rec *format.Record) (uint64, error) {
	switch rec.Action {
	case format.ActClose:
		e, err := format.DecodeCloseEffect(rec.Effect)
		return e.Store, err
	case format.ActSpecialExecute:
		e, err := format.DecodeActEffect(rec.Effect)
		if err != nil {
			return 0, err
		}
		s, err := format.DecodeSignedAct(e.Signed)
		if err != nil {
			return 0, err
		}
		act, err := format.DecodeAct(s.Document)
		if err != nil {
			return 0, err
		}
		p, err := format.DecodeSpecialParams(act.Params)
		return p.Store, err
	}
	e, err := format.DecodeBundleRef(rec.Effect) // EXPIRE, ERASE
	return e.Store, err
}
