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

// change is a MEMBER record, an act about a node, or a restore, that no checkpoint of
// the majority before it covers yet.
type change struct {
	seq      uint64
	e        format.MemberEffect
	act      *format.MemberParams // nil for another change
	restored *restored            // nil for another change
}

// restored is what the incarnations behind a restore follow from, beside its sequence.
type restored struct{ root, act format.Digest }

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
		key, err := parseKey(n.PublicKey)
		if err != nil {
			return nil, c, err
		}
		m.rows[n.Number] = &member{key: key, current: n.Incarnation}
	}
	return m, c, nil
}

// note keeps a MEMBER record until a checkpoint covers it.
func (m *members) note(rec *format.Record) error {
	e, err := format.DecodeMemberEffect(rec.Effect)
	if err != nil {
		return err
	}
	m.pending = append(m.pending, change{seq: rec.Sequence, e: e})
	return nil
}

// settle takes in the changes below size, which the majority before them signed.
func (m *members) settle(size uint64) {
	for len(m.pending) > 0 && m.pending[0].seq < size {
		next := m.pending[0]
		m.pending = m.pending[1:]
		switch {
		case next.act != nil:
			m.settleAct(*next.act)
			continue
		case next.restored != nil:
			m.settleRestore(next.seq, *next.restored)
			continue
		}
		e := next.e
		row, ok := m.rows[e.Node]
		if !ok || !verify(row.key, e.Message(m.cluster), e.Signature) {
			continue // it moves no pinned node
		}
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

// settleAct pins a node's key, or lets one go. A node that was admitted counts from
// its own first incarnation that votes.
func (m *members) settleAct(p format.MemberParams) {
	if p.Remove {
		delete(m.rows, p.Node.Number)
		return
	}
	if key, err := parseKey(p.Node.PublicKey); err == nil && m.rows[p.Node.Number] == nil {
		m.rows[p.Node.Number] = &member{key: key}
	}
}

// settleRestore has every node that voted go on under the incarnation that follows from
// the restore.
func (m *members) settleRestore(size uint64, r restored) {
	for n, row := range m.rows {
		if row.current == (format.ID{}) {
			continue
		}
		row.retire(row.current)
		row.retire(row.joining)
		row.current, row.joining = format.RestoredIncarnation(m.cluster, n, size, r.root, r.act), format.ID{}
	}
}

// pin gives nodes that lost their keys new ones.
func (m *members) pin(keys []format.NodeKey) error {
	for _, k := range keys {
		key, err := parseKey(k.PublicKey)
		if err != nil {
			return err
		}
		if row, ok := m.rows[k.Number]; ok {
			row.key = key
		}
	}
	return nil
}

func parseKey(der []byte) (*ecdsa.PublicKey, error) {
	pub, err := x509.ParsePKIXPublicKey(der)
	key, ok := pub.(*ecdsa.PublicKey)
	if err == nil && !ok {
		err = refuse("a node's key is not one of ECDSA")
	}
	return key, err
}

func (r *member) retire(id format.ID) {
	if id != (format.ID{}) {
		r.gone = append(r.gone, id)
	}
}

// majority is how many of the pinned keys that vote have to sign.
func (m *members) majority() int {
	voters := 0
	for _, row := range m.rows {
		if row.current != (format.ID{}) {
			voters++
		}
	}
	return voters/2 + 1
}

// check verifies that a majority of the pinned keys signed a checkpoint's text. It
// is the key that is pinned, whatever incarnation used it.
func (m *members) check(e format.CheckpointEffect) error {
	text := []byte(e.Checkpoint.Text())
	seen := map[uint32]bool{}
	for _, s := range e.Signatures {
		if row, ok := m.rows[s.Node]; ok && row.current != (format.ID{}) && !seen[s.Node] && verify(row.key, text, s.Signature) {
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
