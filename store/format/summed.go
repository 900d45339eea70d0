package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
)

// A summed text is a line of JSON and a line with its SHA-256 in hex
// (docs/formats/node-files.md): the form of the small files that a node keeps.

// EncodeSummed answers the summed text of a value. The error is json.Marshal's.
func EncodeSummed(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return fmt.Appendf(nil, "%s\n%x\n", text, sha256.Sum256(text)), err
}

// DecodeSummed reads what EncodeSummed wrote into v. Where it returns an error the
// text is damaged.
func DecodeSummed(raw []byte, v any) error {
	text, sum, _ := bytes.Cut(raw, []byte("\n"))
	if string(sum) != fmt.Sprintf("%x\n", sha256.Sum256(text)) {
		return errors.New("checksum")
	}
	return json.Unmarshal(text, v)
}
