package store

import (
	"errors"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// ReadyActs lists the acts that have cooled off and that the state lets happen:
// whoever leads has them executed. Wanted says that a cooling-off waits for the
// clock within horizon microseconds.
func (m *Machine) ReadyActs(horizon int64) (ready []format.ID, wanted bool, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	open, err := m.actsDue(m.clock.Now + horizon)
	if err != nil {
		return nil, false, err
	}
	for _, a := range open {
		j, err := m.judged(a)
		if err != nil {
			return nil, false, err
		}
		switch j.State(m.now()) {
		case retention.ActCooling:
			wanted = wanted || a.row.CoolingEnd <= m.clock.Now+horizon
		case retention.ActReady:
			var no *refusal
			if err := m.checkAct(a); err == nil {
				ready = append(ready, a.doc.Nonce)
			} else if !errors.As(err, &no) {
				return nil, false, err
			}
		}
	}
	return ready, wanted, nil
}

// ActView is an act as answers show it.
type ActView struct {
	Row    format.ActRow
	Doc    format.Act
	Object format.ActObject
	State  retention.ActState
	Needed int
}

// Act answers an act of an institution by its id, or nil.
func (m *Machine) Act(institution uint32, nonce format.ID) (*ActView, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	a, err := m.act(nonce)
	if err != nil || a == nil || !a.visible(institution) {
		return nil, err
	}
	return m.viewAct(a)
}

func (m *Machine) viewAct(a *openAct) (*ActView, error) {
	j, err := m.judged(a)
	return &ActView{Row: a.row, Doc: a.doc, Object: a.object, State: j.State(m.now()), Needed: a.rule.Needed}, err
}

// Acts lists an institution's acts by id, from a cursor on (zero: the first), at
// most limit; with open, only those that are not ended.
func (m *Machine) Acts(institution uint32, open bool, from format.ID, limit int) (views []ActView, next format.ID, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	t := tAct
	if open {
		t = tActOpen
	}
	err = m.idx.Ascend(t, from[:], nil, func(k, _ []byte) (bool, error) {
		a, err := m.act(format.ID(k))
		if err != nil || a == nil || !a.visible(institution) {
			return err == nil, err
		}
		if len(views) == limit {
			next = a.doc.Nonce
			return false, nil
		}
		v, err := m.viewAct(a)
		views = append(views, *v)
		return true, err
	})
	return views, next, err
}

// MaySign reports whether a person's signature would be taken now.
func (m *Machine) MaySign(v *ActView, person uint64) (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	p, err := m.person(person)
	if err != nil || p == nil || v.State != retention.ActPending || p.Institution != v.Row.Institution {
		return false, err
	}
	a, err := m.act(v.Doc.Nonce)
	if err != nil || a == nil {
		return false, err
	}
	signed, err := m.signers(a)
	if err != nil {
		return false, err
	}
	proposer, err := m.proposer(a)
	return err == nil && a.rule.MaySign(signerOf(p), proposer, signed) == nil, err
}

// ResyncTo is what the clock would read after a resync by these votes,
// microseconds.
func (m *Machine) ResyncTo(votes []format.SignedVote) (int64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	next, err := m.resynced(format.ResyncParams{Votes: votes}.Encode())
	return int64(next.Now), err
}
