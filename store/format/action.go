package format

import "fmt"

// Action says what a history record records. The numbers are in files; they are
// never reused.
type Action uint16

// The actions. Their names are the ones that `sago history list` shows.
const (
	ActStore           Action = 1
	ActRead            Action = 2
	ActShow            Action = 3
	ActList            Action = 4
	ActVerify          Action = 5
	ActUse             Action = 6
	ActExtend          Action = 7
	ActHoldPlace       Action = 8
	ActHoldRelease     Action = 9
	ActExpire          Action = 10
	ActErase           Action = 11
	ActSpecialRequest  Action = 12
	ActSpecialApprove  Action = 13
	ActSpecialVeto     Action = 14
	ActSpecialExecute  Action = 15
	ActDeny            Action = 16
	ActGrantApply      Action = 17
	ActGrantEndorse    Action = 18
	ActGrantDecide     Action = 19
	ActGrantRevoke     Action = 20
	ActPolicy          Action = 21
	ActClock           Action = 22
	ActMember          Action = 23
	ActCheckpoint      Action = 24
	ActBackup          Action = 25
	ActRestore         Action = 26
	ActDamage          Action = 27
	ActRepair          Action = 28
	ActInstitution     Action = 29
	ActDefinition      Action = 30
	ActCirculationStop Action = 31
	ActCirculationLift Action = 32
	ActRequest         Action = 33
	ActWithdraw        Action = 34
	ActReceive         Action = 35
	ActProvide         Action = 36
	ActImport          Action = 37
	ActSignIn          Action = 38
	ActSignOut         Action = 39
	ActEnrol           Action = 40
	ActBreakGlass      Action = 41
	ActReview          Action = 42
	ActNodeStart       Action = 43
	ActAct             Action = 44
	ActKey             Action = 45
	ActExport          Action = 46
	ActAudit           Action = 47
	ActAlarm           Action = 48
	ActState           Action = 49
	ActAttest          Action = 50
	ActPrune           Action = 51
	ActCarry           Action = 52
	ActPropose         Action = 53
	ActSign            Action = 54
	ActVeto            Action = 55
	ActClose           Action = 56
	ActEvent           Action = 57
)

var actionNames = map[Action]string{
	ActStore: "STORE", ActRead: "READ", ActShow: "SHOW", ActList: "LIST", ActVerify: "VERIFY", ActUse: "USE",
	ActExtend: "EXTEND", ActHoldPlace: "HOLD_PLACE", ActHoldRelease: "HOLD_RELEASE", ActExpire: "EXPIRE", ActErase: "ERASE",
	ActSpecialRequest: "SPECIAL_DELETE_REQUEST", ActSpecialApprove: "SPECIAL_DELETE_APPROVE",
	ActSpecialVeto: "SPECIAL_DELETE_VETO", ActSpecialExecute: "SPECIAL_DELETE_EXECUTE", ActDeny: "DENY",
	ActGrantApply: "GRANT_APPLY", ActGrantEndorse: "GRANT_ENDORSE", ActGrantDecide: "GRANT_DECIDE", ActGrantRevoke: "GRANT_REVOKE",
	ActPolicy: "POLICY", ActClock: "CLOCK", ActMember: "MEMBER", ActCheckpoint: "CHECKPOINT", ActBackup: "BACKUP",
	ActRestore: "RESTORE", ActDamage: "DAMAGE", ActRepair: "REPAIR", ActInstitution: "INSTITUTION", ActDefinition: "DEFINITION",
	ActCirculationStop: "CIRCULATION_STOP", ActCirculationLift: "CIRCULATION_LIFT", ActRequest: "REQUEST", ActWithdraw: "WITHDRAW",
	ActReceive: "RECEIVE", ActProvide: "PROVIDE", ActImport: "IMPORT", ActSignIn: "SIGN_IN", ActSignOut: "SIGN_OUT",
	ActEnrol: "ENROL", ActBreakGlass: "BREAK_GLASS", ActReview: "REVIEW", ActNodeStart: "NODE_START", ActAct: "ACT", ActKey: "KEY",
	ActExport: "EXPORT", ActAudit: "AUDIT", ActAlarm: "ALARM", ActState: "STATE", ActAttest: "ATTEST",
	ActPrune: "PRUNE", ActCarry: "CARRY",
	ActPropose: "ACT_PROPOSE", ActSign: "ACT_SIGN", ActVeto: "ACT_VETO", ActClose: "CLOSE", ActEvent: "EVENT",
}

// String is the action's name, as interfaces show it.
func (a Action) String() string {
	if n, ok := actionNames[a]; ok {
		return n
	}
	return fmt.Sprintf("ACTION_%d", uint16(a))
}

// ActionNamed answers the action of a name; false when none has it.
func ActionNamed(name string) (Action, bool) {
	for a, n := range actionNames {
		if n == name {
			return a, true
		}
	}
	return 0, false
}

// Reason says why something was refused. The numbers are in files; the names
// travel in answers as REASON_CODE.
type Reason uint16

// The reasons.
const (
	ReasonOK               Reason = 0
	ReasonNotFound         Reason = 1
	ReasonExpired          Reason = 2
	ReasonConflict         Reason = 3  // the number is taken by other content
	ReasonNotPermitted     Reason = 4  // no grant for this verb
	ReasonUnknownPrincipal Reason = 5  // nobody enrolled has this certificate
	ReasonBadRule          Reason = 6  // retention rule missing, malformed or out of bounds
	ReasonBasis            Reason = 7  // rule contradicts its basis
	ReasonDefinition       Reason = 8  // bundle definition unknown or ended
	ReasonOneTimeUsed      Reason = 9  // the one-time view was used
	ReasonStale            Reason = 10 // operation older than the window
	ReasonSlot             Reason = 11 // key slot not announced, foreign or already named
	ReasonNotReady         Reason = 12 // no ceremony, no keys or no such institution yet
	ReasonState            Reason = 13 // institution, bundle or request is in another state
	ReasonClock            Reason = 14 // clock votes refused
	ReasonMember           Reason = 15 // unknown, foreign or outdated member
	ReasonSignature        Reason = 16
	ReasonInvalid          Reason = 17 // malformed operation
	ReasonHeld             Reason = 18
	ReasonNeedsAct         Reason = 19 // only a signed act may do this
	ReasonPurpose          Reason = 20 // no purpose given
	ReasonRate             Reason = 21
	ReasonTooLarge         Reason = 22
	ReasonPolicy           Reason = 23
	ReasonSpecialDeleted   Reason = 24 // specially deleted (특수삭제)
	ReasonStopped          Reason = 25 // a circulation stop (유통정지) stands on it
	ReasonSuspended        Reason = 26 // the institution is suspended (휴지)
	ReasonClosed           Reason = 27 // the institution is closing or closed (폐지)
	ReasonLapsed           Reason = 28 // the act's expiry has passed
	ReasonSigner           Reason = 29 // the person may not sign this act
	ReasonQuota            Reason = 30 // the institution's quota is used up
	ReasonRestored         Reason = 31 // restored with a declared loss that is not confirmed yet
)

var reasonNames = map[Reason]string{
	ReasonOK: "OK", ReasonNotFound: "NOT_FOUND", ReasonExpired: "EXPIRED", ReasonConflict: "CONFLICT",
	ReasonNotPermitted: "NOT_PERMITTED", ReasonUnknownPrincipal: "UNKNOWN_PRINCIPAL", ReasonBadRule: "RETENTION_RULE",
	ReasonBasis: "RETENTION_BASIS", ReasonDefinition: "DEFINITION", ReasonOneTimeUsed: "ONE_TIME_USED", ReasonStale: "STALE_OPERATION",
	ReasonSlot: "KEY_SLOT", ReasonNotReady: "NOT_READY", ReasonState: "STATE", ReasonClock: "CLOCK", ReasonMember: "MEMBER",
	ReasonSignature: "SIGNATURE", ReasonInvalid: "INVALID", ReasonHeld: "HELD", ReasonNeedsAct: "NEEDS_ACT", ReasonPurpose: "PURPOSE_REQUIRED",
	ReasonRate: "RATE_LIMITED", ReasonTooLarge: "TOO_LARGE", ReasonPolicy: "POLICY", ReasonSpecialDeleted: "SPECIAL_DELETED",
	ReasonStopped: "CIRCULATION_STOPPED", ReasonSuspended: "SUSPENDED", ReasonClosed: "CLOSED", ReasonLapsed: "LAPSED",
	ReasonSigner: "SIGNER", ReasonQuota: "QUOTA", ReasonRestored: "RESTORED",
}

// String is the reason's code, as answers carry it.
func (r Reason) String() string {
	if n, ok := reasonNames[r]; ok {
		return n
	}
	return fmt.Sprintf("REASON_%d", uint16(r))
}
