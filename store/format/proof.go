package format

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// proofFormat names the file's kind and version.
const proofFormat = "sago-proof/v1"

// maxPath is the greatest length of an inclusion path: a tree has fewer than
// 2^64 leaves.
const maxPath = 64

// Proof is that a leaf is in the tree of a signed checkpoint, complete in itself
// (docs/formats/proof.md).
type Proof struct {
	Sequence uint64
	LeafHash Digest
	// Record is the canonical record; empty in a receipt, which shows none.
	Record []byte
	// Path is the RFC 6962 inclusion path, leaf side first.
	Path []Digest
	// Note is the checkpoint as a signed note.
	Note string
}

// proofFile is a proof as it is written.
type proofFile struct {
	Format     string   `json:"format"`
	Sequence   uint64   `json:"sequence"`
	LeafHash   string   `json:"leaf_hash"`
	Record     string   `json:"record"`
	Path       []string `json:"path"`
	Checkpoint string   `json:"checkpoint"`
}

// Encode is the proof's file: JSON, indented by two spaces, with a line feed at
// its end.
func (p Proof) Encode() []byte {
	f := proofFile{Format: proofFormat, Sequence: p.Sequence, LeafHash: hex.EncodeToString(p.LeafHash[:]),
		Record: hex.EncodeToString(p.Record), Path: []string{}, Checkpoint: p.Note}
	for _, h := range p.Path {
		f.Path = append(f.Path, hex.EncodeToString(h[:]))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(f); err != nil {
		panic(err) // strings and numbers always encode
	}
	return b.Bytes()
}

// DecodeProof reads what Encode wrote, and nothing else. It verifies nothing.
func DecodeProof(b []byte) (Proof, error) {
	var f proofFile
	if err := json.Unmarshal(b, &f); err != nil {
		return Proof{}, fmt.Errorf("%w: proof: %w", ErrMalformed, err)
	}
	p := Proof{Sequence: f.Sequence, Note: f.Checkpoint}
	err := hexDigest(f.LeafHash, &p.LeafHash)
	if err == nil && f.Record != "" {
		p.Record, err = hex.DecodeString(f.Record)
	}
	for _, h := range f.Path {
		var d Digest
		if err == nil {
			err = hexDigest(h, &d)
		}
		p.Path = append(p.Path, d)
	}
	if err != nil || len(p.Path) > maxPath || len(p.Record) > MaxRecord || !bytes.Equal(p.Encode(), b) {
		return Proof{}, fmt.Errorf("%w: proof", ErrMalformed)
	}
	return p, nil
}

func hexDigest(s string, d *Digest) error {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(d) {
		return ErrMalformed
	}
	copy(d[:], raw)
	return nil
}
