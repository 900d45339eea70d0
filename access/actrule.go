package access

import (
	"bytes"
	"fmt"
)

// ActKind is the kind of an act, with the numbers of docs/formats/act.md.
type ActKind uint16

// The kinds of acts that this version takes after the ceremony.
const (
	ActSpecialDelete  ActKind = 2
	ActCloseDown      ActKind = 3
	ActHoldRelease    ActKind = 4
	ActResync         ActKind = 5
	ActPolicy         ActKind = 6
	ActMember         ActKind = 7
	ActRestore        ActKind = 10
	ActKeyArchive     ActKind = 12
	ActMedium         ActKind = 13
	ActLiftStop       ActKind = 14
	ActRestoreConfirm ActKind = 15
)

// ActRule says who must do what before an act is executed. One of the signers is
// always an access manager (권한관리책임자), and all are different persons.
type ActRule struct {
	Propose, Sign, Veto Verb
	// Needed is how many persons must sign.
	Needed int
	// NotProposer keeps the one who proposed from signing.
	NotProposer bool
	// Cools says that the policy's cooling-off lies between the last signature and
	// the execution.
	Cools bool
	// Appliance says that the act is about the whole appliance: only persons who
	// act for it may propose and sign.
	Appliance bool
}

// two persons always: no act below rests on one.
const actPersons = 2

// RuleOfAct is the rule of a kind of act; false for a kind that this version
// does not take. approvals is the policy's number for a special deletion.
// strengthens says that an act of policy makes nothing weaker, which one access
// manager may decide.
func RuleOfAct(k ActKind, approvals int, strengthens bool) (ActRule, bool) {
	r := ActRule{Sign: VerbActSign, Veto: VerbActVeto, Needed: actPersons, Appliance: true}
	switch k {
	case ActSpecialDelete:
		return ActRule{Propose: VerbSpecialRequest, Sign: VerbSpecialApprove, Veto: VerbSpecialVeto,
			Needed: max(actPersons, approvals), NotProposer: true, Cools: true}, true
	case ActCloseDown:
		r.Propose, r.Needed, r.Appliance = VerbInstitution, max(actPersons, approvals), false
	case ActHoldRelease:
		r.Propose, r.Appliance = VerbHoldRelease, false
	case ActLiftStop:
		r.Propose, r.Appliance = VerbCirculation, false
	case ActPolicy:
		r.Propose, r.Needed = VerbPolicyPropose, max(actPersons, approvals)
		if strengthens {
			r.Needed = 1
		}
	case ActResync:
		r.Propose = VerbClockResync
	case ActMember, ActMedium:
		r.Propose = VerbClusterChange
	case ActRestore, ActRestoreConfirm:
		r.Propose = VerbRestore
	case ActKeyArchive:
		r.Propose = VerbKeyArchive
	default:
		return ActRule{}, false
	}
	return r, true
}

// Signer is a person who signs an act: who they are, and what tells them apart.
type Signer struct {
	Principal
	PublicKey []byte
	Identity  [32]byte
}

// same reports whether two are one person, under whatever number.
func (s Signer) same(p Signer) bool {
	return s.ID == p.ID || s.Identity == p.Identity || bytes.Equal(s.PublicKey, p.PublicKey)
}

// MaySign says why p may not sign an act of this rule that proposer proposed and
// signed have signed, or nil. The error is a *[Denied], or wraps
// [ErrSignerTwice]: one person counts once, under whatever number, key or
// certificate.
func (r ActRule) MaySign(p, proposer Signer, signed []Signer) error {
	if err := Decide(p.Principal, r.Sign); err != nil {
		return err
	}
	if r.NotProposer && p.same(proposer) {
		return &Denied{Verb: r.Sign, Role: p.Role, Why: "who asked for it may not approve it"}
	}
	for _, s := range signed {
		if s.same(p) {
			return fmt.Errorf("%w: persons %d and %d", ErrSignerTwice, s.ID, p.ID)
		}
	}
	return nil
}

// Complete reports whether these persons, who each may sign, are enough.
func (r ActRule) Complete(signed []Signer) bool {
	manager := false
	for _, s := range signed {
		manager = manager || s.Role == RoleManager
	}
	return manager && len(signed) >= r.Needed
}
