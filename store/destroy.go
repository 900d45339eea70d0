package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/sago-worm/sago/internal/crashpoint"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// warrantJudge judges warrants for the custodian in this process: the decision
// record must stand in this node's own history, under the newest checkpoint that
// a majority signed.
type warrantJudge struct {
	store *Store
	last  *judged
}

// judged is the checkpoint that held last: the orders of one batch stand under the
// same one, and verifying its signatures for each would take longer than all else.
type judged struct {
	mu         sync.Mutex
	checkpoint []byte
	size       uint64
	voters     map[uint32]format.ID
}

// covers checks a warrant's checkpoint against the present voters and this node's
// history, and answers its size. Under the Machine's lock.
func (j warrantJudge) covers(encoded []byte) (uint64, error) {
	m := j.store.Machine
	j.last.mu.Lock()
	defer j.last.mu.Unlock()
	same := func(n format.MemberRow, voter format.ID) bool { return n.Current == voter }
	if j.last.checkpoint != nil && bytes.Equal(j.last.checkpoint, encoded) && maps.EqualFunc(m.members, j.last.voters, same) {
		return j.last.size, nil
	}
	e, err := format.DecodeCheckpointEffect(encoded)
	if err != nil {
		return 0, err
	}
	if err := m.verifyCheckpoint(e); err != nil {
		return 0, err
	}
	root, err := m.log.RootAt(e.Checkpoint.Size)
	if err != nil {
		return 0, err
	}
	if root != e.Checkpoint.Root {
		return 0, errors.New("the checkpoint is not of this history")
	}
	voters := make(map[uint32]format.ID, len(m.members))
	for n, row := range m.members {
		voters[n] = row.Current
	}
	j.last.checkpoint, j.last.size, j.last.voters = bytes.Clone(encoded), e.Checkpoint.Size, voters
	return e.Checkpoint.Size, nil
}

// decision reads the record that a warrant names and checks that the checkpoint
// covers it.
func (j warrantJudge) decision(w custodian.Warrant) (format.Record, error) {
	rec, err := format.DecodeRecord(w.Decision)
	if err != nil {
		return rec, err
	}
	m := j.store.Machine
	m.mu.RLock()
	defer m.mu.RUnlock()
	size, err := j.covers(w.Checkpoint)
	if err != nil {
		return rec, err
	}
	if rec.Sequence >= size {
		return rec, fmt.Errorf("the checkpoint of size %d does not cover record %d", size, rec.Sequence)
	}
	return rec, m.log.Compare(rec.Sequence, w.Decision)
}

// Judge checks the decision that one bundle ends.
func (j warrantJudge) Judge(w custodian.Warrant, bundle uint64) error {
	rec, err := j.decision(w)
	if err != nil {
		return err
	}
	store, ends, err := rec.Ends()
	if err != nil || !ends || rec.Action == format.ActErase || store != bundle { // ERASE says that it was done
		return fmt.Errorf("record %d does not decide that bundle %d ends", rec.Sequence, bundle)
	}
	return nil
}

// JudgeUnused checks the decision to retire a block, and that the slots are of it
// and were named by no record; or that the decision says of these slots that they
// are spent, or of these keys that their epoch ended.
func (j warrantJudge) JudgeUnused(w custodian.Warrant, slots []format.Slot) error {
	rec, err := j.decision(w)
	if err != nil {
		return err
	}
	e, err := format.DecodeKeyEffect(rec.Effect)
	if err != nil || rec.Action != format.ActKey {
		return fmt.Errorf("record %d ends no keys", rec.Sequence)
	}
	switch e.Verb {
	case format.KeyUseEnd:
		return j.judgeUseEnd(e, slots)
	case format.KeyEpochEnd:
		return j.judgeEpochEnd(e, slots)
	case format.KeySpent:
		return j.judgeSpent(e, rec.Sequence, slots)
	case format.KeyRetire:
		return j.judgeRetire(e, rec.Sequence, slots)
	}
	return fmt.Errorf("record %d ends no keys", rec.Sequence)
}

func (j warrantJudge) judgeRetire(e format.KeyEffect, sequence uint64, slots []format.Slot) error {
	row, err := j.store.Block(e.Block)
	if err != nil {
		return err
	}
	for _, s := range slots {
		if row == nil || s.Block != e.Block || row.Retired != sequence+1 || row.IsUsed(s.Index) {
			return fmt.Errorf("slot %v is not an unused one of a block that record %d retires", s, sequence)
		}
	}
	return nil
}

// Destruction is what Prepare looked up: the orders to the custodian, and where the
// payload lies that they name.
type Destruction struct {
	orders []custodian.Order
	gone   []heldChunk
	size   uint64 // of the checkpoint that the orders are given under
}

// Prepare looks up what destroys what the pending rows name, and touches nothing. What
// they name has ended: nothing that is recorded between it and Run saves it, and no
// payload of it comes here any more. It reads each history file once if the decisions
// ascend.
func (s *Store) Prepare(ctx context.Context, bundles []PendingErasure, blocks []PendingBlock) (d Destruction, err error) {
	checkpoint := s.Summary().Checkpoint
	d.size = checkpoint.Checkpoint.Size
	if d.orders, err = s.ordersFor(format.EncodeEffect(checkpoint), bundles, blocks); err != nil {
		return d, err
	}
	d.gone, err = s.addRanges(ctx, d.orders)
	return d, err
}

// Destroy is Prepare and Run.
func (s *Store) Destroy(ctx context.Context, bundles []PendingErasure, blocks []PendingBlock) error {
	d, err := s.Prepare(ctx, bundles, blocks)
	if err != nil {
		return err
	}
	return s.Run(ctx, d)
}

// Run destroys on this node what was looked up: keys first, then payload. What is due
// in the active segment has its key destroyed at once, the segment is rolled, then
// zeroed. It may be asked again after any failure.
func (s *Store) Run(ctx context.Context, d Destruction) error {
	if len(d.orders) == 0 {
		return nil
	}
	if s.DurableSize() < d.size { // a custodian apart reads in the file what the checkpoint covers
		if err := s.SyncHistory(); err != nil {
			return err
		}
	}
	crashpoint.Reached("destroy", false)
	var refused RefusedError
	if err := s.destroy(ctx, d.orders, d.gone, &refused); err != nil {
		return errors.Join(err, refused.Err)
	}
	for _, c := range d.gone {
		if !refused.Names(c.Slot) {
			s.idx.Delete(tRange, rangeKey(c.ChunkHeader, c.Location))
		}
	}
	if len(d.gone) > 0 {
		crashpoint.Reached("forget ranges", true)
	}
	if refused.Err != nil {
		return &refused
	}
	return nil
}

// RefusedError is returned by Run and Destroy when it destroyed everything but the payload in
// some slots, which the custodian does not admit: the headers before it are damaged, or
// the file ends before it. Their keys are gone.
type RefusedError struct {
	Slots []format.Slot
	Err   error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the payload in %d slots stays: %v", len(e.Slots), e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// Names reports whether the payload in one of these slots stays.
func (e *RefusedError) Names(slots ...format.Slot) bool {
	return slices.ContainsFunc(slots, func(s format.Slot) bool { return slices.Contains(e.Slots, s) })
}

func (e *RefusedError) add(o custodian.Order, why error) {
	e.Slots, e.Err = append(e.Slots, o.Work.Slots...), errors.Join(e.Err, why)
}

// ordersFor makes the orders under a checkpoint, of key slots alone.
func (s *Store) ordersFor(checkpoint []byte, bundles []PendingErasure, blocks []PendingBlock) ([]custodian.Order, error) {
	orders := make([]custodian.Order, 0, len(bundles)+len(blocks))
	for _, b := range bundles {
		rec, encoded, err := s.Record(b.Decision)
		if err != nil {
			return nil, err
		}
		if err := b.ownSlot(&rec); err != nil {
			return nil, err
		}
		orders = append(orders, custodian.Order{Warrant: custodian.Warrant{Permit: b.Permit, Decision: encoded, Checkpoint: checkpoint},
			Work: custodian.Work{Bundle: b.Store, Slots: []format.Slot{b.Slot}}})
		runtime.Gosched() // there may be hundreds: whoever answers somebody goes first
	}
	for _, b := range blocks {
		encoded, err := s.log.Read(b.Decision)
		if err != nil {
			return nil, err
		}
		orders = append(orders, custodian.Order{Warrant: custodian.Warrant{Decision: encoded, Checkpoint: checkpoint},
			Work: custodian.Work{Unused: true, Slots: b.Unused}})
	}
	return orders, nil
}

// addRanges adds to each order the ranges of its slots here, and lists them all.
func (s *Store) addRanges(ctx context.Context, orders []custodian.Order) (gone []heldChunk, err error) {
	held := map[format.Slot][]heldChunk{}
	for _, o := range orders {
		for _, slot := range o.Work.Slots {
			held[slot] = nil
		}
	}
	if err := s.settle(ctx, held); err != nil {
		return nil, err
	}
	names := map[uint64]string{}
	for i := range orders {
		work := &orders[i].Work
		for _, slot := range work.Slots {
			for _, c := range held[slot] {
				if names[c.File] == "" {
					names[c.File] = s.segments.Name(c.File)
				}
				work.Ranges = append(work.Ranges, custodian.Range{File: names[c.File],
					Offset: c.Offset + format.ChunkHeaderSize, Length: int64(c.Location.Length)})
			}
			gone = append(gone, held[slot]...)
		}
	}
	return gone, nil
}

// Slots of a block so near to one another are looked up together, so many at once:
// whoever appends waits meanwhile.
const (
	nearSlots     = 4
	settledAtOnce = 256
)

// settle fills in the ranges of dead slots, once a chunk that is on its way in, since
// before its slot was dead, is in the table.
func (s *Store) settle(ctx context.Context, held map[format.Slot][]heldChunk) error {
	slots := slices.SortedFunc(maps.Keys(held), compareSlots)
	s.slotsAhead(ctx, slots)
	for len(slots) > 0 {
		n := 1
		for n < min(len(slots), settledAtOnce) && slots[n].Block == slots[0].Block && slots[n].Index-slots[n-1].Index <= nearSlots {
			n++
		}
		if err := s.settleSpan(slots[0], slots[n-1], held); err != nil {
			return err
		}
		slots = slots[n:]
	}
	return nil
}

func compareSlots(a, b format.Slot) int {
	return cmp.Or(bytes.Compare(a.Block[:], b.Block[:]), cmp.Compare(a.Index, b.Index))
}

// settleSpan is settle for the slots from first to last that are asked for.
func (s *Store) settleSpan(first, last format.Slot, held map[format.Slot][]heldChunk) error {
	s.ranges.Lock()
	defer s.ranges.Unlock()
	return s.idx.Ascend(tRange, slotKey(first), after(slotKey(last)), func(k, v []byte) (bool, error) {
		r := format.NewReader(k)
		slot := r.Slot()
		have, asked := held[slot]
		if !asked {
			return true, nil
		}
		c, err := decodeRange(k, v)
		held[slot] = append(have, c)
		return true, err
	})
}

// ownSlot refuses to destroy a slot that is not the one of the bundle that the
// decision names: a warrant says which bundle, the state which slot.
func (b *PendingErasure) ownSlot(rec *format.Record) error {
	if b.row == nil || b.key != keyOf(rec) || b.row.Store != b.Store || b.row.Slot != b.Slot || b.row.Expire != rec.Sequence+1 {
		return fmt.Errorf("%w: slot %s is not that of a bundle which record %d expires", custodian.ErrWarrant, b.Slot, rec.Sequence)
	}
	return nil
}

func (s *Store) destroy(ctx context.Context, orders []custodian.Order, gone []heldChunk, refused *RefusedError) error {
	// A file may be sealed and the next one not begun, for want of room: the
	// custodian would zero in it, and a start take the zeros for a torn tail.
	if slices.ContainsFunc(gone, func(c heldChunk) bool { return !s.segments.Sealed(c.File) }) {
		if _, err := s.custodian.DestroyAll(ctx, keysOf(orders)); err != nil {
			return err
		}
		crashpoint.Reached("roll", false)
		if err := s.roll(); err != nil {
			return err
		}
		crashpoint.Reached("roll", true)
	}
	_, err := s.custodian.DestroyAll(ctx, orders)
	if errors.Is(err, custodian.ErrRange) {
		return s.destroyHalves(ctx, orders, gone, refused, err)
	}
	return err
}

// destroyHalves gives orders in halves, down to the one that was refused: a range that
// the custodian does not admit keeps no other waiting, and no key alive.
func (s *Store) destroyHalves(ctx context.Context, orders []custodian.Order, gone []heldChunk, refused *RefusedError, why error) error {
	if len(orders) == 1 {
		o := orders[0]
		o.Work.Ranges = nil
		refused.add(o, why)
		_, err := s.custodian.DestroyAll(ctx, []custodian.Order{o})
		return err
	}
	half := len(orders) / 2
	return errors.Join(s.destroy(ctx, orders[:half], gone, refused), s.destroy(ctx, orders[half:], gone, refused))
}

// keysOf leaves of each order only its key slots, which wait for nothing.
func keysOf(orders []custodian.Order) []custodian.Order {
	keys := slices.Clone(orders)
	for i := range keys {
		keys[i].Work.Ranges = nil
	}
	return keys
}

// roll seals the active segment, so that what is due in it can be zeroed.
func (s *Store) roll() error {
	s.ranges.Lock()
	defer s.ranges.Unlock()
	return s.segments.Roll()
}
