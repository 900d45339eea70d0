// Package gate judges destructions for a custodian that is a process of its own
// (docs/custodian.md): from the history files that the custodian owns, and from the
// digest of the ceremony's document, which is all that it is told.
//
// It guarantees that an order is admitted only if its decision stands in these
// files, under a checkpoint that a majority of the pinned node keys signed over the
// very root which it computed itself, and that it destroys what that decision names
// and nothing else. What one machine can see alone it checks again: the rule of an
// expired bundle, which slots no record named, which records history retention may
// drop. It believes nothing that the daemon says.
package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// ErrRefused is what every refusal wraps.
var ErrRefused = errors.New("the custodian's own history does not decide that")

func refuse(f string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(f, args...))
}

// Gate judges for one data directory. It keeps what it has read of the history
// between calls; one method runs at a time.
type Gate struct {
	dir      string
	ceremony format.Digest
	h        *history // nil before the first reading, and after Forget
}

var _ custodian.Gate = (*Gate)(nil)

// New makes the gate of a data directory whose history must begin with the ceremony
// of this digest. It reads nothing yet.
func New(dir string, ceremony format.Digest) *Gate { return &Gate{dir: dir, ceremony: ceremony} }

// Forget has the history read anew: its files were replaced.
func (g *Gate) Forget() { g.h = nil }

// read brings what is known of the history up to its files.
func (g *Gate) read(ctx context.Context, leaves io.ReaderAt) (*history, error) {
	if g.h == nil {
		g.h = newHistory(g.dir, g.ceremony)
	}
	if err := g.h.catchUp(ctx, leaves); err != nil {
		err = errors.Join(err, g.h.rest())
		g.h = nil
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	if g.h.members == nil {
		return nil, refuse("there is no history yet")
	}
	return g.h, nil
}

// Admit judges orders, one after the other; the first that is refused is the
// answer for all.
func (g *Gate) Admit(ctx context.Context, orders []custodian.Order, leaves io.ReaderAt) error {
	h, err := g.read(ctx, leaves)
	if err != nil {
		return err
	}
	segments := segmentReader{dir: g.dir}
	for _, o := range orders {
		if err = ctx.Err(); err == nil {
			err = h.admit(ctx, o, &segments)
		}
		if err != nil {
			break
		}
	}
	return errors.Join(err, segments.close(), h.rest())
}

// AdmitAside admits what the member table calls gone.
func (g *Gate) AdmitAside(ctx context.Context, incarnations []format.ID, leaves io.ReaderAt) error {
	if len(incarnations) == 0 {
		return nil // there is nothing in it
	}
	h, err := g.read(ctx, leaves)
	if err != nil {
		return err
	}
	return errors.Join(h.members.admitGone(h.incarnation, incarnations), h.rest())
}

// admit judges one order.
func (h *history) admit(ctx context.Context, o custodian.Order, segments *segmentReader) error {
	rec, mark, err := h.decision(ctx, o.Warrant)
	if err != nil {
		return err
	}
	if o.Work.History {
		return h.judgePrune(ctx, rec, mark, o.Work)
	}
	if len(o.Work.Remove) > 0 {
		return refuse("no file is removed under record %d", rec.Sequence)
	}
	allowed, err := h.judgeDecision(ctx, rec, mark)
	if err != nil {
		return err
	}
	slots := map[format.Slot]bool{}
	for _, s := range o.Work.Slots {
		if !allowed(s) {
			return refuse("slot %s is none that record %d decides about", s, rec.Sequence)
		}
		slots[s] = true
	}
	for _, r := range o.Work.Ranges {
		if err := segments.check(r, slots); err != nil {
			return err
		}
	}
	return nil
}

// decision finds a warrant's record in the history, under its checkpoint.
func (h *history) decision(ctx context.Context, w custodian.Warrant) (format.Record, format.Checkpoint, error) {
	rec, err := format.DecodeRecord(w.Decision)
	if err != nil {
		return rec, format.Checkpoint{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	mark, err := h.accept(ctx, w.Checkpoint)
	if err != nil {
		return rec, mark, err
	}
	if rec.Sequence >= mark.Size {
		return rec, mark, refuse("the checkpoint of size %d does not cover record %d", mark.Size, rec.Sequence)
	}
	own, err := h.record(ctx, rec.Sequence)
	if err != nil {
		return rec, mark, err
	}
	if !bytes.Equal(own, w.Decision) {
		return rec, mark, refuse("record %d is another one here", rec.Sequence)
	}
	if rec.Result != format.ReasonOK {
		return rec, mark, refuse("record %d is of a refusal", rec.Sequence)
	}
	return rec, mark, nil
}

// judgeDecision answers which slots a decision destroys, with every range that
// names them. Each kind of decision has its place here, and no other destroys.
func (h *history) judgeDecision(ctx context.Context, rec format.Record, mark format.Checkpoint) (func(format.Slot) bool, error) {
	if rec.Action != format.ActKey {
		if err := h.confirmed(rec.Sequence); err != nil {
			return nil, err
		}
	}
	switch rec.Action {
	case format.ActExpire:
		slot, err := h.judgeExpire(ctx, rec, mark)
		return only(slot), err
	case format.ActSpecialExecute:
		slot, err := h.judgeSpecial(ctx, rec)
		return only(slot), err
	case format.ActClose:
		slot, err := h.judgeClose(ctx, rec)
		return only(slot), err
	case format.ActKey:
		return h.judgeKey(rec)
	}
	return nil, refuse("a record of %s decides no destruction", rec.Action)
}

func only(slot format.Slot) func(format.Slot) bool {
	return func(s format.Slot) bool { return s == slot }
}

// judgeKey judges the end of keys: a block's that no record named, those that puts
// left, an epoch's, an institution's use-record keys.
func (h *history) judgeKey(rec format.Record) (func(format.Slot) bool, error) {
	e, err := format.DecodeKeyEffect(rec.Effect)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	switch e.Verb {
	case format.KeyRetire:
		return func(s format.Slot) bool { return s.Block == e.Block && !h.used.has(s) }, nil
	case format.KeyEpochEnd:
		opened, later := h.epochs.find(e.Institution, e.Epoch)
		if opened.Use != e.Use || opened.Other != e.Other || later < 2 {
			return nil, refuse("epoch %d of institution %d has other keys, or is not two epochs back", e.Epoch, e.Institution)
		}
		return func(s format.Slot) bool { return s == e.Use || s == e.Other }, nil
	case format.KeySpent:
		return func(s format.Slot) bool {
			return s.Block == e.Block && slices.Contains(e.Spent, s.Index) && !h.used.has(s)
		}, nil
	case format.KeyUseEnd:
		opened, _ := h.epochs.find(e.Institution, e.Epoch)
		if e.Use.IsZero() || opened.Use != e.Use {
			return nil, refuse("epoch %d of institution %d has another use-record key", e.Epoch, e.Institution)
		}
		return only(e.Use), errors.Join(h.confirmed(rec.Sequence), h.closing(e.Institution, rec.Sequence))
	}
	return nil, refuse("record %d ends no keys", rec.Sequence)
}

// stored reads a STORE record.
func (h *history) stored(ctx context.Context, seq uint64) (rec format.Record, e format.StoreEffect, err error) {
	encoded, err := h.record(ctx, seq)
	if err != nil {
		return rec, e, err
	}
	if rec, err = format.DecodeRecord(encoded); err == nil && rec.Action != format.ActStore {
		err = fmt.Errorf("record %d stored nothing", seq)
	}
	if err == nil {
		e, err = format.DecodeStoreEffect(rec.Effect)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return rec, e, err
}

// judgeExpire follows the rule of the bundle that a record expires, and answers
// its slot.
func (h *history) judgeExpire(ctx context.Context, rec format.Record, mark format.Checkpoint) (format.Slot, error) {
	ref, err := format.DecodeBundleRef(rec.Effect)
	if err != nil {
		return format.Slot{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	stored, e, err := h.stored(ctx, ref.Store)
	if err != nil {
		return format.Slot{}, err
	}
	if keyOf(&stored) != keyOf(&rec) || stored.Sequence >= rec.Sequence {
		return format.Slot{}, refuse("record %d is not of the bundle that record %d stored", rec.Sequence, stored.Sequence)
	}
	r, err := h.retentionOf(ctx, &stored, e, mark.Size)
	if err != nil {
		return format.Slot{}, err
	}
	id := retention.RecordID(stored.Sequence)
	permit, err := r.Expire(id, retention.Instant(mark.Clock))
	if err != nil || !permit.Covers(id) {
		return format.Slot{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return e.Slot, h.unheld(ctx, &stored, e, rec.Sequence)
}

func keyOf(rec *format.Record) format.BundleKey {
	return format.BundleKey{Institution: rec.Institution, Transaction: rec.Transaction, Part: rec.Part}
}
