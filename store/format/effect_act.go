package format

// ProposeEffect is what a proposal of an act records (ACT_PROPOSE,
// SPECIAL_DELETE_REQUEST): the canonical document that persons are to sign.
type ProposeEffect struct{ Document []byte }

func (e ProposeEffect) encode(w *Writer) { w.Blob(e.Document) }

// DecodeProposeEffect reads a proposal's effect.
func DecodeProposeEffect(b []byte) (ProposeEffect, error) {
	return decodeEffect(b, func(r *Reader) ProposeEffect { return ProposeEffect{r.Blob()} })
}

// SignEffect is one person's signature over an act's document (ACT_SIGN,
// SPECIAL_DELETE_APPROVE). Act is the document's nonce.
type SignEffect struct {
	Act       ID
	Person    uint64
	Signature []byte // ECDSA P-256 over SHA-256 of the document, ASN.1
}

func (e SignEffect) encode(w *Writer) {
	w.Raw(e.Act[:])
	w.U64(e.Person)
	w.Blob(e.Signature)
}

// DecodeSignEffect reads a signature's effect.
func DecodeSignEffect(b []byte) (SignEffect, error) {
	return decodeEffect(b, func(r *Reader) SignEffect { return SignEffect{readID(r), r.U64(), r.Blob()} })
}

// VetoEffect ends an act before it is executed (ACT_VETO, SPECIAL_DELETE_VETO),
// by one person's word: signed, because a veto of a special deletion also lifts
// the circulation stop that came with it.
type VetoEffect struct {
	Act       ID
	Person    uint64
	Signature []byte // over VetoMessage, as in SignEffect
}

// VetoMessage is what a person signs to veto an act: "sago veto v1\n" and the
// act's document.
func VetoMessage(document []byte) []byte {
	return append([]byte("sago veto v1\n"), document...)
}

func (e VetoEffect) encode(w *Writer) { SignEffect(e).encode(w) }

// DecodeVetoEffect reads a veto's effect.
func DecodeVetoEffect(b []byte) (VetoEffect, error) {
	e, err := DecodeSignEffect(b)
	return VetoEffect(e), err
}

// StopEffect registers an order of circulation stop (유통정지) on one bundle.
type StopEffect struct {
	Store    uint64
	Order    string
	Document Digest // SHA-256 of the order's document; zero where none was given
	// Act is the nonce of the special deletion that brings the order with it, whose
	// veto lifts the stop again; zero for an order of its own.
	Act ID
}

func (e StopEffect) encode(w *Writer) {
	w.U64(e.Store)
	w.Str(e.Order)
	w.Raw(e.Document[:])
	w.Raw(e.Act[:])
}

// DecodeStopEffect reads a CIRCULATION_STOP record's effect.
func DecodeStopEffect(b []byte) (StopEffect, error) {
	return decodeEffect(b, func(r *Reader) (e StopEffect) {
		e.Store = r.U64()
		e.Order = r.Str()
		r.Raw(e.Document[:])
		r.Raw(e.Act[:])
		return e
	})
}

// CloseEffect is the end of one bundle by its institution's closing (폐지). Act
// is the sequence of the record that executed the closing.
type CloseEffect struct{ Store, Act uint64 }

func (e CloseEffect) encode(w *Writer) { w.U64(e.Store); w.U64(e.Act) }

// DecodeCloseEffect reads a CLOSE record's effect.
func DecodeCloseEffect(b []byte) (CloseEffect, error) {
	return decodeEffect(b, func(r *Reader) CloseEffect { return CloseEffect{r.U64(), r.U64()} })
}

// ExtendEffect makes a bundle's retention longer.
type ExtendEffect struct {
	Store     uint64
	Rule      string // canonical
	BasisKind uint8
}

func (e ExtendEffect) encode(w *Writer) {
	w.U64(e.Store)
	w.Str(e.Rule)
	w.U8(e.BasisKind)
}

// DecodeExtendEffect reads an EXTEND record's effect.
func DecodeExtendEffect(b []byte) (ExtendEffect, error) {
	return decodeEffect(b, func(r *Reader) ExtendEffect { return ExtendEffect{r.U64(), r.Str(), r.U8()} })
}

// EventEffect sets the event of an event-based rule, once. At is microseconds.
type EventEffect struct {
	Store uint64
	At    int64
}

func (e EventEffect) encode(w *Writer) { w.U64(e.Store); w.I64(e.At) }

// DecodeEventEffect reads an EVENT record's effect.
func DecodeEventEffect(b []byte) (EventEffect, error) {
	return decodeEffect(b, func(r *Reader) EventEffect { return EventEffect{r.U64(), r.I64()} })
}

// HoldScope says what a hold keeps.
type HoldScope uint8

// The scopes of a hold.
const (
	HoldBundle     HoldScope = 1 // one bundle
	HoldSubject    HoldScope = 2 // every bundle of a subject, those to come included
	HoldDefinition HoldScope = 3 // every bundle of a definition, those to come included
)

// HoldEffect places a legal hold.
type HoldEffect struct {
	Scope      HoldScope
	Store      uint64 // of one bundle; else 0
	Subject    Digest // of a subject's; else zero
	Definition string // of a definition's; else empty
	ID         uint64 // from the keyed digest of its name, never 0
	Basis      uint8  // retention.HoldBasis
	Review     int64  // microseconds; 0 for none
	// From is the sequence plus one of the HOLD_PLACE record of a subject's or
	// definition's hold that reached this bundle at its deadline; else 0.
	From uint64
}

func (e HoldEffect) encode(w *Writer) {
	w.U8(uint8(e.Scope))
	w.U64(e.Store)
	w.Raw(e.Subject[:])
	w.Str(e.Definition)
	w.U64(e.ID)
	w.U8(e.Basis)
	w.I64(e.Review)
	w.U64(e.From)
}

// DecodeHoldEffect reads a HOLD_PLACE record's effect.
func DecodeHoldEffect(b []byte) (HoldEffect, error) {
	return decodeEffect(b, func(r *Reader) (e HoldEffect) {
		e.Scope = HoldScope(r.U8())
		e.Store = r.U64()
		r.Raw(e.Subject[:])
		e.Definition = r.Str()
		e.ID = r.U64()
		e.Basis = r.U8()
		e.Review = r.I64()
		e.From = r.U64()
		return e
	})
}
