package format

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Checkpoint is what the nodes sign about the history at one log entry: the
// body of a C2SP signed note (docs/formats/checkpoint.md).
type Checkpoint struct {
	Cluster ID
	// Size and Root are the history's Merkle tree (RFC 6962).
	Size uint64
	Root Digest
	// Entry is the index of the log entry (MARK) that fixed it.
	Entry uint64
	// Clock is the quorum clock there, microseconds.
	Clock int64
	// State is the running hash of every logical state change up to there.
	State Digest
}

// Origin is the first line of a cluster's checkpoints.
func Origin(cluster ID) string { return "sago.log/" + hex.EncodeToString(cluster[:]) }

// Text is the note's text: origin, size, root, and our extension lines.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\nentry %d\nclock %s\nstate %s\n", Origin(c.Cluster), c.Size,
		base64.StdEncoding.EncodeToString(c.Root[:]), c.Entry,
		time.UnixMicro(c.Clock).UTC().Format("2006-01-02T15:04:05.000000Z"), base64.StdEncoding.EncodeToString(c.State[:]))
}

// ParseCheckpoint reads what Text wrote.
func ParseCheckpoint(text string) (Checkpoint, error) {
	var c Checkpoint
	bad := func(what string) (Checkpoint, error) {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint %s", ErrMalformed, what)
	}
	l := strings.Split(text, "\n")
	if len(l) != 7 || l[6] != "" {
		return bad("lines")
	}
	id, ok := strings.CutPrefix(l[0], "sago.log/")
	raw, err := hex.DecodeString(id)
	if !ok || err != nil || len(raw) != len(c.Cluster) {
		return bad("origin")
	}
	copy(c.Cluster[:], raw)
	if c.Size, err = strconv.ParseUint(l[1], 10, 64); err != nil {
		return bad("size")
	}
	if err := base64Digest(l[2], &c.Root); err != nil {
		return bad("root")
	}
	if c.Entry, err = strconv.ParseUint(strings.TrimPrefix(l[3], "entry "), 10, 64); err != nil {
		return bad("entry")
	}
	t, err := time.Parse("2006-01-02T15:04:05.000000Z", strings.TrimPrefix(l[4], "clock "))
	if err != nil {
		return bad("clock")
	}
	c.Clock = t.UnixMicro()
	if err := base64Digest(strings.TrimPrefix(l[5], "state "), &c.State); err != nil {
		return bad("state")
	}
	if c.Text() != text {
		return bad("not canonical")
	}
	return c, nil
}

func base64Digest(s string, d *Digest) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != len(d) {
		return ErrMalformed
	}
	copy(d[:], raw)
	return nil
}

// NodeSignature is one node's signature over a checkpoint's text.
type NodeSignature struct {
	Node        uint32
	Incarnation ID
	Signature   []byte // ECDSA P-256 over SHA-256 of the text, ASN.1
}

// CheckpointEffect is a checkpoint with the signatures of a majority.
type CheckpointEffect struct {
	Checkpoint Checkpoint
	Signatures []NodeSignature // ascending by node
}

func (e CheckpointEffect) encode(w *Writer) {
	e.Checkpoint.fields(w)
	writeSignatures(w, e.Signatures)
}

// DecodeCheckpointEffect reads a CHECKPOINT record's effect.
func DecodeCheckpointEffect(b []byte) (CheckpointEffect, error) {
	return decodeEffect(b, func(r *Reader) (e CheckpointEffect) {
		e.Checkpoint = readCheckpoint(r)
		e.Signatures = readSignatures(r)
		return e
	})
}

// fields writes the checkpoint as effects carry it.
func (c Checkpoint) fields(w *Writer) {
	w.Raw(c.Cluster[:])
	w.U64(c.Size)
	w.Raw(c.Root[:])
	w.U64(c.Entry)
	w.I64(c.Clock)
	w.Raw(c.State[:])
}

func readCheckpoint(r *Reader) (c Checkpoint) {
	r.Raw(c.Cluster[:])
	c.Size = r.U64()
	r.Raw(c.Root[:])
	c.Entry = r.U64()
	c.Clock = r.I64()
	r.Raw(c.State[:])
	return c
}

func writeSignatures(w *Writer, list []NodeSignature) {
	w.U32(uint32(len(list)))
	for _, s := range list {
		w.U32(s.Node)
		w.Raw(s.Incarnation[:])
		w.Blob(s.Signature)
	}
}

func readSignatures(r *Reader) []NodeSignature {
	l := list(r, 24, func(r *Reader) NodeSignature { return NodeSignature{r.U32(), readID(r), r.Blob()} })
	ascending(r, "signatures", l, func(s NodeSignature) uint32 { return s.Node })
	return l
}
