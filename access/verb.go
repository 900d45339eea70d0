package access

import "fmt"

// Verb is an operation that a principal asks for. Grants will name verbs by
// number; the numbers are never reused or renumbered.
type Verb uint16

// The verbs on bundles (묶음정보) and use records (이용 내역).
const (
	VerbPut           Verb = 1
	VerbGet           Verb = 2 // reads content
	VerbShow          Verb = 3
	VerbList          Verb = 4
	VerbVerify        Verb = 5
	VerbSubjectView   Verb = 6 // what is kept about one data subject (정보주체), named by CI
	VerbUse           Verb = 7
	VerbUsageList     Verb = 8
	VerbExtend        Verb = 9
	VerbHoldPlace     Verb = 10
	VerbHoldRelease   Verb = 11
	VerbHoldList      Verb = 12
	VerbBundleExport  Verb = 13 // reads content
	VerbCertificate   Verb = 14
	VerbBundleEvent   Verb = 15
	VerbCirculation   Verb = 16 // 유통정지: stop, lift, list
	VerbSubjectExport Verb = 17 // reads content
)

// The verbs on the history (이력), the clock and the cluster.
const (
	VerbHistoryList   Verb = 32
	VerbHistoryShow   Verb = 33
	VerbHistoryVerify Verb = 34
	VerbHistoryExport Verb = 35
	VerbCheckpoint    Verb = 36
	VerbClockStatus   Verb = 37
	VerbClockResync   Verb = 38
	VerbClusterStatus Verb = 39
	VerbClusterVerify Verb = 40
	VerbClusterChange Verb = 41 // nodes: add, remove, transfer
	VerbBackup        Verb = 42
	VerbRestore       Verb = 43
	VerbAudit         Verb = 44
	VerbAlarm         Verb = 45
	VerbStats         Verb = 46
	VerbReceipt       Verb = 47 // proofs of what one's own calls left in the history
)

// The verbs of special deletion (특수삭제) and of access itself.
const (
	VerbSpecialRequest Verb = 64
	VerbSpecialApprove Verb = 65
	VerbSpecialVeto    Verb = 66
	VerbSpecialShow    Verb = 67
	VerbGrantApply     Verb = 68
	VerbGrantEndorse   Verb = 69
	VerbGrantDecide    Verb = 70
	VerbGrantRevoke    Verb = 71
	VerbGrantList      Verb = 72
	VerbGrantReview    Verb = 73
	VerbInstitution    Verb = 74
	VerbDefinition     Verb = 75
	VerbPolicyShow     Verb = 76
	VerbPolicyPropose  Verb = 77
	VerbUser           Verb = 78

	VerbActSign Verb = 79 // acts (결재 행위) other than special deletion
	VerbActShow Verb = 80
	VerbActVeto Verb = 81
	// What lists and shows, apart from what changes.
	VerbCirculationList     Verb = 82
	VerbInstitutionList     Verb = 83
	VerbInstitutionSubjects Verb = 84 // whom a suspension or closing must be told to
	VerbKeyArchive          Verb = 85
	VerbSpecialDisable      Verb = 86
	VerbKeyArchiveList      Verb = 87
	VerbRecoveryKey         Verb = 88 // to hold a recovery key of key archives
)

var verbNames = map[Verb]string{
	VerbPut: "put", VerbGet: "get", VerbShow: "show", VerbList: "list", VerbVerify: "verify",
	VerbSubjectView: "subject-view", VerbUse: "use", VerbUsageList: "usage-list", VerbExtend: "extend",
	VerbHoldPlace: "hold-place", VerbHoldRelease: "hold-release", VerbHoldList: "hold-list",
	VerbBundleExport: "bundle-export", VerbCertificate: "certificate", VerbBundleEvent: "bundle-event",
	VerbCirculation: "circulation", VerbSubjectExport: "subject-export",
	VerbHistoryList: "history-list", VerbHistoryShow: "history-show", VerbHistoryVerify: "history-verify",
	VerbHistoryExport: "history-export", VerbCheckpoint: "checkpoint", VerbClockStatus: "clock-status",
	VerbClockResync: "clock-resync", VerbClusterStatus: "cluster-status", VerbClusterVerify: "cluster-verify",
	VerbClusterChange: "cluster-change", VerbBackup: "backup", VerbRestore: "restore", VerbAudit: "audit",
	VerbAlarm: "alarm", VerbStats: "stats", VerbReceipt: "receipt",
	VerbSpecialRequest: "special-request", VerbSpecialApprove: "special-approve", VerbSpecialVeto: "special-veto",
	VerbSpecialShow: "special-show", VerbGrantApply: "grant-apply", VerbGrantEndorse: "grant-endorse",
	VerbGrantDecide: "grant-decide", VerbGrantRevoke: "grant-revoke", VerbGrantList: "grant-list",
	VerbGrantReview: "grant-review", VerbInstitution: "institution", VerbDefinition: "definition",
	VerbPolicyShow: "policy-show", VerbPolicyPropose: "policy-propose", VerbUser: "user",
	VerbActSign: "act-sign", VerbActShow: "act-show", VerbActVeto: "act-veto", VerbCirculationList: "circulation-list",
	VerbInstitutionList: "institution-list", VerbInstitutionSubjects: "institution-subjects", VerbKeyArchive: "key-archive",
	VerbSpecialDisable: "special-disable", VerbKeyArchiveList: "key-archive-list", VerbRecoveryKey: "recovery-key",
}

// String is the verb's name, as answers and messages show it.
func (v Verb) String() string {
	if n, ok := verbNames[v]; ok {
		return n
	}
	return fmt.Sprintf("verb %d", uint16(v))
}

// ReadsContent says whether the verb hands out bytes of bundles.
func (v Verb) ReadsContent() bool {
	return v == VerbGet || v == VerbBundleExport || v == VerbSubjectExport
}
