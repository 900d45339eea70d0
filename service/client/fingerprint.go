package client

import (
	"crypto/sha256"
	"encoding/hex"
)

// Fingerprint is the fingerprint of a bundle whose documents have these SHA-256
// values, in order: "sha256:" and the hex of the value for one document, of the
// SHA-256 over all the values one after another for several.
func Fingerprint(documents ...[32]byte) string {
	if len(documents) == 1 {
		return "sha256:" + hex.EncodeToString(documents[0][:])
	}
	all := make([]byte, 0, len(documents)*sha256.Size)
	for _, d := range documents {
		all = append(all, d[:]...)
	}
	sum := sha256.Sum256(all)
	return "sha256:" + hex.EncodeToString(sum[:])
}
