package store

import (
	"slices"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// Acts about the cluster: nodes, their media, the clock.

// leastVoters is how many nodes a production cluster keeps when one is removed.
const leastVoters = 3

// checkMember lets a node come whose number, name and key are nobody's yet, and
// one go whom the others can spare. A node that came joins with its own key as
// every node does; its first incarnation is the one that the document names.
func (m *Machine) checkMember(a *openAct) error {
	p, err := format.DecodeMemberParams(a.doc.Params)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	row, known := m.members[p.Node.Number]
	if p.Remove {
		left := slices.DeleteFunc(m.voters(), func(n uint32) bool { return n == p.Node.Number })
		switch {
		case !known || len(row.PublicKey) == 0:
			return refuse(format.ReasonNotFound, "no such node")
		case len(left) == 0 || m.ceremony.production && len(left) < leastVoters && len(left) < len(m.voters()):
			return refuse(format.ReasonMember, "too few nodes would be left: admit another one first")
		}
		return nil
	}
	if known {
		return refuse(format.ReasonMember, "the number is a node's, or was one's")
	}
	nodes := []format.CeremonyNode{p.Node}
	for _, row := range m.members {
		if row.Name == p.Node.Name || string(row.PublicKey) == string(p.Node.PublicKey) {
			return refuse(format.ReasonMember, "the name or key is another node's")
		}
	}
	err = format.CheckNodes(nodes)
	if err == nil {
		err = access.CheckKey(p.Node.PublicKey)
	}
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	return nil
}

// foldMemberAct takes a node in, or out. Who is out loses the key with which it
// could vote, sign and come back; what it still holds shows on certificates.
func (m *Machine) foldMemberAct(rec *format.Record, a *openAct) error {
	p, err := format.DecodeMemberParams(a.doc.Params)
	if err != nil {
		return err
	}
	if !p.Remove {
		return m.putMember(format.MemberRow{Number: p.Node.Number, Name: p.Node.Name, PublicKey: p.Node.PublicKey})
	}
	row := m.members[p.Node.Number]
	row.Gone = slices.Clone(row.Gone)
	for _, id := range []format.ID{row.Current, row.Joining} {
		if id != (format.ID{}) {
			row.Gone = append(row.Gone, id)
		}
	}
	row.Current, row.Joining, row.PublicKey = format.ID{}, format.ID{}, nil
	row.Commit, row.Size, row.Room = 0, 0, 0
	if err := m.putMember(row); err != nil {
		return err
	}
	if err := m.lookAgain(rec.Sequence); err != nil {
		return err
	}
	return m.settleKeys()
}

// settleKeys lets go of keys that a KEY record ended, and of retired blocks, that
// waited for nobody but a node that left.
func (m *Machine) settleKeys() error {
	var waiting []uint64
	for _, t := range []index.Table{tEpochEnd, tSpent} {
		err := m.idx.Ascend(t, nil, nil, func(k, _ []byte) (bool, error) {
			r := format.NewReader(k)
			waiting = append(waiting, r.U64())
			return true, r.Done()
		})
		if err != nil {
			return err
		}
	}
	for _, seq := range waiting {
		if err := m.settleKeysOf(seq); err != nil {
			return err
		}
	}
	return m.settleBlocks()
}

func (m *Machine) settleBlocks() error {
	var waiting []format.ID
	err := m.idx.Ascend(tRetire, nil, nil, func(k, _ []byte) (bool, error) {
		waiting = append(waiting, format.ID(k))
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, id := range waiting {
		b, err := m.block(id)
		if err == nil && b != nil {
			err = m.settleBlock(id, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// resynced is the clock after a resync by these votes, or a refusal. A vote stays
// true however old it is: it is an earliest bound. So what its node has grown by
// since then does not matter, its incarnation and signature do.
func (m *Machine) resynced(params []byte) (retention.Clock, error) {
	p, err := format.DecodeResyncParams(params)
	if err != nil || len(p.Votes) == 0 {
		return retention.Clock{}, refuse(format.ReasonInvalid, "a resync brings votes of one round")
	}
	for _, v := range p.Votes {
		row, ok := m.members[v.Voter]
		if !ok || row.Current != v.Incarnation || !verifyNode(row, v.Message(m.own.cluster), v.Signature) {
			return retention.Clock{}, refuse(format.ReasonSignature, "a vote is not a present voter's own")
		}
	}
	next, err := m.quorumClock().Resync(m.voters(), votesOf(p.Votes), p.Votes[0].Round, clockPolicy(m.policy))
	if err != nil {
		return next, refuse(format.ReasonClock, err.Error())
	}
	return next, nil
}

func (m *Machine) checkResync(a *openAct) error {
	_, err := m.resynced(a.doc.Params)
	return err
}

func (m *Machine) foldResync(_ *format.Record, a *openAct) error {
	next, err := m.resynced(a.doc.Params)
	if err != nil {
		return err
	}
	m.clock = clockRow(next, retention.Instant(m.clock.Start))
	return m.set(tMeta, []byte(metaClock), m.clock.Encode())
}

// checkMedium takes the word of several persons that the medium of an incarnation
// that left exists no more (매체 파기).
func (m *Machine) checkMedium(a *openAct) error {
	p, err := format.DecodeMediumParams(a.doc.Params)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	row, known := m.members[p.Node]
	if !known || !slices.Contains(row.Gone, p.Incarnation) {
		return refuse(format.ReasonNotFound, "no such incarnation of that node has left")
	}
	recorded, err := m.idx.Get(tMedium, incarnationKey(p.Node, p.Incarnation))
	if err == nil && recorded != nil {
		err = refuse(format.ReasonState, "it is recorded already")
	}
	return err
}

func (m *Machine) foldMedium(rec *format.Record, a *openAct) error {
	p, err := format.DecodeMediumParams(a.doc.Params)
	if err != nil {
		return err
	}
	return m.set(tMedium, incarnationKey(p.Node, p.Incarnation), key64(rec.Sequence))
}
