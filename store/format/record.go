package format

import (
	"crypto/sha256"
	"fmt"
)

// MaxRecord is the greatest length of an encoded history record, in bytes.
const MaxRecord = 16 << 10

// MaxTransaction is the greatest length of a transaction number (거래일련번호).
const MaxTransaction = 128

// recordVersion opens every encoded record.
const recordVersion = 1

// DetailClass says which of an institution's two history keys seals a detail.
type DetailClass uint8

// The classes. Use records are apart so that closing can erase them and keep
// the rest (폐지).
const (
	DetailNone  DetailClass = 0
	DetailUse   DetailClass = 1
	DetailOther DetailClass = 2
)

// Record is one line of the history. Its envelope holds only numbers and codes;
// everything that can name a person is in Detail, sealed before it entered the
// log. Effect holds, in numbers, codes, digests and public keys, all that
// rebuilding the state from the history needs (docs/formats/history-record.md).
type Record struct {
	// Sequence counts all records from 0 without a gap: the leaf index of the
	// history's Merkle tree.
	Sequence uint64
	// Clock is the quorum clock at Apply, in microseconds; 0 before the first tick.
	Clock int64
	// FrontEarliest and FrontLatest are the interval that the node which took the
	// request claimed, in microseconds; 0 when it had none. It is that node's
	// claim and nothing is decided on it.
	FrontEarliest, FrontLatest int64
	Front                      uint32 // member number of that node
	Action                     Action
	Result                     Reason
	Actor                      uint64 // person or application; 0 is the appliance itself
	Institution                uint32 // 0 is the appliance itself
	// InstitutionSequence counts the institution's records from 0 without a gap.
	InstitutionSequence uint64
	Transaction         string // 거래일련번호; empty when none
	Part                uint32
	Entry               uint64 // index of the log entry
	Operation           ID
	// Ordinal is the place among the records of one operation, from 0.
	Ordinal uint32
	Effect  []byte
	// DetailClass and DetailEpoch name the key that Detail is sealed under: the
	// institution's history key of that class in that quarter.
	DetailClass DetailClass
	DetailEpoch uint32
	Detail      []byte
}

// Encode returns the canonical bytes of r: what the history file stores and what
// is hashed into the tree.
func (r *Record) Encode() []byte {
	var w Writer
	w.b = make([]byte, 0, 160+len(r.Transaction)+len(r.Effect)+len(r.Detail))
	w.U8(recordVersion)
	w.U64(r.Sequence)
	w.I64(r.Clock)
	w.I64(r.FrontEarliest)
	w.I64(r.FrontLatest)
	w.U32(r.Front)
	w.U16(uint16(r.Action))
	w.U16(uint16(r.Result))
	w.U64(r.Actor)
	w.U32(r.Institution)
	w.U64(r.InstitutionSequence)
	w.Str(r.Transaction)
	w.U32(r.Part)
	w.U64(r.Entry)
	w.Raw(r.Operation[:])
	w.U32(r.Ordinal)
	w.Blob(r.Effect)
	w.U8(uint8(r.DetailClass))
	w.U32(r.DetailEpoch)
	w.Blob(r.Detail)
	return w.Bytes()
}

// DecodeRecord reads what Encode wrote.
func DecodeRecord(b []byte) (Record, error) {
	if len(b) > MaxRecord {
		return Record{}, fmt.Errorf("%w: record of %d bytes", ErrMalformed, len(b))
	}
	r := NewReader(b)
	rec := readRecord(r)
	return rec, r.Done()
}

func readRecord(r *Reader) (rec Record) {
	if v := r.U8(); v != recordVersion {
		r.fail("record version %d", v)
	}
	rec.Sequence = r.U64()
	rec.Clock = r.I64()
	rec.FrontEarliest = r.I64()
	rec.FrontLatest = r.I64()
	rec.Front = r.U32()
	rec.Action = Action(r.U16())
	rec.Result = Reason(r.U16())
	rec.Actor = r.U64()
	rec.Institution = r.U32()
	rec.InstitutionSequence = r.U64()
	rec.Transaction = r.Str()
	rec.Part = r.U32()
	rec.Entry = r.U64()
	r.Raw(rec.Operation[:])
	rec.Ordinal = r.U32()
	rec.Effect = r.Blob()
	rec.DetailClass = DetailClass(r.U8())
	rec.DetailEpoch = r.U32()
	rec.Detail = r.Blob()
	return rec
}

// LeafHash is the RFC 6962 leaf hash of an encoded record.
func LeafHash(encoded []byte) Digest {
	var short [512]byte // most records fit, and need no memory of their own
	if len(encoded) < len(short) {
		return sha256.Sum256(short[:1+copy(short[1:], encoded)])
	}
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(encoded)
	return Digest(h.Sum(nil))
}
