package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Entry is one step of a circulation stop or special deletion.
type Entry struct {
	Sequence    uint64
	Clock       int64 // quorum clock, microseconds; 0 before the first tick
	Action      string
	Institution uint32
	Transaction string
	Part        uint32
	Order       string
	Request     string // the act's nonce, 32 hexadecimal digits; empty for none
	Actor       uint64
	Leaf        format.Digest
	Record      []byte        // the exact bytes; what names people in it is sealed
	Previous    format.Digest // SHA-256 of the line before this one; zeros for the first
	Line        format.Digest // SHA-256 of this line
}

// line is an entry as it is written, in the order of its fields.
type line struct {
	Sequence    uint64  `json:"sequence"`
	Time        *string `json:"time"`
	Action      string  `json:"action"`
	Institution uint32  `json:"institution"`
	Transaction string  `json:"transaction"`
	Part        uint32  `json:"part"`
	Order       string  `json:"order"`
	Request     string  `json:"request"`
	Actor       uint64  `json:"actor"`
	LeafHash    string  `json:"leaf_hash"`
	Record      string  `json:"record"`
	Previous    string  `json:"previous"`
}

// timeLayout is RFC 3339 in UTC with all six digits of a microsecond.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// errLine refuses what is no line of a ledger.
var errLine = errors.New("not a line of a special-deletion ledger")

// entryOf is a step's entry behind the line with the hash previous.
func entryOf(s store.SpecialStep, previous format.Digest) Entry {
	e := Entry{
		Sequence: s.Record.Sequence, Clock: s.Record.Clock, Action: s.Record.Action.String(), Institution: s.Record.Institution,
		Transaction: s.Record.Transaction, Part: s.Record.Part, Order: s.Order, Actor: s.Record.Actor,
		Leaf: format.LeafHash(s.Encoded), Record: s.Encoded, Previous: previous,
	}
	if s.Act != (format.ID{}) {
		e.Request = hex.EncodeToString(s.Act[:])
	}
	return e
}

// encode is the entry's line without a line feed, and sets its hash.
func (e *Entry) encode() ([]byte, error) {
	l := line{
		Sequence: e.Sequence, Action: e.Action, Institution: e.Institution, Transaction: e.Transaction, Part: e.Part, Order: e.Order, Request: e.Request,
		Actor: e.Actor, LeafHash: hex.EncodeToString(e.Leaf[:]), Record: base64.StdEncoding.EncodeToString(e.Record), Previous: hex.EncodeToString(e.Previous[:]),
	}
	if e.Clock != 0 {
		at := time.UnixMicro(e.Clock).UTC().Format(timeLayout)
		l.Time = &at
	}
	var b bytes.Buffer
	j := json.NewEncoder(&b)
	j.SetEscapeHTML(false)
	if err := j.Encode(l); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	e.Line = sha256.Sum256(text)
	return text, nil
}

// decode reads what encode wrote, and nothing else: everything before the order
// and the request follows from the record.
func decode(text []byte) (Entry, error) {
	var l line
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return Entry{}, errLine
	}
	encoded, err := base64.StdEncoding.DecodeString(l.Record)
	if err != nil {
		return Entry{}, errLine
	}
	rec, err := format.DecodeRecord(encoded)
	if err != nil {
		return Entry{}, errLine
	}
	previous, err := hex.DecodeString(l.Previous)
	if err != nil || len(previous) != len(format.Digest{}) {
		return Entry{}, errLine
	}
	e := entryOf(store.SpecialStep{Record: rec, Encoded: encoded, Order: l.Order}, format.Digest(previous))
	e.Request = l.Request
	again, err := e.encode()
	if err != nil || !bytes.Equal(again, text) {
		return Entry{}, errLine
	}
	return e, nil
}
