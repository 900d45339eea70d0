package retention

import "fmt"

// BasisKind says on whose word a record is kept. The numbers are stored and
// never change; a smaller number takes precedence.
type BasisKind uint8

// The kinds of bases, in precedence: a statutory period prevails over the data
// subject's choice, and that over the bundle definition.
const (
	BasisStatute    BasisKind = 1 // 법령
	BasisSubject    BasisKind = 2 // 정보주체의 선택
	BasisDefinition BasisKind = 3 // 묶음정보 정의
)

// ParseBasisKind reads "statute", "subject" or "definition"; anything else is
// ErrBasis.
func ParseBasisKind(s string) (BasisKind, error) {
	for k := BasisStatute; k <= BasisDefinition; k++ {
		if k.String() == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("%w: %q (statute, subject or definition)", ErrBasis, s)
}

// String is the name that ParseBasisKind reads, "invalid" for any other number.
func (k BasisKind) String() string {
	switch k {
	case BasisStatute:
		return "statute"
	case BasisSubject:
		return "subject"
	case BasisDefinition:
		return "definition"
	}
	return "invalid"
}

// Valid reports whether k is one of the three kinds.
func (k BasisKind) Valid() bool { return k >= BasisStatute && k <= BasisDefinition }

// Yields reports whether a rule kept on basis k may be replaced by a longer one
// on basis other: one of the same or a higher precedence.
func (k BasisKind) Yields(other BasisKind) bool {
	return k.Valid() && other.Valid() && other <= k
}
