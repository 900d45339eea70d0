package replication

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/sago-worm/sago/access"
	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// liar is node 1 under an attacker: it submits what it likes in anybody's name. It
// has its own node key, and what persons once signed.
type liar struct {
	*testCluster
	n       *Node
	key     *ecdsa.PrivateKey // the attacker's own
	old     map[uint64][]byte // genuine signatures over an act that was executed
	half    format.Act        // a release that the manager alone has signed
	placed  uint64            // the hold that stands on bundle T
	rogues  []format.Person   // whom it registered, all with its key
	leading bool
}

// TestI1_ALyingNodeExecutesNothing: root on one node, following and leading,
// opens acts in anybody's name and brings forged, replayed and made-up
// signatures, executions and records of its own. None closes, releases, resyncs,
// weakens, admits, removes, restores or deletes.
func TestI1_ALyingNodeExecutesNothing(t *testing.T) {
	c := newTestCluster(t, 3)
	c.startAll()
	c.mustPut(1, "T", "P1Y", []byte("kept"))
	l := &liar{testCluster: c, n: c.nodes[0], old: map[uint64][]byte{}}
	var err error
	if l.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	l.honest()
	c.await("a checkpoint", func() bool {
		return c.nodes[1].Checkpoint(t.Context(), true) == nil && c.nodes[0].Store().Summary().Checkpoint.Checkpoint.Size > 0
	})
	c.await("both periods have begun", func() bool {
		for _, transaction := range []string{"T", "free"} {
			if row, err := c.nodes[1].Store().Bundle(key(transaction)); err != nil || row == nil || row.Retention.Start == 0 {
				return false
			}
		}
		return true
	})
	before := c.facts(1)
	c.times[0].set(func(s *testTime) { s.offset += (400 * 24 * time.Hour).Microseconds() }) // it lies about the time as well
	for _, l.leading = range []bool{false, true} {
		c.leadership(0, l.leading)
		l.register()
		for _, a := range l.acts() {
			l.attack(a)
		}
		l.forge(l.half)
		l.records()
	}
	c.awaitEqual()
	for i := 1; i < 3; i++ {
		if got := c.facts(i); got != before {
			t.Errorf("node %d:\n%s\nwas\n%s", i+1, got, before)
		}
		now, err := c.times[i].Now()
		if err != nil || c.nodes[i].Store().Summary().Clock.Now > now.Latest {
			t.Errorf("node %d: the clock is ahead of honest time: %v", i+1, err)
		}
		if err := c.nodes[i].Failure(); err != nil {
			t.Errorf("node %d: %v", i+1, err)
		}
	}
	c.mustPut(2, "after", "P1Y", []byte("served"))
	c.mustRead(1, "after", []byte("served"))
}

// honest is what persons did through an honest node before: two holds, of which
// one was released, an order, and half an act.
func (l *liar) honest() {
	l.t.Helper()
	submit := func(kind store.Kind, actor uint64, transaction string, e format.Effect) store.Result {
		l.t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		op := l.op(1, kind, actor, 1, format.EncodeEffect(e))
		if op.Transaction = transaction; transaction != "" {
			op.Part = 1
		}
		r, err := l.nodes[1].Submit(ctx, op)
		if err != nil || r.Outcome != store.Accepted {
			l.t.Fatalf("%d: %+v: %v", kind, r, err)
		}
		return r
	}
	release := func(id, placed uint64, persons ...uint64) format.Act {
		l.t.Helper()
		doc := l.document(format.ActKindHoldRelease, format.ActObject(key("T")), format.HoldReleaseParams{Hold: id, Placed: placed}.Encode())
		submit(store.KindPropose, testManager, "T", format.ProposeEffect{Document: doc.Encode()})
		for _, p := range persons {
			l.old[p] = l.signature(p, doc)
			submit(store.KindSign, p, "", format.SignEffect{Act: doc.Nonce, Person: p, Signature: l.old[p]})
		}
		return doc
	}
	var holds [2]uint64
	for i := range holds {
		holds[i] = submit(store.KindHold, testManager, "T", format.HoldEffect{Scope: format.HoldBundle, ID: uint64(i + 1), Basis: uint8(retention.HoldCourt)}).Sequence
	}
	l.placed = holds[0]
	submit(store.KindStop, testOfficer, "T", format.StopEffect{Order: "O"})
	l.half = release(1, holds[0], testManager)
	release(2, holds[1], testManager, testApprover)
	l.mustPut(1, "free", "P1Y", []byte("held by nothing"))
	submit(store.KindStop, testOfficer, "free", format.StopEffect{Order: "O"})
}

// op is an operation of anybody, in any institution, with a detail that node seals.
func (l *liar) op(node int, kind store.Kind, actor uint64, institution uint32, body []byte) store.Op {
	op := store.Op{Kind: kind, ID: randomID(), Actor: actor, Institution: institution, Body: body}
	if epoch, sealed, err := l.nodes[node].Store().SealDetail(institution, format.DetailOther, op.ID, format.Detail{Reason: "a lie"}); err == nil {
		op.DetailClass, op.DetailEpoch, op.Detail = format.DetailOther, epoch, sealed
	}
	return op
}

// ask submits as the node that lies and, once more, as if another node had taken
// the request.
func (l *liar) ask(op store.Op) store.Result {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := l.n.Submit(ctx, op)
	if err != nil {
		l.t.Errorf("operation of kind %d: %v", op.Kind, err)
	}
	op.ID, op.Front, op.BuiltAt = randomID(), 2, l.n.store.Summary().Applied
	l.raw(ctx, op)
	return r
}

// raw brings an operation that this node's own code would not make: the others
// refuse it, unless it leads itself; then all nodes decide it.
func (l *liar) raw(ctx context.Context, op store.Op) {
	l.t.Helper()
	batch, err := encodeBatch([]store.Op{op})
	if err != nil {
		l.t.Error(err)
	}
	if l.leading {
		for err := l.n.append(batch, nil); err != nil && ctx.Err() == nil; err = l.n.append(batch, nil) {
			l.leadership(0, true)
		}
		return
	}
	for _, m := range l.n.others() {
		c, err := l.n.peers.get(m.Name)
		if err == nil {
			_, err = c.Propose(ctx, &nodev1.ProposeRequest{Batch: batch})
		}
		if err == nil {
			l.t.Errorf("%s takes an operation of kind %d for node %d", m.Name, op.Kind, op.Front)
		}
	}
}

func (l *liar) refused(what string, op store.Op) {
	l.t.Helper()
	if r := l.ask(op); r.Outcome != store.Refused {
		l.t.Errorf("%s: %+v", what, r)
	}
}

// register makes an institution up, in the name of the operator's manager, whose
// persons have the attacker's keys: that one may (docs/threat-model.md).
func (l *liar) register() {
	l.t.Helper()
	l.rogues = nil
	var officers []format.Person
	for i, role := range []access.Role{access.RoleManager, access.RoleApprover, access.RoleAdmin} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			l.t.Fatal(err)
		}
		id := uint64(1000 + 10*len(l.persons) + i)
		l.persons[id] = key // under which signature finds it
		officers = append(officers, format.Person{ID: uint64(i + 1), Role: uint8(role), PublicKey: l.public(key), Identity: format.Digest(sha256.Sum256(l.public(key)))})
		l.rogues = append(l.rogues, format.Person{ID: id})
	}
	e := format.InstitutionEffect{Verb: format.InstitutionRegister, Code: fmt.Sprintf("rogue-%t", l.leading), Officers: officers}
	r, err := l.n.Submit(l.t.Context(), l.op(0, store.KindInstitution, testManager, 1, format.EncodeEffect(e)))
	if err != nil || r.Outcome != store.Accepted {
		l.t.Fatalf("%+v: %v", r, err)
	}
	persons, err := l.n.Store().Persons()
	if err != nil {
		l.t.Fatal(err)
	}
	for i, p := range persons[len(persons)-len(officers):] {
		l.persons[p.ID] = l.persons[l.rogues[i].ID]
		l.rogues[i] = p
	}
	e.Code = "copy"
	e.Officers = []format.Person{{ID: 1, Role: uint8(access.RoleManager), PublicKey: l.public(l.persons[testManager]), Identity: format.Digest{9}}}
	l.refused("a second person under the manager's key", l.op(0, store.KindInstitution, testManager, 1, format.EncodeEffect(e)))
	e.Officers = []format.Person{{ID: 1, Role: uint8(access.RoleManager), Institution: 1, PublicKey: l.public(l.key), Identity: format.Digest{9}}}
	l.refused("a manager of the operator's own", l.op(0, store.KindInstitution, testManager, 1, format.EncodeEffect(e)))
	e.Officers[0].Institution, e.Number = 0, 1
	l.refused("a registration of what is registered", l.op(0, store.KindInstitution, testManager, 1, format.EncodeEffect(e)))
}

func (l *liar) public(key *ecdsa.PrivateKey) []byte {
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		l.t.Fatal(err)
	}
	return pub
}

// lie is an act that the node proposes in somebody's name. opens says that
// proposing it is possible: others would still have to sign.
type lie struct {
	doc      format.Act
	proposer uint64
	opens    bool
}

func (l *liar) acts() []lie {
	l.t.Helper()
	s := l.n.Store()
	sum := s.Summary()
	appliance, institution := format.ActObject{}, format.ActObject{Institution: 1}
	row, err := s.Bundle(key("free"))
	if err != nil {
		l.t.Fatal(err)
	}
	stop, err := s.Stop(key("T"))
	if err != nil {
		l.t.Fatal(err)
	}
	leaf, err := s.LeafHash(row.Store)
	if err != nil {
		l.t.Fatal(err)
	}
	root, err := s.RootAt(sum.Checkpoint.Checkpoint.Size)
	if err != nil {
		l.t.Fatal(err)
	}
	votes, err := l.n.votes(l.t.Context(), sum.Clock.Round)
	if len(votes) == 0 {
		l.t.Fatal(err)
	}
	votes = s.ChooseVotes(votes)
	weak := sum.Policy
	weak.CoolingOff, weak.Slack = time.Second.Microseconds(), 2*weak.Slack
	node := format.CeremonyNode{Number: 4, Name: "node4", Incarnation: randomID(), PublicKey: l.public(l.key)}
	return []lie{
		{l.document(format.ActKindResync, appliance, format.ResyncParams{Votes: votes}.Encode()), testAdmin, false},
		{l.document(format.ActKindClose, institution, format.CloseParams{Receipt: format.Digest{1}, First: 0, End: 1,
			Size: sum.Checkpoint.Checkpoint.Size, Root: root, Date: sum.Clock.Now + 1_000_000}.Encode()), testManager, true},
		{l.document(format.ActKindHoldRelease, format.ActObject(key("T")), format.HoldReleaseParams{Hold: 1, Placed: l.placed}.Encode()), testManager, true},
		{l.document(format.ActKindPolicy, appliance, format.PolicyParams{Replaces: store.PolicyDigest(sum.Policy), Policy: weak}.Encode()), testManager, true},
		{l.document(format.ActKindMember, appliance, format.MemberParams{Node: node}.Encode()), testAdmin, true},
		{l.document(format.ActKindMember, appliance, format.MemberParams{Remove: true, Node: format.CeremonyNode{Number: 3}}.Encode()), testAdmin, true},
		{l.document(format.ActKindSpecialDelete, format.ActObject(key("free")), format.SpecialParams{Store: row.Store, Leaf: leaf, Order: "O"}.Encode()), testOfficer, true},
		{l.document(format.ActKindLiftStop, format.ActObject(key("T")), format.LiftParams{Stop: stop.Sequence, Order: "O"}.Encode()), testOfficer, true},
		{l.document(format.ActKindMedium, appliance, format.MediumParams{Node: 3, Incarnation: randomID()}.Encode()), testAdmin, false},
		{l.document(format.ActKindRestore, appliance, format.RestoreParams{Size: 1}.Encode()), testAdmin, false},
		{l.document(format.ActKindRestoreConfirm, appliance, make([]byte, len(format.Digest{}))), testAdmin, false},
		{l.document(format.ActKindLostMajority, appliance, make([]byte, len(format.Digest{}))), testAdmin, false},
		{l.document(format.ActKind(99), appliance, make([]byte, len(format.Digest{}))), testAdmin, false},
	}
}

// attack opens an act in the name of whoever may and tries to have it executed.
func (l *liar) attack(a lie) {
	l.t.Helper()
	object, err := format.DecodeActObject(a.doc.Object)
	if err != nil {
		l.t.Fatal(err)
	}
	propose := func(actor uint64, institution uint32) store.Op {
		op := l.op(0, store.KindPropose, actor, institution, format.EncodeEffect(format.ProposeEffect{Document: a.doc.Encode()}))
		op.Transaction, op.Part = object.Transaction, object.Part
		return op
	}
	for _, p := range l.rogues {
		l.refused(fmt.Sprintf("%v proposed by a person made up", a.doc.Kind), propose(p.ID, p.Institution))
		l.refused(fmt.Sprintf("%v proposed by a person made up, for institution 1", a.doc.Kind), propose(p.ID, 1))
	}
	r := l.ask(propose(a.proposer, 1))
	if a.doc.Kind == format.ActKindResync { // opens only where its votes are ahead of the clock just now
		a.opens = r.Outcome == store.Accepted
	}
	if (r.Outcome == store.Accepted) != a.opens {
		l.t.Errorf("%v: %+v", a.doc.Kind, r)
	}
	l.forge(a.doc)
}

// forge brings every signature there is to be had over an act, and its execution.
func (l *liar) forge(doc format.Act) {
	l.t.Helper()
	sum := sha256.Sum256(doc.Encode())
	own, err := ecdsa.SignASN1(rand.Reader, l.key, sum[:])
	if err != nil {
		l.t.Fatal(err)
	}
	node, err := l.n.keys.sign(doc.Encode())
	if err != nil {
		l.t.Fatal(err)
	}
	var wg sync.WaitGroup
	sign := func(what string, actor, person uint64, institution uint32, signature []byte) {
		e := format.SignEffect{Act: doc.Nonce, Person: person, Signature: signature}
		op := l.op(0, store.KindSign, actor, institution, format.EncodeEffect(e))
		wg.Go(func() { l.refused(fmt.Sprintf("%v: %s as %d", doc.Kind, what, person), op) })
	}
	for _, person := range []uint64{testManager, testApprover} {
		sign("no signature", person, person, 1, nil)
		sign("the attacker's signature", person, person, 1, own)
		sign("the node's signature", person, person, 1, node)
		sign("another act's signature", person, person, 1, l.old[person])
		sign("the other's signature", person, person, 1, l.old[testManager+testApprover-person])
		sign("brought by another", testManager+testApprover-person, person, 1, own)
	}
	if doc.Nonce == l.half.Nonce {
		sign("the manager's own signature", testApprover, testApprover, 1, l.signature(testManager, doc))
		sign("the manager's own signature, again", testManager, testManager, 1, l.signature(testManager, doc))
	}
	for _, p := range l.rogues {
		for _, institution := range []uint32{0, 1, p.Institution} {
			sign("a person made up", p.ID, p.ID, institution, l.signature(p.ID, doc))
		}
	}
	wg.Wait()
	l.refused(doc.Kind.String()+": executed at once", l.op(0, store.KindExecute, 0, 0, doc.Nonce[:]))
}

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
		e := format.AttestEffect{Node: m.Number, Incarnation: m.Current, Bundles: []uint64{1}}
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
