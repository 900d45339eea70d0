package format

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// maxProof is the greatest number of hashes of a consistency proof (C2SP
// tlog-witness).
const maxProof = 63

// AddCheckpoint is what a log asks a witness: to cosign a checkpoint whose tree
// begins with the tree that the witness cosigned last (C2SP tlog-witness,
// docs/formats/checkpoint.md).
type AddCheckpoint struct {
	// Old is the size that the witness cosigned last, 0 for none.
	Old uint64
	// Proof is the RFC 6962 consistency proof from there; empty for 0 and for the
	// checkpoint's own size.
	Proof []Digest
	Note  Note
}

// String is the body of the request.
func (a AddCheckpoint) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "old %d\n", a.Old)
	for _, h := range a.Proof {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(a.Note.String())
	return b.String()
}

// ParseAddCheckpoint reads what String wrote, and nothing else. It verifies
// neither signature nor proof.
func ParseAddCheckpoint(s string) (a AddCheckpoint, err error) {
	head, note, ok := strings.Cut(s, "\n\n")
	lines := strings.Split(head, "\n")
	old, isOld := strings.CutPrefix(lines[0], "old ")
	if !ok || !isOld || len(lines) > 1+maxProof {
		return a, fmt.Errorf("%w: not an add-checkpoint request", ErrMalformed)
	}
	if a.Old, err = strconv.ParseUint(old, 10, 63); err != nil {
		return AddCheckpoint{}, fmt.Errorf("%w: old size", ErrMalformed)
	}
	for _, line := range lines[1:] {
		var h Digest
		if err := base64Digest(line, &h); err != nil {
			return AddCheckpoint{}, fmt.Errorf("%w: proof line %d", ErrMalformed, len(a.Proof)+1)
		}
		a.Proof = append(a.Proof, h)
	}
	if a.Note, err = ParseNote(note); err != nil {
		return AddCheckpoint{}, err
	}
	if a.String() != s {
		return AddCheckpoint{}, fmt.Errorf("%w: add-checkpoint request not canonical", ErrMalformed)
	}
	return a, nil
}

// lineFeed stands for a line feed in a note of one line.
const lineFeed = "|"

// OneLine is the note as one line, fit to be printed, typed and put into a QR
// code: a bar stands for each line feed. It is empty for a note that holds a bar
// itself, which no checkpoint of ours does.
func (n Note) OneLine() string {
	s := n.String()
	if strings.Contains(s, lineFeed) {
		return ""
	}
	return strings.ReplaceAll(s, "\n", lineFeed)
}

// ParseOneLine reads what OneLine wrote.
func ParseOneLine(s string) (Note, error) {
	if strings.Contains(s, "\n") {
		return Note{}, fmt.Errorf("%w: not a note of one line", ErrMalformed)
	}
	return ParseNote(strings.ReplaceAll(s, lineFeed, "\n"))
}
