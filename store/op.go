package store

import (
	"github.com/sago-worm/sago/store/format"
)

// Kind says what an operation asks of the Machine. The numbers are in logs. A
// kind that the Machine does not know halts the node.
type Kind uint16

// The kinds of operations. Body is the canonical encoding named beside each.
const (
	KindCeremony   Kind = 1  // format.SignedAct
	KindStore      Kind = 2  // format.StoreEffect; the last chunk travels beside it
	KindChunk      Kind = 3  // empty: only the chunk beside it, no record
	KindRead       Kind = 4  // format.ReadEffect; Store is the id of the hold that it is for, or 0
	KindShow       Kind = 5  // empty
	KindList       Kind = 6  // format.ListEffect
	KindVerify     Kind = 7  // empty
	KindUse        Kind = 8  // empty
	KindDeny       Kind = 9  // format.DenyEffect
	KindSweep      Kind = 10 // u32: how many bundles at most
	KindClock      Kind = 11 // format.ClockEffect with votes only
	KindMember     Kind = 12 // format.MemberEffect
	KindMark       Kind = 13 // empty, or MarkRows; no record
	KindCheckpoint Kind = 14 // format.CheckpointEffect
	KindKey        Kind = 15 // format.KeyEffect
	KindAttest     Kind = 16 // format.AttestEffect
	KindNodeStart  Kind = 17 // format.NodeStartEffect
	KindEnrol      Kind = 18 // format.EnrolEffect
	KindDamage     Kind = 19 // format.DamageEffect
	KindRepair     Kind = 20 // format.DamageEffect
	KindState      Kind = 21 // format.StateEffect
	KindExport     Kind = 22 // format.ExportEffect, First and End left 0
	KindPrune      Kind = 23 // format.PruneEffect, counts and digest left 0
	KindCarry      Kind = 24 // format.CarryEffect

	KindPropose     Kind = 25 // format.ProposeEffect
	KindSign        Kind = 26 // format.SignEffect
	KindVeto        Kind = 27 // format.VetoEffect
	KindExecute     Kind = 28 // the act's nonce: what has cooled off
	KindHold        Kind = 29 // format.HoldEffect, Store left 0
	KindExtend      Kind = 30 // format.ExtendEffect, Store left 0
	KindEvent       Kind = 31 // format.EventEffect, Store left 0
	KindStop        Kind = 32 // format.StopEffect, Store left 0
	KindInstitution Kind = 33 // format.InstitutionEffect
	KindCloseSweep  Kind = 34 // u32: how many bundles of closing institutions at most
	KindBackup      Kind = 35 // format.BackupEffect
	KindHoldSweep   Kind = 36 // u32: how many bundles of released holds at most
)

// Op is one operation of a log entry, decoded.
type Op struct {
	Kind Kind
	// ID is random; a known id is answered with the first result.
	ID format.ID
	// BuiltAt is the proposer's applied index when it built the operation.
	BuiltAt                    uint64
	Actor                      uint64
	Front                      uint32
	FrontEarliest, FrontLatest int64
	Institution                uint32
	Transaction                string
	Part                       uint32
	Reason                     format.Reason // what a DENY records
	Body                       []byte
	DetailClass                format.DetailClass
	DetailEpoch                uint32
	Detail                     []byte // sealed by the proposer
}

// Entry is one log entry: the operations that one proposer packed together.
type Entry struct {
	Index uint64
	Ops   []Op
}

// Outcome is how an operation ended.
type Outcome uint8

// The outcomes. There is no fourth: what cannot be decided halts the node.
const (
	Accepted Outcome = 1 // effects and records written
	Refused  Outcome = 2 // a deterministic refusal, with its reason
	Exists   Outcome = 3 // the transaction number is taken; Bundle says by what
)

// Result is what Apply answers for one operation.
type Result struct {
	ID       format.ID
	Outcome  Outcome
	Reason   format.Reason
	Why      string // for people; not part of the state
	Sequence uint64 // of the operation's first record
	Leaf     format.Digest
	Clock    int64 // quorum clock at Apply, microseconds
	Recorded bool  // whether Sequence and Leaf are of a record
	Entry    uint64
	// Bundle is the bundle's row after the operation, for STORE, READ, SHOW,
	// VERIFY, USE and Exists.
	Bundle *format.BundleRow
}

// refusal is a deterministic "no".
type refusal struct {
	reason format.Reason
	why    string
}

func (r *refusal) Error() string { return r.reason.String() + ": " + r.why }

func refuse(reason format.Reason, why string) error { return &refusal{reason, why} }
