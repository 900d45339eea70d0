package service

import (
	"strings"
	"unicode/utf8"

	"github.com/sago-worm/sago/access"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// Limits of what a request says, bytes. Sealed details have 8 KiB together.
const (
	maxPurpose   = 1024
	maxBasis     = 2048
	maxField     = 256  // a name, a department, a contact
	maxName      = 1024 // a distinguished name
	maxCI        = 256
	maxBundleID  = 64
	maxDocuments = 1000
	maxUnary     = 4 << 20
)

// printable reports whether s is text of at most n bytes without control
// characters.
func printable(s string, n int) bool {
	return len(s) <= n && utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

func checkTransaction(s string) error {
	if s == "" || !printable(s, format.MaxTransaction) {
		return invalid(format.ReasonInvalid, "a transaction number has 1 to 128 bytes without control characters")
	}
	return nil
}

// bundleKey names a bundle of the caller's institution. Part 0 is part 1.
func bundleKey(c *caller, transaction string, part uint32) (format.BundleKey, error) {
	return format.BundleKey{Institution: c.Institution, Transaction: transaction, Part: max(part, 1)}, checkTransaction(transaction)
}

// newBundle is a put's header, checked.
type newBundle struct {
	key        format.BundleKey
	definition string
	subjectCI  string
	rule       retention.Rule
	basis      string
	basisKind  retention.BasisKind
	documents  []format.Document // digests still zero
	size       uint64
}

// checkHeader reads a put's header; most is the greatest size of its documents
// together.
func checkHeader(c *caller, h *sagov1.BundleHeader, most uint64) (b newBundle, err error) {
	if h == nil {
		return b, invalid(format.ReasonInvalid, "a put begins with a header")
	}
	if b.key, err = bundleKey(c, h.GetTransaction(), h.GetPart()); err != nil {
		return b, err
	}
	if b.rule, b.basisKind, err = checkBasis(h.GetRetain(), h.GetBasisKind(), h.GetBasis()); err != nil {
		return b, err
	}
	b.definition, b.subjectCI, b.basis = h.GetBundleId(), h.GetSubjectCi(), h.GetBasis()
	switch {
	case b.definition == "" || !printable(b.definition, maxBundleID):
		return b, invalid(format.ReasonInvalid, "a bundle id has 1 to %d bytes", maxBundleID)
	case b.subjectCI == "" || !printable(b.subjectCI, maxCI):
		return b, invalid(format.ReasonInvalid, "a subject's CI has 1 to %d bytes", maxCI)
	}
	return b, b.takeDocuments(h.GetDocuments(), most)
}

// checkBasis reads a rule with the kind and reference of what it rests on.
func checkBasis(retain, basisKind, basis string) (rule retention.Rule, kind retention.BasisKind, err error) {
	if rule, err = retention.ParseRule(retain); err != nil {
		return rule, kind, invalid(format.ReasonBadRule, "%v", err)
	}
	if basisKind == "" {
		basisKind = retention.BasisStatute.String()
	}
	if kind, err = retention.ParseBasisKind(basisKind); err != nil {
		return rule, kind, invalid(format.ReasonBasis, "the kind of a basis is statute, subject or definition")
	}
	if basis == "" || !printable(basis, maxBasis) {
		return rule, kind, invalid(format.ReasonBasis, "a basis has 1 to %d bytes without control characters", maxBasis)
	}
	return rule, kind, nil
}

func (b *newBundle) takeDocuments(headers []*sagov1.DocumentHeader, most uint64) error {
	if len(headers) == 0 || len(headers) > maxDocuments {
		return invalid(format.ReasonInvalid, "a bundle holds 1 to %d documents", maxDocuments)
	}
	for _, d := range headers {
		if !printable(d.GetName(), maxField) || !printable(d.GetMediaType(), maxField) {
			return invalid(format.ReasonInvalid, "a document's name and media type have at most %d bytes without control characters", maxField)
		}
		if d.GetSize() > most || b.size+d.GetSize() > most {
			return invalid(format.ReasonTooLarge, "at most %d bytes in this call", most)
		}
		b.size += d.GetSize()
		b.documents = append(b.documents, format.Document{Name: d.GetName(), MediaType: d.GetMediaType(), Size: d.GetSize()})
	}
	if len((format.Description{Basis: b.basis, Documents: b.documents}).Encode()) > format.MaxDescription {
		return invalid(format.ReasonTooLarge, "the documents' names are too long together")
	}
	return nil
}

// actingPerson is the detail of a read or a use: who does it, what for. A
// person's own name stands in where none is given; an application names whom it
// acts for (R18).
func actingPerson(c *caller, who *sagov1.Who) (format.Detail, error) {
	d := c.detail()
	d.Purpose, d.UserName, d.Department, d.Contact = who.GetPurpose(), who.GetUserName(), who.GetUserDepartment(), who.GetUserContact()
	if strings.TrimSpace(d.Purpose) == "" {
		return d, invalid(format.ReasonPurpose, "the purpose is missing")
	}
	if c.Role == access.RoleApplication {
		if d.UserName == "" || d.Department == "" || d.Contact == "" {
			return d, invalid(format.ReasonPurpose, "an application names the person, their department and contact")
		}
	} else {
		d.UserName, d.Department, d.Contact = either(d.UserName, c.name), either(d.Department, c.department), either(d.Contact, c.contact)
	}
	return d, checkWho(d)
}

func checkWho(d format.Detail) error {
	if !printable(d.Purpose, maxPurpose) {
		return invalid(format.ReasonInvalid, "a purpose has at most %d bytes without control characters", maxPurpose)
	}
	for _, f := range []string{d.UserName, d.Department, d.Contact} {
		if !printable(f, maxField) {
			return invalid(format.ReasonInvalid, "a name, department or contact has at most %d bytes without control characters", maxField)
		}
	}
	return nil
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
