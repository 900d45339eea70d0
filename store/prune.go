package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
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
	case format.ActStore, format.ActRead, format.ActShow, format.ActVerify, format.ActUse, format.ActExpire, format.ActErase:
		return retention.EffectBundle
	case format.ActDeny, format.ActClock, format.ActCheckpoint, format.ActList, format.ActExport, format.ActNodeStart,
		format.ActDamage, format.ActRepair, format.ActAttest, format.ActState, format.ActPrune, format.ActCarry:
		return retention.EffectMoment
	case format.ActAct, format.ActMember, format.ActKey, format.ActPolicy, format.ActEnrol, format.ActInstitution, format.ActDefinition:
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
	e = retention.Ended{Effect: retention.EffectBundle, Held: len(b.Retention.Holds) > 0}
	pending, err := m.erasure(b.Store)
	if err != nil || pending != nil || b.Erase == 0 {
		return e, true, err
	}
	at, err := lookup(m, tEnded, key.Encode(), func(v []byte) (int64, error) {
		r := format.NewReader(v)
		return r.I64(), r.Done()
	})
	if err == nil && at != nil {
		e.Erased = retention.Instant(*at)
	}
	return e, true, err
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
	case format.ActAct, format.ActMember:
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
	if e.Effect == retention.EffectBundle || rec.Action == format.ActDeny && rec.Transaction != "" {
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
		encoded, err := m.log.Read(v.sequence)
		if err != nil {
			return err
		}
		if *p.verdicts[i].drop, err = format.DecodeRecord(encoded); err != nil {
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
	encoded, err := m.log.Read(seq)
	if err != nil {
		return format.Record{}, 0, err
	}
	rec, err := format.DecodeRecord(encoded)
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
	return m.set(tMeta, []byte(metaPruned), m.pruned.Encode())
}

func (m *Machine) settleVerdict(v verdict, again bool) error {
	switch {
	case v.drop != nil:
		return m.dropRecord(v.drop, v.row, again)
	case again:
		return nil // stays carried
	}
	if v.opened != nil {
		if err := m.set(tPassed, key32(v.opened.Institution), key32(v.opened.Epoch)); err != nil {
			return err
		}
	}
	if err := m.set(tCarried, key64(v.sequence), v.row.Encode()); err != nil || v.row.Epoch == 0 {
		return err
	}
	return m.set(tSealedBy, sealedByKey(v.row.Institution, v.row.Epoch, v.sequence), []byte{})
}

// dropRecord takes a record's rows away, and with a transaction's last record the
// rows of its bundles.
func (m *Machine) dropRecord(rec *format.Record, row format.CarriedRow, again bool) error {
	seq := key64(rec.Sequence)
	if again {
		if err := m.unset(tCarried, seq); err != nil {
			return err
		}
		if row.Epoch != 0 {
			by, _, err := m.sealedBy(row, rec.Sequence)
			if err != nil {
				return err
			}
			err = errors.Join(m.unset(tSealedBy, sealedByKey(row.Institution, by, rec.Sequence)), m.unset(tCarriedKey, seq))
			if err != nil {
				return err
			}
		}
	}
	if rec.Action == format.ActCheckpoint {
		e, err := format.DecodeCheckpointEffect(rec.Effect)
		if err != nil {
			return err
		}
		if err := m.unset(tCheckpoint, key64(e.Checkpoint.Size)); err != nil {
			return err
		}
	}
	if rec.Action == format.ActUse {
		e, err := format.DecodeUseEffect(rec.Effect)
		if err != nil {
			return err
		}
		if err := m.unset(tUse, cat(subjectKey(rec.Institution, e.Subject), seq)); err != nil {
			return err
		}
	}
	if err := m.unset(tOwnHistory, cat(key32(rec.Institution), key64(rec.InstitutionSequence))); err != nil {
		return err
	}
	if rec.Transaction == "" {
		return nil
	}
	prefix := transactionKey(rec.Institution, rec.Transaction)
	if err := m.unset(tTransaction, cat(prefix, seq)); err != nil {
		return err
	}
	left := false
	err := m.idx.Ascend(tTransaction, prefix, after(prefix), func(_, _ []byte) (bool, error) {
		left = true
		return false, nil
	})
	if err != nil || left {
		return err
	}
	return m.dropBundles(prefix)
}

// dropBundles takes the rows of a transaction's bundles away. Their slots stay
// dead, and name nobody any more.
func (m *Machine) dropBundles(prefix []byte) error {
	type bundle struct {
		key []byte
		row format.BundleRow
	}
	var gone []bundle
	err := m.idx.Ascend(tBundle, prefix, after(prefix), func(k, v []byte) (bool, error) {
		row, err := format.DecodeBundleRow(v)
		gone = append(gone, bundle{slices.Clone(k), row})
		return true, err
	})
	if err != nil {
		return err
	}
	for _, b := range gone {
		key, err := format.DecodeBundleKey(b.key)
		if err != nil {
			return err
		}
		if b.row.Erase == 0 {
			return fmt.Errorf("the bundle of record %d is not erased and has no records", b.row.Store)
		}
		err = errors.Join(m.set(tDeadSlot, slotKey(b.row.Slot), []byte{}), m.unset(tEnded, b.key),
			m.unset(tSubject, cat(subjectKey(key.Institution, b.row.Subject), key64(b.row.Store))), m.unset(tBundle, b.key))
		if err != nil {
			return err
		}
	}
	return nil
}

// unset removes a row, if it is there.
func (m *Machine) unset(t index.Table, key []byte) error {
	v, err := m.idx.Get(t, key)
	if err != nil || v == nil {
		return err
	}
	return m.set(t, key, nil)
}

// Pruned is how far the history was erased.
func (m *Machine) Pruned() format.PrunedRow {
	m.mu.RLock()
	defer m.mu.RUnlock()
	p := m.pruned
	p.Loose = slices.Clone(p.Loose)
	return p
}

// NextPrune is the next step of erasing history records whose time has come, as a
// PRUNE's body; nil when there is none. cut is the newest CLOCK record that ended
// its retention (PruneCut), 0 for none; from is where to look on among the carried
// records, and next where the following call does, 0 at their end.
func (m *Machine) NextPrune(cut, from uint64) (body []byte, next uint64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	to := min(m.pruned.Bound+PruneLimit, cut, m.checkpoint.Checkpoint.Size)
	if m.newest == nil {
		return nil, 0, nil
	}
	if to = min(to, m.newest.Mark.Size); to > m.pruned.Bound {
		return format.EncodeEffect(format.PruneEffect{From: m.pruned.Bound, To: to, Cut: cut}), from, nil
	}
	e := format.PruneEffect{Again: true, From: from}
	n, due := 0, false
	err = m.idx.Ascend(tCarried, key64(from), nil, func(k, value []byte) (bool, error) {
		v, err := m.judgeCarried(k, value)
		if err != nil {
			return false, err
		}
		n, due, e.To = n+1, due || v.drop != nil, v.sequence+1
		return n < PruneLimit, nil
	})
	if n == PruneLimit {
		next = e.To
	}
	if err != nil || !due {
		return nil, next, err
	}
	return format.EncodeEffect(e), next, nil
}

// PruneCut is the newest CLOCK record whose reading lies at or before an instant
// and after which nothing is repeated any more; 0 for none. It reads a few records.
func (m *Machine) PruneCut(before retention.Instant) (uint64, error) {
	m.mu.RLock()
	low, high := m.pruned.Bound, m.next
	m.mu.RUnlock()
	for end := high; low < end; { // the first record behind the instant
		mid := low + (end-low)/2
		rec, _, err := m.Record(mid)
		if err != nil {
			return 0, err
		}
		if retention.Instant(rec.Clock) <= before {
			low = mid + 1
		} else {
			end = mid
		}
		high = end
	}
	bound := m.Pruned().Bound
	for seq := min(low, high); seq > bound; seq-- {
		rec, _, err := m.Record(seq - 1)
		if err != nil {
			return 0, err
		}
		if rec.Action != format.ActClock {
			continue
		}
		e, err := format.DecodeClockEffect(rec.Effect)
		if err != nil {
			return 0, err
		}
		if retention.Instant(e.Now) <= before {
			return seq - 1, nil
		}
	}
	return 0, nil
}
