package format

// InstitutionVerb says what an INSTITUTION record did.
type InstitutionVerb uint8

// The verbs.
const (
	InstitutionRegister InstitutionVerb = 1 // a tenant begins (이용기관 등록)
	InstitutionSuspend  InstitutionVerb = 2 // 휴지: no intake, no reads, no uses
	InstitutionResume   InstitutionVerb = 3 // ends a suspension
	// InstitutionNoSpecial ends special deletion for the institution, for good.
	InstitutionNoSpecial InstitutionVerb = 4
	// The cluster's own, of a closing (폐지).
	InstitutionSwept  InstitutionVerb = 5 // the closing went over bundles; those it keeps are named
	InstitutionClosed InstitutionVerb = 6 // everything is erased, and attested by every node
)

// InstitutionEffect is what an INSTITUTION record did to one institution. What it
// says about people stands in the detail.
type InstitutionEffect struct {
	Verb   InstitutionVerb
	Number uint32
	// Until is the end that a suspension announced, microseconds; else 0.
	Until int64
	// The others are a registration's. Quota bounds the bytes of its stored
	// payload; 0 for no bound.
	Code        string
	Quota       uint64
	Officers    []Person // ascending by id
	Definitions []Definition
	// Passed is the key of the last bundle that InstitutionSwept went over; empty
	// when it was the last one of all. Kept are those among them that stay as yet.
	Passed []byte
	Kept   []BundleKey
}

func (e InstitutionEffect) encode(w *Writer) {
	w.U8(uint8(e.Verb))
	w.U32(e.Number)
	w.I64(e.Until)
	w.Str(e.Code)
	w.U64(e.Quota)
	w.U32(uint32(len(e.Officers)))
	for _, p := range e.Officers {
		p.encode(w)
	}
	w.U32(uint32(len(e.Definitions)))
	for _, d := range e.Definitions {
		d.encode(w)
	}
	w.Blob(e.Passed)
	w.U32(uint32(len(e.Kept)))
	for _, k := range e.Kept {
		w.Raw(k.Encode())
	}
}

// DecodeInstitutionEffect reads an INSTITUTION record's effect.
func DecodeInstitutionEffect(b []byte) (InstitutionEffect, error) {
	return decodeEffect(b, func(r *Reader) (e InstitutionEffect) {
		e.Verb = InstitutionVerb(r.U8())
		e.Number, e.Until = r.U32(), r.I64()
		e.Code, e.Quota = r.Str(), r.U64()
		e.Officers = list(r, 49, readPerson)
		ascending(r, "officers", e.Officers, func(p Person) uint64 { return p.ID })
		e.Definitions = list(r, 13, readDefinition)
		e.Passed = r.Blob()
		e.Kept = list(r, 10, func(r *Reader) BundleKey { return BundleKey{r.U32(), r.Str(), r.U32()} })
		return e
	})
}

// TenantState is where an institution's life stands. The numbers are stored.
type TenantState uint8

// The states of an institution.
const (
	TenantActive    TenantState = 1
	TenantSuspended TenantState = 2 // 휴지
	TenantClosing   TenantState = 3 // 폐지: its bundles and its use-record keys are being erased
	TenantClosed    TenantState = 4
)

// String is the state's name as answers show it.
func (s TenantState) String() string {
	switch s {
	case TenantActive:
		return "active"
	case TenantSuspended:
		return "suspended"
	case TenantClosing:
		return "closing"
	case TenantClosed:
		return "closed"
	}
	return "unknown"
}

// TenantRow is an institution's life. An institution without one is active,
// without a quota.
type TenantRow struct {
	State TenantState
	// Since is the quorum clock at the record that made it so; Until is the end
	// that a suspension announced, 0 in other states. Microseconds.
	Since, Until int64
	// Quota bounds Used, the bytes of payload that are stored and not erased. Used
	// is counted only while there is a bound.
	Quota, Used uint64
	// NoSpecial says that nothing of it may be specially deleted any more.
	NoSpecial bool
	// Act is the nonce of its closing's act, Close the sequence of the record that
	// executed it plus one, Date the closing date; zero before.
	Act   ID
	Close uint64
	Date  int64
	// Passed is the key of the last bundle that the closing went over; empty before
	// the first. Swept says that it went over all of them.
	Passed []byte
	Swept  bool
	// Watch is the institution's own sequence from which on LastUse is kept, 0
	// before a closing is proposed. LastUse is the own sequence plus one of its
	// last USE record since; 0 for none.
	Watch, LastUse uint64
}

// Encode returns the canonical bytes of t.
func (t TenantRow) Encode() []byte {
	var w Writer
	w.U8(uint8(t.State))
	w.I64(t.Since)
	w.I64(t.Until)
	w.U64(t.Quota)
	w.U64(t.Used)
	w.Bool(t.NoSpecial)
	w.Raw(t.Act[:])
	w.U64(t.Close)
	w.I64(t.Date)
	w.Blob(t.Passed)
	w.Bool(t.Swept)
	w.U64(t.Watch)
	w.U64(t.LastUse)
	return w.Bytes()
}

// DecodeTenantRow reads what Encode wrote.
func DecodeTenantRow(v []byte) (TenantRow, error) {
	return decodeEffect(v, func(r *Reader) (t TenantRow) {
		t.State = TenantState(r.U8())
		t.Since, t.Until = r.I64(), r.I64()
		t.Quota, t.Used = r.U64(), r.U64()
		t.NoSpecial = r.Bool()
		r.Raw(t.Act[:])
		t.Close, t.Date = r.U64(), r.I64()
		t.Passed, t.Swept = r.Blob(), r.Bool()
		t.Watch, t.LastUse = r.U64(), r.U64()
		return t
	})
}
