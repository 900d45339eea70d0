package service

import (
	"context"

	"github.com/sago-worm/sago/store/format"
)

// scan says which records of the history are looked through, in order.
type scan struct {
	institution uint32
	transaction string        // empty: every
	subject     format.Digest // zero: every; else only the uses about it
	from, to    uint64        // sequences, to excluded
	appliance   bool          // the appliance's own records as well
}

// scanBatch is how many sequences are looked up at once.
const scanBatch = 512

// scan calls each for the records that want takes, at most limit, and answers
// the sequence to go on from; 0 at the end.
func (s *Server) scan(ctx context.Context, q scan, limit int, want func(*format.Record) bool, each func(*format.Record, []byte) error) (uint64, error) {
	st, taken := s.node.Store(), 0
	own := &sequences{s: s, q: q, institution: q.institution, next: q.from}
	other := &sequences{done: true}
	if q.appliance && q.institution != 0 {
		other = &sequences{s: s, q: q, institution: 0, next: q.from}
	}
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		seq, ok, err := first(own, other)
		if err != nil || !ok {
			return 0, err
		}
		rec, encoded, err := st.Record(seq)
		if err != nil {
			return 0, err
		}
		if rec.Institution != q.institution && !isPublic(rec.Action) || !want(&rec) {
			continue
		}
		if taken == limit {
			return seq, nil
		}
		taken++
		if err := each(&rec, encoded); err != nil {
			return 0, err
		}
	}
}

// isPublic reports whether an auditor of any institution may see the appliance's
// records of that action: they speak of no institution.
func isPublic(a format.Action) bool { return a == format.ActClock || a == format.ActCheckpoint }

// sequences yields the sequences of one institution's records, ascending.
type sequences struct {
	s           *Server
	q           scan
	institution uint32
	next        uint64
	batch       []uint64
	done        bool
}

// peek is the next sequence without taking it.
func (l *sequences) peek() (uint64, bool, error) {
	if len(l.batch) == 0 && !l.done {
		var err error
		l.batch, err = l.s.node.Store().Sequences(l.institution, l.q.transaction, l.q.subject, l.next, scanBatch)
		if err != nil {
			return 0, false, err
		}
		if n := len(l.batch); n < scanBatch {
			l.done = true
		} else {
			l.next = l.batch[n-1] + 1
		}
	}
	if len(l.batch) == 0 || l.batch[0] >= l.q.to {
		return 0, false, nil
	}
	return l.batch[0], true, nil
}

// first takes the lesser of two next sequences.
func first(a, b *sequences) (uint64, bool, error) {
	x, hasX, err := a.peek()
	if err != nil {
		return 0, false, err
	}
	y, hasY, err := b.peek()
	if err != nil {
		return 0, false, err
	}
	switch {
	case hasX && (!hasY || x < y):
		a.batch = a.batch[1:]
		return x, true, nil
	case hasY:
		b.batch = b.batch[1:]
		return y, true, nil
	}
	return 0, false, nil
}
