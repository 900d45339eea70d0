package gate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// pruned is a PRUNE record.
type pruned struct {
	seq uint64
	e   format.PruneEffect
}

// judgePrune judges the destruction of whole files of the history room. The newest
// carried file was made after the decision and holds every record of the files that
// go but those which may be dropped.
func (h *history) judgePrune(ctx context.Context, rec format.Record, mark format.Checkpoint, work custodian.Work) error {
	if rec.Action != format.ActPrune || len(work.Slots) > 0 {
		return refuse("a record of %s erases no history", rec.Action)
	}
	carried, first, err := h.newestCarried(rec.Sequence + 1)
	if err != nil {
		return err
	}
	if err := h.leftBehind(rec.Sequence+1, carried, first, work); err != nil {
		return err
	}
	p := dropping{h: h, decision: rec.Sequence, now: retention.Instant(mark.Clock), stores: map[uint64]bool{}}
	if err := p.compare(ctx, carried, first); err != nil {
		return err
	}
	return errors.Join(p.checkDigests(), p.checkErased(ctx, first))
}

// newestCarried is the newest carried file, which must have been made after the
// decision, and the first record behind it.
func (h *history) newestCarried(decided uint64) (source, uint64, error) {
	numbers, err := numbered(h.dir, "car")
	if err != nil || len(numbers) == 0 {
		return source{}, 0, errors.Join(err, refuse("no carried file stands for what goes"))
	}
	n := numbers[len(numbers)-1]
	path := fileName(h.dir, n, "car")
	f, ok, err := header(path, format.KindCarried)
	if err != nil {
		return source{}, 0, err
	}
	if !ok || f.Number != n || f.Cluster != h.members.cluster || f.Incarnation != h.incarnation || f.PrevGood != decided || f.First > h.tree.size {
		return source{}, 0, refuse("%s was not made after record %d", path, decided-1)
	}
	return source{path: path, number: n, first: f.First, good: -1, carried: true}, f.First, nil
}

// leftBehind insists that nothing reads the files any more.
func (h *history) leftBehind(decided uint64, carried source, first uint64, work custodian.Work) error {
	bases, err := numbered(h.dir, "bas")
	if err != nil || len(bases) == 0 {
		return errors.Join(err, refuse("no base stands behind record %d", decided-1))
	}
	newest := bases[len(bases)-1]
	b, ok, err := header(fileName(h.dir, newest, "bas"), format.KindBase)
	if err != nil || !ok || b.First < decided || b.Cluster != h.members.cluster || b.Incarnation != h.incarnation {
		return errors.Join(err, refuse("no base stands behind record %d", decided-1))
	}
	names := slices.Clone(work.Remove)
	for _, r := range work.Ranges {
		names = append(names, r.File)
	}
	for _, name := range names {
		if !h.isLeft(name, carried.number, newest, first) {
			return refuse("%s is in use", name)
		}
	}
	return nil
}

func (h *history) isLeft(name string, carried, base, first uint64) bool {
	ext := strings.TrimPrefix(filepath.Ext(name), ".")
	numbers, err := numbered(h.dir, ext)
	path := filepath.Join(h.dir, filepath.FromSlash(name))
	i := slices.IndexFunc(numbers, func(n uint64) bool { return fileName(h.dir, n, ext) == path })
	if err != nil || filepath.Dir(filepath.FromSlash(name)) != room {
		return false
	}
	switch {
	case i < 0:
		return slices.Contains([]string{"his", "car", "bas"}, ext) // destroyed already
	case ext == "car":
		return numbers[i] < carried
	case ext == "bas":
		return numbers[i] < base
	case ext == "his":
		for _, n := range numbers[i+1:] {
			if next, ok, err := header(fileName(h.dir, n, ext), format.KindHistory); err != nil || ok {
				return err == nil && next.First <= first
			}
		}
	}
	return false
}

// dropping compares what was with what stays.
type dropping struct {
	h        *history
	decision uint64
	now      retention.Instant
	kept     []uint64        // sequences before the first whole file that stay
	stores   map[uint64]bool // STORE records that go, whose bundle must have been erased
	shaped   []uint64        // STORE records of bundles whose retention a record shaped that goes
	erased   []uint64        // and of bundles whose ERASE record goes
}

// compare goes through the records before first: each is in the carried file byte
// for byte, or may go.
func (p *dropping) compare(ctx context.Context, carried source, first uint64) (err error) {
	t, err := openTape(carried, format.FileHeaderSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.f.Close()) }()
	stays, end := t.next()
	err = p.h.walk(ctx, 0, func(seq uint64, encoded []byte) (bool, error) {
		if seq >= first {
			return false, nil
		}
		if end == nil && sequenceOf(stays) == seq {
			if !bytes.Equal(stays, encoded) {
				return false, refuse("the carried file holds another record %d", seq)
			}
			p.kept = append(p.kept, seq)
			stays, end = t.next()
			return true, nil
		}
		return true, p.mayGo(encoded)
	})
	if err != nil {
		return err
	}
	if _, err := t.next(); !errors.Is(err, io.EOF) || t.off != t.good {
		return refuse("the carried file holds more than the records before %d", first)
	}
	return p.whole()
}

// whole insists that what stays of a bundle tells no other story: with its STORE
// record stays its ERASE record, and what shaped its retention unless it is erased.
func (p *dropping) whole() error {
	for _, store := range p.erased {
		if _, stays := slices.BinarySearch(p.kept, store); stays {
			return refuse("bundle %d stays, and not that it was erased", store)
		}
	}
	for _, store := range p.shaped {
		if _, stays := slices.BinarySearch(p.kept, store); stays {
			p.stores[store] = true
		}
	}
	return nil
}

// Dropped says whether history retention drops records of an action: those about a
// bundle, with it, and those of a moment. All others are kept for good.
func Dropped(a format.Action) bool { return ofBundle(a) || ofMoment(a) }

func ofBundle(a format.Action) bool {
	switch a {
	case format.ActStore, format.ActRead, format.ActShow, format.ActVerify, format.ActUse, format.ActExpire, format.ActErase,
		format.ActExtend, format.ActEvent, format.ActHoldPlace, format.ActHoldRelease, format.ActCirculationStop, format.ActCirculationLift,
		format.ActClose, format.ActSpecialRequest, format.ActSpecialApprove, format.ActSpecialVeto, format.ActSpecialExecute:
		return true
	}
	return false
}

func ofMoment(a format.Action) bool {
	switch a {
	case format.ActDeny, format.ActClock, format.ActCheckpoint, format.ActList, format.ActExport, format.ActNodeStart, format.ActDamage,
		format.ActRepair, format.ActAttest, format.ActState, format.ActPrune, format.ActCarry, format.ActBackup:
		return true
	}
	return false
}

// mayGo insists that a record is of a kind that history retention drops, old
// enough, and that a PRUNE went over it.
func (p *dropping) mayGo(encoded []byte) error {
	rec, err := format.DecodeRecord(encoded)
	if err != nil {
		return err
	}
	ended := rec.Clock
	if ofBundle(rec.Action) && rec.Transaction == "" { // of no bundle: only a wider hold that was released ends
		released, ok := p.h.released[rec.Sequence]
		if !ok {
			return refuse("record %d of %s is kept for good", rec.Sequence, rec.Action)
		}
		ended = released
	}
	if !Dropped(rec.Action) {
		return refuse("record %d of %s is kept for good", rec.Sequence, rec.Action)
	}
	if !p.over(max(ended, p.h.begun)) {
		return refuse("the retention of record %d has not ended", rec.Sequence)
	}
	over := func(d pruned) bool {
		return d.seq <= p.decision && d.e.From <= rec.Sequence && rec.Sequence < d.e.To
	}
	if !slices.ContainsFunc(p.h.prunes, over) {
		return refuse("nothing was decided about record %d", rec.Sequence)
	}
	return p.note(&rec)
}

// note keeps which bundle a record that goes says something of that counts.
func (p *dropping) note(rec *format.Record) error {
	switch rec.Action {
	case format.ActStore:
		p.stores[rec.Sequence] = true
	case format.ActErase:
		e, err := format.DecodeBundleRef(rec.Effect)
		p.erased = append(p.erased, e.Store)
		return err
	case format.ActExtend:
		e, err := format.DecodeExtendEffect(rec.Effect)
		p.shaped = append(p.shaped, e.Store)
		return err
	case format.ActHoldPlace:
		e, err := format.DecodeHoldEffect(rec.Effect)
		if rec.Transaction != "" {
			p.shaped = append(p.shaped, e.Store)
		}
		return err
	}
	return nil
}

// over says whether history retention, at its least, is over for what ended then.
func (p *dropping) over(at int64) bool {
	return retention.HistoryOver(retention.Ended{Effect: retention.EffectMoment, After: retention.Instant(at)}, retention.MinHistoryYears, p.now)
}

// checkDigests holds what stays against what each PRUNE says that it kept, where no
// later one went over the same records again.
func (p *dropping) checkDigests() error {
	for i, d := range p.h.prunes {
		if d.seq > p.decision {
			break
		}
		again := slices.ContainsFunc(p.h.prunes[i+1:], func(l pruned) bool {
			return l.seq <= p.decision && l.e.From < d.e.To && d.e.From < l.e.To
		})
		if again {
			continue
		}
		var kept []uint64
		for _, seq := range p.kept {
			if d.e.From <= seq && seq < d.e.To {
				kept = append(kept, seq)
			}
		}
		if format.SequencesDigest(kept) != d.e.Digest {
			return refuse("record %d kept other records than the carried file has", d.seq)
		}
	}
	return nil
}

// checkErased insists that every bundle whose STORE record goes was erased, long
// enough ago.
func (p *dropping) checkErased(ctx context.Context, first uint64) error {
	if len(p.stores) == 0 {
		return nil
	}
	err := p.h.walk(ctx, 0, func(_ uint64, encoded []byte) (bool, error) {
		if actionOf(encoded) != format.ActErase {
			return true, nil
		}
		rec, err := format.DecodeRecord(encoded)
		if err != nil {
			return false, err
		}
		e, err := format.DecodeBundleRef(rec.Effect)
		if err == nil && p.over(rec.Clock) {
			delete(p.stores, e.Store)
		}
		return len(p.stores) > 0, err
	})
	if err == nil && len(p.stores) > 0 {
		err = refuse("%d bundles stored before record %d are not erased, or not long enough ago", len(p.stores), first)
	}
	return err
}
