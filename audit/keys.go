package audit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// maxKeys bounds a keys file, in bytes.
const maxKeys = 64 << 10

const keysTitle = "sago-keys-1"

// Keys is what the verifier trusts: brought along by whoever verifies, never
// taken from what is verified (P47).
type Keys struct {
	Origin string           // first line of the log's checkpoints
	Nodes  []format.NoteKey // more than half of them must have signed
	// Former are keys of those nodes that a restore replaced: certificates show what was
	// attested under them. They sign no checkpoint.
	Former    []format.NoteKey
	Witnesses []format.NoteKey
	Needed    int // witnesses that must have cosigned
}

// ContextKeys are the node keys that a context pins.
func ContextKeys(c client.Context) Keys {
	k := Keys{Origin: format.Origin(c.ClusterID)}
	for _, n := range c.Nodes {
		k.Nodes = append(k.Nodes, format.NoteKey{Name: n.Name, Type: format.NoteECDSA, Key: n.PublicKey})
		for _, f := range n.Former {
			k.Former = append(k.Former, format.NoteKey{Name: n.Name, Type: format.NoteECDSA, Key: f})
		}
	}
	return k
}

// String is a keys file.
func (k Keys) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\norigin %s\n", keysTitle, k.Origin)
	for _, n := range k.Nodes {
		fmt.Fprintf(&b, "node %s\n", n.VKey())
	}
	for _, f := range k.Former {
		fmt.Fprintf(&b, "former %s\n", f.VKey())
	}
	for _, w := range k.Witnesses {
		fmt.Fprintf(&b, "witness %s\n", w.VKey())
	}
	fmt.Fprintf(&b, "witnesses-needed %d\n", k.Needed)
	return b.String()
}

// ParseKeys reads a keys file. The error is a *Failure, KEYS_UNREADABLE.
func ParseKeys(text []byte) (Keys, error) {
	k, err := parseKeys(text)
	if err == nil {
		err = k.check()
	}
	if err != nil {
		return Keys{}, failed(KeysUnreadable, "", "the keys file: %v", err)
	}
	return k, nil
}

func parseKeys(text []byte) (k Keys, err error) {
	if len(text) > maxKeys || !utf8.Valid(text) {
		return k, fmt.Errorf("over %d bytes, or not UTF-8", maxKeys)
	}
	k.Needed = -1
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimRight(line, " \t\r")
		switch word, rest, _ := strings.Cut(line, " "); {
		case i == 0:
			if line != keysTitle {
				return k, fmt.Errorf("it does not begin with %q", keysTitle)
			}
		case line == "" || line[0] == '#':
		case word == "origin" && k.Origin == "":
			k.Origin = rest
		case word == "node":
			err = appendKey(&k.Nodes, rest)
		case word == "former":
			err = appendKey(&k.Former, rest)
		case word == "witness":
			err = appendKey(&k.Witnesses, rest)
		case word == "witnesses-needed" && k.Needed < 0:
			k.Needed, err = needed(rest)
		default:
			err = fmt.Errorf("unknown or repeated")
		}
		if err != nil {
			return k, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	k.Needed = max(k.Needed, 0)
	return k, nil
}

func appendKey(keys *[]format.NoteKey, word string) error {
	k, err := format.ParseVKey(word)
	*keys = append(*keys, k)
	return err
}

func needed(word string) (int, error) {
	n, err := strconv.ParseUint(word, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != word {
		return 0, fmt.Errorf("%q is not a number of witnesses", word)
	}
	return int(n), nil
}

// check refuses keys that could count one signer twice, or nobody.
func (k Keys) check() error {
	id, found := strings.CutPrefix(k.Origin, "sago.log/")
	raw, err := hex.DecodeString(id)
	if !found || err != nil || len(raw) != 16 || strings.ToLower(id) != id {
		return fmt.Errorf("origin %q is not sago.log/ and 32 hex digits", k.Origin)
	}
	if len(k.Nodes) == 0 {
		return fmt.Errorf("no node is listed")
	}
	if k.Needed > len(k.Witnesses) {
		return fmt.Errorf("%d of %d witnesses are needed", k.Needed, len(k.Witnesses))
	}
	for i, n := range k.Nodes {
		pub, err := x509.ParsePKIXPublicKey(n.Key)
		if key, ok := pub.(*ecdsa.PublicKey); err != nil || !ok || n.Type != format.NoteECDSA || key.Curve != elliptic.P256() {
			return fmt.Errorf("the key of node %s is not ECDSA P-256", n.Name)
		}
		if among(k.Nodes[:i], n) {
			return fmt.Errorf("name or key of node %s stands twice", n.Name)
		}
	}
	for _, f := range k.Former {
		if pub, err := x509.ParsePKIXPublicKey(f.Key); err != nil {
			return fmt.Errorf("a former key of node %s: %w", f.Name, err)
		} else if key, ok := pub.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			return fmt.Errorf("a former key of node %s is not ECDSA P-256", f.Name)
		}
		if !slices.ContainsFunc(k.Nodes, func(n format.NoteKey) bool { return n.Name == f.Name && n.Type == f.Type }) {
			return fmt.Errorf("a former key of node %s, which is not listed", f.Name)
		}
	}
	for i, w := range k.Witnesses {
		if w.Type != format.NoteCosignature {
			return fmt.Errorf("the key of witness %s is not one of a witness", w.Name)
		}
		if among(k.Witnesses[:i], w) {
			return fmt.Errorf("name or key of witness %s stands twice", w.Name)
		}
	}
	return nil
}

func among(keys []format.NoteKey, k format.NoteKey) bool {
	for _, other := range keys {
		if other.Name == k.Name || bytes.Equal(other.Key, k.Key) {
			return true
		}
	}
	return false
}

// signers are the names of the listed keys that signed; each counts once. A line
// under a listed name and key id that does not verify spoils the note.
func signers(n format.Note, keys []format.NoteKey) (names []string, spoilt string) {
	names = []string{}
	for _, k := range keys {
		_, signed, spoilt := n.SignedBy(k)
		if spoilt {
			return names, k.Name
		}
		if signed {
			names = append(names, k.Name)
		}
	}
	return names, ""
}
