package format

import "fmt"

// Detail is what a record says about people and reasons. It is sealed before it
// enters the log. Empty fields are not encoded.
type Detail struct {
	Purpose    string // 이용 목적
	UserName   string // 접근자 이름
	Department string // 소속
	Contact    string // 연락처
	Basis      string // retention basis, or legal basis
	Reason     string
	Subject    string // full DN of the acting principal
	Issuer     string // DN of its certificate's issuer
	Origin     string // network address the request came from
	Query      string // what a list asked for
	Name       string // a person's name, in ENROL; a hold's, in HOLD_PLACE
	Requester  string // who asked for it, outside the appliance (요청자)
	Salt       string // of an act's particulars, 32 hexadecimal digits
}

// fields are the fields in the order of their numbers. Number 12 stands for none:
// it is what a reader of the first version's vectors refuses.
func (d *Detail) fields() []*string {
	return []*string{&d.Purpose, &d.UserName, &d.Department, &d.Contact, &d.Basis, &d.Reason, &d.Subject, &d.Issuer, &d.Origin, &d.Query, &d.Name,
		nil, &d.Requester, &d.Salt}
}

// Encode returns the canonical bytes of d: for each field that is not empty, in
// order, its number from 1 and its text.
func (d Detail) Encode() []byte {
	var w Writer
	for i, f := range d.fields() {
		if f != nil && *f != "" {
			w.U8(uint8(i + 1))
			w.Str(*f)
		}
	}
	return w.Bytes()
}

// DecodeDetail reads what Encode wrote.
func DecodeDetail(b []byte) (Detail, error) {
	var d Detail
	fields := d.fields()
	r, last := NewReader(b), 0
	for len(r.b) > 0 && r.err == nil {
		n := int(r.U8())
		s := r.Str()
		if n <= last || n > len(fields) || fields[n-1] == nil || s == "" {
			return Detail{}, fmt.Errorf("%w: detail field %d", ErrMalformed, n)
		}
		*fields[n-1], last = s, n
	}
	return d, r.Done()
}

// Document describes one document of a bundle.
type Document struct {
	Name, MediaType string
	Size            uint64
	Digest          Digest
}

// Description stands, sealed, at the end of a bundle's plain bytes. The plain
// fingerprint exists only here and in answers.
type Description struct {
	Fingerprint Digest
	Basis       string
	Documents   []Document
}

// MaxDescription is the greatest length of an encoded description, bytes.
const MaxDescription = 256 << 10

// Encode returns the canonical bytes of d, then their length in four bytes, so
// that a reader finds it from the end.
func (d Description) Encode() []byte {
	var w Writer
	w.Raw(d.Fingerprint[:])
	w.Str(d.Basis)
	w.U32(uint32(len(d.Documents)))
	for _, doc := range d.Documents {
		w.Str(doc.Name)
		w.Str(doc.MediaType)
		w.U64(doc.Size)
		w.Raw(doc.Digest[:])
	}
	w.U32(uint32(len(w.b)))
	return w.Bytes()
}

// DecodeDescription reads the description at the end of tail and returns how
// many bytes it takes, its length included.
func DecodeDescription(tail []byte) (Description, int, error) {
	var d Description
	if len(tail) < 4 {
		return d, 0, fmt.Errorf("%w: no description", ErrMalformed)
	}
	lr := NewReader(tail[len(tail)-4:])
	n := int(lr.U32())
	if n > MaxDescription || n > len(tail)-4 {
		return d, 0, fmt.Errorf("%w: description of %d bytes, have %d", ErrMalformed, n, len(tail)-4)
	}
	r := NewReader(tail[len(tail)-4-n : len(tail)-4])
	r.Raw(d.Fingerprint[:])
	d.Basis = r.Str()
	d.Documents = list(r, 44, func(r *Reader) Document {
		doc := Document{Name: r.Str(), MediaType: r.Str(), Size: r.U64()}
		r.Raw(doc.Digest[:])
		return doc
	})
	return d, n + 4, r.Done()
}
