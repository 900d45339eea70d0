package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/sago-worm/sago/store/format"
)

const (
	exportFormat     = "sago-export-1"
	scopeTree        = "tree"
	scopeInstitution = "institution"
	manifestName     = "export.json"
	maxManifest      = 64 << 10
)

// manifest is what export.json says. It is a claim: everything in it is held
// against the checkpoint and the EXPORT record.
type manifest struct {
	scope, cluster, code               string
	institution, since, until          uint64
	first, end, minimum, size, exports uint64
}

func (m manifest) tree() bool { return m.scope == scopeTree }

// effect is the EXPORT record's effect that export.json stands for.
func (m manifest) effect() format.ExportEffect {
	scope := format.ExportInstitution
	if m.tree() {
		scope = format.ExportTree
	}
	return format.ExportEffect{
		Scope: scope, Since: int64(m.since), Until: int64(m.until), First: m.first, End: m.end, Minimum: m.minimum,
	}
}

// object is a JSON object of which each member is still JSON; nil when text is
// none. Where a member stands twice, the last one counts.
func object(text []byte) map[string]json.RawMessage {
	var o map[string]json.RawMessage
	if !utf8.Valid(text) || json.Unmarshal(text, &o) != nil {
		return nil
	}
	return o
}

// fields reads members of fixed types; it is spoilt by one that is missing or of
// another type, and by one that nobody asked for.
type fields struct {
	members map[string]json.RawMessage
	asked   int
	spoilt  bool
}

func (f *fields) take(name string, first string) []byte {
	f.asked++
	raw := bytes.TrimSpace(f.members[name])
	if len(raw) == 0 || !bytes.ContainsRune([]byte(first), rune(raw[0])) {
		f.spoilt = true
		return nil
	}
	return raw
}

func (f *fields) text(name string) (s string) {
	if raw := f.take(name, `"`); raw != nil && json.Unmarshal(raw, &s) != nil {
		f.spoilt = true
	}
	return s
}

// number reads an integer from 0 to most.
func (f *fields) number(name string, most uint64) (n uint64) {
	if raw := f.take(name, "0123456789"); raw != nil && (json.Unmarshal(raw, &n) != nil || n > most) {
		f.spoilt = true
	}
	return n
}

// done reports whether all members were as asked, and no other is there.
func (f *fields) done() bool { return !f.spoilt && f.asked == len(f.members) }

func parseManifest(text []byte) (m manifest, err error) {
	f := &fields{members: object(text)}
	if f.text("format") != exportFormat {
		return m, failed(NotAnExport, manifestName, "it does not say that this is a %s", exportFormat)
	}
	switch complete := f.take("complete", "tf"); string(complete) {
	case "true":
	case "false":
		return m, failed(Unfinished, manifestName, "the export was not finished: begin it anew, or go on with it")
	default:
		return m, failed(ManifestMismatch, manifestName, "it does not say whether it is complete")
	}
	m.scope, m.cluster, m.code = f.text("scope"), f.text("cluster"), f.text("institution_code")
	m.institution = f.number("institution", math.MaxUint32)
	m.since, m.until = f.number("since", math.MaxInt64), f.number("until", math.MaxInt64)
	m.first, m.end, m.minimum = f.number("first", math.MaxInt64), f.number("end", math.MaxInt64), f.number("minimum", math.MaxInt64)
	m.size, m.exports = f.number("checkpoint_size", math.MaxInt64), f.number("export_sequence", math.MaxInt64)
	raw, herr := hex.DecodeString(m.cluster)
	if !f.done() || herr != nil || len(raw) != 16 || hex.EncodeToString(raw) != m.cluster || !slices.Contains([]string{scopeTree, scopeInstitution}, m.scope) {
		return m, failed(ManifestMismatch, manifestName, "a member is missing, too many, or of another form")
	}
	return m, nil
}

// fits holds the manifest against the checkpoint.
func (m manifest) fits(c format.Checkpoint) error {
	switch {
	case m.cluster != hex.EncodeToString(c.Cluster[:]):
		return failed(ManifestMismatch, manifestName, "cluster %s is not the checkpoint's", m.cluster)
	case m.size != c.Size:
		return failed(ManifestMismatch, manifestName, "checkpoint_size %d, the checkpoint says %d", m.size, c.Size)
	case m.first > m.end || m.end > m.size || m.minimum > m.size || m.exports >= m.size:
		return failed(ManifestMismatch, manifestName, "its ranges do not lie within the tree")
	}
	return nil
}
