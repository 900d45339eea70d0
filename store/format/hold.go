package format

// HeldRow is a legal hold (보존 조치) in force. Its name and reason stand sealed in
// the HOLD_PLACE record.
type HeldRow struct {
	Scope      HoldScope
	Bundle     BundleKey // of one bundle's; else zero but for the institution
	Store      uint64    // of one bundle's: sequence of its STORE record; else 0
	Subject    Digest    // of a subject's; else zero
	Definition string    // of a definition's; else empty
	ID         uint64    // from the keyed digest of its name, never 0
	Owner      uint64    // who placed it
	Basis      uint8     // retention.HoldBasis
	Review     int64     // microseconds; 0 for none
	Placed     uint64    // sequence of its HOLD_PLACE record
	At         int64     // quorum clock there, microseconds; 0 before the first tick
	// Released is the sequence plus one of the record that released it, while single
	// bundles that it reached have still to be let go; else 0.
	Released uint64
}

// Encode returns the canonical bytes of h.
func (h HeldRow) Encode() []byte {
	var w Writer
	w.U8(uint8(h.Scope))
	w.Blob(h.Bundle.Encode())
	w.U64(h.Store)
	w.Raw(h.Subject[:])
	w.Str(h.Definition)
	w.U64(h.ID)
	w.U64(h.Owner)
	w.U8(h.Basis)
	w.I64(h.Review)
	w.U64(h.Placed)
	w.I64(h.At)
	w.U64(h.Released)
	return w.Bytes()
}

// DecodeHeldRow reads what Encode wrote.
func DecodeHeldRow(v []byte) (HeldRow, error) {
	var key []byte
	h, err := decodeEffect(v, func(r *Reader) (h HeldRow) {
		h.Scope = HoldScope(r.U8())
		key = r.Blob()
		h.Store = r.U64()
		r.Raw(h.Subject[:])
		h.Definition = r.Str()
		h.ID, h.Owner, h.Basis, h.Review = r.U64(), r.U64(), r.U8(), r.I64()
		h.Placed, h.At, h.Released = r.U64(), r.I64(), r.U64()
		return h
	})
	if err == nil {
		h.Bundle, err = DecodeBundleKey(key)
	}
	return h, err
}

// HoldEndEffect lets one bundle go that a released hold on its subject or
// definition had reached. It begins with four zero bytes, so that it is never the
// signed act that other HOLD_RELEASE records hold.
type HoldEndEffect struct {
	Store   uint64
	Hold    uint64 // its id
	Placed  uint64 // sequence of its HOLD_PLACE record
	Release uint64 // sequence of the record that released it
}

func (e HoldEndEffect) encode(w *Writer) {
	w.U32(0)
	w.U64(e.Store)
	w.U64(e.Hold)
	w.U64(e.Placed)
	w.U64(e.Release)
}

// DecodeHoldEndEffect reads the effect of a HOLD_RELEASE record that is about one
// bundle of a wider hold.
func DecodeHoldEndEffect(b []byte) (HoldEndEffect, error) {
	return decodeEffect(b, func(r *Reader) HoldEndEffect {
		if mark := r.U32(); mark != 0 {
			r.fail("a hold's end")
		}
		return HoldEndEffect{r.U64(), r.U64(), r.U64(), r.U64()}
	})
}
