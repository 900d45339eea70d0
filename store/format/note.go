package format

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// The C2SP signature types that notes of ours carry.
const (
	NoteECDSA       = 0x02 // a node's: ECDSA P-256 over SHA-256 of the text, ASN.1
	NoteCosignature = 0x04 // a witness's: timestamped Ed25519 cosignature/v1
)

// maxNote is the greatest length of a signed note, bytes, and maxNoteLines of its
// signatures (C2SP signed-note asks readers to take at least 16).
const (
	maxNote      = 64 << 10
	maxNoteLines = 64
)

// Note is a C2SP signed note: a text and the lines that sign it
// (docs/formats/checkpoint.md).
type Note struct {
	// Text is what is signed; it ends with a line feed.
	Text  string
	Lines []NoteLine
}

// NoteLine is one signature line.
type NoteLine struct {
	Name      string
	KeyID     uint32
	Signature []byte // without the key id
}

// String is the note's text, an empty line, and its signature lines.
func (n Note) String() string {
	var b strings.Builder
	b.WriteString(n.Text)
	b.WriteByte('\n')
	for _, l := range n.Lines {
		b.WriteString(l.String())
	}
	return b.String()
}

// String is the line with its line feed.
func (l NoteLine) String() string {
	raw := append(binary.BigEndian.AppendUint32(nil, l.KeyID), l.Signature...)
	return "— " + l.Name + " " + base64.StdEncoding.EncodeToString(raw) + "\n"
}

// ParseNote reads what String wrote, and nothing else. It verifies no signature.
func ParseNote(s string) (Note, error) {
	var n Note
	at := strings.LastIndex(s, "\n\n")
	if at < 0 || len(s) > maxNote {
		return n, fmt.Errorf("%w: not a signed note", ErrMalformed)
	}
	n.Text = s[:at+1]
	for line := range strings.Lines(s[at+2:]) {
		l, err := ParseNoteLine(line)
		if err != nil || len(n.Lines) == maxNoteLines {
			return Note{}, fmt.Errorf("%w: signature line %d", ErrMalformed, len(n.Lines)+1)
		}
		n.Lines = append(n.Lines, l)
	}
	if len(n.Lines) == 0 || n.String() != s {
		return Note{}, fmt.Errorf("%w: not a signed note", ErrMalformed)
	}
	return n, nil
}

// ParseNoteLine reads one signature line with its line feed.
func ParseNoteLine(s string) (NoteLine, error) {
	rest, dash := strings.CutPrefix(s, "— ")
	rest, end := strings.CutSuffix(rest, "\n")
	name, encoded, space := strings.Cut(rest, " ")
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !dash || !end || !space || err != nil || len(raw) < 5 || !validKeyName(name) {
		return NoteLine{}, fmt.Errorf("%w: signature line", ErrMalformed)
	}
	return NoteLine{Name: name, KeyID: binary.BigEndian.Uint32(raw), Signature: raw[4:]}, nil
}

// validKeyName keeps names fit for signature lines and verifier keys.
func validKeyName(name string) bool {
	return name != "" && len(name) <= 256 && !strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c == '+' || c == 0x7f || c == 0xfffd || c == 0x85 || c == 0xa0 })
}

// NoteKey is a key that verifies note lines: a node's (Key is PKIX DER) or a
// witness's (Key is 32 bytes of Ed25519).
type NoteKey struct {
	Name string
	Type byte // NoteECDSA or NoteCosignature
	Key  []byte
}

// ID is the C2SP key id: the first four bytes of SHA-256(name ‖ LF ‖ type ‖ key).
func (k NoteKey) ID() uint32 {
	h := sha256.New()
	h.Write([]byte(k.Name))
	h.Write([]byte{'\n', k.Type})
	h.Write(k.Key)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// VKey is the key as one word: name, key id in hex, base64 of type and key.
func (k NoteKey) VKey() string {
	return fmt.Sprintf("%s+%08x+%s", k.Name, k.ID(), base64.StdEncoding.EncodeToString(append([]byte{k.Type}, k.Key...)))
}

// ParseVKey reads what VKey wrote, of a type that this package verifies.
func ParseVKey(s string) (NoteKey, error) {
	bad := func(what string) (NoteKey, error) {
		return NoteKey{}, fmt.Errorf("%w: verifier key: %s", ErrMalformed, what)
	}
	parts := strings.SplitN(s, "+", 3)
	if len(parts) != 3 || !validKeyName(parts[0]) {
		return bad("not name+id+key")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(raw) < 2 {
		return bad("base64")
	}
	k := NoteKey{Name: parts[0], Type: raw[0], Key: raw[1:]}
	switch k.Type {
	case NoteECDSA:
		if _, err := x509.ParsePKIXPublicKey(k.Key); err != nil {
			return bad("not a PKIX public key")
		}
	case NoteCosignature:
		if len(k.Key) != ed25519.PublicKeySize {
			return bad("not an Ed25519 key")
		}
	default:
		return bad("type " + strconv.Itoa(int(k.Type)))
	}
	if id, err := strconv.ParseUint(parts[1], 16, 32); err != nil || len(parts[1]) != 8 || uint32(id) != k.ID() {
		return bad("its id is another key's")
	}
	return k, nil
}

// Signed reports whether the line is under this key's name and id.
func (k NoteKey) Signed(l NoteLine) bool { return l.Name == k.Name && l.KeyID == k.ID() }

// Verify reports whether the line is this key's valid signature of the text.
func (k NoteKey) Verify(text string, l NoteLine) bool {
	if !k.Signed(l) {
		return false
	}
	switch k.Type {
	case NoteECDSA:
		pub, err := x509.ParsePKIXPublicKey(k.Key)
		ec, ok := pub.(*ecdsa.PublicKey)
		digest := sha256.Sum256([]byte(text))
		return err == nil && ok && ecdsa.VerifyASN1(ec, digest[:], l.Signature)
	case NoteCosignature:
		seconds, sig, ok := l.Cosignature()
		return ok && ed25519.Verify(k.Key, []byte(CosignatureMessage(text, seconds)), sig)
	}
	return false
}

// LineOf answers the first line of the note that is this key's valid signature.
func (n Note) LineOf(k NoteKey) (NoteLine, bool) {
	for _, l := range n.Lines {
		if k.Verify(n.Text, l) {
			return l, true
		}
	}
	return NoteLine{}, false
}

// SignedBy is LineOf for a key whose lines must all be good: one under its name and
// id that does not verify spoils the note.
func (n Note) SignedBy(k NoteKey) (line NoteLine, signed, spoilt bool) {
	for _, l := range n.Lines {
		switch {
		case !k.Signed(l):
		case !k.Verify(n.Text, l):
			return NoteLine{}, false, true
		case !signed:
			line, signed = l, true
		}
	}
	return line, signed, false
}

// Cosignature splits a witness's line: when it signed, in seconds since the Unix
// epoch by the witness's own clock, and the Ed25519 signature.
func (l NoteLine) Cosignature() (seconds uint64, signature []byte, ok bool) {
	if len(l.Signature) != 8+ed25519.SignatureSize {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(l.Signature), l.Signature[8:], true
}

// CosignatureMessage is what a witness signs (C2SP tlog-cosignature,
// cosignature/v1).
func CosignatureMessage(text string, seconds uint64) string {
	return "cosignature/v1\ntime " + strconv.FormatUint(seconds, 10) + "\n" + text
}

// Note is the checkpoint as a signed note: each member's signature under its name
// and key.
func (e CheckpointEffect) Note(members []MemberRow) Note {
	n := Note{Text: e.Checkpoint.Text()}
	for _, s := range e.Signatures {
		for _, m := range members {
			if m.Number == s.Node {
				n.Lines = append(n.Lines, NoteLine{Name: m.Name, KeyID: NoteKey{m.Name, NoteECDSA, m.PublicKey}.ID(), Signature: s.Signature})
			}
		}
	}
	return n
}
