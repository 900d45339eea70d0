package format

// An Effect is the typed body of a history record: what the record did to the
// state. Each action has at most one kind of effect.
type Effect interface {
	encode(w *Writer)
}

// EncodeEffect returns the canonical bytes of e; none for nil.
func EncodeEffect(e Effect) []byte {
	if e == nil {
		return nil
	}
	var w Writer
	e.encode(&w)
	return w.Bytes()
}

// decodeEffect runs read over all of b.
func decodeEffect[T any](b []byte, read func(*Reader) T) (T, error) {
	r := NewReader(b)
	v := read(r)
	return v, r.Done()
}

// StoreEffect is what STORE did: a bundle exists (묶음정보 저장).
type StoreEffect struct {
	Definition string // bundle ID, "MDS" and 7 digits on the observed wire
	Rule       string // canonical retention rule
	BasisKind  uint8
	Slot       Slot
	Size       uint64 // plain length of the documents together, bytes
	Sealed     uint64 // length of the chunks together, bytes
	Chunks     uint32
	Digest     Digest // BundleDigest of the chunks
	Commitment Digest // keyed commitment to the fingerprint; its key dies with the slot
	Subject    Digest // HMAC of the CI under the institution's subject key
	Documents  uint16
}

func (e StoreEffect) encode(w *Writer) {
	w.Str(e.Definition)
	w.Str(e.Rule)
	w.U8(e.BasisKind)
	w.Slot(e.Slot)
	w.U64(e.Size)
	w.U64(e.Sealed)
	w.U32(e.Chunks)
	w.Raw(e.Digest[:])
	w.Raw(e.Commitment[:])
	w.Raw(e.Subject[:])
	w.U16(e.Documents)
}

func readStoreEffect(r *Reader) (e StoreEffect) {
	e.Definition = r.Str()
	e.Rule = r.Str()
	e.BasisKind = r.U8()
	e.Slot = r.Slot()
	e.Size = r.U64()
	e.Sealed = r.U64()
	e.Chunks = r.U32()
	r.Raw(e.Digest[:])
	r.Raw(e.Commitment[:])
	r.Raw(e.Subject[:])
	e.Documents = r.U16()
	return e
}

// DecodeStoreEffect reads a STORE record's effect.
func DecodeStoreEffect(b []byte) (StoreEffect, error) { return decodeEffect(b, readStoreEffect) }

// BundleRef is the effect of every record that speaks of one bundle and needs no
// more: SHOW, VERIFY, EXPIRE, ERASE. Store is the sequence of its STORE record.
type BundleRef struct{ Store uint64 }

func (e BundleRef) encode(w *Writer) { w.U64(e.Store) }

// DecodeBundleRef reads a BundleRef.
func DecodeBundleRef(b []byte) (BundleRef, error) {
	return decodeEffect(b, func(r *Reader) BundleRef { return BundleRef{r.U64()} })
}

// ReadEffect is what READ did. Request is the caller's request id: it binds a
// one-time view (1회성 열람).
type ReadEffect struct {
	Store   uint64
	Request ID
}

func (e ReadEffect) encode(w *Writer) { w.U64(e.Store); w.Raw(e.Request[:]) }

// DecodeReadEffect reads a READ record's effect.
func DecodeReadEffect(b []byte) (ReadEffect, error) {
	return decodeEffect(b, func(r *Reader) (e ReadEffect) {
		e.Store = r.U64()
		r.Raw(e.Request[:])
		return e
	})
}

// ListKind says what a LIST record's query went over.
type ListKind uint8

// The kinds of queries.
const (
	ListBundles ListKind = 1
	ListHistory ListKind = 2
	ListUses    ListKind = 3
	ListSubject ListKind = 4 // one subject's bundles

	ListActs         ListKind = 5
	ListHolds        ListKind = 6
	ListStops        ListKind = 7 // circulation stops
	ListSpecial      ListKind = 8 // special deletions and their ledger
	ListInstitutions ListKind = 9
	ListPolicy       ListKind = 10
	ListCertificate  ListKind = 11 // an erasure certificate
	ListSubjects     ListKind = 12 // whom a suspension or closing must be told to
	ListArchives     ListKind = 13 // periods of key archives
)

// ListEffect is what LIST did: one query, whatever it found.
type ListEffect struct{ Kind ListKind }

func (e ListEffect) encode(w *Writer) { w.U8(uint8(e.Kind)) }

// DecodeListEffect reads a LIST record's effect.
func DecodeListEffect(b []byte) (ListEffect, error) {
	return decodeEffect(b, func(r *Reader) ListEffect { return ListEffect{ListKind(r.U8())} })
}

// UseEffect is a use record (이용 내역); its six items are in the detail.
type UseEffect struct {
	Store      uint64
	Definition string
	Subject    Digest
}

func (e UseEffect) encode(w *Writer) {
	w.U64(e.Store)
	w.Str(e.Definition)
	w.Raw(e.Subject[:])
}

// DecodeUseEffect reads a USE record's effect.
func DecodeUseEffect(b []byte) (UseEffect, error) {
	return decodeEffect(b, func(r *Reader) (e UseEffect) {
		e.Store = r.U64()
		e.Definition = r.Str()
		r.Raw(e.Subject[:])
		return e
	})
}

// DenyEffect is what DENY records: an attempt that was refused. Count is over
// the minute that Minute opens (microseconds) when a flood was aggregated.
type DenyEffect struct {
	Verb   Action
	Count  uint32
	Minute int64
}

func (e DenyEffect) encode(w *Writer) { w.U16(uint16(e.Verb)); w.U32(e.Count); w.I64(e.Minute) }

// DecodeDenyEffect reads a DENY record's effect.
func DecodeDenyEffect(b []byte) (DenyEffect, error) {
	return decodeEffect(b, func(r *Reader) DenyEffect {
		return DenyEffect{Action(r.U16()), r.U32(), r.I64()}
	})
}

// ActEffect is a signed act, kept whole in the history.
type ActEffect struct{ Signed []byte }

func (e ActEffect) encode(w *Writer) { w.Blob(e.Signed) }

// DecodeActEffect reads an ACT record's effect.
func DecodeActEffect(b []byte) (ActEffect, error) {
	return decodeEffect(b, func(r *Reader) ActEffect { return ActEffect{r.Blob()} })
}

// EnrolEffect says that Person's names (in the detail) were placed on record.
type EnrolEffect struct{ Person uint64 }

func (e EnrolEffect) encode(w *Writer) { w.U64(e.Person) }

// DecodeEnrolEffect reads an ENROL record's effect.
func DecodeEnrolEffect(b []byte) (EnrolEffect, error) {
	return decodeEffect(b, func(r *Reader) EnrolEffect { return EnrolEffect{r.U64()} })
}

// ExportScope says what an export holds.
type ExportScope uint8

// The scopes of an export (docs/formats/export.md).
const (
	ExportTree        ExportScope = 1 // the appliance's whole log
	ExportInstitution ExportScope = 2 // one institution's records
)

// ExportEffect is what EXPORT did: records left the appliance as evidence. First
// and End are what Apply found between Since and Until (microseconds, 0 for
// none), so a majority vouches that nothing between them is left out: sequences
// for a tree, the institution's own sequences for an institution. Without Until
// the range ends with the EXPORT record itself. Minimum, in the same count, is
// where the records begin that history retention has erased none of.
type ExportEffect struct {
	Scope        ExportScope
	Since, Until int64
	First, End   uint64
	Minimum      uint64
}

func (e ExportEffect) encode(w *Writer) {
	w.U8(uint8(e.Scope))
	w.I64(e.Since)
	w.I64(e.Until)
	w.U64(e.First)
	w.U64(e.End)
	w.U64(e.Minimum)
}

// DecodeExportEffect reads an EXPORT record's effect.
func DecodeExportEffect(b []byte) (ExportEffect, error) {
	return decodeEffect(b, func(r *Reader) ExportEffect {
		return ExportEffect{ExportScope(r.U8()), r.I64(), r.I64(), r.U64(), r.U64(), r.U64()}
	})
}
