package format

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"fmt"
)

// Periods of key archives: which persons' recovery keys open the archives of keys
// that leave the appliance with a backup (docs/formats/act.md, key archive).

// ArchiveStep says what an act of ActKindKeyArchive does.
type ArchiveStep uint8

// The steps of a period. The numbers are in files and under signatures.
const (
	ArchiveOpen      ArchiveStep = 1 // the period begins; the one before takes no more archives
	ArchiveDestroyed ArchiveStep = 2 // its holders destroyed their recovery keys
)

// ArchiveHolder is one person who holds a recovery key of a period.
type ArchiveHolder struct {
	Person uint64
	// PublicKey is the person's recovery key for this period, and no other: P-256,
	// compressed, 33 bytes.
	PublicKey []byte
	// Signature is the person's own, with their enrolled key, over
	// RecoveryKeyMessage: nobody lists keys in the names of others. ASN.1.
	Signature []byte
}

func (h ArchiveHolder) encode(w *Writer) {
	w.U64(h.Person)
	w.Blob(h.PublicKey)
	w.Blob(h.Signature)
}

func (w *Writer) holders(list []ArchiveHolder) {
	w.U32(uint32(len(list)))
	for _, h := range list {
		h.encode(w)
	}
}

func (r *Reader) holders() []ArchiveHolder {
	out := list(r, 16, func(r *Reader) ArchiveHolder { return ArchiveHolder{r.U64(), r.Blob(), r.Blob()} })
	ascending(r, "holders", out, func(h ArchiveHolder) uint64 { return h.Person })
	return out
}

// ArchiveParams are the parameters of an act about a period of key archives.
type ArchiveParams struct {
	Particulars Digest
	Step        ArchiveStep
	Period      ID
	// Needed is how many of the holders open an archive together, Days how long
	// the period takes archives, and Holders stand ascending by person. All three
	// are of ArchiveOpen alone.
	Needed  uint8
	Days    uint16
	Holders []ArchiveHolder
}

// Encode returns the canonical bytes of p.
func (p ArchiveParams) Encode() []byte {
	var w Writer
	w.Raw(p.Particulars[:])
	w.U8(uint8(p.Step))
	w.Raw(p.Period[:])
	if p.Step == ArchiveOpen {
		w.U8(p.Needed)
		w.U16(p.Days)
		w.holders(p.Holders)
	}
	return w.Bytes()
}

// DecodeArchiveParams reads what Encode wrote.
func DecodeArchiveParams(b []byte) (ArchiveParams, error) {
	return decodeEffect(b, func(r *Reader) (p ArchiveParams) {
		r.Raw(p.Particulars[:])
		p.Step = ArchiveStep(r.U8())
		p.Period = readID(r)
		switch p.Step {
		case ArchiveOpen:
			p.Needed, p.Days, p.Holders = r.U8(), r.U16(), r.holders()
		case ArchiveDestroyed:
		default:
			r.fail("step %d of a key archive's period", p.Step)
		}
		return p
	})
}

// RecoveryKeyMessage is what a holder signs with their enrolled key: "sago recovery
// key v1\n", the cluster, the person and the public key.
func RecoveryKeyMessage(cluster ID, person uint64, publicKey []byte) []byte {
	var w Writer
	w.Raw([]byte("sago recovery key v1\n"))
	w.Raw(cluster[:])
	w.U64(person)
	w.Raw(publicKey)
	return w.Bytes()
}

// RecoveryPublicKey reads a holder's public key: a point of P-256, compressed. A
// point has one such encoding, so keys are equal when their bytes are.
func RecoveryPublicKey(b []byte) (*ecdh.PublicKey, error) {
	curve := elliptic.P256()
	x, y := elliptic.UnmarshalCompressed(curve, b)
	if x == nil {
		return nil, fmt.Errorf("%w: not a compressed point of P-256", ErrMalformed)
	}
	point := make([]byte, 65)
	point[0] = 4
	x.FillBytes(point[1:33])
	y.FillBytes(point[33:])
	return ecdh.P256().NewPublicKey(point)
}

// ArchiveRow is a period of key archives as the state keeps it.
type ArchiveRow struct {
	Period  ID
	Needed  uint8
	Days    uint16
	Holders []ArchiveHolder // ascending by person
	Opened  uint64          // sequence of the act's record
	// From and Until bound the time in which it takes archives, on the quorum
	// clock in microseconds.
	From, Until int64
	// Begin and End are the sequences of the first and the last BACKUP record under
	// which keys left; 0 while none did.
	Begin, End uint64
	// Destroyed is the sequence of the act that records that the recovery keys
	// exist no more; 0 while there is none.
	Destroyed uint64
}

// Encode returns the canonical bytes of a.
func (a ArchiveRow) Encode() []byte {
	var w Writer
	w.Raw(a.Period[:])
	w.U8(a.Needed)
	w.U16(a.Days)
	w.holders(a.Holders)
	w.U64(a.Opened)
	w.I64(a.From)
	w.I64(a.Until)
	w.U64(a.Begin)
	w.U64(a.End)
	w.U64(a.Destroyed)
	return w.Bytes()
}

// DecodeArchiveRow reads what Encode wrote.
func DecodeArchiveRow(v []byte) (ArchiveRow, error) {
	return decodeEffect(v, func(r *Reader) ArchiveRow {
		return ArchiveRow{readID(r), r.U8(), r.U16(), r.holders(), r.U64(), r.I64(), r.I64(), r.U64(), r.U64(), r.U64()}
	})
}
