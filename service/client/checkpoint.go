package client

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/sago-worm/sago/store/format"
)

// noteECDSA is the C2SP signature type of an ECDSA note.
const noteECDSA = 0x02

// VerifyCheckpoint reads a checkpoint (a C2SP signed note) and returns it with
// the names of the nodes whose signature verifies, each once and in the order of
// nodes. Lines of keys that are not among nodes (witnesses, former nodes) are
// passed over; a line under one of their keys that does not verify spoils the
// note. Whether the signers are enough is the caller's to judge. Errors wrap
// [ErrIntegrity].
func VerifyCheckpoint(note string, nodes []NodeKey) (format.Checkpoint, []string, error) {
	text, lines, ok := strings.Cut(note, "\n\n")
	if !ok || !strings.HasSuffix(lines, "\n") {
		return format.Checkpoint{}, nil, integrity("the checkpoint is not a signed note")
	}
	text += "\n"
	cp, err := format.ParseCheckpoint(text)
	if err != nil {
		return cp, nil, integrity("%v", err)
	}
	signed := map[string]bool{}
	for line := range strings.Lines(lines) {
		name, err := checkLine(strings.TrimSuffix(line, "\n"), text, nodes)
		if err != nil {
			return cp, nil, err
		}
		signed[name] = true
	}
	var signers []string
	for _, n := range nodes {
		if signed[n.Name] {
			signers = append(signers, n.Name)
		}
	}
	return cp, signers, nil
}

// checkLine returns the name of the node that signed by this line, "" when it
// is nobody's that we know.
func checkLine(line, text string, nodes []NodeKey) (string, error) {
	rest, dash := strings.CutPrefix(line, "— ")
	name, encoded, space := strings.Cut(rest, " ")
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !dash || !space || err != nil || len(raw) < 5 {
		return "", integrity("signature line %q is malformed", line)
	}
	i := slices.IndexFunc(nodes, func(n NodeKey) bool { return n.Name == name && keyID(n) == [4]byte(raw[:4]) })
	if i < 0 {
		return "", nil
	}
	key, err := parseNodeKey(nodes[i].PublicKey)
	if err != nil {
		return "", integrity("pinned key of %s: %v", name, err)
	}
	digest := sha256.Sum256([]byte(text))
	if !ecdsa.VerifyASN1(key, digest[:], raw[4:]) {
		return "", integrity("the signature of %s on the checkpoint does not verify", name)
	}
	return name, nil
}

// keyID is the C2SP key id of a node's key under its name.
func keyID(n NodeKey) [4]byte {
	h := sha256.New()
	h.Write([]byte(n.Name))
	h.Write([]byte{'\n', noteECDSA})
	h.Write(n.PublicKey)
	return [4]byte(h.Sum(nil)[:4])
}
