package store

import (
	"fmt"

	"github.com/sago-worm/sago/store/format"
)

// Changes of policy (I10, P19, P32): every value has an order; what makes one
// weaker needs as many persons as a special deletion, what makes none weaker one
// access manager, and some values never weaken.

// strengthens reports whether an act of policy, against the policy in force,
// makes no value weaker.
func (m *Machine) strengthens(doc format.Act) (bool, error) {
	p, err := format.DecodePolicyParams(doc.Params)
	if err != nil {
		return false, refuse(format.ReasonInvalid, err.Error())
	}
	weaker, never := comparePolicy(m.policy, p.Policy)
	return !weaker && never == nil, nil
}

func (m *Machine) checkPolicy(a *openAct) error {
	p, err := format.DecodePolicyParams(a.doc.Params)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	if p.Replaces != PolicyDigest(m.policy) {
		return refuse(format.ReasonState, "the policy has changed since the document was written")
	}
	if PolicyDigest(p.Policy) == p.Replaces {
		return refuse(format.ReasonInvalid, "nothing changes")
	}
	nodes := make([]format.CeremonyNode, 0, len(m.members))
	for _, row := range m.members {
		nodes = append(nodes, format.CeremonyNode{Name: row.Name})
	}
	for _, err := range []error{CheckPolicy(p.Policy), p.Policy.Check(nodes), checkSourcesOf(p.Policy)} {
		if err != nil {
			return refuse(format.ReasonPolicy, err.Error())
		}
	}
	if _, never := comparePolicy(m.policy, p.Policy); never != nil {
		return refuse(format.ReasonPolicy, never.Error())
	}
	return m.checkApprovals(p.Policy)
}

// checkApprovals refuses more approvals than there are persons who act for the
// appliance: nobody could take that back.
func (m *Machine) checkApprovals(p format.Policy) error {
	if p.Approvals <= m.policy.Approvals {
		return nil
	}
	operator, err := m.operator()
	if err != nil {
		return err
	}
	persons, err := m.mayAct(operator)
	if err == nil && (int(p.Approvals) > len(persons) || int(p.Approvals) > maxSignatures) {
		err = refuse(format.ReasonPolicy, fmt.Sprintf("policy.approvals: %d persons act for the appliance: who would take this back?", len(persons)))
	}
	return err
}

func (m *Machine) foldPolicy(rec *format.Record, a *openAct) error {
	p, err := format.DecodePolicyParams(a.doc.Params)
	if err != nil {
		return err
	}
	n, err := m.policyChanges()
	if err != nil {
		return err
	}
	if err := m.set(tPolicyChange, key32(uint32(len(n)+1)), key64(rec.Sequence)); err != nil {
		return err
	}
	m.policy = p.Policy
	return m.set(tMeta, []byte(metaPolicy), format.EncodePolicy(p.Policy))
}

// policyChanges lists the sequences of the changes, oldest first.
func (m *Machine) policyChanges() (sequences []uint64, err error) {
	err = m.idx.Ascend(tPolicyChange, nil, nil, func(_, v []byte) (bool, error) {
		r := format.NewReader(v)
		sequences = append(sequences, r.U64())
		return true, r.Done()
	})
	return sequences, err
}

// PolicyChange is one version of the policy and where it comes from.
type PolicyChange struct {
	Version  uint32 // 0 is the ceremony's
	Sequence uint64 // of its record
	Clock    int64  // microseconds
	Policy   format.Policy
	Act      format.ID // zero for the ceremony's
}

// PolicyVersions lists every version of the policy, oldest first (P32).
func (m *Machine) PolicyVersions() ([]PolicyChange, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	sequences, err := m.policyChanges()
	if err != nil || m.ceremony == nil {
		return nil, err
	}
	first, _, err := m.Record(0)
	if err != nil {
		return nil, err
	}
	_, doc, err := signedAct(&first)
	if err != nil {
		return nil, err
	}
	c, err := format.DecodeCeremony(doc.Params)
	if err != nil {
		return nil, err
	}
	out := []PolicyChange{{Clock: c.Time, Policy: c.Policy}}
	for i, sequence := range sequences {
		rec, _, err := m.Record(sequence)
		if err != nil {
			return nil, err
		}
		_, doc, err := signedAct(&rec)
		if err != nil {
			return nil, err
		}
		p, err := format.DecodePolicyParams(doc.Params)
		if err != nil {
			return nil, err
		}
		out = append(out, PolicyChange{Version: uint32(i + 1), Sequence: sequence, Clock: rec.Clock, Policy: p.Policy, Act: doc.Nonce})
	}
	return out, nil
}
