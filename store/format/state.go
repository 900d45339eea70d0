package format

// StateEffect is what a majority of the nodes signs about every logical row at
// one MARK: what a STATE record carries (docs/formats/state-rows.md).
type StateEffect struct {
	// Mark is what Apply fixed at the MARK: entry, history size and root, clock and
	// running hash.
	Mark Checkpoint
	// Rows is the digest over the logical rows there, Count how many there are.
	Rows       Digest
	Count      uint64
	Signatures []NodeSignature // ascending by node
}

func (e StateEffect) body(w *Writer) {
	e.Mark.fields(w)
	w.Raw(e.Rows[:])
	w.U64(e.Count)
}

// Message is what each node signs.
func (e StateEffect) Message() []byte {
	var w Writer
	w.Raw([]byte("sago state v1\n"))
	e.body(&w)
	return w.Bytes()
}

func (e StateEffect) encode(w *Writer) { e.body(w); writeSignatures(w, e.Signatures) }

// DecodeStateEffect reads a STATE record's effect.
func DecodeStateEffect(b []byte) (StateEffect, error) {
	return decodeEffect(b, func(r *Reader) (e StateEffect) {
		e.Mark = readCheckpoint(r)
		r.Raw(e.Rows[:])
		e.Count = r.U64()
		e.Signatures = readSignatures(r)
		return e
	})
}
