package audit

import "fmt"

// Result is how a verification ended. A script tells them apart by exit code or
// by name; none but OK is a success.
type Result string

// The results.
const (
	OK         Result = "ok"
	Tampered   Result = "tampered"   // something that is there contradicts what was signed
	Incomplete Result = "incomplete" // something that must be there is not
	WrongKey   Result = "wrong_key"  // what is there was not signed by the keys that were brought along
	Unreadable Result = "unreadable" // nothing can be said
)

// Reason says which check failed. The names are a promise
// (docs/formats/export.md).
type Reason string

// The reasons.
const (
	ReasonOK Reason = "OK"

	NotAnExport    Reason = "NOT_AN_EXPORT"
	IOError        Reason = "IO_ERROR"
	KeysUnreadable Reason = "KEYS_UNREADABLE"
	KeptUnreadable Reason = "KEPT_UNREADABLE"

	Unfinished          Reason = "UNFINISHED"
	FileMissing         Reason = "FILE_MISSING"
	FileShort           Reason = "FILE_SHORT"
	RecordGap           Reason = "RECORD_GAP"
	ExportRecordMissing Reason = "EXPORT_RECORD_MISSING"
	Rollback            Reason = "ROLLBACK"
	NotComparable       Reason = "NOT_COMPARABLE"
	Unwitnessed         Reason = "UNWITNESSED"

	WrongLog         Reason = "WRONG_LOG"
	WrongKeys        Reason = "WRONG_KEY"
	SignatureInvalid Reason = "SIGNATURE_INVALID"

	CheckpointMalformed  Reason = "CHECKPOINT_MALFORMED"
	ManifestMismatch     Reason = "MANIFEST_MISMATCH"
	TileMismatch         Reason = "TILE_MISMATCH"
	RootMismatch         Reason = "ROOT_MISMATCH"
	RecordMalformed      Reason = "RECORD_MALFORMED"
	SequenceMismatch     Reason = "SEQUENCE_MISMATCH"
	ProofInvalid         Reason = "PROOF_INVALID"
	RecordForeign        Reason = "RECORD_FOREIGN"
	ExportRecordMismatch Reason = "EXPORT_RECORD_MISMATCH"
	ReadableMismatch     Reason = "READABLE_MISMATCH"
	FileExtra            Reason = "FILE_EXTRA"
	Fork                 Reason = "FORK"
)

// Result is the result that the reason stands under.
func (r Reason) Result() Result {
	switch r {
	case ReasonOK:
		return OK
	case NotAnExport, IOError, KeysUnreadable, KeptUnreadable:
		return Unreadable
	case Unfinished, FileMissing, FileShort, RecordGap, ExportRecordMissing, Rollback, NotComparable, Unwitnessed:
		return Incomplete
	case WrongLog, WrongKeys:
		return WrongKey
	default:
		return Tampered
	}
}

// Failure is the error of every verification that did not end well.
type Failure struct {
	Reason Reason
	Where  string // file within the export, or "record N"
	Detail string // a sentence for people
}

func (f *Failure) Error() string {
	if f.Where == "" {
		return f.Detail
	}
	return f.Where + ": " + f.Detail
}

// failed makes a Failure.
func failed(reason Reason, where, detail string, args ...any) error {
	return &Failure{reason, where, fmt.Sprintf(detail, args...)}
}

// Report is what a verification found, as far as it came; the second verifier
// (docs/verify) answers the same JSON.
type Report struct {
	Result Result `json:"result"`
	Reason Reason `json:"reason"`
	Where  string `json:"where"`
	Detail string `json:"detail"`

	Scope           string  `json:"scope"`
	Cluster         string  `json:"cluster"`
	Institution     uint64  `json:"institution"`
	InstitutionCode string  `json:"institution_code"` // shown, not proven
	Since           *string `json:"since"`            // null for none
	Until           *string `json:"until"`
	First           uint64  `json:"first"`
	End             uint64  `json:"end"`
	Minimum         uint64  `json:"minimum"`
	ExportSequence  uint64  `json:"export_sequence"`

	Size      uint64       `json:"size"` // of the signed tree
	Root      string       `json:"root"`
	Clock     *string      `json:"clock"` // the checkpoint's
	Signers   []string     `json:"signers"`
	Nodes     int          `json:"nodes"`   // that the keys list
	Records   uint64       `json:"records"` // that were held against the tree
	Witnesses []string     `json:"witnesses"`
	Needed    int          `json:"witnesses_needed"`
	Kept      []KeptReport `json:"kept"`
}

// KeptReport says how a kept checkpoint stands to the export.
type KeptReport struct {
	Size  uint64 `json:"size"`
	State string `json:"state"` // contained, forked, ahead, not_comparable
}
