package custodian

import (
	"fmt"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// Warrant is what a destruction is done under (소거 근거).
type Warrant struct {
	Permit     retention.Permit
	Decision   []byte // the encoded decision record (EXPIRE and its like)
	Checkpoint []byte // with the cosignatures of a majority
}

// Judge checks that a warrant's decision record is for bundle and stands under a
// checkpoint that a majority cosigned. It MUST NOT answer nil when in doubt.
type Judge interface {
	Judge(w Warrant, bundle uint64) error
	// JudgeUnused is Judge for slots that hold no bundle's key: those of a retired key
	// block that no record named, spent ones, an ended epoch's. The decision is the
	// KEY record that retired the block, or that names them.
	JudgeUnused(w Warrant, slots []format.Slot) error
	// JudgeHistory is Judge for whole files of the history room: the decision is the
	// PRUNE record after which everything in them is dropped or stands elsewhere.
	JudgeHistory(w Warrant, files []string) error
}

// Range is a stretch of a sealed file, in bytes.
type Range struct {
	File   string
	Offset int64
	Length int64
}

// Work is what there is of one bundle on this node, or of a retired block's
// unused slots, or whole files of the history room.
type Work struct {
	Bundle  uint64 // sequence of its STORE record
	Unused  bool   // the slots are unused ones; Bundle says nothing
	History bool   // the ranges and Remove are history files; Bundle says nothing
	Slots   []format.Slot
	Ranges  []Range
	// Remove names sealed files that hold no ciphertext once the ranges are gone.
	Remove []string
}

// Order is one bundle's work and its warrant.
type Order struct {
	Warrant Warrant
	Work    Work
}

// Done says what a destruction found and did, this time or an earlier one.
type Done struct {
	Slots, Ranges int
	Bytes         int64
	// Absent are files that are not here: nothing of them was left to destroy.
	Absent []string
	// NotPunched: the file system gave no blocks back; the bytes are zero.
	NotPunched bool
}

// permitted insists on the permit of a bundle; what holds no bundle's key has none.
func (o Order) permitted() error {
	if !o.Work.Unused && !o.Work.History && !o.Warrant.Permit.Covers(retention.RecordID(o.Work.Bundle)) {
		return fmt.Errorf("%w: the permit is not for it", ErrWarrant)
	}
	return nil
}

// files lists every file that the work touches.
func (w Work) files() []string {
	out := slices.Clone(w.Remove)
	for _, r := range w.Ranges {
		out = append(out, r.File)
	}
	for _, s := range w.Slots {
		out = append(out, keyring.FileName(s.Block))
	}
	return out
}
