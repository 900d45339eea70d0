package access

import (
	"crypto/sha256"
	"encoding/binary"
)

// Identity names a principal: SHA-256 over the length of the issuer's
// distinguished name (four bytes, big-endian), that name, and the subject's
// distinguished name, both as DER in the certificate. The length keeps two
// splits of the same bytes apart.
func Identity(issuerDER, subjectDER []byte) [32]byte {
	b := make([]byte, 0, 4+len(issuerDER)+len(subjectDER))
	b = binary.BigEndian.AppendUint32(b, uint32(len(issuerDER)))
	b = append(b, issuerDER...)
	b = append(b, subjectDER...)
	return sha256.Sum256(b)
}
