package store

import (
	"errors"
	"slices"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/index"
)

// What the state says about the erasure of one bundle: who held its key, who has
// attested that it is gone, and whose word is missing (파기 증명서).

// Holder is an incarnation of a node that may have held a bundle's key.
type Holder struct {
	Node        uint32
	Incarnation format.ID
	// Member says that it is a voter now; another one's medium may lie anywhere.
	Member bool
	// Attested and Destroyed are the sequences plus one of its ATTEST record, and of
	// the act that records its medium's destruction; 0 while there is none.
	Attested, Destroyed uint64
}

// Done reports whether nothing of the bundle is left with the holder.
func (h Holder) Done() bool { return h.Attested != 0 || h.Destroyed != 0 }

// Holders lists every incarnation that may have held a bundle's key: it was there
// when the end was decided or had gone since the key block was announced.
// Whoever joined after the decision received the block with that slot cleared.
func (m *Machine) Holders(b *format.BundleRow) (out []Holder, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	announced, err := m.sequenceAt(tAnnounced, b.Slot.Block[:])
	if err != nil {
		return nil, err
	}
	err = m.idx.Ascend(tIncarnation, nil, nil, func(k, v []byte) (bool, error) {
		row, err := format.DecodeIncarnationRow(v)
		if err != nil {
			return false, err
		}
		if b.Expire != 0 && row.Joined >= b.Expire || row.Gone != 0 && row.Gone <= announced {
			return true, nil
		}
		r := format.NewReader(k)
		h := Holder{Node: r.U32()}
		r.Raw(h.Incarnation[:])
		if err := r.Done(); err != nil {
			return false, err
		}
		member, ok := m.members[h.Node]
		h.Member = ok && member.Current == h.Incarnation
		if h.Attested, err = m.attestedAt(h, b); err != nil {
			return false, err
		}
		h.Destroyed, err = m.sequenceAt(tMedium, k)
		out = append(out, h)
		return true, err
	})
	return out, err
}

// attestedAt is the sequence plus one of the record by which an incarnation attested
// a bundle, 0 where there is none.
func (m *Machine) attestedAt(h Holder, b *format.BundleRow) (uint64, error) {
	if b.Expire == 0 {
		return 0, nil
	}
	is, err := m.spanOf(h.Node, b.Expire-1)
	if err != nil || is.row == nil || is.row.Incarnation != h.Incarnation {
		return 0, err
	}
	return is.row.Record + 1, nil
}

// sequenceAt reads a row that begins with a sequence: that plus one, or 0 where
// there is none.
func (m *Machine) sequenceAt(t index.Table, key []byte) (uint64, error) {
	v, err := m.idx.Get(t, key)
	if err != nil || v == nil {
		return 0, err
	}
	r := format.NewReader(v)
	return r.U64() + 1, r.Err()
}

// noteIncarnations writes down when an incarnation came and went.
func (m *Machine) noteIncarnations(old, now format.MemberRow) error {
	for _, id := range []format.ID{now.Current, now.Joining} {
		if id == (format.ID{}) || id == old.Current || id == old.Joining {
			continue
		}
		if err := m.set(tIncarnation, incarnationKey(now.Number, id), format.IncarnationRow{Joined: m.next}.Encode()); err != nil {
			return err
		}
	}
	if len(now.Gone) == len(old.Gone) {
		return nil
	}
	for _, id := range now.Gone {
		if slices.Contains(old.Gone, id) {
			continue
		}
		key := incarnationKey(now.Number, id)
		row, err := lookup(m, tIncarnation, key, format.DecodeIncarnationRow)
		if err != nil {
			return err
		}
		if row == nil {
			return errors.New("an incarnation goes that never came")
		}
		row.Gone = m.next + 1
		if err := m.set(tIncarnation, key, row.Encode()); err != nil {
			return err
		}
	}
	return nil
}

func incarnationKey(node uint32, id format.ID) []byte { return cat(key32(node), id[:]) }
