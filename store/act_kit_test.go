package store

import (
	"crypto/ecdsa"
	"testing"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// The persons who decide on acts, beside those of the kit; all of institution 1.
const (
	manager   = 11 // 권한관리책임자
	approver1 = 12
	approver2 = 13
	twin      = 14 // an approver with the key of approver1
	elsewhere = 15 // a manager of institution 2
)

// actors are the keys of those persons.
type actors map[uint64]*ecdsa.PrivateKey

// newActWorld is a world with persons who decide on acts, and a clock.
func newActWorld(t *testing.T, in tester, count int, change func(*format.Ceremony)) (*world, actors) {
	t.Helper()
	keys := actors{}
	w := newWorldWith(t, in, count, func(c *format.Ceremony) {
		c.Policy.CoolingOff = 5_000_000
		for id, role := range map[uint64]access.Role{
			manager: access.RoleManager, approver1: access.RoleApprover, approver2: access.RoleApprover, twin: access.RoleApprover, elsewhere: access.RoleManager,
		} {
			keys[id] = newKey(in)
			if id == twin {
				continue
			}
			p := format.Person{ID: id, Role: uint8(role), Institution: 1, PublicKey: public(in, keys[id]), Identity: format.Digest{byte(id)}}
			if id == elsewhere {
				p.Institution = 2
			}
			c.Persons = append(c.Persons, p)
		}
		keys[twin] = keys[approver1]
		c.Persons = append(c.Persons, format.Person{ID: twin, Role: uint8(access.RoleApprover), Institution: 1,
			PublicKey: public(in, keys[approver1]), Identity: format.Digest{twin}})
		if change != nil {
			change(c)
		}
	})
	w.began()
	return w, keys
}

// document is an act that expires in an hour.
func (w *world) document(kind format.ActKind, o format.ActObject, params []byte) format.Act {
	w.serial++
	nonce := format.ID{0xAC, byte(w.serial >> 8), byte(w.serial)}
	return format.Act{Cluster: w.cluster, Kind: kind, Object: o.Encode(), Params: params, Nonce: nonce, Expires: w.nodes[0].Summary().Clock.Now + hour}
}

// proposeOp proposes an act as its actor, with sealed particulars.
func (w *world) proposeOp(actor uint64, doc format.Act) Op {
	w.Helper()
	op := w.op(KindPropose, format.ProposeEffect{Document: doc.Encode()})
	op.Actor, op.Institution = actor, 1
	if o, err := format.DecodeActObject(doc.Object); err == nil {
		op.Transaction, op.Part = o.Transaction, o.Part
	}
	return w.withDetail(op)
}

// withDetail seals something into an operation.
func (w *world) withDetail(op Op) Op {
	w.Helper()
	var err error
	op.DetailClass = format.DetailOther
	op.DetailEpoch, op.Detail, err = w.nodes[0].SealDetail(op.Institution, op.DetailClass, op.ID, format.Detail{Reason: "why"})
	w.must(err)
	return op
}

func (w *world) propose(actor uint64, doc format.Act) format.ID {
	w.Helper()
	w.accept(w.commit(w.proposeOp(actor, doc)))
	return doc.Nonce
}

// signOp is a person's own signature over an act's document.
func (w *world) signOp(keys actors, person uint64, doc format.Act) Op {
	w.Helper()
	op := w.op(KindSign, format.SignEffect{Act: doc.Nonce, Person: person, Signature: sign(w, keys[person], doc.Encode())})
	op.Actor, op.Institution = person, 1
	return op
}

func (w *world) vetoOp(keys actors, person uint64, doc format.Act) Op {
	w.Helper()
	op := w.op(KindVeto, format.VetoEffect{Act: doc.Nonce, Person: person, Signature: sign(w, keys[person], format.VetoMessage(doc.Encode()))})
	op.Actor, op.Institution = person, 1
	return op
}

func (w *world) executeOp(act format.ID) Op {
	return Op{Kind: KindExecute, ID: w.id(), BuiltAt: w.next - 1, Front: 1, Body: act[:]}
}

// agree has the manager and an approver sign.
func (w *world) agree(keys actors, doc format.Act) {
	w.Helper()
	w.accept(w.commit(w.signOp(keys, manager, doc)))
	w.accept(w.commit(w.signOp(keys, approver1, doc)))
}
