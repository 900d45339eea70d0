package store

import (
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/sago-worm/sago/store/format"
)

// Which node has said that it destroyed which bundles. A node attests ranges of
// decisions (ADR 0030): one row for each range, however many bundles ended in it.
// The ranges of one node never overlap, so the first one that ends behind a
// decision is the only one that can cover it.

// maxAttested bounds the bundles of one attestation: whose word completes a majority
// has an ERASE record written for each, in one Apply.
const maxAttested = 1000

// settleAtOnce bounds how many pending erasures one CLOCK looks at again after a node
// left: as many as a sweep ends while there are no requests.
const settleAtOnce = 200

func attestedKey(node uint32, to uint64) []byte { return cat(key32(node), key64(to)) }

// span is a range of decisions that a node says the same of: attested by row, or
// with none not attested.
type span struct {
	from, to uint64
	row      *format.AttestedRow
}

// spanOf is the span of a node's decisions in which one lies.
func (m *Machine) spanOf(node uint32, decision uint64) (s span, err error) {
	s = span{from: decision, to: math.MaxUint64}
	err = m.idx.Ascend(tAttested, attestedKey(node, decision+1), after(key32(node)), func(k, v []byte) (bool, error) {
		row, err := format.DecodeAttestedRow(v)
		if err != nil {
			return false, err
		}
		if row.From > decision {
			s.to = row.From
			return false, nil
		}
		r := format.NewReader(k[4:])
		s = span{from: row.From, to: r.U64(), row: &row}
		return false, r.Done()
	})
	return s, err
}

// spans remembers the span of each node in which one asked last, for somebody who
// asks of decisions in order. It knows nothing of what is attested after its first
// question.
type spans struct {
	m    *Machine
	last map[uint32]span
}

func (m *Machine) spans() *spans { return &spans{m: m, last: map[uint32]span{}} }

func (s *spans) of(node uint32, decision uint64) (span, error) {
	last, ok := s.last[node]
	if ok && last.from <= decision && decision < last.to {
		return last, nil
	}
	last, err := s.m.spanOf(node, decision)
	if err == nil {
		s.last[node] = last
	}
	return last, err
}

// count is how many voters of now have attested that what a record ended is destroyed,
// and whether all have. Who left makes no majority among those who are left.
func (s *spans) count(decision uint64) (n int, all bool, err error) {
	all = true
	for number, row := range s.m.members {
		if row.Current == (format.ID{}) {
			continue
		}
		is, err := s.of(number, decision)
		if err != nil {
			return 0, false, err
		}
		if is.row != nil {
			n++
		} else {
			all = false
		}
	}
	return n, all, nil
}

// AttestedBy lists the nodes that attested that a bundle is destroyed there,
// ascending.
func (m *Machine) AttestedBy(b *format.BundleRow) (nodes []uint32, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if b.Expire == 0 {
		return nil, nil
	}
	for _, n := range m.everyNode() {
		is, err := m.spanOf(n, b.Expire-1)
		if err != nil {
			return nil, err
		}
		if is.row != nil {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

// HasAttested reports whether an incarnation of a node has attested a range that stands.
func (m *Machine) HasAttested(node uint32, incarnation format.ID) (has bool, err error) {
	err = m.idx.Ascend(tAttested, key32(node), after(key32(node)), func(_, v []byte) (bool, error) {
		row, err := format.DecodeAttestedRow(v)
		has = err == nil && row.Incarnation == incarnation
		return !has, err
	})
	return has, err
}

// everyNode lists the numbers of all nodes there ever were, ascending.
func (m *Machine) everyNode() []uint32 { return slices.Sorted(maps.Keys(m.members)) }

// ending is a bundle whose erasure a record decided, and which is pending.
type ending struct {
	decision uint64
	key      format.BundleKey
}

// endings lists the pending erasures that records from one to before another
// decided, in order, at most limit.
func (m *Machine) endings(from, to uint64, limit int) (out []ending, err error) {
	err = m.idx.Ascend(tErasure, key64(from), key64(to), func(k, v []byte) (bool, error) {
		r := format.NewReader(k)
		e := ending{decision: r.U64()}
		var err error
		e.key, err = format.DecodeBundleKey(v)
		out = append(out, e)
		return len(out) < limit, errors.Join(err, r.Done())
	})
	return out, err
}

// checkRange refuses an attestation of bundles that wait for none, or which the node
// has attested before, and answers those that wait.
func (t *turn) checkRange(e format.AttestEffect) ([]ending, error) {
	if e.To == 0 {
		return nil, nil
	}
	if e.To > t.checkpoint.Checkpoint.Size {
		return nil, refuse(format.ReasonState, "no checkpoint covers the records yet")
	}
	is, err := t.spanOf(e.Node, e.From)
	if err != nil {
		return nil, err
	}
	if is.row != nil || is.to < e.To {
		return nil, refuse(format.ReasonState, "the node has attested some of it before")
	}
	waiting, err := t.endings(e.From, e.To, maxAttested+1)
	if err != nil {
		return nil, err
	}
	if len(waiting) == 0 {
		return nil, refuse(format.ReasonState, "no erasure waits that these records decided")
	}
	if len(waiting) > maxAttested {
		return nil, refuse(format.ReasonTooLarge, "too many bundles for one attestation")
	}
	return waiting, nil
}

// foldRange takes in that a node destroyed what the records of a range ended.
func (m *Machine) foldRange(e format.AttestEffect, sequence uint64) error {
	if e.To == 0 {
		return nil
	}
	m.add(tAttested, attestedKey(e.Node, e.To), format.AttestedRow{From: e.From, Incarnation: e.Incarnation, Record: sequence}.Encode())
	m.attests = m.spans()
	waiting, err := m.endings(e.From, e.To, maxAttested)
	if err != nil {
		return err
	}
	return m.settleEach(waiting)
}

// settleEach removes the pending erasures that wait for nothing any more: the ERASE
// record stands and every voter has attested.
func (m *Machine) settleEach(waiting []ending) error {
	for _, w := range waiting {
		_, all, err := m.attests.count(w.decision)
		if err != nil {
			return err
		}
		if !all {
			continue
		}
		b, err := m.bundle(w.key)
		if err != nil {
			return err
		}
		if b == nil {
			return errors.New("an erasure waits for a bundle that is not there")
		}
		if b.Erase != 0 {
			m.replace(tErasure, key64(w.decision), w.key.Encode(), nil)
		}
	}
	return nil
}

// After a node left, fewer words are a majority, and nobody will speak again who has
// spoken. So what was pending then is looked at once more, a little with each CLOCK:
// its fold settles, and the operation erases. The meta row "unsettled" says where to
// go on and where to end.

// lookAgain begins that anew for all that records before one decided.
func (m *Machine) lookAgain(sequence uint64) error {
	waits, err := m.stands(tErasure, nil, nil)
	if err != nil || !waits {
		return err
	}
	return m.set(tMeta, []byte(metaUnsettled), cat(key64(0), key64(sequence)))
}

// unsettled lists what the next CLOCK looks at again, and where all of it ends: 0
// when there is nothing.
func (m *Machine) unsettled() (some []ending, end uint64, err error) {
	v, err := m.idx.Get(tMeta, []byte(metaUnsettled))
	if err != nil || v == nil {
		return nil, 0, err
	}
	r := format.NewReader(v)
	from, end := r.U64(), r.U64()
	if err := r.Done(); err != nil {
		return nil, 0, err
	}
	some, err = m.endings(from, end, settleAtOnce)
	return some, end, err
}

// foldUnsettled goes on by one step.
func (m *Machine) foldUnsettled() error {
	some, end, err := m.unsettled()
	if err != nil || end == 0 {
		return err
	}
	if err := m.settleEach(some); err != nil {
		return err
	}
	var rest []byte
	if len(some) == settleAtOnce {
		rest = cat(key64(some[len(some)-1].decision+1), key64(end))
	}
	return m.set(tMeta, []byte(metaUnsettled), rest)
}

// pruneAttested takes away the ranges below the bound that have lost their last
// record to a PRUNE, by what it made of each record, ascending: no record of a bundle
// that ended in them is left. Only ranges in which it dropped something can be such.
func (m *Machine) pruneAttested(verdicts []verdict) error {
	var gone [][]byte
	for _, number := range m.everyNode() {
		judged := uint64(0) // the end of the last range
		for _, v := range verdicts {
			if v.drop == nil || v.sequence < judged {
				continue
			}
			is, err := m.attests.of(number, v.sequence)
			if err != nil {
				return err
			}
			if is.row == nil || is.to > m.pruned.Bound {
				continue
			}
			judged = is.to
			left, err := m.stands(tCarried, key64(is.row.From), key64(is.to))
			if err != nil {
				return err
			}
			if !left {
				gone = append(gone, attestedKey(number, is.to))
			}
		}
	}
	for _, k := range gone {
		if err := m.set(tAttested, k, nil); err != nil {
			return err
		}
	}
	m.attests = m.spans()
	return nil
}
