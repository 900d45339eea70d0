package gate

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/store/format"
)

// members are the pinned node keys and the incarnations that a majority has
// accepted.
type members struct {
	cluster format.ID
	rows    map[uint32]*member
	pending []change // not under a checkpoint yet, ascending
}

type member struct {
	key              *ecdsa.PublicKey
	current, joining format.ID
	gone             []format.ID
}

// change is a MEMBER record that no checkpoint of the majority before it covers yet.
type change struct {
	seq uint64
	e   format.MemberEffect
}

// readCeremony pins the keys that the ceremony lists: its record must be the first,
// and its document the one whose digest the custodian was given.
func readCeremony(rec *format.Record, want format.Digest) (*members, format.Ceremony, error) {
	var c format.Ceremony
	if rec.Sequence != 0 || rec.Action != format.ActAct {
		return nil, c, refuse("the history does not begin with the ceremony")
	}
	e, err := format.DecodeActEffect(rec.Effect)
	if err != nil {
		return nil, c, err
	}
	signed, err := format.DecodeSignedAct(e.Signed)
	if err != nil {
		return nil, c, err
	}
	if sha256.Sum256(signed.Document) != want {
		return nil, c, refuse("the history begins with another ceremony")
	}
	act, err := format.DecodeAct(signed.Document)
	if err != nil {
		return nil, c, err
	}
	if c, err = format.DecodeCeremony(act.Params); err != nil {
		return nil, c, err
	}
	m := &members{cluster: act.Cluster, rows: map[uint32]*member{}}
	for _, n := range c.Nodes {
		pub, err := x509.ParsePKIXPublicKey(n.PublicKey)
		key, ok := pub.(*ecdsa.PublicKey)
		if err != nil || !ok {
			return nil, c, refuse("node %d of the ceremony has no key", n.Number)
		}
		m.rows[n.Number] = &member{key: key, current: n.Incarnation}
	}
	return m, c, nil
}

// note keeps a MEMBER record until a checkpoint covers it. Without the node's own
// signature it is none.
func (m *members) note(rec *format.Record) error {
	e, err := format.DecodeMemberEffect(rec.Effect)
	if err != nil {
		return err
	}
	row, ok := m.rows[e.Node]
	if !ok || !verify(row.key, e.Message(m.cluster), e.Signature) {
		return refuse("record %d moves no pinned node", rec.Sequence)
	}
	m.pending = append(m.pending, change{rec.Sequence, e})
	return nil
}

// settle takes in the changes below size, which the majority before them signed.
func (m *members) settle(size uint64) {
	for len(m.pending) > 0 && m.pending[0].seq < size {
		e := m.pending[0].e
		m.pending = m.pending[1:]
		row := m.rows[e.Node]
		switch e.State {
		case format.MemberJoining:
			row.retire(row.joining)
			row.joining = e.Incarnation
		case format.MemberVoter:
			row.retire(row.current)
			row.current, row.joining = e.Incarnation, format.ID{}
		}
	}
}

func (r *member) retire(id format.ID) {
	if id != (format.ID{}) {
		r.gone = append(r.gone, id)
	}
}

// majority is how many of the pinned keys have to sign.
func (m *members) majority() int { return len(m.rows)/2 + 1 }

// check verifies that a majority of the pinned keys signed a checkpoint's text. It
// is the key that is pinned, whatever incarnation used it.
func (m *members) check(e format.CheckpointEffect) error {
	text := []byte(e.Checkpoint.Text())
	seen := map[uint32]bool{}
	for _, s := range e.Signatures {
		if row, ok := m.rows[s.Node]; ok && !seen[s.Node] && verify(row.key, text, s.Signature) {
			seen[s.Node] = true
		}
	}
	if len(seen) < m.majority() {
		return refuse("the checkpoint of size %d is signed by %d of %d pinned keys", e.Checkpoint.Size, len(seen), len(m.rows))
	}
	return nil
}

func verify(key *ecdsa.PublicKey, message, signature []byte) bool {
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(key, sum[:], signature)
}

// admitGone insists that the incarnations were all replaced by the one that writes
// this history, and that it votes.
func (m *members) admitGone(own format.ID, incarnations []format.ID) error {
	for _, row := range m.rows {
		if row.current != own {
			continue
		}
		for _, id := range incarnations {
			if !slices.Contains(row.gone, id) {
				return refuse("the incarnation %x is not one that was replaced", id[:])
			}
		}
		return nil
	}
	return refuse("the incarnation %x does not vote", own[:])
}

// accept verifies a checkpoint: the root of this very history, signed by a majority
// of the pinned keys.
func (h *history) accept(ctx context.Context, encoded []byte) (format.Checkpoint, error) {
	if h.accepted != nil && string(h.accepted.encoded) == string(encoded) {
		return h.accepted.mark, nil
	}
	e, err := format.DecodeCheckpointEffect(encoded)
	if err != nil {
		return format.Checkpoint{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := h.verifyCheckpoint(ctx, e); err != nil {
		return e.Checkpoint, err
	}
	h.accepted = &acceptedMark{encoded, e.Checkpoint}
	return e.Checkpoint, nil
}

type acceptedMark struct {
	encoded []byte
	mark    format.Checkpoint
}

func (h *history) verifyCheckpoint(ctx context.Context, e format.CheckpointEffect) error {
	c := e.Checkpoint
	if c.Cluster != h.members.cluster {
		return refuse("the checkpoint is another cluster's")
	}
	if err := h.members.check(e); err != nil {
		return err
	}
	root, err := h.rootAt(ctx, c.Size)
	if err != nil {
		return err
	}
	if root != c.Root {
		return refuse("the checkpoint of size %d is not of this history", c.Size)
	}
	return nil
}
