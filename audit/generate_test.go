package audit_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/audit"
	"github.com/sago-worm/sago/store/format"
)

// This file writes exports as docs/formats/export.md draws them, from test keys
// that are derived from their names: the same input gives the same bytes.

type nodeKey struct {
	name string
	priv *ecdsa.PrivateKey
}

func testNode(t testing.TB, name string) nodeKey {
	t.Helper()
	d := sha256.Sum256([]byte("sago test node " + name))
	priv, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d[:])
	check(t, err)
	return nodeKey{name, priv}
}

func (n nodeKey) public(t testing.TB) format.NoteKey {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(n.priv.Public())
	check(t, err)
	return format.NoteKey{Name: n.name, Type: format.NoteECDSA, Key: der}
}

func testWitness(name string) (ed25519.PrivateKey, format.NoteKey) {
	seed := sha256.Sum256([]byte("sago test witness " + name))
	priv := ed25519.NewKeyFromSeed(seed[:])
	return priv, format.NoteKey{Name: name, Type: format.NoteCosignature, Key: priv.Public().(ed25519.PublicKey)}
}

// signNote signs a checkpoint by these nodes and witnesses.
func signNote(t testing.TB, c format.Checkpoint, nodes, witnesses []string) string {
	t.Helper()
	n := format.Note{Text: c.Text()}
	digest := sha256.Sum256([]byte(n.Text))
	for _, name := range nodes {
		k := testNode(t, name)
		sig, err := k.priv.Sign(nil, digest[:], crypto.SHA256) // deterministic, RFC 6979
		check(t, err)
		n.Lines = append(n.Lines, format.NoteLine{Name: name, KeyID: k.public(t).ID(), Signature: sig})
	}
	for _, name := range witnesses {
		priv, pub := testWitness(name)
		const seconds = 1767225700
		sig := binary.BigEndian.AppendUint64(nil, seconds)
		sig = append(sig, ed25519.Sign(priv, []byte(format.CosignatureMessage(n.Text, seconds)))...)
		n.Lines = append(n.Lines, format.NoteLine{Name: name, KeyID: pub.ID(), Signature: sig})
	}
	return n.String()
}

func testKeys(t testing.TB, cluster format.ID, nodes, witnesses []string, needed int) audit.Keys {
	t.Helper()
	k := audit.Keys{Origin: format.Origin(cluster), Needed: needed}
	for _, n := range nodes {
		k.Nodes = append(k.Nodes, testNode(t, n).public(t))
	}
	for _, w := range witnesses {
		_, pub := testWitness(w)
		k.Witnesses = append(k.Witnesses, pub)
	}
	return k
}

// testLog is a history and its tree, in memory.
type testLog struct {
	records []format.Record
	encoded [][]byte
	hashes  []tlog.Hash // stored hashes
	own     map[uint32]uint64
}

// ReadHashes implements tlog.HashReader.
func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = l.hashes[x]
	}
	return out, nil
}

// add appends a record and gives it its numbers.
func (l *testLog) add(t testing.TB, r format.Record) {
	t.Helper()
	if l.own == nil {
		l.own = map[uint32]uint64{}
	}
	r.Sequence, r.InstitutionSequence = uint64(len(l.records)), l.own[r.Institution]
	l.own[r.Institution]++
	b := r.Encode()
	h, err := tlog.StoredHashes(int64(r.Sequence), b, l)
	check(t, err)
	l.records, l.encoded, l.hashes = append(l.records, r), append(l.encoded, b), append(l.hashes, h...)
}

func (l *testLog) checkpoint(t testing.TB, cluster format.ID, size uint64) format.Checkpoint {
	t.Helper()
	root, err := tlog.TreeHash(int64(size), l)
	check(t, err)
	return format.Checkpoint{Cluster: cluster, Size: size, Root: format.Digest(root), Entry: size + 7, Clock: testStart + int64(size)*1_000_001}
}

// testStart is 2026-01-01T00:00:00Z.
const testStart = int64(1_767_225_600_000_000)

// everyday is record i of a made-up history: before the first tick, then stores,
// reads and refusals of two institutions, clock ticks, and an action of a later
// version.
func everyday(i uint64) format.Record {
	r := format.Record{Institution: uint32(i % 3), Front: 1, Entry: i + 7, Part: 1, Actor: 2}
	binary.BigEndian.PutUint64(r.Operation[8:], i)
	if i > 2 {
		r.Clock = testStart + int64(i)*1_000_001
		r.FrontEarliest, r.FrontLatest = r.Clock-5, r.Clock+5
	}
	switch {
	case i%3 == 0:
		r.Action, r.Part = format.ActClock, 0
	case i%50 == 1:
		r.Action, r.Result = format.ActDeny, format.ReasonNotPermitted
		r.Effect = format.EncodeEffect(format.DenyEffect{Verb: format.ActRead})
	case i%64 == 5:
		r.Action, r.Result = 200, 200
	default:
		r.Action, r.Transaction = format.ActRead, fmt.Sprintf("거래<&%d\u2028\"\\", i)
		r.Effect = format.EncodeEffect(format.ReadEffect{Store: i})
		r.DetailClass, r.DetailEpoch, r.Detail = format.DetailOther, 8104, []byte{byte(i), byte(i >> 8), 0xff}
	}
	return r
}

// line is a record's line for people.
func line(t testing.TB, r format.Record, encoded []byte) []byte {
	t.Helper()
	var at *string
	if r.Clock != 0 {
		s := time.UnixMicro(r.Clock).UTC().Format("2006-01-02T15:04:05.000000Z")
		at = &s
	}
	detail := map[string]string{}
	purpose := ""
	if r.Action == format.ActRead {
		purpose, detail = "대출 심사", map[string]string{"user_name": "홍길동"}
	}
	action := r.Action.String()
	if strings.HasPrefix(action, "ACTION_") {
		action = "OF_A_LATER_VERSION"
	}
	leaf := format.LeafHash(encoded)
	b, err := json.Marshal(struct {
		Sequence            uint64            `json:"sequence"`
		Time                *string           `json:"time"`
		Action              string            `json:"action"`
		Institution         string            `json:"institution"`
		InstitutionSequence uint64            `json:"institution_sequence"`
		Transaction         string            `json:"transaction"`
		Part                uint32            `json:"part"`
		Actor               string            `json:"actor"`
		Purpose             string            `json:"purpose"`
		Result              string            `json:"result"`
		Detail              map[string]string `json:"detail"`
		LeafHash            string            `json:"leaf_hash"`
	}{
		r.Sequence, at, action, fmt.Sprintf("demo%d", r.Institution), r.InstitutionSequence, r.Transaction, r.Part, "2", purpose,
		r.Result.String(), detail, fmt.Sprintf("%x", leaf),
	})
	check(t, err)
	return append(b, '\n')
}

// plan is an export to be written.
type plan struct {
	log         *testLog
	cluster     format.ID
	effect      format.ExportEffect
	institution uint32
	sequence    uint64 // of the EXPORT record
	note        string
	size        uint64
	carried     []uint64 // kept records below the minimum, by sequence
}

func (p plan) tree() bool { return p.effect.Scope == format.ExportTree }

// write writes the export to dir.
func (p plan) write(t testing.TB, dir string) {
	t.Helper()
	w := writer{t, dir}
	e := p.effect
	scope := "institution"
	if p.tree() {
		scope = "tree"
	}
	w.file("export.json", fmt.Appendf(nil, `{"format":"sago-export-1","scope":"%s","cluster":"%x","institution":%d,"institution_code":"demo%d",`+
		`"since":%d,"until":%d,"first":%d,"end":%d,"minimum":%d,"checkpoint_size":%d,"export_sequence":%d,"complete":true}`+"\n",
		scope, p.cluster, p.institution, p.institution, e.Since, e.Until, e.First, e.End, e.Minimum, p.size, p.sequence))
	w.file("checkpoint", []byte(p.note))
	bundled := map[uint64]bool{}
	if p.tree() {
		p.tiles(w)
		bundled = p.bundles(w)
	}
	p.records(w, bundled)
}

// tiles writes the hash tiles with the code of golang.org/x/mod, not ours.
func (p plan) tiles(w writer) {
	w.t.Helper()
	for _, tile := range tlog.NewTiles(8, 0, int64(p.size)) {
		data, err := tlog.ReadTileData(tile, p.log)
		check(w.t, err)
		w.file(strings.Replace(tile.Path(), "tile/8/", "tile/", 1), data)
	}
}

func (p plan) bundles(w writer) map[uint64]bool {
	w.t.Helper()
	in := map[uint64]bool{}
	end := p.effect.End
	if p.effect.Until == 0 {
		end = p.size
	}
	for n := uint64(0); n*256 < end; n++ {
		last := min(n*256+256, p.size)
		if n*256 < p.effect.Minimum || last <= p.effect.First {
			continue
		}
		var data []byte
		for s := n * 256; s < last; s++ {
			in[s] = true
			data = appendEntry(data, p.log.encoded[s])
		}
		w.tile("tile/entries", n, int(last-n*256), data)
	}
	return in
}

func (p plan) records(w writer, bundled map[uint64]bool) {
	w.t.Helper()
	var lines, records, proofs []byte
	n, width := uint64(0), 0
	flush := func() {
		if width > 0 {
			w.tile("records", n, width, records)
			w.tile("proofs", n, width, proofs)
			n, width, records, proofs = n+1, 0, nil, nil
		}
	}
	for s, r := range p.log.records[:p.size] {
		s := uint64(s)
		in, kept := p.holds(r)
		if in && kept {
			lines = append(lines, line(w.t, r, p.log.encoded[s])...)
		}
		if bundled[s] || !(in && kept) && s != p.sequence {
			continue
		}
		path, err := tlog.ProveRecord(int64(p.size), int64(s), p.log)
		check(w.t, err)
		var flat []byte
		for _, h := range path {
			flat = append(flat, h[:]...)
		}
		records, proofs, width = appendEntry(records, p.log.encoded[s]), appendEntry(proofs, flat), width+1
		if width == 256 {
			flush()
		}
	}
	flush()
	w.file("records.jsonl", lines)
}

// holds says whether a record lies in the range, and whether it still exists.
func (p plan) holds(r format.Record) (in, kept bool) {
	number := r.Sequence
	if !p.tree() {
		if r.Institution != p.institution {
			return false, false
		}
		number = r.InstitutionSequence
	}
	kept = number >= p.effect.Minimum
	for _, c := range p.carried {
		kept = kept || c == r.Sequence
	}
	return number >= p.effect.First && number < p.effect.End, kept
}

func appendEntry(data, entry []byte) []byte {
	return append(binary.BigEndian.AppendUint16(data, uint16(len(entry))), entry...)
}

type writer struct {
	t   testing.TB
	dir string
}

func (w writer) file(name string, data []byte) {
	w.t.Helper()
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	check(w.t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(w.t, os.WriteFile(path, data, 0o644))
}

func (w writer) tile(prefix string, n uint64, width int, data []byte) {
	w.t.Helper()
	tile := tlog.Tile{H: 8, L: 0, N: int64(n), W: width}
	w.file(strings.Replace(tile.Path(), "tile/8/0", prefix, 1), data)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
