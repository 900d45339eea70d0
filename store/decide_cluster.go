package store

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// maxPayloadHeader bounds the sealed description of a bundle's documents.
const maxPayloadHeader = 1 << 20

func refuseRead(err error) error {
	switch {
	case errors.Is(err, retention.ErrExpired):
		return refuse(format.ReasonExpired, "its retention has ended")
	case errors.Is(err, retention.ErrViewed):
		return refuse(format.ReasonOneTimeUsed, err.Error())
	case errors.Is(err, retention.ErrHeld):
		return refuse(format.ReasonHeld, err.Error())
	case errors.Is(err, retention.ErrUnset):
		return refuse(format.ReasonInvalid, err.Error())
	}
	return refuse(format.ReasonState, err.Error())
}

// decideCeremony takes the first act: the one whose digest this node was started
// with, and no other, once.
func (t *turn) decideCeremony() error {
	if t.ceremony != nil {
		return refuse(format.ReasonState, "the ceremony has taken place")
	}
	signed, err := format.DecodeSignedAct(t.op.Body)
	if err != nil {
		return fmt.Errorf("ceremony: %w", err)
	}
	if sha256.Sum256(signed.Document) != t.own.ceremony {
		return errors.New("the first entry is not the ceremony that this node was started with")
	}
	if _, err := CheckCeremony(signed); err != nil {
		return err
	}
	return t.write(draft{action: format.ActAct, effect: format.ActEffect{Signed: t.op.Body}})
}

// CheckCeremony reads a ceremony's document and checks its signatures: two
// distinct persons that it lists itself, one in development.
func CheckCeremony(signed format.SignedAct) (format.Ceremony, error) {
	act, err := format.DecodeAct(signed.Document)
	if err != nil {
		return format.Ceremony{}, fmt.Errorf("ceremony: %w", err)
	}
	c, err := format.DecodeCeremony(act.Params)
	if err != nil {
		return c, fmt.Errorf("ceremony: %w", err)
	}
	if act.Kind != format.ActKindCeremony {
		return c, fmt.Errorf("the act is of kind %d, not a ceremony", act.Kind)
	}
	if err := c.Check(); err != nil {
		return c, err
	}
	for _, n := range c.Nodes {
		if err := access.CheckKey(n.PublicKey); err != nil {
			return c, fmt.Errorf("ceremony: node %d: %w", n.Number, err)
		}
	}
	listed := make([]access.Signatory, len(c.Persons))
	for i, p := range c.Persons {
		if err := access.CheckKey(p.PublicKey); err != nil {
			return c, fmt.Errorf("ceremony: person %d: %w", p.ID, err)
		}
		listed[i] = access.Signatory{ID: p.ID, PublicKey: p.PublicKey, Identity: p.Identity}
	}
	if err := access.CheckCeremonySignatures(signed.Document, c.Production, listed, signaturesOf(signed)); err != nil {
		return c, fmt.Errorf("ceremony: %w", err)
	}
	return c, nil
}

func signaturesOf(signed format.SignedAct) []access.Signature {
	out := make([]access.Signature, len(signed.Signatures))
	for i, s := range signed.Signatures {
		out[i] = access.Signature{Person: s.Person, Signature: s.Signature}
	}
	return out
}

// verifyNode checks a node's signature over a message.
func verifyNode(member format.MemberRow, message, signature []byte) bool {
	pub, err := x509.ParsePKIXPublicKey(member.PublicKey)
	if err != nil {
		return false
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return false
	}
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(key, sum[:], signature)
}

func (m *Machine) voters() []uint32 {
	var v []uint32
	for n, row := range m.members {
		if row.Current != (format.ID{}) {
			v = append(v, n)
		}
	}
	slices.Sort(v)
	return v
}

func (m *Machine) majority() int { return len(m.voters())/2 + 1 }

// decideClock takes one entry of the quorum clock. It erases (ERASE) what it looks at
// again since a node left and now has a majority.
func (t *turn) decideClock() error {
	e, err := format.DecodeClockEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	for _, v := range e.Votes {
		if err := t.checkVote(v); err != nil {
			return err
		}
	}
	next, tick, err := t.quorumClock().Advance(t.voters(), votesOf(e.Votes), clockPolicy(t.policy))
	if err != nil {
		return refuse(format.ReasonClock, err.Error())
	}
	e.Now, e.Start, e.Floor = int64(next.Now), int64(tick.Start), int64(next.Floor)
	again, _, err := t.unsettled() // the CLOCK record goes on behind it
	if err != nil {
		return err
	}
	if err := t.write(draft{action: format.ActClock, effect: e}); err != nil {
		return err
	}
	return t.erase(again)
}

// checkVote refuses a vote that is not a present voter's own, or of one that has
// less than it had.
func (m *Machine) checkVote(v format.SignedVote) error {
	row, ok := m.members[v.Voter]
	if !ok || row.Current != v.Incarnation {
		return refuse(format.ReasonMember, fmt.Sprintf("vote of node %d in an incarnation that is no voter", v.Voter))
	}
	if v.Commit < row.Commit || v.Size < row.Size {
		return refuse(format.ReasonMember, fmt.Sprintf("node %d offers less than it had: its data directory is an old copy", v.Voter))
	}
	if !verifyNode(row, v.Message(m.own.cluster), v.Signature) {
		return refuse(format.ReasonSignature, fmt.Sprintf("vote of node %d", v.Voter))
	}
	return nil
}

// maxSweep is how many bundles one SWEEP expires at most, whoever asks.
const maxSweep = 1000

// decideSweep expires what the clock has passed, oldest deadline first.
func (t *turn) decideSweep() error {
	r := format.NewReader(t.op.Body)
	limit := int(min(r.U32(), maxSweep))
	if r.Done() != nil {
		return refuse(format.ReasonInvalid, "a sweep names how many bundles at most")
	}
	if err := t.passEnded(); err != nil {
		return err
	}
	due, err := t.due(limit)
	if err != nil {
		return err
	}
	for _, d := range due {
		if d.held != nil {
			if err := t.write(reachedBy(d.key, &d.row, d.held)); err != nil {
				return err
			}
			continue
		}
		permit, err := retentionOf(d.row.Retention).Expire(retention.RecordID(d.row.Store), t.now())
		if err != nil || !permit.Covers(retention.RecordID(d.row.Store)) {
			return fmt.Errorf("bundle of record %d is due and may not be expired", d.row.Store)
		}
		t.recent = d.bundleAt
		if err := t.write(aboutBundle(format.ActExpire, d.key, format.BundleRef{Store: d.row.Store})); err != nil {
			return err
		}
	}
	return nil
}

func (t *turn) decideMember() error {
	e, err := format.DecodeMemberEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	m, ok := t.members[e.Node]
	if !ok {
		return refuse(format.ReasonMember, "no such node: a new node key needs an act")
	}
	switch e.State {
	case format.MemberJoining:
		if m.Current == e.Incarnation || m.Joining == e.Incarnation || slices.Contains(m.Gone, e.Incarnation) {
			return refuse(format.ReasonMember, "the incarnation is known")
		}
		if !verifyNode(m, e.Message(t.own.cluster), e.Signature) {
			return refuse(format.ReasonSignature, "join")
		}
	case format.MemberVoter:
		if m.Joining != e.Incarnation {
			return refuse(format.ReasonMember, "only a joining incarnation becomes a voter")
		}
		if !verifyNode(m, e.Message(t.own.cluster), e.Signature) {
			return refuse(format.ReasonSignature, "the incarnation has not said that it is whole")
		}
	default:
		return refuse(format.ReasonNeedsAct, "removing a node needs a signed act")
	}
	return t.write(draft{action: format.ActMember, effect: e})
}

// decideMark fixes size, root, clock and running hash at this entry.
func (t *turn) decideMark() error {
	root, err := t.log.RootAt(t.next)
	if err != nil {
		return err
	}
	c := format.Checkpoint{Cluster: t.own.cluster, Size: t.next, Root: root, Entry: t.entry, Clock: t.clock.Now, State: t.state}
	t.marks[t.entry] = c
	if string(t.op.Body) == markRows {
		t.keepView(c)
	}
	for e := range t.marks {
		if e+Window < t.entry {
			delete(t.marks, e)
		}
	}
	return nil
}

// decideCheckpoint takes a checkpoint that a majority signed, and holds this
// node's own history against it (P60).
func (t *turn) decideCheckpoint() error {
	e, err := format.DecodeCheckpointEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	c := e.Checkpoint
	if c.Size <= t.checkpoint.Checkpoint.Size || c.Size > t.next || c.Cluster != t.own.cluster {
		return refuse(format.ReasonState, "the checkpoint is not newer, or not of this history")
	}
	if err := t.verifyCheckpoint(e); err != nil {
		return refuse(format.ReasonSignature, err.Error())
	}
	if err := t.holdAgainst(c); err != nil {
		return err
	}
	return t.write(draft{action: format.ActCheckpoint, effect: e})
}

// holdAgainst compares this node's own history, and what it computed at the MARK,
// with what a majority signed.
func (m *Machine) holdAgainst(c format.Checkpoint) error {
	root, err := m.log.RootAt(c.Size)
	if err != nil {
		return err
	}
	if mine, ok := m.marks[c.Entry]; root != c.Root || ok && mine != c {
		return fmt.Errorf("%w at checkpoint of size %d, entry %d", ErrDiverged, c.Size, c.Entry)
	}
	return nil
}

// verifyCheckpoint checks that a majority of the voters signed.
func (m *Machine) verifyCheckpoint(e format.CheckpointEffect) error {
	return m.verifyMajority([]byte(e.Checkpoint.Text()), e.Signatures)
}

// verifyMajority checks that a majority of the voters signed the message.
func (m *Machine) verifyMajority(message []byte, signatures []format.NodeSignature) error {
	seen := map[uint32]bool{}
	for _, s := range signatures {
		row, ok := m.members[s.Node]
		if !ok || row.Current != s.Incarnation || seen[s.Node] || !verifyNode(row, message, s.Signature) {
			return fmt.Errorf("signature of node %d does not hold", s.Node)
		}
		seen[s.Node] = true
	}
	if len(seen) < m.majority() {
		return fmt.Errorf("signed by %d of %d", len(seen), len(m.voters()))
	}
	return nil
}

func (t *turn) decideNodeStart() error {
	e, err := format.DecodeNodeStartEffect(t.op.Body)
	if err != nil || e.Node != t.op.Front {
		return refuse(format.ReasonInvalid, "a node reports its own start")
	}
	return t.write(draft{action: format.ActNodeStart, effect: e})
}

func (t *turn) decideEnrol() error {
	e, err := format.DecodeEnrolEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	p, err := t.person(e.Person)
	if err != nil {
		return err
	}
	if p == nil {
		return refuse(format.ReasonNotFound, "nobody has this id")
	}
	return t.write(draft{action: format.ActEnrol, institution: p.Institution, effect: e, detail: true})
}

func (t *turn) decideDamage() error {
	e, err := format.DecodeDamageEffect(t.op.Body)
	if err != nil || e.Node != t.op.Front {
		return refuse(format.ReasonInvalid, "a node reports its own damage")
	}
	d := draft{action: format.ActDamage, effect: e}
	if t.op.Kind == KindRepair {
		d.action = format.ActRepair
	}
	return t.write(d)
}
