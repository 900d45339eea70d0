package replication

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

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
		{l.document(format.ActKindMedium, appliance, format.MediumParams{Node: 3, Incarnation: l.gone}.Encode()), testAdmin, true},
		{l.document(format.ActKindMedium, appliance, format.MediumParams{Node: 3, Incarnation: randomID()}.Encode()), testAdmin, false},
		{l.document(format.ActKindKeyArchive, appliance, make([]byte, len(format.Digest{}))), testAdmin, false},
		{l.document(format.ActKindRestore, appliance, format.RestoreParams{Size: 1}.Encode()), testAdmin, false},
		{l.document(format.ActKindRestoreConfirm, appliance, make([]byte, len(format.Digest{}))), testAdmin, false},
		{l.document(format.ActKindLostMajority, appliance, make([]byte, len(format.Digest{}))), testAdmin, false},
		{l.document(format.ActKind(99), appliance, make([]byte, len(format.Digest{}))), testAdmin, false},
	}
}

// attack opens the i-th act in the name of whoever may and tries to have it executed;
// where one for the same is open, that one.
func (l *liar) attack(i int, a lie) {
	l.t.Helper()
	if a.doc.Kind == format.ActKindHoldRelease {
		l.opened[i] = l.half
	}
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
	open, same := l.opened[i]
	switch {
	case same && r.Outcome == store.Refused:
		a.doc = open
	case (r.Outcome == store.Accepted) != a.opens:
		l.t.Errorf("%v: %+v", a.doc.Kind, r)
	case a.opens:
		l.opened[i] = a.doc
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
