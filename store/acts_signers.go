package store

import (
	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// Who signs an act, and who acts for the appliance.

// complete reports whether enough persons have signed who may still sign.
func (m *Machine) complete(a *openAct) (bool, error) {
	signed, err := m.signers(a)
	return err == nil && a.rule.Complete(signed), err
}

// signers lists those whose signature counts now: they are still enrolled, and
// their role still allows it.
func (m *Machine) signers(a *openAct) ([]access.Signer, error) {
	proposer, err := m.proposer(a)
	if err != nil {
		return nil, err
	}
	var signed []access.Signer
	for _, s := range a.row.Signatures {
		p, err := m.person(s.Person)
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		if who := signerOf(p); a.rule.MaySign(who, proposer, signed) == nil {
			signed = append(signed, who)
		}
	}
	return signed, nil
}

// proposer is who proposed an act, with what tells people apart.
func (m *Machine) proposer(a *openAct) (access.Signer, error) {
	p, err := m.person(a.row.Proposer)
	if err != nil || p == nil {
		return access.Signer{Principal: access.Principal{ID: a.row.Proposer}}, err
	}
	return signerOf(p), nil
}

func signerOf(p *format.Person) access.Signer {
	return access.Signer{Principal: access.Principal{ID: p.ID, Role: access.Role(p.Role), Institution: p.Institution},
		PublicKey: p.PublicKey, Identity: p.Identity}
}

// mayAct lists the persons of an institution who may sign acts, each once.
func (m *Machine) mayAct(institution uint32) ([]access.Signer, error) {
	var out []access.Signer
	rule := access.ActRule{Sign: access.VerbActSign}
	err := m.idx.Ascend(tPerson, nil, nil, func(_, v []byte) (bool, error) {
		p, err := format.DecodePerson(v)
		who := signerOf(&p)
		if p.Institution == institution && rule.MaySign(who, access.Signer{}, out) == nil {
			out = append(out, who)
		}
		return err == nil, err
	})
	return out, err
}

// operator is the institution whose persons sign for the appliance: the one with
// the least number that has an access manager and somebody beside them who may
// sign. That is the appliance's own (0) where it has such persons, else the
// operating institution (운영기관).
func (m *Machine) operator() (uint32, error) {
	type staff struct{ managers, signers int }
	all := map[uint32]staff{}
	err := m.idx.Ascend(tPerson, nil, nil, func(_, v []byte) (bool, error) {
		p, err := format.DecodePerson(v)
		who := signerOf(&p)
		s := all[p.Institution]
		if access.Decide(who.Principal, access.VerbActSign) == nil {
			s.signers++
		}
		if who.Role == access.RoleManager {
			s.managers++
		}
		all[p.Institution] = s
		return err == nil, err
	})
	least := ^uint32(0) // nobody's: no act about the appliance can be signed
	for n, s := range all {
		if s.managers > 0 && s.signers > 1 {
			least = min(least, n)
		}
	}
	return least, err
}
