package audit

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/sago-worm/sago/store/format"
)

const (
	readableName = "records.jsonl"
	maxLine      = 256 << 10
)

// readable holds the lines for people against the records, side by side. Its
// first failure is kept until the records themselves are checked: what is signed
// weighs more than what is shown.
type readable struct {
	file    *os.File
	lines   *bufio.Reader
	line    int
	failure error
}

func openReadable(dir folder) (*readable, error) {
	f, err := dir.open(readableName)
	if err != nil {
		return nil, err
	}
	return &readable{file: f, lines: bufio.NewReaderSize(f, maxLine)}, nil
}

func (r *readable) close() error {
	if err := r.file.Close(); err != nil {
		return failed(IOError, readableName, "%v", err)
	}
	return nil
}

// hold reads the next line, which must be this record's.
func (r *readable) hold(rec format.Record, encoded []byte) {
	if r.failure != nil {
		return
	}
	r.line++
	text, err := r.lines.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		r.fail(FileShort, "the line of record %d is not there", rec.Sequence)
	case errors.Is(err, bufio.ErrBufferFull):
		r.fail(ReadableMismatch, "over %d bytes", maxLine)
	case err != nil:
		r.fail(IOError, "%v", err)
	default:
		if wrong := differs(bytes.TrimSuffix(text, []byte("\n")), rec, encoded); wrong != "" {
			r.fail(ReadableMismatch, "not what was signed of record %d: %s", rec.Sequence, wrong)
		}
	}
}

func (r *readable) fail(reason Reason, detail string, args ...any) {
	r.failure = failed(reason, fmt.Sprintf("%s line %d", readableName, r.line), detail, args...)
}

// end returns the first failure; a line too many is one.
func (r *readable) end() error {
	if r.failure != nil {
		return r.failure
	}
	r.line++
	switch _, err := r.lines.ReadByte(); {
	case err == nil:
		r.fail(ReadableMismatch, "a line of no record in the range")
	case !errors.Is(err, io.EOF):
		r.fail(IOError, "%v", err)
	}
	return r.failure
}

// differs says what of a line is not what the record's bytes say. Names, purpose
// and detail are what the appliance opened for whoever asked: shown, not proven.
func differs(text []byte, rec format.Record, encoded []byte) string {
	f := &fields{members: object(text)}
	sequence, own := f.number("sequence", math.MaxUint64), f.number("institution_sequence", math.MaxUint64)
	part := f.number("part", math.MaxUint32)
	at, action, result := f.optional("time"), f.text("action"), f.text("result")
	transaction, leaf := f.text("transaction"), f.text("leaf_hash")
	for _, shown := range []string{"institution", "actor", "purpose"} {
		f.text(shown)
	}
	f.texts("detail")
	if !f.done() {
		return "a member is missing, too many, or of another form"
	}
	digest := format.LeafHash(encoded)
	switch {
	case sequence != rec.Sequence:
		return "sequence"
	case !same(at, instant(uint64(max(rec.Clock, 0)))):
		return "time"
	case !named(action, rec.Action.String(), "ACTION_"):
		return "action"
	case own != rec.InstitutionSequence:
		return "institution_sequence"
	case transaction != rec.Transaction:
		return "transaction"
	case part != uint64(rec.Part):
		return "part"
	case !named(result, rec.Result.String(), "REASON_"):
		return "result"
	case leaf != hex.EncodeToString(digest[:]):
		return "leaf_hash"
	}
	return ""
}

// named compares a name. A number that this version has no name for is let pass:
// a later one gave it, and what is signed is the number.
func named(shown, name, unknown string) bool {
	return shown == name || strings.HasPrefix(name, unknown)
}

func same(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// optional reads a string or null.
func (f *fields) optional(name string) *string {
	if string(bytes.TrimSpace(f.members[name])) == "null" {
		f.asked++
		return nil
	}
	s := f.text(name)
	return &s
}

// texts makes sure that a member is an object of strings.
func (f *fields) texts(name string) {
	raw := f.take(name, "{")
	inner := &fields{members: object(raw)}
	for key := range inner.members {
		inner.text(key)
	}
	f.spoilt = f.spoilt || inner.members == nil || inner.spoilt
}
