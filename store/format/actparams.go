package format

import "crypto/sha256"

// Particulars are what the persons who sign an act read of people and reasons.
// They stand sealed in the detail of the proposal's record; the signed document
// holds their salted digest, so that what was signed is fixed and an erased text
// cannot be guessed from it.
type Particulars struct {
	Salt                     ID
	Requester, Basis, Reason string
}

// Digest is the SHA-256 over "sago particulars v1\n", the salt and the texts.
func (p Particulars) Digest() Digest {
	var w Writer
	w.Raw([]byte("sago particulars v1\n"))
	w.Raw(p.Salt[:])
	w.Blob([]byte(p.Requester))
	w.Blob([]byte(p.Basis))
	w.Blob([]byte(p.Reason))
	return sha256.Sum256(w.Bytes())
}

// ActObject is what an act is about: an institution (0: the appliance), and for
// acts on a bundle its number and part.
type ActObject struct {
	Institution uint32
	Transaction string
	Part        uint32
}

// Encode returns the canonical bytes of o.
func (o ActObject) Encode() []byte {
	var w Writer
	w.U32(o.Institution)
	w.Str(o.Transaction)
	w.U32(o.Part)
	return w.Bytes()
}

// DecodeActObject reads what Encode wrote.
func DecodeActObject(b []byte) (ActObject, error) {
	return decodeEffect(b, func(r *Reader) ActObject { return ActObject{r.U32(), r.Str(), r.U32()} })
}

// Key is the bundle that the object names.
func (o ActObject) Key() BundleKey { return BundleKey(o) }

// SpecialParams are the parameters of a special deletion (특수삭제): exactly one
// stored bundle, under one registered order of circulation stop (유통정지).
type SpecialParams struct {
	Particulars Digest
	Store       uint64 // sequence of the STORE record
	Leaf        Digest // its leaf hash
	Order       string // the order's number
	Document    Digest // SHA-256 of the order's document; zero where none was given
}

// Encode returns the canonical bytes of p.
func (p SpecialParams) Encode() []byte {
	var w Writer
	w.Raw(p.Particulars[:])
	w.U64(p.Store)
	w.Raw(p.Leaf[:])
	w.Str(p.Order)
	w.Raw(p.Document[:])
	return w.Bytes()
}

// DecodeSpecialParams reads what Encode wrote.
func DecodeSpecialParams(b []byte) (SpecialParams, error) {
	return decodeEffect(b, func(r *Reader) (p SpecialParams) {
		r.Raw(p.Particulars[:])
		p.Store = r.U64()
		r.Raw(p.Leaf[:])
		p.Order = r.Str()
		r.Raw(p.Document[:])
		return p
	})
}

// LiftParams are the parameters of lifting a circulation stop.
type LiftParams struct {
	Particulars Digest
	Stop        uint64 // sequence of the CIRCULATION_STOP record
	Order       string
}

// Encode returns the canonical bytes of p.
func (p LiftParams) Encode() []byte {
	var w Writer
	w.Raw(p.Particulars[:])
	w.U64(p.Stop)
	w.Str(p.Order)
	return w.Bytes()
}

// DecodeLiftParams reads what Encode wrote.
func DecodeLiftParams(b []byte) (LiftParams, error) {
	return decodeEffect(b, func(r *Reader) (p LiftParams) {
		r.Raw(p.Particulars[:])
		p.Stop = r.U64()
		p.Order = r.Str()
		return p
	})
}

// HoldReleaseParams are the parameters of a hold's release.
type HoldReleaseParams struct {
	Particulars Digest
	Hold        uint64 // its id
	Placed      uint64 // sequence of the HOLD_PLACE record
}

// Encode returns the canonical bytes of p.
func (p HoldReleaseParams) Encode() []byte {
	var w Writer
	w.Raw(p.Particulars[:])
	w.U64(p.Hold)
	w.U64(p.Placed)
	return w.Bytes()
}

// DecodeHoldReleaseParams reads what Encode wrote.
func DecodeHoldReleaseParams(b []byte) (HoldReleaseParams, error) {
	return decodeEffect(b, func(r *Reader) (p HoldReleaseParams) {
		r.Raw(p.Particulars[:])
		p.Hold = r.U64()
		p.Placed = r.U64()
		return p
	})
}

// PolicyParams are the parameters of a change of policy: the whole new policy,
// and the digest of the one that it replaces.
type PolicyParams struct {
	Particulars Digest
	Replaces    Digest // SHA-256 of the policy's canonical bytes
	Policy      Policy
}

// Encode returns the canonical bytes of p.
func (p PolicyParams) Encode() []byte {
	var w Writer
	w.Raw(p.Particulars[:])
	w.Raw(p.Replaces[:])
	p.Policy.encode(&w)
	return w.Bytes()
}

// DecodePolicyParams reads what Encode wrote.
func DecodePolicyParams(b []byte) (PolicyParams, error) {
	return decodeEffect(b, func(r *Reader) (p PolicyParams) {
		r.Raw(p.Particulars[:])
		r.Raw(p.Replaces[:])
		p.Policy = readPolicy(r)
		return p
	})
}

// MemberParams are the parameters of a node's admission or removal.
type MemberParams struct {
	Particulars Digest
	Remove      bool
	Node        CeremonyNode // of a removal only the number counts
}

// Encode returns the canonical bytes of p.
func (p MemberParams) Encode() []byte {
	var w Writer
	w.Raw(p.Particulars[:])
	w.Bool(p.Remove)
	w.U32(p.Node.Number)
	w.Str(p.Node.Name)
	w.Raw(p.Node.Incarnation[:])
	w.Blob(p.Node.PublicKey)
	return w.Bytes()
}

// DecodeMemberParams reads what Encode wrote.
func DecodeMemberParams(b []byte) (MemberParams, error) {
	return decodeEffect(b, func(r *Reader) (p MemberParams) {
		r.Raw(p.Particulars[:])
		p.Remove = r.Bool()
		p.Node = CeremonyNode{Number: r.U32(), Name: r.Str(), Incarnation: readID(r), PublicKey: r.Blob()}
		return p
	})
}

// ResyncParams are the parameters of a clock resync: fresh signed votes of one
// round, which stay true whenever they are used (an earliest bound).
type ResyncParams struct {
	Particulars Digest
	Votes       []SignedVote // ascending by voter
}

// Encode returns the canonical bytes of p.
func (p ResyncParams) Encode() []byte {
	var w Writer
	w.Raw(p.Particulars[:])
	w.U32(uint32(len(p.Votes)))
	for _, v := range p.Votes {
		v.body(&w)
		w.Blob(v.Signature)
	}
	return w.Bytes()
}

// DecodeResyncParams reads what Encode wrote.
func DecodeResyncParams(b []byte) (ResyncParams, error) {
	return decodeEffect(b, func(r *Reader) (p ResyncParams) {
		r.Raw(p.Particulars[:])
		p.Votes = list(r, 128, readSignedVote)
		ascending(r, "votes", p.Votes, func(v SignedVote) uint32 { return v.Voter })
		return p
	})
}

// CloseParams are the parameters of an institution's closing (폐지).
type CloseParams struct {
	Particulars Digest
	// Receipt is the SHA-256 of the receipt for the use records (이용 내역) that
	// were handed over.
	Receipt Digest
	// First and End are the institution's own sequences that were handed over, and
	// Root is the tree's root at Size records: what the persons saw.
	First, End uint64
	Size       uint64
	Root       Digest
	// Date is the closing date (폐지 예정일), microseconds; erasure is due by then
	// and at the latest 30 days after it.
	Date int64
}

// Encode returns the canonical bytes of p.
func (p CloseParams) Encode() []byte {
	var w Writer
	w.Raw(p.Particulars[:])
	w.Raw(p.Receipt[:])
	w.U64(p.First)
	w.U64(p.End)
	w.U64(p.Size)
	w.Raw(p.Root[:])
	w.I64(p.Date)
	return w.Bytes()
}

// DecodeCloseParams reads what Encode wrote.
func DecodeCloseParams(b []byte) (CloseParams, error) {
	return decodeEffect(b, func(r *Reader) (p CloseParams) {
		r.Raw(p.Particulars[:])
		r.Raw(p.Receipt[:])
		p.First, p.End, p.Size = r.U64(), r.U64(), r.U64()
		r.Raw(p.Root[:])
		p.Date = r.I64()
		return p
	})
}

// MediumParams are the parameters of a medium's recorded destruction (매체 파기):
// the copy of that incarnation of a node exists no more.
type MediumParams struct {
	Particulars Digest
	Node        uint32
	Incarnation ID
}

// Encode returns the canonical bytes of p.
func (p MediumParams) Encode() []byte {
	var w Writer
	w.Raw(p.Particulars[:])
	w.U32(p.Node)
	w.Raw(p.Incarnation[:])
	return w.Bytes()
}

// DecodeMediumParams reads what Encode wrote.
func DecodeMediumParams(b []byte) (MediumParams, error) {
	return decodeEffect(b, func(r *Reader) (p MediumParams) {
		r.Raw(p.Particulars[:])
		p.Node = r.U32()
		r.Raw(p.Incarnation[:])
		return p
	})
}

// ActParticulars is the particulars' digest of any act after the ceremony: the
// parameters of every kind begin with it.
func ActParticulars(params []byte) (d Digest, err error) {
	r := NewReader(params)
	r.Raw(d[:])
	return d, r.Err()
}
