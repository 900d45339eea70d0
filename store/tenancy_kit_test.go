package store

import (
	"context"
	"crypto/ecdsa"
	"slices"
	"testing"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// The persons of a tenancy beyond the kit's.
const (
	keeperOne = 11 // access manager of institution 1, which acts for the appliance
	judgeOne  = 12 // approver of institution 1
	keeperTwo = 13 // access manager of institution 2
)

// tenancy is a world whose institutions have persons who sign.
type tenancy struct {
	*world
	signers map[uint64]*ecdsa.PrivateKey
	nonces  byte
}

func newTenancy(t *testing.T, in tester, nodes int) *tenancy {
	t.Helper()
	v := &tenancy{signers: map[uint64]*ecdsa.PrivateKey{}}
	v.world = newWorldWith(t, in, nodes, func(c *format.Ceremony) {
		for id, p := range map[uint64]struct {
			role        access.Role
			institution uint32
		}{keeperOne: {access.RoleManager, 1}, judgeOne: {access.RoleApprover, 1}, keeperTwo: {access.RoleManager, 2}} {
			key := newKey(in)
			v.signers[id] = key
			c.Persons = append(c.Persons, format.Person{ID: id, Role: uint8(p.role), Institution: p.institution, PublicKey: public(in, key), Identity: format.Digest{0xA0, byte(id)}})
		}
		slices.SortFunc(c.Persons, func(a, b format.Person) int { return int(a.ID) - int(b.ID) })
	})
	v.tick(1000)
	return v
}

// by gives an operation its actor and a sealed detail.
func (v *tenancy) by(actor uint64, op Op) Op {
	v.Helper()
	op.Actor, op.Institution = actor, 1
	if actor == keeperTwo || actor == stranger {
		op.Institution = 2
		return op // it has no keys yet
	}
	var err error
	op.DetailClass = format.DetailOther
	op.DetailEpoch, op.Detail, err = v.nodes[0].SealDetail(1, format.DetailOther, op.ID, format.Detail{Reason: "because"})
	v.must(err)
	return op
}

func (v *tenancy) institution(actor uint64, e format.InstitutionEffect) Result {
	v.Helper()
	return v.commit(v.by(actor, v.op(KindInstitution, e)))
}

func (v *tenancy) suspend(actor uint64, number uint32, until int64) Result {
	v.Helper()
	return v.institution(actor, format.InstitutionEffect{Verb: format.InstitutionSuspend, Number: number, Until: until})
}

func (v *tenancy) resume(actor uint64, number uint32) Result {
	v.Helper()
	return v.institution(actor, format.InstitutionEffect{Verb: format.InstitutionResume, Number: number})
}

func (v *tenancy) state(number uint32) format.TenantRow {
	v.Helper()
	row, err := v.nodes[0].Tenant(number)
	v.must(err)
	return row
}

// handOver exports institution 1's records and has a checkpoint cover that.
func (v *tenancy) handOver() format.CloseParams {
	v.Helper()
	inst, err := v.nodes[0].Institution(1)
	v.must(err)
	c := v.checkpoint().Checkpoint
	return format.CloseParams{Receipt: format.Digest{9}, End: inst.Records, Size: c.Size, Root: c.Root, Date: v.nodes[0].Summary().Clock.Now + 30*24*hour}
}

// proposed opens the act of a closing.
func (v *tenancy) proposed(p format.CloseParams) (format.Act, Result) {
	v.Helper()
	v.nonces++
	a := format.Act{Cluster: v.cluster, Kind: format.ActKindClose, Object: format.ActObject{Institution: 1}.Encode(), Params: p.Encode(),
		Nonce: format.ID{0xAC, v.nonces}, Expires: v.nodes[0].Summary().Clock.Now + 24*hour}
	return a, v.commit(v.by(keeperOne, v.op(KindPropose, format.ProposeEffect{Document: a.Encode()})))
}

func (v *tenancy) signs(person uint64, a format.Act) Result {
	v.Helper()
	e := format.SignEffect{Act: a.Nonce, Person: person, Signature: sign(v, v.signers[person], a.Encode())}
	return v.commit(v.by(person, v.op(KindSign, e)))
}

func (v *tenancy) vetoes(person uint64, a format.Act) Result {
	v.Helper()
	e := format.VetoEffect{Act: a.Nonce, Person: person, Signature: sign(v, v.signers[person], format.VetoMessage(a.Encode()))}
	return v.commit(v.by(person, v.op(KindVeto, e)))
}

// close closes institution 1.
func (v *tenancy) close1() format.Act {
	v.Helper()
	a, r := v.proposed(v.handOver())
	v.accept(r)
	v.accept(v.signs(keeperOne, a))
	v.accept(v.signs(judgeOne, a))
	return a
}

// duty takes the next step of closings, as the leader would; false when there is none.
func (v *tenancy) duty(limit uint32) bool {
	v.Helper()
	kind, body, err := v.nodes[0].CloseDuty(limit)
	v.must(err)
	if kind == 0 {
		return false
	}
	op := v.op(kind, nil)
	op.Body = body
	v.accept(v.commit(op))
	return true
}

// settle has every node destroy and attest all that is pending.
func (v *tenancy) settle() {
	v.Helper()
	v.checkpoint()
	for _, n := range v.nodes {
		n.destroy()
	}
	for i := uint32(1); i <= voters; i++ {
		v.attest(i)
	}
	size := v.nodes[0].Summary().Checkpoint.Checkpoint.Size
	for i := uint32(1); i <= voters; i++ {
		pending, err := v.nodes[0].PendingEpochs(i, size)
		v.must(err)
		var sequences []uint64
		for _, p := range pending {
			sequences = append(sequences, p.Decision)
		}
		if len(pending) == 0 {
			continue
		}
		if i == 1 {
			for _, n := range v.nodes {
				v.must(n.DestroyEpochs(context.Background(), pending))
			}
		}
		v.accept(v.commit(v.op(KindAttest, v.attestation(i, format.AttestEffect{Keys: sequences}))))
	}
}

// hold places a hold on a bundle's row, as its record will, or takes it away.
func (v *tenancy) hold(transaction string, on bool) {
	v.Helper()
	for _, n := range v.nodes {
		v.must(n.changeBundle(keyOfBundle(transaction), n.row(transaction).Store, func(row *format.BundleRow) error {
			row.Retention.Holds = nil
			if on {
				row.Retention.Holds = []format.HoldRow{{ID: 1, Owner: keeperOne, Basis: 1}}
			}
			return nil
		}))
	}
}

func (v *tenancy) use(transaction string) Result {
	v.Helper()
	op := v.about(KindUse, app, transaction, nil)
	var err error
	op.DetailClass = format.DetailUse
	op.DetailEpoch, op.Detail, err = v.nodes[0].SealDetail(1, format.DetailUse, op.ID, format.Detail{Purpose: "p", UserName: "n"})
	v.must(err)
	return v.commit(op)
}

func (v *tenancy) read(transaction string) Result {
	v.Helper()
	return v.commit(v.about(KindRead, app, transaction, format.ReadEffect{Request: v.id()}))
}
