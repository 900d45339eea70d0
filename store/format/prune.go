package format

import "crypto/sha256"

// What a history erased at the end of its retention leaves (docs/formats/
// history-record.md, state-rows.md, base.md).

// PruneEffect is what PRUNE did: of the records from From to below To it dropped
// those whose time had come, and kept the others. First it goes over all records,
// up to a bound that only rises; with Again over those that an earlier one kept.
type PruneEffect struct {
	Again    bool
	From, To uint64
	// Cut is the sequence of the CLOCK record, at or behind To, that ended what was
	// of a moment; 0 with Again.
	Cut           uint64
	Dropped, Kept uint32
	// Digest is over the sequences that it kept.
	Digest Digest
}

func (e PruneEffect) encode(w *Writer) {
	w.Bool(e.Again)
	w.U64(e.From)
	w.U64(e.To)
	w.U64(e.Cut)
	w.U32(e.Dropped)
	w.U32(e.Kept)
	w.Raw(e.Digest[:])
}

// DecodePruneEffect reads a PRUNE record's effect.
func DecodePruneEffect(b []byte) (PruneEffect, error) {
	return decodeEffect(b, func(r *Reader) (e PruneEffect) {
		e.Again = r.Bool()
		e.From, e.To, e.Cut = r.U64(), r.U64(), r.U64()
		e.Dropped, e.Kept = r.U32(), r.U32()
		r.Raw(e.Digest[:])
		return e
	})
}

// SequencesDigest is SHA-256 over sequences, eight bytes each.
func SequencesDigest(sequences []uint64) Digest {
	var w Writer
	for _, s := range sequences {
		w.U64(s)
	}
	return sha256.Sum256(w.Bytes())
}

// PrunedRow is how far the history was erased.
type PrunedRow struct {
	// Bound: every record from it on is here; of those before it, the carried ones.
	Bound uint64
	// Decision is the sequence of the newest PRUNE record plus one; 0 before the first.
	Decision uint64
	// Loose are the kept acts and members that no kept checkpoint covers yet,
	// ascending.
	Loose []uint64
}

// Encode returns the canonical bytes of p.
func (p PrunedRow) Encode() []byte {
	var w Writer
	w.U64(p.Bound)
	w.U64(p.Decision)
	w.U32(uint32(len(p.Loose)))
	for _, s := range p.Loose {
		w.U64(s)
	}
	return w.Bytes()
}

// DecodePrunedRow reads what Encode wrote.
func DecodePrunedRow(v []byte) (PrunedRow, error) {
	return decodeEffect(v, func(r *Reader) (p PrunedRow) {
		p.Bound, p.Decision = r.U64(), r.U64()
		p.Loose = list(r, 8, (*Reader).U64)
		ascending(r, "loose records", p.Loose, func(s uint64) uint64 { return s })
		return p
	})
}

// CarriedRow is a record below the bound that is still here.
type CarriedRow struct {
	// Lasting: it is kept for good, or nothing is known that ends it.
	Lasting bool
	// Bundle is what it is about, when it is not lasting.
	Bundle BundleKey
	// Institution, Class and Epoch name the key of its detail; Epoch is 0 without one.
	Institution uint32
	Class       DetailClass
	Epoch       uint32
}

// Encode returns the canonical bytes of c.
func (c CarriedRow) Encode() []byte {
	var w Writer
	w.Bool(c.Lasting)
	w.U32(c.Bundle.Institution)
	w.Str(c.Bundle.Transaction)
	w.U32(c.Bundle.Part)
	w.U32(c.Institution)
	w.U8(uint8(c.Class))
	w.U32(c.Epoch)
	return w.Bytes()
}

// DecodeCarriedRow reads what Encode wrote.
func DecodeCarriedRow(v []byte) (CarriedRow, error) {
	return decodeEffect(v, func(r *Reader) (c CarriedRow) {
		c.Lasting = r.Bool()
		c.Bundle = BundleKey{r.U32(), r.Str(), r.U32()}
		c.Institution = r.U32()
		c.Class = DetailClass(r.U8())
		c.Epoch = r.U32()
		return c
	})
}

// BaseHead opens a base: what it is a picture of.
type BaseHead struct {
	Mark  Checkpoint
	Rows  Digest
	Count uint64
}

// Encode returns the canonical bytes of h.
func (h BaseHead) Encode() []byte {
	var w Writer
	h.Mark.fields(&w)
	w.Raw(h.Rows[:])
	w.U64(h.Count)
	return w.Bytes()
}

// DecodeBaseHead reads what Encode wrote.
func DecodeBaseHead(b []byte) (BaseHead, error) {
	return decodeEffect(b, func(r *Reader) (h BaseHead) {
		h.Mark = readCheckpoint(r)
		r.Raw(h.Rows[:])
		h.Count = r.U64()
		return h
	})
}

// BaseRow is one row of a base.
type BaseRow struct {
	Table      uint8
	Key, Value []byte
}

// Encode returns the canonical bytes of b.
func (b BaseRow) Encode() []byte {
	var w Writer
	w.U8(b.Table)
	w.Blob(b.Key)
	w.Blob(b.Value)
	return w.Bytes()
}

// DecodeBaseRow reads what Encode wrote.
func DecodeBaseRow(v []byte) (BaseRow, error) {
	return decodeEffect(v, func(r *Reader) BaseRow { return BaseRow{r.U8(), r.Blob(), r.Blob()} })
}

// CarriedKey is the key of one carried record's detail, sealed.
type CarriedKey struct {
	Sequence uint64
	Sealed   []byte // empty: no key opens the detail
}

// CarryEffect is what CARRY did: carried records of an institution have the keys
// of their details sealed under the history keys of Epoch, ascending by sequence.
type CarryEffect struct {
	Institution, Epoch uint32
	Keys               []CarriedKey
	Signatures         []NodeSignature // ascending by node
}

// Message is what each node signs, having tried every key itself.
func (e CarryEffect) Message(cluster ID) []byte {
	var w Writer
	w.Raw([]byte("sago carry v1\n"))
	w.Raw(cluster[:])
	e.body(&w)
	return w.Bytes()
}

func (e CarryEffect) encode(w *Writer) { e.body(w); writeSignatures(w, e.Signatures) }

func (e CarryEffect) body(w *Writer) {
	w.U32(e.Institution)
	w.U32(e.Epoch)
	w.U32(uint32(len(e.Keys)))
	for _, k := range e.Keys {
		w.U64(k.Sequence)
		w.Blob(k.Sealed)
	}
}

// DecodeCarryEffect reads a CARRY record's effect.
func DecodeCarryEffect(b []byte) (CarryEffect, error) {
	return decodeEffect(b, func(r *Reader) (e CarryEffect) {
		e.Institution, e.Epoch = r.U32(), r.U32()
		e.Keys = list(r, 12, func(r *Reader) CarriedKey { return CarriedKey{r.U64(), r.Blob()} })
		ascending(r, "carried keys", e.Keys, func(k CarriedKey) uint64 { return k.Sequence })
		e.Signatures = readSignatures(r)
		return e
	})
}

// CarriedKeyRow is the sealed key of a carried record's detail.
type CarriedKeyRow struct {
	Epoch  uint32 // of the history key that it is sealed under
	Sealed []byte
}

// Encode returns the canonical bytes of c.
func (c CarriedKeyRow) Encode() []byte {
	var w Writer
	w.U32(c.Epoch)
	w.Blob(c.Sealed)
	return w.Bytes()
}

// DecodeCarriedKeyRow reads what Encode wrote.
func DecodeCarriedKeyRow(v []byte) (CarriedKeyRow, error) {
	return decodeEffect(v, func(r *Reader) CarriedKeyRow { return CarriedKeyRow{r.U32(), r.Blob()} })
}

// EpochEndRow is an epoch whose two history keys are to be destroyed: it stands
// until every voter has attested.
type EpochEndRow struct {
	Institution, Epoch uint32
	Use, Other         Slot
	Attested           []uint32 // ascending
}

// Slots are the keys that are to be destroyed: both, or the use-record key alone
// where the other has no slot, or the other alone.
func (e EpochEndRow) Slots() []Slot {
	var out []Slot
	for _, s := range []Slot{e.Use, e.Other} {
		if !s.IsZero() {
			out = append(out, s)
		}
	}
	return out
}

// Encode returns the canonical bytes of e.
func (e EpochEndRow) Encode() []byte {
	var w Writer
	w.U32(e.Institution)
	w.U32(e.Epoch)
	w.Slot(e.Use)
	w.Slot(e.Other)
	w.nodes(e.Attested)
	return w.Bytes()
}

// DecodeEpochEndRow reads what Encode wrote.
func DecodeEpochEndRow(v []byte) (EpochEndRow, error) {
	return decodeEffect(v, func(r *Reader) (e EpochEndRow) {
		e.Institution, e.Epoch = r.U32(), r.U32()
		e.Use, e.Other = r.Slot(), r.Slot()
		e.Attested = r.nodes()
		return e
	})
}

// SpentRow is slots of a key block that are to be destroyed because no bundle came
// of them: it stands until every voter has attested.
type SpentRow struct {
	Block    ID
	Slots    []uint32 // indexes, ascending
	Attested []uint32 // ascending
}

// Encode returns the canonical bytes of s.
func (s SpentRow) Encode() []byte {
	var w Writer
	w.Raw(s.Block[:])
	w.indexes(s.Slots)
	w.nodes(s.Attested)
	return w.Bytes()
}

// DecodeSpentRow reads what Encode wrote.
func DecodeSpentRow(v []byte) (SpentRow, error) {
	return decodeEffect(v, func(r *Reader) SpentRow { return SpentRow{readID(r), r.indexes(), r.nodes()} })
}
