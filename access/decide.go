package access

import (
	"fmt"
	"slices"
)

// Principal is who asks: the person or application that a certificate's full
// subject and issuer names.
type Principal struct {
	ID          uint64 // from 1; 0 is nobody
	Role        Role
	Institution uint32 // 0 is the appliance itself
}

// Denied says that a principal may not do what it asked for. Why is a sentence
// in English for logs and answers; it holds no personal data.
type Denied struct {
	Verb Verb
	Role Role
	Why  string
}

// Error is one line: role, verb and why.
func (d *Denied) Error() string {
	return fmt.Sprintf("%s may not %s: %s", d.Role, d.Verb, d.Why)
}

// may is the fixed role table. A verb that stands nowhere is nobody's.
var may = map[Role][]Verb{
	RoleApplication: {VerbPut, VerbGet, VerbUse, VerbUsageList, VerbSubjectView, VerbReceipt, VerbBundleEvent},
	RoleOfficer: {
		VerbGet, VerbUse, VerbUsageList, VerbSpecialRequest, VerbSpecialShow, VerbReceipt, VerbBundleEvent,
		VerbCirculation, VerbCirculationList, VerbActShow, VerbRecoveryKey, VerbKeyArchiveList,
	},
	RoleManager: {
		VerbGrantDecide, VerbGrantRevoke, VerbGrantList, VerbGrantReview,
		VerbHoldPlace, VerbHoldRelease, VerbHoldList, VerbExtend, VerbBundleEvent, VerbCertificate, VerbReceipt,
		VerbSpecialApprove, VerbSpecialVeto, VerbSpecialShow, VerbSpecialDisable, VerbCirculation, VerbCirculationList,
		VerbInstitution, VerbInstitutionList, VerbInstitutionSubjects,
		VerbPolicyShow, VerbPolicyPropose, VerbKeyArchive, VerbKeyArchiveList, VerbActSign, VerbActShow, VerbActVeto,
		VerbRecoveryKey,
	},
	RoleApprover: {VerbSpecialApprove, VerbSpecialVeto, VerbSpecialShow, VerbActSign, VerbActShow, VerbActVeto, VerbRecoveryKey, VerbKeyArchiveList},
	RoleHead:     {VerbGrantEndorse, VerbGrantList, VerbActShow, VerbRecoveryKey, VerbKeyArchiveList},
	RoleAdmin: {
		VerbClockStatus, VerbClockResync, VerbClusterStatus, VerbClusterVerify, VerbClusterChange, VerbBackup, VerbRestore, VerbAlarm,
		VerbInstitution, VerbInstitutionList, VerbPolicyShow, VerbPolicyPropose, VerbKeyArchive, VerbKeyArchiveList,
		VerbActShow,
	},
	RoleAuditor: {
		VerbShow, VerbList, VerbVerify, VerbUsageList, VerbHoldList,
		VerbHistoryList, VerbHistoryShow, VerbHistoryVerify, VerbHistoryExport, VerbCheckpoint, VerbReceipt,
		VerbClockStatus, VerbClusterStatus, VerbClusterVerify,
		VerbAudit, VerbCertificate, VerbSpecialShow, VerbGrantList, VerbPolicyShow, VerbAlarm, VerbStats,
		VerbCirculationList, VerbInstitutionList, VerbKeyArchiveList, VerbActShow,
	},
	RoleContractor: {},
}

// Decide returns nil when the principal may do the verb, and a *[Denied]
// otherwise. What is not in the role table is denied.
//
// It judges the role alone. That a principal sees only its own institution's
// records is the caller's to keep: every record is looked up under the
// principal's institution, so that another's number and an unknown one answer
// alike.
func Decide(p Principal, v Verb) error {
	if why := denial(p, v); why != "" {
		return &Denied{Verb: v, Role: p.Role, Why: why}
	}
	return nil
}

func denial(p Principal, v Verb) string {
	allowed, known := may[p.Role]
	_, verb := verbNames[v]
	switch {
	case p.ID == 0:
		return "nobody is named"
	case !known:
		return "there is no such role"
	case !verb:
		return "there is no such operation"
	case p.Role == RoleAdmin && v.ReadsContent():
		// Ahead of the table: no later table may open this door.
		return "system administrators never read bundles"
	case slices.Contains(allowed, v):
		return ""
	case p.Role == RoleContractor:
		return "contractors may do nothing until they are approved"
	default:
		return "the role does not allow it"
	}
}
