package format_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/store/format"
)

// exampleTree is a tree of 42 records, the last of which is the example record.
func exampleTree() (root format.Digest, path []format.Digest) {
	stored := map[int64]tlog.Hash{}
	read := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, _ error) {
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for n := range int64(42) {
		leaf := tlog.RecordHash([]byte{byte(n)})
		if n == 41 {
			leaf = tlog.RecordHash(exampleRecordBytes())
		}
		hashes, err := tlog.StoredHashesForRecordHash(n, leaf, read)
		if err != nil {
			panic(err)
		}
		for i, h := range hashes {
			stored[tlog.StoredHashIndex(0, n)+int64(i)] = h
		}
	}
	h, err := tlog.TreeHash(42, read)
	if err != nil {
		panic(err)
	}
	p, err := tlog.ProveRecord(42, 41, read)
	if err != nil {
		panic(err)
	}
	for _, h := range p {
		path = append(path, format.Digest(h))
	}
	return format.Digest(h), path
}

// exampleProof verifies in full under the keys of the example ceremony.
func exampleProof() format.Proof {
	p := format.Proof{Sequence: 41, LeafHash: format.LeafHash(exampleRecordBytes()), Record: exampleRecordBytes()}
	e := format.CheckpointEffect{Checkpoint: exampleCheckpoint()}
	e.Checkpoint.Root, p.Path = exampleTree()
	var members []format.MemberRow
	for _, n := range exampleCeremony().Nodes {
		members = append(members, format.MemberRow{Number: n.Number, Name: n.Name, PublicKey: n.PublicKey})
	}
	for _, n := range []byte{1, 3} {
		e.Signatures = append(e.Signatures, format.NodeSignature{Node: uint32(n), Signature: sign(n, []byte(e.Checkpoint.Text()))})
	}
	p.Note = e.Note(members).String()
	return p
}

func tidyProof(p *format.Proof) {
	p.Note = strings.ToValidUTF8(p.Note, "?")
	p.Path = p.Path[:min(len(p.Path), 64)]
	if len(p.Path) == 0 {
		p.Path = nil
	}
}

func proofMutants() []mutant {
	text := string(exampleProof().Encode())
	replaced := func(fault, old, with string) mutant {
		if !strings.Contains(text, old) {
			panic("the proof does not contain " + old)
		}
		return mutant{"proof", "proof", fault, []byte(strings.Replace(text, old, with, 1))}
	}
	return []mutant{
		replaced("other-version", "/v1", "/v2"),
		replaced("sequence-as-text", "41,", `"41",`),
		replaced("sequence-with-fraction", "41,", "41.0,"),
		{"proof", "proof", "leaf-in-capitals", bytes.Replace(exampleProof().Encode(), leafText(), bytes.ToUpper(leafText()), 1)},
		replaced("path-too-short-hash", `"path": [`, `"path": ["00",`),
		replaced("field-twice", `"sequence": 41,`, `"sequence": 40, "sequence": 41,`),
		replaced("field-more", `"sequence": 41,`, `"sequence": 41, "size": 42,`),
		replaced("spaces", `": 41`, `":  41`),
		{"proof", "proof", "path-of-65", format.Proof{Path: make([]format.Digest, 65)}.Encode()},
	}
}

// TestExampleProofVerifies checks the vector by hand, with tlog and the note keys
// alone, as docs/formats/proof.md says.
func TestExampleProofVerifies(t *testing.T) {
	p, err := format.DecodeProof(exampleProof().Encode())
	if err != nil {
		t.Fatal(err)
	}
	n, err := format.ParseNote(p.Note)
	if err != nil {
		t.Fatal(err)
	}
	c, err := format.ParseCheckpoint(n.Text)
	if err != nil {
		t.Fatal(err)
	}
	var path tlog.RecordProof
	for _, h := range p.Path {
		path = append(path, tlog.Hash(h))
	}
	if err := tlog.CheckRecord(path, int64(c.Size), tlog.Hash(c.Root), int64(p.Sequence), tlog.Hash(p.LeafHash)); err != nil {
		t.Error(err)
	}
	for i, node := range []int{0, 2} {
		of := exampleCeremony().Nodes[node]
		key := format.NoteKey{Name: of.Name, Type: format.NoteECDSA, Key: of.PublicKey}
		if !key.Verify(n.Text, n.Lines[i]) {
			t.Errorf("line %d is not of %s", i, of.Name)
		}
	}
}

// TestProofIsWhatOtherToolsWrite: a JSON library's own indenting gives the same bytes.
func TestProofIsWhatOtherToolsWrite(t *testing.T) {
	b := exampleProof().Encode()
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(b), "", "  "); err != nil || out.String()+"\n" != string(b) {
		t.Errorf("%v\n%s", err, out.String())
	}
	if _, err := format.DecodeProof(out.Bytes()); !errors.Is(err, format.ErrMalformed) {
		t.Errorf("without its line feed: %v", err)
	}
}

func FuzzDecodeProof(f *testing.F) { fuzzCodecs(f, named("proof")) }

// leafText is the example's leaf hash as the file says it.
func leafText() []byte {
	leaf := exampleProof().LeafHash
	return []byte(hex.EncodeToString(leaf[:]))
}
