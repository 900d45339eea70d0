package store

import (
	"errors"
	"fmt"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
	"github.com/sago-worm/sago/store/index"
)

// A history that ends before records that this node durably had is written again
// from the raft log where that still holds their entries. Where it does not, they
// are lost here.

// Refill says what is known of a history from outside the data directory.
type Refill struct {
	// Had is how many records this incarnation durably had.
	Had uint64
	// Logged is the least entry that the raft log holds, if it holds every one from
	// there on that was ever known to be committed; 0 if it does not.
	Logged uint64
}

// can reports whether a history whose last record is of the given entry (0: it is
// empty) can be written on from the log. The entry itself is needed too: only some
// of its records may be there.
func (r Refill) can(entry uint64) bool { return r.Logged != 0 && max(entry, 1) >= r.Logged }

// ShortError says that the history ends before records that were there, and that
// the raft log does not hold their entries.
type ShortError struct {
	Have, Had uint64 // records that are there, and that were, at least
	Err       error  // the damage
}

func (e *ShortError) Error() string {
	return fmt.Sprintf("the history holds %d records and once held %d: %v", e.Have, e.Had, e.Err)
}

// Unwrap is the damage.
func (e *ShortError) Unwrap() error { return e.Err }

// openHistory opens the history; one whose files were cut is opened if the log
// can write it on.
func openHistory(o history.Options, r Refill) (*history.Log, error) {
	l, err := history.Open(o, nil)
	var lost *history.LostError
	if !errors.As(err, &lost) {
		return l, err
	}
	if !r.can(lost.Entry) {
		return nil, &ShortError{Have: lost.Have, Had: max(r.Had, lost.Have+1), Err: err}
	}
	o.Refill = true
	return history.Open(o, nil)
}

// checkLength holds the history's length against what is known to have been in it.
// A history that the log can write on makes the store refilling; its index is of
// no use then. The answer is the meta to go on with.
func (s *Store) checkLength(o Options, meta index.Meta) (index.Meta, error) {
	have, had := s.log.Size(), max(o.Refill.Had, meta.History)
	if have >= had {
		return meta, nil
	}
	var entry uint64
	if have > 0 {
		rec, _, err := s.Record(have - 1)
		if err != nil {
			return meta, err
		}
		entry = rec.Entry
	}
	d := &format.DamageError{File: "history", Offset: -1, What: missing(have, had)}
	if !o.Refill.can(entry) {
		return meta, &ShortError{Have: have, Had: had, Err: d}
	}
	d.Err = errors.New("written again from the raft log")
	o.OnDamage(d)
	s.refilling = had
	return s.freshIndex(o)
}

// missing names the records from have to had.
func missing(have, had uint64) string {
	return fmt.Sprintf("records %d to %d are missing", have, had-1)
}

// Refilling answers how many records the history had, where the log has to write
// some of them again; 0 where none is missing.
func (s *Store) Refilling() uint64 { return s.refilling }
