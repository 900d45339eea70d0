package client

import (
	"encoding/hex"

	"github.com/sago-worm/sago/store/format"
)

// Fingerprint is the fingerprint of a bundle whose documents have these SHA-256
// values, in order: "sha256:" and hex. For one document it is the document's own
// SHA-256; docs/formats/payload.md says what it is for several.
func Fingerprint(documents ...[32]byte) string {
	digests := make([]format.Digest, len(documents))
	for i, d := range documents {
		digests[i] = d
	}
	sum := format.Fingerprint(digests)
	return "sha256:" + hex.EncodeToString(sum[:])
}
