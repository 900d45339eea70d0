package sink

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sago-worm/sago/store/format"
)

// line is what is sent of one record, in the order of its fields.
type line struct {
	Sequence            uint64  `json:"sequence"`
	Time                *string `json:"time"` // null before the first tick of the quorum clock
	Action              string  `json:"action"`
	Institution         uint32  `json:"institution"`
	InstitutionSequence uint64  `json:"institution_sequence"`
	Transaction         string  `json:"transaction"`
	Part                uint32  `json:"part"`
	Actor               uint64  `json:"actor"`
	Result              string  `json:"result"`
	Entry               uint64  `json:"entry"`
	LeafHash            string  `json:"leaf_hash"`
	Record              string  `json:"record"`
}

// timeLayout is RFC 3339 in UTC with all six digits of a microsecond.
const timeLayout = "2006-01-02T15:04:05.000000Z"

func instant(us int64) string { return time.UnixMicro(us).UTC().Format(timeLayout) }

// encodeLine answers a record's line, one JSON object in ASCII without a line
// feed, and what it was made of.
func encodeLine(encoded []byte) (text []byte, rec format.Record, leaf format.Digest, err error) {
	if rec, err = format.DecodeRecord(encoded); err != nil {
		return nil, rec, leaf, err
	}
	leaf = format.LeafHash(encoded)
	l := line{
		Sequence: rec.Sequence, Action: rec.Action.String(), Institution: rec.Institution, InstitutionSequence: rec.InstitutionSequence,
		Transaction: rec.Transaction, Part: rec.Part, Actor: rec.Actor, Result: rec.Result.String(), Entry: rec.Entry,
		LeafHash: hex.EncodeToString(leaf[:]), Record: base64.StdEncoding.EncodeToString(encoded),
	}
	if rec.Clock != 0 {
		at := instant(rec.Clock)
		l.Time = &at
	}
	text, err = json.Marshal(l)
	return ascii(text), rec, leaf, err
}

// ascii writes what is not ASCII as JSON escapes, so that a line survives every
// receiver's idea of character sets.
func ascii(text []byte) []byte {
	if bytes.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return text
	}
	var out []byte
	for _, r := range string(text) {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}

// errLine says that bytes are not a line of a sink.
var errLine = errors.New("not a line of a history sink")

// place is a record that is known to have been sent.
type place struct {
	sequence uint64
	leaf     format.Digest
}

// decodeLine reads back which record a line holds; a line whose parts do not fit
// each other is none.
func decodeLine(text []byte) (place, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return place{}, fmt.Errorf("%w: %w", errLine, err)
	}
	encoded, err := base64.StdEncoding.DecodeString(l.Record)
	if err != nil {
		return place{}, fmt.Errorf("%w: %w", errLine, err)
	}
	again, rec, leaf, err := encodeLine(encoded)
	if err != nil {
		return place{}, fmt.Errorf("%w: %w", errLine, err)
	}
	if !bytes.Equal(again, text) {
		return place{}, fmt.Errorf("%w: it differs from its record", errLine)
	}
	return place{rec.Sequence, leaf}, nil
}

// facilityAudit is syslog's "log audit".
const facilityAudit = 13

// severity is the syslog severity of a record: 3 for damage and alarms, 4 for
// what was refused, 5 for what changes who may do what or takes something away,
// 6 for everything else.
func severity(rec *format.Record) int {
	switch rec.Action {
	case format.ActDamage, format.ActAlarm:
		return 3
	case format.ActDeny:
		return 4
	}
	if rec.Result != format.ReasonOK {
		return 4
	}
	switch rec.Action {
	case format.ActSpecialRequest, format.ActSpecialApprove, format.ActSpecialVeto, format.ActSpecialExecute, format.ActHoldRelease,
		format.ActGrantApply, format.ActGrantEndorse, format.ActGrantDecide, format.ActGrantRevoke, format.ActPolicy, format.ActMember,
		format.ActRestore, format.ActBreakGlass, format.ActAct, format.ActEnrol, format.ActNodeStart, format.ActInstitution:
		return 5
	}
	return 6
}

// message is the syslog message (RFC 5424) of a record's line. It is ASCII, so
// no byte order mark precedes MSG.
func (o *Syslog) message(host string, text []byte, rec *format.Record, leaf format.Digest) []byte {
	at := "-"
	if rec.Clock != 0 {
		at = instant(rec.Clock)
	}
	return fmt.Appendf(nil, `<%d>1 %s %s sago - %s [sago@%d sequence="%d" leaf="%x" institution="%d" institutionSequence="%d" result="%s"] %s`,
		facilityAudit*8+severity(rec), at, host, rec.Action, o.enterprise(), rec.Sequence, leaf, rec.Institution, rec.InstitutionSequence,
		rec.Result, text)
}

// frame is a message with its length before it (RFC 5425).
func frame(message []byte) []byte {
	return append(append(strconv.AppendInt(nil, int64(len(message)), 10), ' '), message...)
}

// hostName is a node's name as a syslog HOSTNAME: printable ASCII without spaces.
func hostName(name string) string {
	out := []byte(name[:min(len(name), 255)])
	for i, b := range out {
		if b <= ' ' || b > '~' {
			out[i] = '_'
		}
	}
	if len(out) == 0 {
		return "-"
	}
	return string(out)
}
