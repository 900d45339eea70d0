package replication

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// records are the cluster's own, brought without those who would have to sign.
func (l *liar) records() {
	l.t.Helper()
	signed := func(message []byte) []byte {
		sig, err := l.n.keys.sign(message)
		if err != nil {
			l.t.Fatal(err)
		}
		return sig
	}
	plain := func(what string, kind store.Kind, body []byte) {
		l.t.Helper()
		l.refused(what, store.Op{Kind: kind, Body: body})
	}
	cluster := l.n.own.cluster
	for _, m := range l.n.Store().Members() {
		for _, state := range []format.MemberState{format.MemberJoining, format.MemberVoter, format.MemberGone} {
			if m.Number == l.n.own.number && state == format.MemberJoining {
				continue // a node names incarnations of its own
			}
			e := format.MemberEffect{Node: m.Number, Incarnation: randomID(), State: state}
			e.Signature = signed(e.Message(cluster))
			plain(fmt.Sprintf("member %d, state %d", m.Number, state), store.KindMember, format.EncodeEffect(e))
		}
		e := format.AttestEffect{Node: m.Number, Incarnation: m.Current, From: 1, To: 2}
		if e.Signature = signed(e.Message(cluster)); m.Number != l.n.own.number {
			plain("another's attestation", store.KindAttest, format.EncodeEffect(e))
		}
	}
	v, err := l.n.vote(l.n.Store().Summary().Clock.Round)
	if err != nil {
		l.t.Fatal(err)
	}
	votes := []format.SignedVote{v}
	plain("a clock of one vote", store.KindClock, format.EncodeEffect(format.ClockEffect{Votes: votes}))
	v.Voter = 2
	v.Signature = signed(v.Message(cluster))
	plain("a clock with a made-up vote", store.KindClock, format.EncodeEffect(format.ClockEffect{Votes: append(votes, v)}))

	s := l.n.Store().Summary()
	point := format.CheckpointEffect{Checkpoint: s.Checkpoint.Checkpoint}
	point.Checkpoint.Size = s.Size
	for _, m := range l.n.Store().Members() {
		point.Signatures = append(point.Signatures, format.NodeSignature{Node: m.Number, Incarnation: m.Current, Signature: signed([]byte(point.Checkpoint.Text()))})
	}
	plain("a checkpoint with one key's signatures", store.KindCheckpoint, format.EncodeEffect(point))
	point.Signatures = point.Signatures[:1]
	plain("a checkpoint of one signature", store.KindCheckpoint, format.EncodeEffect(point))

	if l.leading {
		plain("the ceremony again", store.KindCeremony, l.ceremony.Encode())
	}
	for _, kind := range []store.Kind{store.KindCeremony, 0, store.KindHoldSweep + 1, 999} {
		if !l.leading || kind.Known() { // one that is not known, in the log, halts every node (docs/threat-model.md)
			l.raw(l.t.Context(), store.Op{Kind: kind, ID: randomID(), Front: l.n.own.number, BuiltAt: l.n.store.Summary().Applied, Body: l.ceremony.Encode()})
		}
	}
}

// leadership has node i lead, or not.
func (c *testCluster) leadership(i int, want bool) {
	c.t.Helper()
	own := c.nodes[i].own
	id := serverID(own.name, own.incarnation)
	c.await("leadership", func() bool {
		if (c.nodes[i].raft.State() == raft.Leader) == want && c.nodes[i].Ready() {
			return true
		}
		for _, n := range c.nodes {
			if n.raft.State() != raft.Leader {
				continue
			}
			if want {
				_ = n.raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(id)).Error() // looked at again
			} else {
				_ = n.raft.LeadershipTransfer().Error()
			}
		}
		return false
	})
}

// facts is all that only signatures of several may change, as a node has it.
func (c *testCluster) facts(i int) string {
	c.t.Helper()
	s := c.nodes[i].Store()
	var out string
	add := func(what any, err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
		out += fmt.Sprintf("%+v\n", what)
	}
	add(s.Summary().Policy, nil)
	for _, m := range s.EveryMember() {
		m.Commit, m.Size, m.Room = 0, 0, 0
		add(m, nil)
	}
	versions, err := s.PolicyVersions()
	add(versions, err)
	tenant, err := s.Tenant(1)
	tenant.Watch = 0 // from a closing's proposal on
	add(tenant, err)
	operator, err := s.Operator()
	add(operator, err)
	persons, err := s.Persons()
	for _, p := range persons {
		if p.Institution <= 1 {
			add(p, err)
		}
	}
	holds, _, err := s.Holds(1, 0, 100)
	add(holds, err)
	stopped, err := s.ExpiryStopped()
	add(stopped, err)
	for _, transaction := range []string{"T", "free"} {
		row, err := s.Bundle(key(transaction))
		add(*row, err)
		stop, err := s.Stop(key(transaction))
		add(*stop, err)
	}
	return out
}
