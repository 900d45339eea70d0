package format

import "bytes"

// ClockEffect is one entry of the quorum clock: the votes it was decided on and
// what they made of it. Applying it runs the ratchet again over the votes.
type ClockEffect struct {
	Votes []SignedVote // ascending by voter
	// Now, Start and Floor are what the ratchet answered, in microseconds: the
	// clock, the start of relative periods, the floor line.
	Now, Start, Floor int64
}

// SignedVote is one voter's word about time (docs/formats/clock-vote.md).
type SignedVote struct {
	Voter            uint32
	Incarnation      ID
	Round            uint64
	Earliest, Latest int64 // microseconds
	BootID           ID
	BootReading      int64 // CLOCK_BOOTTIME, nanoseconds
	Evidence         Digest
	// Commit and Size are the voter's durable log index and history size: an
	// incarnation that later offers less has lost something.
	Commit, Size uint64
	// Room is how many bytes of payload the voter's disk can still take.
	Room      uint64
	Signature []byte // ECDSA P-256 over SHA-256, ASN.1
}

func (v SignedVote) body(w *Writer) {
	w.U32(v.Voter)
	w.Raw(v.Incarnation[:])
	w.U64(v.Round)
	w.I64(v.Earliest)
	w.I64(v.Latest)
	w.Raw(v.BootID[:])
	w.I64(v.BootReading)
	w.Raw(v.Evidence[:])
	w.U64(v.Commit)
	w.U64(v.Size)
	w.U64(v.Room)
}

// Message is what the voter signs: a fixed prefix, the cluster and the vote.
func (v SignedVote) Message(cluster ID) []byte {
	var w Writer
	w.Raw([]byte("sago clock vote v1\n"))
	w.Raw(cluster[:])
	v.body(&w)
	return w.Bytes()
}

func (e ClockEffect) encode(w *Writer) {
	w.I64(e.Now)
	w.I64(e.Start)
	w.I64(e.Floor)
	w.U32(uint32(len(e.Votes)))
	for _, v := range e.Votes {
		v.body(w)
		w.Blob(v.Signature)
	}
}

func readSignedVote(r *Reader) (v SignedVote) {
	v.Voter = r.U32()
	r.Raw(v.Incarnation[:])
	v.Round = r.U64()
	v.Earliest = r.I64()
	v.Latest = r.I64()
	r.Raw(v.BootID[:])
	v.BootReading = r.I64()
	r.Raw(v.Evidence[:])
	v.Commit = r.U64()
	v.Size = r.U64()
	v.Room = r.U64()
	v.Signature = r.Blob()
	return v
}

// DecodeClockEffect reads a CLOCK record's effect.
func DecodeClockEffect(b []byte) (ClockEffect, error) {
	return decodeEffect(b, func(r *Reader) (e ClockEffect) {
		e.Now, e.Start, e.Floor = r.I64(), r.I64(), r.I64()
		e.Votes = list(r, 128, readSignedVote)
		ascending(r, "votes", e.Votes, func(v SignedVote) uint32 { return v.Voter })
		return e
	})
}

// MemberState is where an incarnation of a node stands.
type MemberState uint8

// The states of an incarnation.
const (
	MemberJoining MemberState = 1 // copies, does not vote
	MemberVoter   MemberState = 2
	MemberGone    MemberState = 3 // replaced or removed; never votes again
)

// MemberEffect moves an incarnation of a node to a state. Signature is the
// node's own over Message: it asks to join, or says that it is whole and votes.
type MemberEffect struct {
	Node        uint32
	Incarnation ID
	State       MemberState
	Signature   []byte
}

// Message is what a node signs when it asks to join with a new incarnation.
func (e MemberEffect) Message(cluster ID) []byte {
	var w Writer
	w.Raw([]byte("sago member v1\n"))
	w.Raw(cluster[:])
	w.U32(e.Node)
	w.Raw(e.Incarnation[:])
	w.U8(uint8(e.State))
	return w.Bytes()
}

func (e MemberEffect) encode(w *Writer) {
	w.U32(e.Node)
	w.Raw(e.Incarnation[:])
	w.U8(uint8(e.State))
	w.Blob(e.Signature)
}

// DecodeMemberEffect reads a MEMBER record's effect.
func DecodeMemberEffect(b []byte) (MemberEffect, error) {
	return decodeEffect(b, func(r *Reader) (e MemberEffect) {
		e.Node = r.U32()
		r.Raw(e.Incarnation[:])
		e.State = MemberState(r.U8())
		e.Signature = r.Blob()
		return e
	})
}

// NodeStartEffect says that a node started: which incarnation, of which build.
type NodeStartEffect struct {
	Node        uint32
	Incarnation ID
	BootID      ID
	Version     string
}

func (e NodeStartEffect) encode(w *Writer) {
	w.U32(e.Node)
	w.Raw(e.Incarnation[:])
	w.Raw(e.BootID[:])
	w.Str(e.Version)
}

// DecodeNodeStartEffect reads a NODE_START record's effect.
func DecodeNodeStartEffect(b []byte) (NodeStartEffect, error) {
	return decodeEffect(b, func(r *Reader) (e NodeStartEffect) {
		e.Node = r.U32()
		r.Raw(e.Incarnation[:])
		r.Raw(e.BootID[:])
		e.Version = r.Str()
		return e
	})
}

// KeyVerb says what a KEY record did.
type KeyVerb uint8

// The verbs.
const (
	KeyAnnounce KeyVerb = 1 // a majority holds the block
	KeyRetire   KeyVerb = 2 // its unused slots will take no bundle any more
	KeyEpoch    KeyVerb = 3 // an institution's history keys of a quarter
	KeyEpochEnd KeyVerb = 4 // nothing that is kept needs these history keys any more
	KeyRewrap   KeyVerb = 5 // a node seals all its slots under a new root key; the old one is destroyed
	KeyUseEnd   KeyVerb = 6 // the institution closes (폐지): its use records go
	KeySpent    KeyVerb = 8 // no bundle came of these slots, and none will
)

// KeyEffect is what KEY did. For KeyAnnounce: Block, Owner, Start, Slots. For
// KeyRetire: Block and Owner; every slot of it that no record named is lost. For
// KeyEpoch: Institution, Epoch, and the three slots; Subject is zero except in
// the institution's first epoch. For KeyEpochEnd: Institution, Epoch and its two
// slots, which are to be destroyed. For KeyRewrap: Owner, the node; Slots, how many
// of its slots open under the new root key; Root.
// For KeyUseEnd: Institution, Epoch and the slot of its use-record key.
// For KeySpent: Block and Spent, the slots of it that are to be destroyed. Fields
// of other verbs are zero.
type KeyEffect struct {
	Verb        KeyVerb
	Block       ID
	Owner       uint32
	Start       ID // random id of the owner's process start
	Slots       uint32
	Institution uint32
	Epoch       uint32
	Use         Slot
	Other       Slot
	Subject     Slot
	Root        Digest   // public id of the new root key; written for KeyRewrap alone
	Spent       []uint32 // indexes, ascending; encoded with KeySpent alone
}

func (e KeyEffect) encode(w *Writer) {
	w.U8(uint8(e.Verb))
	w.Raw(e.Block[:])
	w.U32(e.Owner)
	w.Raw(e.Start[:])
	w.U32(e.Slots)
	w.U32(e.Institution)
	w.U32(e.Epoch)
	w.Slot(e.Use)
	w.Slot(e.Other)
	w.Slot(e.Subject)
	if e.Verb == KeyRewrap {
		w.Raw(e.Root[:])
	}
	if e.Verb == KeySpent {
		w.indexes(e.Spent)
	}
}

// DecodeKeyEffect reads a KEY record's effect.
func DecodeKeyEffect(b []byte) (KeyEffect, error) {
	return decodeEffect(b, func(r *Reader) (e KeyEffect) {
		e.Verb = KeyVerb(r.U8())
		r.Raw(e.Block[:])
		e.Owner = r.U32()
		r.Raw(e.Start[:])
		e.Slots = r.U32()
		e.Institution = r.U32()
		e.Epoch = r.U32()
		e.Use, e.Other, e.Subject = r.Slot(), r.Slot(), r.Slot()
		if e.Verb == KeyRewrap {
			r.Raw(e.Root[:])
		}
		if e.Verb == KeySpent {
			e.Spent = r.indexes()
		}
		if r.err == nil && !e.plain() {
			r.fail("key effect with a field of another verb")
		}
		return e
	})
}

func (w *Writer) indexes(slots []uint32) {
	w.U32(uint32(len(slots)))
	for _, i := range slots {
		w.U32(i)
	}
}

func (r *Reader) indexes() []uint32 {
	slots := list(r, 4, (*Reader).U32)
	ascending(r, "slots", slots, func(i uint32) uint32 { return i })
	return slots
}

// plain reports whether only the verb's own fields are set. An unknown verb is
// for the reader of the effect to refuse.
func (e KeyEffect) plain() bool {
	own := KeyEffect{Verb: e.Verb}
	switch e.Verb {
	case KeyAnnounce:
		own.Block, own.Owner, own.Start, own.Slots = e.Block, e.Owner, e.Start, e.Slots
	case KeyRetire:
		own.Block, own.Owner = e.Block, e.Owner
	case KeyEpoch:
		own.Institution, own.Epoch, own.Use, own.Other, own.Subject = e.Institution, e.Epoch, e.Use, e.Other, e.Subject
	case KeyEpochEnd:
		own.Institution, own.Epoch, own.Use, own.Other = e.Institution, e.Epoch, e.Use, e.Other
	case KeyRewrap:
		own.Owner, own.Slots, own.Root = e.Owner, e.Slots, e.Root
	case KeyUseEnd:
		own.Institution, own.Epoch, own.Use = e.Institution, e.Epoch, e.Use
	case KeySpent:
		own.Block, own.Spent = e.Block, e.Spent
	default:
		return true
	}
	return bytes.Equal(EncodeEffect(e), EncodeEffect(own))
}

// AttestEffect is a node's signed word that it destroyed, on its own disks: the
// keys and payload of every bundle that a record with a sequence from From to
// before To ended (both 0: of none), the keys that the listed KEY records ended
// (an epoch's, or spent slots; ascending), and the unused slots of the listed
// blocks (ascending).
type AttestEffect struct {
	Node        uint32
	Incarnation ID
	From, To    uint64
	Keys        []uint64
	Blocks      []ID
	Signature   []byte
}

func (e AttestEffect) body(w *Writer) {
	w.U32(e.Node)
	w.Raw(e.Incarnation[:])
	w.U64(e.From)
	w.U64(e.To)
	w.U32(uint32(len(e.Keys)))
	for _, s := range e.Keys {
		w.U64(s)
	}
	w.U32(uint32(len(e.Blocks)))
	for _, b := range e.Blocks {
		w.Raw(b[:])
	}
}

// Ends reports whether e speaks of the bundle that a record ended.
func (e AttestEffect) Ends(decision uint64) bool { return e.From <= decision && decision < e.To }

// Message is what the node signs.
func (e AttestEffect) Message(cluster ID) []byte {
	var w Writer
	w.Raw([]byte("sago erasure attestation v2\n"))
	w.Raw(cluster[:])
	e.body(&w)
	return w.Bytes()
}

func (e AttestEffect) encode(w *Writer) { e.body(w); w.Blob(e.Signature) }

// DecodeAttestEffect reads an ATTEST record's effect.
func DecodeAttestEffect(b []byte) (AttestEffect, error) {
	return decodeEffect(b, func(r *Reader) (e AttestEffect) {
		e.Node = r.U32()
		r.Raw(e.Incarnation[:])
		e.From = r.U64()
		e.To = r.U64()
		if r.err == nil && e.From >= e.To && e.From|e.To != 0 {
			r.fail("no records from %d to before %d", e.From, e.To)
		}
		e.Keys = list(r, 8, (*Reader).U64)
		ascending(r, "keys", e.Keys, func(s uint64) uint64 { return s })
		e.Blocks = list(r, 16, readID)
		ascending(r, "blocks", e.Blocks, func(id ID) string { return string(id[:]) })
		e.Signature = r.Blob()
		return e
	})
}

// DamageKind says what kind of thing is damaged.
type DamageKind uint8

// The kinds of damage.
const (
	DamagePayload DamageKind = 1
	DamageKey     DamageKind = 2
	DamageHistory DamageKind = 3
	DamageIndex   DamageKind = 4
	DamageLog     DamageKind = 5
	DamageState   DamageKind = 6 // this node's roots differ from the majority's
)

// DamageEffect names a damage that a node found (DAMAGE) or mended (REPAIR).
// Where is the file and place, for people; Store the bundle, if it is one.
type DamageEffect struct {
	Node  uint32
	Kind  DamageKind
	Store uint64
	Where string
}

func (e DamageEffect) encode(w *Writer) {
	w.U32(e.Node)
	w.U8(uint8(e.Kind))
	w.U64(e.Store)
	w.Str(e.Where)
}

// DecodeDamageEffect reads a DAMAGE or REPAIR record's effect.
func DecodeDamageEffect(b []byte) (DamageEffect, error) {
	return decodeEffect(b, func(r *Reader) (e DamageEffect) {
		e.Node = r.U32()
		e.Kind = DamageKind(r.U8())
		e.Store = r.U64()
		e.Where = r.Str()
		return e
	})
}
