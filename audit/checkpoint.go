package audit

import (
	"math"

	"github.com/sago-worm/sago/store/format"
)

// checked is a checkpoint whose note a majority of the listed nodes signed.
type checked struct {
	format.Checkpoint
	signers, witnesses []string
}

// checkNote holds a note against the keys.
func checkNote(text string, keys Keys) (checked, error) {
	const where = "checkpoint"
	var c checked
	note, err := format.ParseNote(text)
	if err != nil {
		return c, failed(CheckpointMalformed, where, "%v", err)
	}
	if c.Checkpoint, err = format.ParseCheckpoint(note.Text); err != nil {
		return c, failed(CheckpointMalformed, where, "%v", err)
	}
	if c.Clock < 0 || c.Size > math.MaxInt64 {
		return c, failed(CheckpointMalformed, where, "its clock or size is out of range")
	}
	if origin := format.Origin(c.Cluster); origin != keys.Origin {
		return c, failed(WrongLog, where, "it is of %s, the keys are those of %s", origin, keys.Origin)
	}
	var spoilt string
	if c.signers, spoilt = signers(note, keys.Nodes); spoilt != "" {
		return c, failed(SignatureInvalid, where, "the signature of node %s does not verify", spoilt)
	}
	if c.witnesses, spoilt = signers(note, keys.Witnesses); spoilt != "" {
		return c, failed(SignatureInvalid, where, "the signature of witness %s does not verify", spoilt)
	}
	if len(c.signers)*2 <= len(keys.Nodes) {
		return c, failed(WrongKeys, where, "%d of the %d listed nodes signed, a majority is needed", len(c.signers), len(keys.Nodes))
	}
	return c, nil
}

// kept is a checkpoint of an earlier or later day that the caller brought along.
type kept struct {
	format.Checkpoint
	root  format.Digest // of the export's tree at that size, once known
	known bool
}

// readKept holds the kept notes against the keys.
func readKept(notes []string, keys Keys) ([]*kept, error) {
	var out []*kept
	for i, n := range notes {
		c, err := checkNote(n, keys)
		if err != nil {
			return nil, failed(KeptUnreadable, "", "kept checkpoint %d: %v", i+1, err)
		}
		out = append(out, &kept{Checkpoint: c.Checkpoint})
	}
	return out, nil
}

// compareKept says how the kept checkpoints stand to the signed tree.
func compareKept(kepts []*kept, tree format.Checkpoint, r *Report) error {
	count := map[string]int{}
	for _, k := range kepts {
		if k.Size == tree.Size {
			k.root, k.known = tree.Root, true
		}
		state := "contained"
		switch {
		case k.known && k.root != k.Root:
			state = "forked"
		case k.Size > tree.Size:
			state = "ahead"
		case !k.known:
			state = "not_comparable"
		}
		count[state]++
		r.Kept = append(r.Kept, KeptReport{k.Size, state})
	}
	switch {
	case count["forked"] > 0:
		return failed(Fork, "checkpoint", "a kept checkpoint is not a beginning of this tree: two histories were signed")
	case count["ahead"] > 0:
		return failed(Rollback, "checkpoint", "a kept checkpoint has more records than this tree of %d", tree.Size)
	case count["not_comparable"] > 0:
		return failed(NotComparable, "checkpoint", "an export of one institution cannot show that its tree contains a kept smaller one")
	}
	return nil
}
