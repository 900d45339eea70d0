package gate

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// told are the actions of which a later judgement must know.
func told() []format.Action {
	return []format.Action{
		format.ActStore, format.ActRead, format.ActExtend, format.ActEvent, format.ActHoldPlace, format.ActHoldRelease, format.ActMember,
		format.ActCheckpoint, format.ActKey, format.ActPrune, format.ActAct, format.ActPropose, format.ActSpecialRequest, format.ActCirculationStop, format.ActCirculationLift,
		format.ActInstitution, format.ActExpire, format.ActClose, format.ActSpecialExecute, format.ActErase,
		format.ActPolicy, format.ActRestore,
	}
}

// take notes what one record means for later judgements.
func (h *history) take(ctx context.Context, encoded []byte) error {
	action := actionOf(encoded)
	if h.members == nil {
		rec, err := format.DecodeRecord(encoded)
		if err != nil {
			return err
		}
		m, c, err := readCeremony(&rec, h.ceremony)
		h.members, h.begun = m, c.Time
		h.needs = append(h.needs, need{approvals: int(c.Policy.Approvals)})
		for _, p := range c.Persons {
			h.persons[p.ID] = signerOf(p)
		}
		return err
	}
	if !slices.Contains(told(), action) {
		return nil
	}
	rec, err := format.DecodeRecord(encoded)
	if err != nil {
		return err
	}
	switch action {
	case format.ActStore:
		e, err := format.DecodeStoreEffect(rec.Effect)
		if err != nil {
			return err
		}
		h.used.add(e.Slot)
		h.begin(&rec)
		if rule, err := retention.ParseRule(e.Rule); err != nil || rule.Kind() == retention.RuleOneTime {
			h.oneTime[keyOf(&rec)] = true
		}
	case format.ActRead:
		if h.oneTime[keyOf(&rec)] {
			h.touched[keyOf(&rec)] = append(h.touched[keyOf(&rec)], rec.Sequence)
		}
	case format.ActExtend, format.ActEvent:
		h.touched[keyOf(&rec)] = append(h.touched[keyOf(&rec)], rec.Sequence)
	case format.ActExpire, format.ActClose, format.ActSpecialExecute, format.ActErase:
		return h.end(&rec)
	case format.ActMember:
		return h.members.note(&rec)
	case format.ActCheckpoint:
		return h.takeCheckpoint(ctx, &rec)
	case format.ActKey:
		return h.takeKey(&rec)
	case format.ActPrune:
		e, err := format.DecodePruneEffect(rec.Effect)
		h.prunes = append(h.prunes, pruned{rec.Sequence, e})
		return err
	}
	return h.takeAct(&rec)
}

// takeAct notes what acts need and do.
func (h *history) takeAct(rec *format.Record) error {
	switch rec.Action {
	case format.ActPropose, format.ActSpecialRequest:
		e, err := format.DecodeProposeEffect(rec.Effect)
		h.proposers[sha256.Sum256(e.Document)] = rec.Actor
		return err
	case format.ActCirculationStop:
		return h.takeStop(rec)
	case format.ActCirculationLift:
		return h.takeLift(rec)
	case format.ActHoldPlace:
		return h.takeHold(rec)
	case format.ActHoldRelease:
		return h.takeRelease(rec)
	case format.ActAct:
		return errors.Join(h.takeMemberAct(rec), h.takeClosing(rec), h.takeConfirmation(rec))
	case format.ActInstitution:
		return h.takeInstitution(rec)
	case format.ActPolicy:
		return h.takePolicy(rec)
	case format.ActRestore:
		return h.takeRestore(rec)
	}
	return nil
}

// takeCheckpoint looks at a checkpoint in the history only where members wait for
// one: the majority before their change has to have signed it.
func (h *history) takeCheckpoint(ctx context.Context, rec *format.Record) error {
	m := h.members
	if len(m.pending) == 0 {
		return nil
	}
	e, err := format.DecodeCheckpointEffect(rec.Effect)
	if err != nil || m.pending[0].seq >= e.Checkpoint.Size {
		return err
	}
	if h.verifyCheckpoint(ctx, e) == nil { // another one will come
		m.settle(e.Checkpoint.Size)
	}
	return nil
}

func (h *history) takeKey(rec *format.Record) error {
	e, err := format.DecodeKeyEffect(rec.Effect)
	if err != nil || e.Verb != format.KeyEpoch {
		return err
	}
	h.used.add(e.Use)
	h.used.add(e.Other)
	h.used.add(e.Subject)
	h.epochs[e.Institution] = append(h.epochs[e.Institution], e)
	return nil
}

// bitmap is a set of numbers, a bit each.
type bitmap []uint64

func (b *bitmap) add(n uint64) {
	for n/64 >= uint64(len(*b)) {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b bitmap) has(n uint64) bool { return n/64 < uint64(len(b)) && b[n/64]>>(n%64)&1 == 1 }

// remove takes out a number that is there.
func (b bitmap) remove(n uint64) { b[n/64] &^= 1 << (n % 64) }

// usedSlots are the slots that a record named.
type usedSlots map[format.ID]bitmap

func (u usedSlots) add(s format.Slot) {
	b := u[s.Block]
	b.add(uint64(s.Index))
	u[s.Block] = b
}

func (u usedSlots) has(s format.Slot) bool { return u[s.Block].has(uint64(s.Index)) }

// epochs are the history keys of each institution, in the order of their records.
type epochs map[uint32][]format.KeyEffect

// find answers the record that opened an epoch, and how many came after it.
func (e epochs) find(institution, epoch uint32) (opened format.KeyEffect, later int) {
	for _, k := range e[institution] {
		if k.Epoch == epoch {
			opened = k
		}
		if k.Epoch > epoch {
			later++
		}
	}
	return opened, later
}
