package format

// ActRow is an act after the ceremony as the state keeps it.
type ActRow struct {
	Document    []byte
	Institution uint32 // of the persons who propose and sign it
	Proposer    uint64
	Proposed    uint64 // sequence of the proposal's record
	At          int64  // quorum clock at the proposal, microseconds
	Signatures  []PlacedSignature
	// Round is the clock's open round at the last signature that it needed; 0 while
	// one is missing. CoolingEnd is 0 until the wait has begun.
	Round      uint64
	CoolingEnd int64
	// Executed and Vetoed are the sequences of those records plus one; 0 while none.
	Executed, Vetoed uint64
}

// PlacedSignature is a signature and the sequence of its record.
type PlacedSignature struct {
	Person    uint64
	Signature []byte
	Sequence  uint64
}

// Encode returns the canonical bytes of a.
func (a ActRow) Encode() []byte {
	var w Writer
	w.Blob(a.Document)
	w.U32(a.Institution)
	w.U64(a.Proposer)
	w.U64(a.Proposed)
	w.I64(a.At)
	w.U32(uint32(len(a.Signatures)))
	for _, s := range a.Signatures {
		w.U64(s.Person)
		w.Blob(s.Signature)
		w.U64(s.Sequence)
	}
	w.U64(a.Round)
	w.I64(a.CoolingEnd)
	w.U64(a.Executed)
	w.U64(a.Vetoed)
	return w.Bytes()
}

// DecodeActRow reads what Encode wrote.
func DecodeActRow(v []byte) (ActRow, error) {
	return decodeEffect(v, func(r *Reader) (a ActRow) {
		a.Document = r.Blob()
		a.Institution = r.U32()
		a.Proposer, a.Proposed, a.At = r.U64(), r.U64(), r.I64()
		a.Signatures = list(r, 20, func(r *Reader) PlacedSignature { return PlacedSignature{r.U64(), r.Blob(), r.U64()} })
		ascending(r, "signatures", a.Signatures, func(s PlacedSignature) uint64 { return s.Person })
		a.Round, a.CoolingEnd = r.U64(), r.I64()
		a.Executed, a.Vetoed = r.U64(), r.U64()
		return a
	})
}

// Signed is the act with its signatures, as the record of its execution holds it.
func (a ActRow) Signed() SignedAct {
	s := SignedAct{Document: a.Document}
	for _, p := range a.Signatures {
		s.Signatures = append(s.Signatures, ActSignature{p.Person, p.Signature})
	}
	return s
}

// OpenActRow is what is asked of an act that is not ended, without reading it.
type OpenActRow struct {
	// Aim is the SHA-256 of what its execution would do: two open acts never share it.
	Aim Digest
	// From is the institution of who proposed it.
	From uint32
	// Due is from when on the clock or the leader has something to do with it,
	// microseconds; 0 for at every tick.
	Due int64
}

// Encode returns the canonical bytes of o.
func (o OpenActRow) Encode() []byte {
	var w Writer
	w.Raw(o.Aim[:])
	w.U32(o.From)
	w.I64(o.Due)
	return w.Bytes()
}

// DecodeOpenActRow reads what Encode wrote.
func DecodeOpenActRow(v []byte) (OpenActRow, error) {
	return decodeEffect(v, func(r *Reader) (o OpenActRow) {
		r.Raw(o.Aim[:])
		o.From, o.Due = r.U32(), r.I64()
		return o
	})
}

// StopRow is a circulation stop (유통정지) in force on a bundle.
type StopRow struct {
	Sequence uint64 // of its CIRCULATION_STOP record
	Order    string
	Document Digest
	Act      ID    // as in StopEffect
	At       int64 // quorum clock, microseconds
}

// Encode returns the canonical bytes of s.
func (s StopRow) Encode() []byte {
	var w Writer
	w.U64(s.Sequence)
	w.Str(s.Order)
	w.Raw(s.Document[:])
	w.Raw(s.Act[:])
	w.I64(s.At)
	return w.Bytes()
}

// DecodeStopRow reads what Encode wrote.
func DecodeStopRow(v []byte) (StopRow, error) {
	return decodeEffect(v, func(r *Reader) (s StopRow) {
		s.Sequence = r.U64()
		s.Order = r.Str()
		r.Raw(s.Document[:])
		r.Raw(s.Act[:])
		s.At = r.I64()
		return s
	})
}

// ExitRow says by which act a bundle left before its deadline.
type ExitRow struct {
	Exit     uint8  // retention.Exit
	Act      ID     // the act's nonce
	Decision uint64 // sequence of the record that ended this bundle
}

// Encode returns the canonical bytes of e.
func (e ExitRow) Encode() []byte {
	var w Writer
	w.U8(e.Exit)
	w.Raw(e.Act[:])
	w.U64(e.Decision)
	return w.Bytes()
}

// DecodeExitRow reads what Encode wrote.
func DecodeExitRow(v []byte) (ExitRow, error) {
	return decodeEffect(v, func(r *Reader) ExitRow { return ExitRow{r.U8(), readID(r), r.U64()} })
}

// IncarnationRow says when an incarnation of a node came and went.
type IncarnationRow struct {
	Joined uint64 // sequence of the record by which it came; 0 for the ceremony's
	Gone   uint64 // sequence plus one of the record by which it went; 0 while it has not
}

// Encode returns the canonical bytes of i.
func (i IncarnationRow) Encode() []byte {
	var w Writer
	w.U64(i.Joined)
	w.U64(i.Gone)
	return w.Bytes()
}

// DecodeIncarnationRow reads what Encode wrote.
func DecodeIncarnationRow(v []byte) (IncarnationRow, error) {
	return decodeEffect(v, func(r *Reader) IncarnationRow { return IncarnationRow{r.U64(), r.U64()} })
}
