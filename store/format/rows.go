package format

// Rows of the state (docs/formats/state-rows.md). A row is the value under a key
// of one table; everything in it follows from the history alone.

// BundleRow is what the state holds of one bundle.
type BundleRow struct {
	Store      uint64 // sequence of the STORE record: the bundle's record id
	StoredAt   int64  // quorum clock at the commit, microseconds; 0 before the first tick
	Definition string
	Slot       Slot
	Size       uint64
	Sealed     uint64
	Chunks     uint32
	Digest     Digest
	Commitment Digest
	Subject    Digest
	Documents  uint16
	Retention  RetentionRow
	BundleEnd  // a row of its own, which Encode does not write
}

// Encode returns the canonical bytes of b.
func (b BundleRow) Encode() []byte {
	w := WriterOn(make([]byte, 0, 320))
	w.U64(b.Store)
	w.I64(b.StoredAt)
	w.Str(b.Definition)
	w.Slot(b.Slot)
	w.U64(b.Size)
	w.U64(b.Sealed)
	w.U32(b.Chunks)
	w.Raw(b.Digest[:])
	w.Raw(b.Commitment[:])
	w.Raw(b.Subject[:])
	w.U16(b.Documents)
	b.Retention.encode(&w)
	return w.Bytes()
}

// BundleEnd is what the state holds of a bundle's end, zero while it has none. It is a
// row of its own: many bundles end at once, and theirs are small and near one another.
type BundleEnd struct {
	// Expire and Erase are the sequences of those records plus one; 0 while none.
	Expire, Erase uint64
	ErasedAt      int64 // quorum clock at the ERASE record, microseconds; 0 while none
}

// Encode returns the canonical bytes of e.
func (e BundleEnd) Encode() []byte {
	w := WriterOn(make([]byte, 0, 24))
	w.U64(e.Expire)
	w.U64(e.Erase)
	w.I64(e.ErasedAt)
	return w.Bytes()
}

// DecodeBundleEnd reads what Encode wrote.
func DecodeBundleEnd(v []byte) (BundleEnd, error) {
	return decodeEffect(v, func(r *Reader) BundleEnd { return BundleEnd{r.U64(), r.U64(), r.I64()} })
}

func (w *Writer) nodes(n []uint32) {
	w.U32(uint32(len(n)))
	for _, v := range n {
		w.U32(v)
	}
}

func (r *Reader) nodes() []uint32 {
	n := list(r, 4, (*Reader).U32)
	ascending(r, "nodes", n, func(v uint32) uint32 { return v })
	return n
}

// DecodeBundleRow reads what Encode wrote: without the end.
func DecodeBundleRow(v []byte) (BundleRow, error) { return decodeEffect(v, readBundleRow) }

func readBundleRow(r *Reader) (b BundleRow) {
	b.Store = r.U64()
	b.StoredAt = r.I64()
	b.Definition = r.Str()
	b.Slot = r.Slot()
	b.Size = r.U64()
	b.Sealed = r.U64()
	b.Chunks = r.U32()
	r.Raw(b.Digest[:])
	r.Raw(b.Commitment[:])
	r.Raw(b.Subject[:])
	b.Documents = r.U16()
	b.Retention = readRetentionRow(r)
	return b
}

// BundleKey names a bundle: (institution, 거래일련번호, part).
type BundleKey struct {
	Institution uint32
	Transaction string
	Part        uint32
}

// Encode returns the key under which the bundle's row stands.
func (k BundleKey) Encode() []byte {
	w := WriterOn(make([]byte, 0, 12+len(k.Transaction)))
	w.U32(k.Institution)
	w.Str(k.Transaction)
	w.U32(k.Part)
	return w.Bytes()
}

// DecodeBundleKey reads what Encode wrote.
func DecodeBundleKey(b []byte) (BundleKey, error) {
	return decodeEffect(b, func(r *Reader) BundleKey { return BundleKey{r.U32(), r.Str(), r.U32()} })
}

// AttestedRow is a node's word that every bundle which a record of a range ended is
// destroyed there. The range's end is in the row's key.
type AttestedRow struct {
	From        uint64 // the first sequence of the range
	Incarnation ID     // of the node, which destroyed them
	Record      uint64 // sequence of its ATTEST record
}

// Encode returns the canonical bytes of a.
func (a AttestedRow) Encode() []byte {
	var w Writer
	w.U64(a.From)
	w.Raw(a.Incarnation[:])
	w.U64(a.Record)
	return w.Bytes()
}

// DecodeAttestedRow reads what Encode wrote.
func DecodeAttestedRow(v []byte) (AttestedRow, error) {
	return decodeEffect(v, func(r *Reader) (a AttestedRow) {
		a.From = r.U64()
		r.Raw(a.Incarnation[:])
		a.Record = r.U64()
		return a
	})
}

// MemberRow is a node: its key, and its incarnations.
type MemberRow struct {
	Number    uint32
	Name      string
	PublicKey []byte
	// Current is the incarnation that votes; Joining the one that copies, or zero.
	Current, Joining ID
	Gone             []ID // in the order in which they went
	// Commit and Size are the greatest durable log index and history size that
	// Current claimed in a vote or signature.
	Commit, Size uint64
	// Room is what its newest vote said, bytes.
	Room uint64
}

// Encode returns the canonical bytes of m.
func (m MemberRow) Encode() []byte {
	var w Writer
	w.U32(m.Number)
	w.Str(m.Name)
	w.Blob(m.PublicKey)
	w.Raw(m.Current[:])
	w.Raw(m.Joining[:])
	w.U32(uint32(len(m.Gone)))
	for _, g := range m.Gone {
		w.Raw(g[:])
	}
	w.U64(m.Commit)
	w.U64(m.Size)
	w.U64(m.Room)
	return w.Bytes()
}

// DecodeMemberRow reads what Encode wrote.
func DecodeMemberRow(v []byte) (MemberRow, error) {
	return decodeEffect(v, func(r *Reader) (m MemberRow) {
		m.Number = r.U32()
		m.Name = r.Str()
		m.PublicKey = r.Blob()
		r.Raw(m.Current[:])
		r.Raw(m.Joining[:])
		m.Gone = list(r, 16, readID)
		m.Commit = r.U64()
		m.Size = r.U64()
		m.Room = r.U64()
		return m
	})
}

// BlockRow is an announced key block. Used has a bit for every slot that a record
// named, the lowest bit of the first byte for slot 0; bits past the last slot
// are zero.
type BlockRow struct {
	Owner uint32
	Start ID
	Slots uint32
	Used  []byte
	// Retired is the sequence of the KEY record that retired it plus one.
	Retired uint64
	// Attested lists the nodes that destroyed its unused slots, ascending.
	Attested []uint32
}

// Encode returns the canonical bytes of b.
func (b BlockRow) Encode() []byte {
	var w Writer
	w.U32(b.Owner)
	w.Raw(b.Start[:])
	w.U32(b.Slots)
	w.Blob(b.Used)
	w.U64(b.Retired)
	w.nodes(b.Attested)
	return w.Bytes()
}

// DecodeBlockRow reads what Encode wrote.
func DecodeBlockRow(v []byte) (BlockRow, error) {
	return decodeEffect(v, func(r *Reader) (b BlockRow) {
		b.Owner = r.U32()
		r.Raw(b.Start[:])
		b.Slots = r.U32()
		b.Used = r.Blob()
		if r.err == nil && !b.usedFits() {
			r.fail("bits of used slots do not fit %d slots", b.Slots)
		}
		b.Retired = r.U64()
		b.Attested = r.nodes()
		return b
	})
}

// usedFits reports whether Used has exactly a bit for each slot.
func (b BlockRow) usedFits() bool {
	if uint64(len(b.Used)) != (uint64(b.Slots)+7)/8 {
		return false
	}
	return b.Slots%8 == 0 || b.Used[len(b.Used)-1]>>(b.Slots%8) == 0
}

// IsUsed reports whether a record named slot i.
func (b BlockRow) IsUsed(i uint32) bool {
	return i/8 < uint32(len(b.Used)) && b.Used[i/8]&(1<<(i%8)) != 0
}

// MarkUsed sets slot i's bit in a copy of Used.
func (b *BlockRow) MarkUsed(i uint32) {
	b.Used = append([]byte(nil), b.Used...)
	b.Used[i/8] |= 1 << (i % 8)
}

// InstitutionRow is a tenant, or with number 0 the appliance itself.
type InstitutionRow struct {
	Number uint32
	Code   string
	// Records is how many history records it has: its next own sequence.
	Records uint64
	// Subject is the slot of its subject key; zero until its first epoch.
	Subject Slot
	// Epoch is the newest quarter that it has history keys for; 0 while none.
	Epoch uint32
}

// Encode returns the canonical bytes of i.
func (i InstitutionRow) Encode() []byte {
	var w Writer
	w.U32(i.Number)
	w.Str(i.Code)
	w.U64(i.Records)
	w.Slot(i.Subject)
	w.U32(i.Epoch)
	return w.Bytes()
}

// DecodeInstitutionRow reads what Encode wrote.
func DecodeInstitutionRow(v []byte) (InstitutionRow, error) {
	return decodeEffect(v, func(r *Reader) InstitutionRow {
		return InstitutionRow{r.U32(), r.Str(), r.U64(), r.Slot(), r.U32()}
	})
}

// EpochRow is an institution's two history keys of one quarter.
type EpochRow struct{ Use, Other Slot }

// Encode returns the canonical bytes of e.
func (e EpochRow) Encode() []byte {
	var w Writer
	w.Slot(e.Use)
	w.Slot(e.Other)
	return w.Bytes()
}

// DecodeEpochRow reads what Encode wrote.
func DecodeEpochRow(v []byte) (EpochRow, error) {
	return decodeEffect(v, func(r *Reader) EpochRow { return EpochRow{r.Slot(), r.Slot()} })
}

// ClockRow is the quorum clock: rounds, floor line and every voter's line.
type ClockRow struct {
	Round                uint64
	Now, Floor, Ceremony int64
	Start                int64     // of the last entry, for answers
	Lines                []LineRow // ascending by voter
}

// LineRow is a voter's line.
type LineRow struct {
	Voter  uint32
	BootID ID
	Base   int64
	BootAt int64
	// Reading is the boot clock at the voter's last vote, nanoseconds.
	Reading int64
}

// Encode returns the canonical bytes of c.
func (c ClockRow) Encode() []byte {
	var w Writer
	w.U64(c.Round)
	w.I64(c.Now)
	w.I64(c.Floor)
	w.I64(c.Ceremony)
	w.I64(c.Start)
	w.U32(uint32(len(c.Lines)))
	for _, l := range c.Lines {
		w.U32(l.Voter)
		w.Raw(l.BootID[:])
		w.I64(l.Base)
		w.I64(l.BootAt)
		w.I64(l.Reading)
	}
	return w.Bytes()
}

// DecodeClockRow reads what Encode wrote.
func DecodeClockRow(v []byte) (ClockRow, error) {
	return decodeEffect(v, func(r *Reader) (c ClockRow) {
		c.Round = r.U64()
		c.Now, c.Floor, c.Ceremony, c.Start = r.I64(), r.I64(), r.I64(), r.I64()
		c.Lines = list(r, 44, func(r *Reader) LineRow { return LineRow{r.U32(), readID(r), r.I64(), r.I64(), r.I64()} })
		ascending(r, "lines", c.Lines, func(l LineRow) uint32 { return l.Voter })
		return c
	})
}

// EncodePerson, EncodeDefinition and EncodePolicy return the rows of those
// tables; their decoders read them.
func EncodePerson(p Person) []byte { var w Writer; p.encode(&w); return w.Bytes() }

// DecodePerson reads what EncodePerson wrote.
func DecodePerson(v []byte) (Person, error) { return decodeEffect(v, readPerson) }

// EncodeDefinition returns a definition's row.
func EncodeDefinition(d Definition) []byte { var w Writer; d.encode(&w); return w.Bytes() }

// DecodeDefinition reads what EncodeDefinition wrote.
func DecodeDefinition(v []byte) (Definition, error) { return decodeEffect(v, readDefinition) }

// EncodePolicy returns the policy's row.
func EncodePolicy(p Policy) []byte { var w Writer; p.encode(&w); return w.Bytes() }

// DecodePolicy reads what EncodePolicy wrote.
func DecodePolicy(v []byte) (Policy, error) { return decodeEffect(v, readPolicy) }
