package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// PRUNE erases history records at the end of their retention (R93): what it drops
// loses its rows here, and its bytes once every file that holds them is replaced
// (erase.go). What it keeps is carried.

// PruneLimit is how many records one PRUNE goes over at most.
const PruneLimit = 2048

// effectOf says what ends the effect of records of an action. A denial is about a
// bundle only where there is one.
func effectOf(a format.Action) retention.Effect {
	switch a {
	case format.ActStore, format.ActRead, format.ActShow, format.ActVerify, format.ActUse, format.ActExpire, format.ActErase,
		format.ActExtend, format.ActEvent, format.ActHoldPlace, format.ActHoldRelease, format.ActCirculationStop, format.ActCirculationLift, format.ActClose,
		format.ActSpecialRequest, format.ActSpecialApprove, format.ActSpecialVeto, format.ActSpecialExecute:
		return retention.EffectBundle
	case format.ActDeny, format.ActClock, format.ActCheckpoint, format.ActList, format.ActExport, format.ActNodeStart,
		format.ActDamage, format.ActRepair, format.ActAttest, format.ActState, format.ActPrune, format.ActCarry, format.ActBackup:
		return retention.EffectMoment
	case format.ActAct, format.ActMember, format.ActKey, format.ActPolicy, format.ActEnrol, format.ActInstitution, format.ActDefinition,
		format.ActPropose, format.ActSign, format.ActVeto, format.ActRestore:
		return retention.EffectLasting
	}
	return retention.EffectUnknown
}

// verdict is what becomes of one record.
type verdict struct {
	sequence uint64
	drop     *format.Record // nil: it stays
	row      format.CarriedRow
	opened   *format.KeyEffect // the epoch that it opened
}

// pruning is a PRUNE decided: what becomes of each record, and which acts and
// members no kept checkpoint covers yet.
type pruning struct {
	verdicts []verdict
	loose    []uint64
}

// effect is e with the counts and the digest of p.
func (p pruning) effect(e format.PruneEffect) format.PruneEffect {
	var kept []uint64
	for _, v := range p.verdicts {
		if v.drop == nil {
			kept = append(kept, v.sequence)
		}
	}
	e.Kept, e.Dropped = uint32(len(kept)), uint32(len(p.verdicts)-len(kept))
	e.Digest = format.SequencesDigest(kept)
	return e
}

// ended is what is known of the end of a bundle's records. The bundle must have
// been erased, attested by every voter.
func (m *Machine) ended(key format.BundleKey) (e retention.Ended, found bool, err error) {
	b, err := m.bundle(key)
	if err != nil || b == nil {
		return retention.Ended{}, false, err
	}
	wider, err := m.heldByScope(key, b)
	if err != nil {
		return retention.Ended{}, false, err
	}
	e = retention.Ended{Effect: retention.EffectBundle, Held: len(b.Retention.Holds) > 0 || wider != nil}
	if b.Erase == 0 {
		return e, true, nil
	}
	pending, err := m.erasurePending(b)
	if err != nil || pending {
		return e, true, err
	}
	e.Erased = retention.Instant(b.ErasedAt)
	return e, true, nil
}

// holdEnded is what is known of the end of a hold on a subject or definition, by the
// sequence of its HOLD_PLACE record.
func (m *Machine) holdEnded(institution uint32, placed uint64) (retention.Ended, error) {
	e := retention.Ended{Effect: retention.EffectMoment, Held: true}
	at, err := lookup(m, tHoldEnd, holdKey(institution, placed), func(v []byte) (int64, error) {
		r := format.NewReader(v)
		return r.I64(), r.Done()
	})
	if err == nil && at != nil {
		e.Held, e.After = false, retention.Instant(*at)
	}
	return e, err
}

func (m *Machine) over(e retention.Ended) bool {
	return retention.HistoryOver(e, m.policy.HistoryYears, m.now())
}

// planPrune decides every record from e.From to e.To. cut is a clock reading that
// is not before any of them.
func (m *Machine) planPrune(e format.PruneEffect, cut retention.Instant) (pruning, error) {
	p := pruning{loose: slices.Clone(m.pruned.Loose)}
	if e.Again {
		return p, m.planAgain(e, &p)
	}
	err := m.log.Range(context.Background(), e.From, e.To, func(_ uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		if err != nil {
			return err
		}
		v, err := m.judgeRecord(&rec, cut, &p.loose)
		p.verdicts = append(p.verdicts, v)
		return err
	})
	return p, err
}

// judgeRecord decides one record that no PRUNE has gone over yet.
func (m *Machine) judgeRecord(rec *format.Record, cut retention.Instant, loose *[]uint64) (verdict, error) {
	v := verdict{sequence: rec.Sequence, row: format.CarriedRow{Lasting: true, Institution: rec.Institution, Class: rec.DetailClass, Epoch: rec.DetailEpoch}}
	e := retention.Ended{Effect: effectOf(rec.Action), After: max(cut, retention.Instant(rec.Clock))}
	switch rec.Action {
	case format.ActAct, format.ActMember, format.ActRestore:
		*loose = append(*loose, rec.Sequence)
	case format.ActKey:
		k, err := format.DecodeKeyEffect(rec.Effect)
		if err != nil {
			return v, err
		}
		if k.Verb == format.KeyEpoch {
			v.opened = &k
		}
	case format.ActCheckpoint:
		c, err := format.DecodeCheckpointEffect(rec.Effect)
		if err != nil {
			return v, err
		}
		if covers := func(seq uint64) bool { return seq < c.Checkpoint.Size }; slices.ContainsFunc(*loose, covers) {
			*loose = slices.DeleteFunc(*loose, covers)
			return v, nil // the pinned keys rest on it
		}
	}
	if wide := rec.Action == format.ActHoldPlace && rec.Transaction == ""; wide {
		known, err := m.holdEnded(rec.Institution, rec.Sequence)
		if err != nil {
			return v, err
		}
		known.After = max(known.After, e.After)
		e = known
		v.row.Lasting, v.row.Bundle = false, format.BundleKey{Institution: rec.Institution}
	} else if e.Effect == retention.EffectBundle || rec.Action == format.ActDeny && rec.Transaction != "" {
		known, found, err := m.ended(keyOf(rec))
		if err != nil {
			return v, err
		}
		if found {
			known.After = e.After
			e = known
			v.row.Lasting, v.row.Bundle = false, keyOf(rec)
		}
	}
	if m.over(e) {
		v.drop = rec
	}
	return v, nil
}

// planAgain decides what earlier PRUNEs kept.
func (m *Machine) planAgain(e format.PruneEffect, p *pruning) error {
	err := m.idx.Ascend(tCarried, key64(e.From), key64(e.To), func(k, value []byte) (bool, error) {
		v, err := m.judgeCarried(k, value)
		p.verdicts = append(p.verdicts, v)
		return len(p.verdicts) <= PruneLimit, err
	})
	if err != nil {
		return err
	}
	for i, v := range p.verdicts {
		if v.drop == nil {
			continue
		}
		if *p.verdicts[i].drop, _, err = m.Record(v.sequence); err != nil {
			return err
		}
	}
	return nil
}

// judgeCarried decides one carried record by its row; the record itself is not
// read, and drop says no more than whether it goes.
func (m *Machine) judgeCarried(key, value []byte) (verdict, error) {
	r := format.NewReader(key)
	v := verdict{sequence: r.U64()}
	var err error
	if err = r.Done(); err != nil {
		return v, err
	}
	if v.row, err = format.DecodeCarriedRow(value); err != nil || v.row.Lasting {
		return v, err
	}
	if v.row.Bundle.Transaction == "" { // a hold on a subject or definition
		e, err := m.holdEnded(v.row.Bundle.Institution, v.sequence)
		if err == nil && m.over(e) {
			v.drop = &format.Record{}
		}
		return v, err
	}
	e, found, err := m.ended(v.row.Bundle)
	if err != nil || !found {
		return v, err
	}
	e.After = e.Erased // the record lies below the bound: it is older than any end
	if m.over(e) {
		v.drop = &format.Record{}
	}
	return v, nil
}

// decidePrune takes one step. Whoever proposes it: what may go is decided here.
func (t *turn) decidePrune() error {
	e, err := format.DecodePruneEffect(t.op.Body)
	if err != nil || e.Dropped+e.Kept != 0 || e.Digest != (format.Digest{}) {
		return refuse(format.ReasonInvalid, "a pruning names its records and no result")
	}
	cut := retention.Instant(0)
	if e.Again {
		if e.Cut != 0 || e.From >= e.To || e.To > t.pruned.Bound {
			return refuse(format.ReasonInvalid, "carried records lie below the bound")
		}
	} else if cut, err = t.checkPrune(e); err != nil {
		return err
	}
	p, err := t.planPrune(e, cut)
	if err != nil {
		return err
	}
	if len(p.verdicts) > PruneLimit {
		return refuse(format.ReasonTooLarge, fmt.Sprintf("a pruning goes over at most %d records", PruneLimit))
	}
	full := p.effect(e)
	if e.Again && full.Dropped == 0 {
		return refuse(format.ReasonState, "no carried record's time has come")
	}
	return t.write(draft{action: format.ActPrune, effect: full})
}

// checkPrune answers the clock that ended what was of a moment, if the records
// that e names may be gone over now.
func (t *turn) checkPrune(e format.PruneEffect) (retention.Instant, error) {
	if e.From != t.pruned.Bound || e.To <= e.From || e.To-e.From > PruneLimit || e.Cut < e.To || e.Cut >= t.next {
		return 0, refuse(format.ReasonState, "a pruning goes on from the bound, in bounded steps, up to a clock record")
	}
	if e.To > t.checkpoint.Checkpoint.Size || t.newest == nil || e.To > t.newest.Mark.Size {
		return 0, refuse(format.ReasonState, "no checkpoint and no signed digest of the rows covers it yet")
	}
	rec, clock, err := t.cutAt(e.Cut)
	if err != nil {
		return 0, err
	}
	if rec.Entry+Window >= t.entry {
		return 0, refuse(format.ReasonState, "operations of that time may still be repeated")
	}
	if !t.over(retention.Ended{Effect: retention.EffectMoment, After: clock}) {
		return 0, refuse(format.ReasonState, "its retention has not ended")
	}
	return clock, nil
}

// cutAt reads the CLOCK record that a PRUNE names and what it set.
func (m *Machine) cutAt(seq uint64) (format.Record, retention.Instant, error) {
	rec, _, err := m.Record(seq)
	if err != nil {
		return rec, 0, err
	}
	if rec.Action != format.ActClock {
		return rec, 0, refuse(format.ReasonInvalid, "it is no clock record")
	}
	e, err := format.DecodeClockEffect(rec.Effect)
	return rec, retention.Instant(e.Now), err
}

// foldPrune takes a step in. It decides it again, from the records, which are
// here: their files go only once a base stands behind this record.
func (m *Machine) foldPrune(rec *format.Record) error {
	e, err := format.DecodePruneEffect(rec.Effect)
	if err != nil {
		return err
	}
	cut := retention.Instant(0)
	if !e.Again {
		if _, cut, err = m.cutAt(e.Cut); err != nil {
			return err
		}
	}
	p, err := m.planPrune(e, cut)
	if err != nil {
		return err
	}
	if p.effect(e) != e {
		return errors.New("the record says otherwise what goes and what stays")
	}
	for _, v := range p.verdicts {
		if err := m.settleVerdict(v, e.Again); err != nil {
			return err
		}
	}
	m.pruned.Loose, m.pruned.Decision = p.loose, rec.Sequence+1
	if !e.Again {
		m.pruned.Bound = e.To
	}
	return errors.Join(m.pruneAttested(p.verdicts), m.set(tMeta, []byte(metaPruned), m.pruned.Encode()))
}
