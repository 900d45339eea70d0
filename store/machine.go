package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
	"github.com/sago-worm/sago/store/index"
)

// Window is how many log entries an operation may be late: one built longer ago
// is refused, and results are remembered for so long. It is part of what Apply
// decides, so it never changes.
const Window = 4096

// Limits of an operation's parts, bytes, so that every record fits MaxRecord.
const (
	maxDetail   = 8 << 10
	maxBody     = 7 << 10
	maxCeremony = 15 << 10
)

// ErrHalted is returned by every call after the Machine met something it could
// not decide: local damage, an unknown kind, or a state that differs from the
// history. The node stops; the index stays where it was.
var ErrHalted = errors.New("machine halted")

// ErrDiverged means that this node's history or state is not the majority's.
var ErrDiverged = errors.New("this node's roots differ from the majority's")

// Machine is the replicated state machine. Apply is its only way in; its exported
// methods answer readers. It must be given every committed entry in order.
type Machine struct {
	mu     sync.RWMutex
	own    identity
	log    *history.Log
	idx    *index.DB
	failed error

	applied uint64
	next    uint64        // sequence of the next record
	state   format.Digest // running hash of every logical change
	// covering is the size up to which a checkpoint has something to cover; after
	// a start, everything there is.
	covering uint64
	changed  uint64 // the same of a STATE record
	expired  uint64 // sequence of the newest record that ends a bundle, plus one; after a start, the history's size
	// ends is a key of the expiry table below which there is no row: what a sweep has
	// just taken away need not be passed over by the next.
	ends []byte

	// Caches of single rows, always equal to the index's.
	ceremony   *ceremonyRow
	policy     format.Policy
	clock      format.ClockRow
	checkpoint format.CheckpointEffect
	newest     *format.StateEffect // of the newest STATE record
	pruned     format.PrunedRow
	members    map[uint32]format.MemberRow

	// What Apply has just read or written, and will ask for again: the institution
	// whose record came last, the bundle that the next record is about, and what is
	// attested so far. replace drops the first two with their rows.
	counted countedRow
	recent  bundleAt
	attests *spans

	window window
	marks  map[uint64]format.Checkpoint // by MARK entry; transient
	held   *StateView                   // of the newest MARK that asked for one, until it is taken
	notify func(format.Action)          // told of each record, under the lock; must not block
}

// identity is what the Machine holds its entries against.
type identity struct {
	cluster  format.ID
	ceremony format.Digest // of the only first act that this node accepts
}

type ceremonyRow struct {
	digest     format.Digest
	production bool
	time       int64
}

func micros(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// Apply runs one committed entry: every operation is decided, recorded and
// folded in order. An entry at or below the applied index has been applied
// already and answers nothing. An error halts the Machine.
func (m *Machine) Apply(e Entry) ([]Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return nil, m.failed
	}
	if e.Index <= m.applied {
		return nil, nil
	}
	m.window.advance(e.Index)
	results := make([]Result, 0, len(e.Ops))
	for i := range e.Ops {
		r, err := m.applyOp(&e.Ops[i], e.Index)
		if err != nil {
			m.failed = fmt.Errorf("%w at entry %d: %w", ErrHalted, e.Index, err)
			return nil, m.failed
		}
		results = append(results, r)
	}
	m.applied = e.Index
	return results, nil
}

// turn is one operation being applied: it numbers the operation's records.
type turn struct {
	*Machine
	op    *Op
	entry uint64
	n     uint32 // records so far
	out   Result
}

func (m *Machine) applyOp(op *Op, entry uint64) (Result, error) {
	if known, ok := m.window.find(op.ID, entry); ok {
		return known, nil
	}
	t := &turn{Machine: m, op: op, entry: entry, out: Result{ID: op.ID, Outcome: Accepted, Clock: m.clock.Now, Entry: entry}}
	err := t.decide()
	var no *refusal
	if errors.As(err, &no) {
		t.out.Outcome, t.out.Reason, t.out.Why = Refused, no.reason, no.why
		err = t.recordRefusal(no)
	}
	if err != nil {
		return Result{}, err
	}
	return t.out, nil
}

// recordRefusal writes the DENY record of a refused request. What the cluster
// asks of itself (clock, sweep, keys) is refused without one: nothing happened.
func (t *turn) recordRefusal(no *refusal) error {
	if !t.op.Kind.isRequest() || no.reason == format.ReasonStale || t.ceremony == nil || t.n > 0 {
		return nil
	}
	d := draft{action: format.ActDeny, result: no.reason, effect: format.DenyEffect{Verb: t.op.Kind.action(), Count: 1}, detail: true}
	if len(t.op.Detail) > maxDetail || !validDetail(t.op) {
		d.detail = false
	}
	return t.writeDenial(d)
}

// writeDenial writes a DENY of what the operation names, as far as that exists.
func (t *turn) writeDenial(d draft) error {
	_, ok, err := t.institutionOrNone(t.op.Institution)
	if err != nil {
		return err
	}
	if ok {
		d.institution = t.op.Institution
	}
	if validTransaction(t.op.Transaction) {
		d.transaction, d.part = t.op.Transaction, t.op.Part
	}
	return t.write(d)
}

// draft is a record before it has its number.
type draft struct {
	action      format.Action
	result      format.Reason
	institution uint32
	transaction string
	part        uint32
	effect      format.Effect
	detail      bool // carry the operation's sealed detail
}

// write turns a draft into a record, appends it to the history and folds it into
// the state. At a replay the history holds the record already, and it must be
// the same, byte for byte.
func (t *turn) write(d draft) error {
	var inst format.InstitutionRow // the ceremony's record comes before any row
	if t.ceremony != nil {
		var err error
		if inst, err = t.institution(d.institution); err != nil {
			return err
		}
	}
	rec := format.Record{
		Sequence: t.next, Clock: t.clock.Now, FrontEarliest: t.op.FrontEarliest, FrontLatest: t.op.FrontLatest, Front: t.op.Front,
		Action: d.action, Result: d.result, Actor: t.op.Actor, Institution: d.institution, InstitutionSequence: inst.Records,
		Transaction: d.transaction, Part: d.part, Entry: t.entry, Operation: t.op.ID, Ordinal: t.n, Effect: format.EncodeEffect(d.effect),
	}
	if d.detail && len(t.op.Detail) > 0 {
		rec.DetailClass, rec.DetailEpoch, rec.Detail = t.op.DetailClass, t.op.DetailEpoch, t.op.Detail
	}
	encoded := rec.Encode()
	if len(encoded) > format.MaxRecord {
		return fmt.Errorf("record of %d bytes", len(encoded))
	}
	if t.next < t.log.Size() {
		if err := t.log.Compare(t.next, encoded); err != nil {
			if errors.Is(err, history.ErrDiverged) {
				err = fmt.Errorf("%w: %w", ErrDiverged, err)
			}
			return err
		}
	} else if _, _, err := t.log.Append(encoded); err != nil {
		return err
	}
	leaf := format.LeafHash(encoded)
	if t.n == 0 {
		t.out.Sequence, t.out.Leaf, t.out.Recorded = rec.Sequence, leaf, true
	}
	t.n++
	return t.fold(&rec, leaf)
}

// follow takes in one record of the history without deciding it anew: how the
// state is rebuilt. Records must come in order.
func (m *Machine) follow(encoded []byte) error {
	rec, err := format.DecodeRecord(encoded)
	if err != nil {
		return err
	}
	if rec.Sequence != m.next {
		return fmt.Errorf("record %d where %d belongs", rec.Sequence, m.next)
	}
	m.window.advance(rec.Entry) // or a rebuild would remember every operation there ever was
	if m.ceremony != nil {
		inst, err := m.institution(rec.Institution)
		if err != nil {
			return err
		}
		if inst.Records != rec.InstitutionSequence {
			return fmt.Errorf("record %d is number %d of institution %d where %d belongs", rec.Sequence, rec.InstitutionSequence, rec.Institution, inst.Records)
		}
	}
	if err := m.fold(&rec, format.LeafHash(encoded)); err != nil {
		return fmt.Errorf("record %d: %w", rec.Sequence, err)
	}
	m.applied = max(m.applied, rec.Entry)
	return nil
}

// rebuild follows the records [from, to) of the log.
func (m *Machine) rebuild(ctx context.Context, from, to uint64) error {
	return m.log.Range(ctx, from, to, func(_ uint64, encoded []byte) error { return m.follow(encoded) })
}

// quorumClock is the clock in force, as retention knows it.
func (m *Machine) quorumClock() retention.Clock { return clockOf(m.clock) }

// now is the clock's reading, 0 before the first tick.
func (m *Machine) now() retention.Instant { return retention.Instant(m.clock.Now) }

// atLeast is the best lower bound for now: the clock, or the ceremony's time.
func (m *Machine) atLeast() retention.Instant { return m.quorumClock().AtLeast() }
