package store

import (
	"fmt"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// decideKey announces or retires a key block, takes slots out of it, opens or ends
// an institution's epoch, or takes a node's word that it changed its root key.
func (t *turn) decideKey() error {
	e, err := format.DecodeKeyEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	switch e.Verb {
	case format.KeyAnnounce:
		b, err := t.block(e.Block)
		if err != nil {
			return err
		}
		if b != nil || e.Owner != t.op.Front || e.Slots == 0 || e.Slots > 1<<16 {
			return refuse(format.ReasonSlot, "the block is known, foreign or of a wrong size")
		}
	case format.KeyRetire:
		b, err := t.block(e.Block)
		if err != nil {
			return err
		}
		if b == nil || b.Retired != 0 || b.Owner != t.op.Front {
			return refuse(format.ReasonSlot, "the block is unknown, foreign or retired")
		}
	case format.KeyEpoch:
		return t.decideEpoch(e)
	case format.KeyEpochEnd:
		if err := t.checkEpochEnd(e); err != nil {
			return err
		}
	case format.KeyRewrap:
		if _, member := t.members[e.Owner]; !member || e.Owner != t.op.Front || e.Root == (format.Digest{}) {
			return refuse(format.ReasonMember, "a node speaks of its own root key alone, and names it")
		}
	case format.KeyUseEnd:
		if err := t.checkUseEnd(e); err != nil {
			return err
		}
	case format.KeySpent:
		if err := t.checkSpent(e); err != nil {
			return err
		}
	default:
		return refuse(format.ReasonInvalid, "unknown key verb")
	}
	return t.write(draft{action: format.ActKey, effect: e})
}

func (t *turn) decideEpoch(e format.KeyEffect) error {
	inst, ok, err := t.institutionOrNone(e.Institution)
	if err != nil {
		return err
	}
	if !ok {
		return refuse(format.ReasonNotFound, "no such institution")
	}
	if e.Epoch > EpochAt(int64(t.atLeast()))+1 {
		return refuse(format.ReasonState, "the epoch is not of this quarter or the next")
	}
	first := inst.Epoch == 0
	if e.Epoch <= inst.Epoch || first == e.Subject.IsZero() {
		return refuse(format.ReasonState, "the epoch is not newer, or its subject key is out of place")
	}
	slots := []format.Slot{e.Use, e.Other}
	if first {
		slots = append(slots, e.Subject)
	}
	for i, s := range slots {
		if err := t.checkSlot(s); err != nil {
			return err
		}
		if slices.Contains(slots[:i], s) {
			return refuse(format.ReasonSlot, "one slot twice")
		}
	}
	return t.write(draft{action: format.ActKey, effect: e})
}

// decideAttest takes a node's signed word that it destroyed what was to be
// destroyed; the word that completes a majority erases (ERASE) each bundle.
func (t *turn) decideAttest() error {
	e, err := format.DecodeAttestEffect(t.op.Body)
	if err != nil || e.To == 0 && len(e.Keys)+len(e.Blocks) == 0 {
		return refuse(format.ReasonInvalid, "an attestation names records whose bundles, keys or blocks are destroyed")
	}
	m, ok := t.members[e.Node]
	if !ok || m.Current != e.Incarnation {
		return refuse(format.ReasonMember, "the attesting incarnation is no voter")
	}
	if !verifyNode(m, e.Message(t.own.cluster), e.Signature) {
		return refuse(format.ReasonSignature, "attestation")
	}
	waiting, err := t.checkRange(e)
	if err != nil {
		return err
	}
	for _, seq := range e.Keys {
		waits, err := t.keysWait(seq)
		if err != nil {
			return err
		}
		if !waits {
			return refuse(format.ReasonState, "a named record ended no keys that wait for their destruction")
		}
	}
	if err := t.checkRetired(e.Blocks); err != nil {
		return err
	}
	if err := t.write(draft{action: format.ActAttest, effect: e}); err != nil {
		return err
	}
	return t.erase(waiting)
}

// erase writes the ERASE record of each of these bundles that a majority has
// attested now.
func (t *turn) erase(waiting []ending) error {
	majority := t.majority()
	for _, w := range waiting {
		n, _, err := t.attests.count(w.decision)
		if err != nil {
			return err
		}
		if n < majority {
			continue
		}
		b, err := t.bundleAt(w.key)
		if err != nil {
			return err
		}
		if b.encoded == nil {
			return fmt.Errorf("an erasure waits for %v, which is not there", w.key)
		}
		if b.row.Erase != 0 {
			continue
		}
		t.recent = b
		if err := t.write(aboutBundle(format.ActErase, w.key, format.BundleRef{Store: b.row.Store})); err != nil {
			return err
		}
	}
	return nil
}

// checkRetired refuses an attestation about a block that nothing has retired: it
// would count later, for slots that were not destroyed.
func (t *turn) checkRetired(blocks []format.ID) error {
	for _, id := range blocks {
		b, err := t.block(id)
		if err != nil {
			return err
		}
		if b == nil || b.Retired == 0 {
			return refuse(format.ReasonState, "a named block is not retired")
		}
	}
	return nil
}

// EpochAt is the number of the quarter that an instant (microseconds) lies in:
// four times the year plus the quarter from 0.
func EpochAt(us int64) uint32 {
	t := retention.Instant(us).Time()
	return uint32(t.Year()*4 + (int(t.Month())-1)/3)
}
