package client

import (
	"github.com/sago-worm/sago/store/format"
)

// VerifyCheckpoint reads a checkpoint (a C2SP signed note) and returns it with
// the names of the nodes whose signature verifies, each once and in the order of
// nodes. Lines of keys that are not among nodes (witnesses, former nodes) are
// passed over; a line under one of their keys that does not verify spoils the
// note. Whether the signers are enough is the caller's to judge. Errors wrap
// [ErrIntegrity].
func VerifyCheckpoint(note string, nodes []NodeKey) (format.Checkpoint, []string, error) {
	n, err := format.ParseNote(note)
	if err != nil {
		return format.Checkpoint{}, nil, integrity("the checkpoint: %v", err)
	}
	cp, err := format.ParseCheckpoint(n.Text)
	if err != nil {
		return cp, nil, integrity("%v", err)
	}
	var signers []string
	for _, node := range nodes {
		_, signed, spoilt := n.SignedBy(format.NoteKey{Name: node.Name, Type: format.NoteECDSA, Key: node.PublicKey})
		if spoilt {
			return cp, nil, integrity("the signature of %s on the checkpoint does not verify", node.Name)
		}
		if signed {
			signers = append(signers, node.Name)
		}
	}
	return cp, signers, nil
}
