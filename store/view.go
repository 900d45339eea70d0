package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"sort"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// Summary is where the Machine stands.
type Summary struct {
	Applied    uint64
	Size       uint64 // history records
	State      format.Digest
	Clock      format.ClockRow
	Policy     format.Policy
	Checkpoint format.CheckpointEffect
	Begun      bool // the ceremony has been applied
	Production bool
	Ceremony   int64 // the time that the persons compared, microseconds
	Failed     error
	Cluster    format.ID
}

// Summary answers from memory.
func (m *Machine) Summary() Summary {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := Summary{Applied: m.applied, Size: m.next, State: m.state, Clock: m.clock, Policy: m.policy, Checkpoint: m.checkpoint, Failed: m.failed, Cluster: m.own.cluster}
	if m.ceremony != nil {
		s.Begun, s.Production, s.Ceremony = true, m.ceremony.production, m.ceremony.time
	}
	return s
}

// Members lists the nodes by number, without those that were removed.
func (m *Machine) Members() []format.MemberRow {
	return slices.DeleteFunc(m.EveryMember(), func(row format.MemberRow) bool { return len(row.PublicKey) == 0 })
}

// EveryMember lists the nodes by number, those that were removed included: they
// have no key any more.
func (m *Machine) EveryMember() []format.MemberRow {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make([]format.MemberRow, 0, len(m.members))
	for _, row := range m.members {
		out = append(out, row)
	}
	slices.SortFunc(out, func(a, b format.MemberRow) int { return int(a.Number) - int(b.Number) })
	return out
}

// Mark answers what this node computed at a MARK entry.
func (m *Machine) Mark(entry uint64) (format.Checkpoint, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c, ok := m.marks[entry]
	return c, ok
}

// Bundle answers a bundle's row, or nil.
func (m *Machine) Bundle(k format.BundleKey) (*format.BundleRow, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.bundle(k)
}

// Status is what a bundle's retention means at the quorum clock, holds on its
// subject and definition included. Where these cannot be read it is locked.
func (m *Machine) Status(k format.BundleKey, b *format.BundleRow) retention.State {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if b.Expire != 0 {
		return retention.StateExpired
	}
	s, err := m.stateOf(k, b)
	if err != nil {
		return retention.StateLocked
	}
	return s
}

// Passed reports whether a bundle has ended, or its own row says that its deadline
// has passed with no hold in place. A hold on its subject or definition that the
// next sweep will meet is not asked.
func (m *Machine) Passed(b *format.BundleRow) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return b.Expire != 0 || retentionOf(b.Retention).Status(m.now()) == retention.StateExpired
}

// RetainUntil is a receipt's floor of the deadline, microseconds, for a bundle
// whose retention began at the given clock; ok is false for an unset one.
// Starting says that the period waits for its start.
func (m *Machine) RetainUntil(b *format.BundleRow) (floor int64, starting, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r := retentionOf(b.Retention)
	if end := r.End(); end != 0 {
		return int64(end), false, true
	}
	at := retention.Instant(b.StoredAt)
	if at == 0 {
		at = m.atLeast()
	}
	f, ok := r.Rule.Floor(at)
	return int64(f), r.Waiting(), ok
}

// PersonByIdentity answers who has enrolled under a certificate identity, or nil.
func (m *Machine) PersonByIdentity(identity format.Digest) (*format.Person, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, err := m.idx.Get(tIdentity, identity[:])
	if err != nil || v == nil {
		return nil, err
	}
	r := format.NewReader(v)
	id := r.U64()
	if err := r.Done(); err != nil {
		return nil, err
	}
	return m.person(id)
}

// Person answers a person by id, or nil.
func (m *Machine) Person(id uint64) (*format.Person, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.person(id)
}

// Persons lists everybody by id.
func (m *Machine) Persons() ([]format.Person, error) {
	return collect(m, tPerson, format.DecodePerson)
}

// Institutions lists the tenants, number 0 (the appliance) first.
func (m *Machine) Institutions() ([]format.InstitutionRow, error) {
	return collect(m, tInstitution, format.DecodeInstitutionRow)
}

func collect[T any](m *Machine, t index.Table, decode func([]byte) (T, error)) ([]T, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return allRows(m, t, decode)
}

// Authorities lists the certificates (DER) that client certificates chain to.
func (m *Machine) Authorities() ([][]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out [][]byte
	prefix := []byte(metaAuthority)
	err := m.idx.Ascend(tMeta, prefix, after(prefix), func(_, v []byte) (bool, error) {
		out = append(out, slices.Clone(v))
		return true, nil
	})
	return out, err
}

// Institution answers a tenant's row.
func (m *Machine) Institution(number uint32) (format.InstitutionRow, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.institution(number)
}

// Epoch answers the slots of an institution's history keys of a quarter, or nil.
func (m *Machine) Epoch(institution, epoch uint32) (*format.EpochRow, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.epoch(institution, epoch)
}

// Block answers an announced key block, or nil.
func (m *Machine) Block(id format.ID) (*format.BlockRow, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.block(id)
}

// BlockIDs lists the announced key blocks.
func (m *Machine) BlockIDs() ([]format.ID, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []format.ID
	err := m.idx.Ascend(tBlock, nil, nil, func(k, _ []byte) (bool, error) {
		out = append(out, format.ID(k))
		return true, nil
	})
	return out, err
}

// Listed is a bundle found by a list.
type Listed struct {
	Key format.BundleKey
	Row format.BundleRow
}

// Filter narrows a list of bundles. Zero fields do not.
type Filter struct {
	Subject        format.Digest
	Definition     string
	Since, Until   int64 // stored at, microseconds
	ExpiringBefore int64
}

func (f Filter) takes(r *format.BundleRow) bool {
	return (f.Definition == "" || r.Definition == f.Definition) && (f.Since == 0 || r.StoredAt >= f.Since) &&
		(f.Until == 0 || r.StoredAt < f.Until) &&
		(f.ExpiringBefore == 0 || r.Expire == 0 && r.Retention.Deadline != 0 && r.Retention.Deadline < f.ExpiringBefore) &&
		(f.Subject == format.Digest{} || r.Subject == f.Subject)
}

// Bundles lists an institution's bundles from a cursor on (empty: the first), at
// most limit, and answers the cursor to go on from (empty at the end).
func (m *Machine) Bundles(institution uint32, f Filter, cursor []byte, limit int) ([]Listed, []byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	t, prefix := tBundle, key32(institution)
	if f.Subject != (format.Digest{}) {
		t, prefix = tSubject, subjectKey(institution, f.Subject)
	}
	from := prefix
	if bytes.HasPrefix(cursor, prefix) { // another's cursor shows nothing of the other
		from = cursor
	}
	var out []Listed
	var next []byte
	err := m.idx.Ascend(t, from, after(prefix), func(k, v []byte) (bool, error) {
		if len(out) == limit {
			next = slices.Clone(k)
			return false, nil
		}
		raw := k
		if t == tSubject {
			raw = v
		}
		l := Listed{}
		var err error
		if l.Key, err = format.DecodeBundleKey(raw); err != nil {
			return false, err
		}
		row, err := m.bundle(l.Key)
		if err != nil || row == nil {
			return false, errors.Join(err, errors.New("a list names a bundle that is not there"))
		}
		if l.Row = *row; f.takes(row) {
			out = append(out, l)
		}
		return true, nil
	})
	return out, next, err
}

// Record reads one record of the history, with its exact bytes.
func (m *Machine) Record(sequence uint64) (format.Record, []byte, error) {
	encoded, err := m.log.Read(sequence)
	if errors.Is(err, ErrPruned) {
		err = cmp.Or(m.checkGap(sequence, sequence+1), err)
	}
	if err != nil {
		return format.Record{}, nil, err
	}
	rec, err := format.DecodeRecord(encoded)
	return rec, encoded, err
}

// Sequences lists the sequences of an institution's records from a sequence on,
// at most limit; with a transaction, only that transaction's; with a subject,
// only the uses about it.
func (m *Machine) Sequences(institution uint32, transaction string, subject format.Digest, from uint64, limit int) ([]uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	t, prefix := tOwnHistory, key32(institution)
	switch {
	case transaction != "":
		t, prefix = tTransaction, transactionKey(institution, transaction)
	case subject != format.Digest{}:
		t, prefix = tUse, subjectKey(institution, subject)
	}
	start := from
	if t == tOwnHistory {
		own, err := m.ownSequence(institution, from)
		if err != nil {
			return nil, err
		}
		start = own
	}
	var out []uint64
	err := m.idx.Ascend(t, cat(prefix, key64(start)), after(prefix), func(k, v []byte) (bool, error) {
		raw := k[len(k)-8:]
		if t == tOwnHistory {
			raw = v
		}
		r := format.NewReader(raw)
		out = append(out, r.U64())
		return len(out) < limit, r.Done()
	})
	return out, err
}

// ownSequence is the least of an institution's own sequences whose record is at
// or after the given one.
func (m *Machine) ownSequence(institution uint32, from uint64) (uint64, error) {
	inst, err := m.institution(institution)
	if err != nil {
		return 0, err
	}
	var failed error
	prefix := key32(institution)
	n := sort.Search(int(inst.Records), func(i int) bool {
		found := false // a record from the i-th on that lies before from; some are gone
		err := m.idx.Ascend(tOwnHistory, cat(prefix, key64(uint64(i))), after(prefix), func(_, v []byte) (bool, error) {
			r := format.NewReader(v)
			found = r.U64() < from
			return false, r.Done()
		})
		failed = errors.Join(failed, err)
		return !found
	})
	return uint64(n), failed
}

// History streams encoded records [from, to).
func (m *Machine) History(ctx context.Context, from, to uint64, each func(sequence uint64, encoded []byte) error) error {
	return m.log.Range(ctx, from, to, each)
}

// RootAt is the root of the first size records.
func (m *Machine) RootAt(size uint64) (format.Digest, error) { return m.log.RootAt(size) }

// Due reports whether the clock has passed deadlines that nobody has swept, and
// whether something waits for the next clock entry: a period to start, a deadline
// within horizon microseconds, or erasures to look at again since a node left.
func (m *Machine) Due(horizon int64) (due, wanted bool, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	waiting, err := m.stands(tWaiting, nil, nil)
	if err != nil {
		return false, false, err
	}
	near, err := m.stands(tExpiry, key64(uint64(m.clock.Now)+1), key64(uint64(m.clock.Now+horizon)+1))
	if err != nil {
		return false, false, err
	}
	again, err := m.idx.Get(tMeta, []byte(metaUnsettled))
	if err != nil {
		return false, false, err
	}
	expired, err := m.due(1)
	return len(expired) > 0, waiting || near || again != nil || len(expired) > 0, err
}

// ChooseVotes picks, for a clock entry, the largest group of votes that agree
// and would be taken, by ascending voter as an entry lists them; none when no
// majority does.
func (m *Machine) ChooseVotes(votes []format.SignedVote) []format.SignedVote {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var sound []format.SignedVote
	for _, v := range votes {
		if m.checkVote(v) == nil {
			sound = append(sound, v)
		}
	}
	chosen := m.quorumClock().Choose(m.voters(), votesOf(sound), clockPolicy(m.policy))
	sound = slices.DeleteFunc(sound, func(v format.SignedVote) bool {
		return !slices.ContainsFunc(chosen, func(c retention.Vote) bool { return c.Voter == v.Voter })
	})
	slices.SortFunc(sound, func(a, b format.SignedVote) int { return cmp.Compare(a.Voter, b.Voter) })
	return sound
}

// Uncovered reports whether the history holds, beyond the newest checkpoint, a
// record other than CLOCK and CHECKPOINT.
func (m *Machine) Uncovered() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.covering > m.checkpoint.Checkpoint.Size
}
