package store

import (
	"crypto/sha256"
	"fmt"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// The acts that are not ended: no two of them would do the same, there is a bound
// to them, and a tick reads only those that it may change.

// maxOpenActs is how many acts of one institution's persons wait at most.
const maxOpenActs = 1000

// aim is what an act's execution would do. A veto of one act says no to it, so no
// other may be open that would do it all the same. What is drawn anew for each
// proposal of a kind (a checkpoint, votes) is no part of it.
func (a *openAct) aim() (format.Digest, error) {
	var what format.Writer
	switch a.doc.Kind {
	case format.ActKindSpecialDelete:
		p, err := format.DecodeSpecialParams(a.doc.Params)
		if err != nil {
			return format.Digest{}, err
		}
		what.Str(p.Order)
	case format.ActKindLiftStop:
		p, err := format.DecodeLiftParams(a.doc.Params)
		if err != nil {
			return format.Digest{}, err
		}
		what.Str(p.Order)
	case format.ActKindMember:
		p, err := format.DecodeMemberParams(a.doc.Params)
		if err != nil {
			return format.Digest{}, err
		}
		what.U32(p.Node.Number)
	case format.ActKindKeyArchive:
		p, err := format.DecodeArchiveParams(a.doc.Params)
		if err != nil {
			return format.Digest{}, err
		}
		what.U8(uint8(p.Step))
		if p.Step == format.ArchiveDestroyed { // of two that would be opened, one is the open one
			what.Raw(p.Period[:])
		}
	case format.ActKindClose, format.ActKindResync:
	default:
		what.Raw(a.doc.Params[len(format.Digest{}):]) // behind the particulars
	}
	var w format.Writer
	w.Raw([]byte("sago aim v1\n"))
	w.U16(uint16(a.doc.Kind))
	w.Blob(a.doc.Object)
	w.Blob(what.Bytes())
	return sha256.Sum256(w.Bytes()), nil
}

// checkOpen refuses an act that would do what an open one would, and more acts
// than anybody can watch over.
func (t *turn) checkOpen(a *openAct) error {
	aim, err := a.aim()
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	waiting := 0
	err = t.eachOpen(func(nonce format.ID, row format.OpenActRow) error {
		if row.From == t.op.Institution {
			waiting++
		}
		if row.Aim != aim {
			return nil
		}
		other, err := t.act(nonce)
		if err != nil || other == nil {
			return err
		}
		j, err := t.judged(other)
		if err == nil && j.State(t.now()) != retention.ActLapsed {
			err = refuse(format.ReasonState, fmt.Sprintf("act %x for the same is open: sign that one, or veto it first", nonce))
		}
		return err
	})
	if err == nil && waiting >= maxOpenActs {
		err = refuse(format.ReasonState, fmt.Sprintf("%d acts of the institution are open: have some signed or vetoed first", waiting))
	}
	return err
}

func (m *Machine) eachOpen(each func(nonce format.ID, row format.OpenActRow) error) error {
	return m.idx.Ascend(tActOpen, nil, nil, func(k, v []byte) (bool, error) {
		row, err := format.DecodeOpenActRow(v)
		if err == nil {
			err = each(format.ID(k), row)
		}
		return err == nil, err
	})
}

// actsDue lists the open acts with which the clock or the leader may have
// something to do at an instant, microseconds.
func (m *Machine) actsDue(at int64) ([]*openAct, error) {
	var nonces []format.ID
	err := m.eachOpen(func(nonce format.ID, row format.OpenActRow) error {
		if row.Due <= at {
			nonces = append(nonces, nonce)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []*openAct
	for _, nonce := range nonces {
		a, err := m.act(nonce)
		if err != nil {
			return nil, err
		}
		if a == nil {
			return nil, fmt.Errorf("an open act %x is not there", nonce)
		}
		out = append(out, a)
	}
	return out, nil
}

// due is from when on an open act is one of actsDue.
func (a *openAct) due() int64 {
	switch {
	case a.row.Round == 0:
		return a.doc.Expires
	case a.row.CoolingEnd == 0:
		return 0
	}
	return min(a.row.CoolingEnd, a.doc.Expires)
}

// putAct writes the rows of an act that a person of an institution proposed.
func (m *Machine) putAct(a *openAct, from uint32) error {
	aim, err := a.aim()
	if err != nil {
		return err
	}
	if err := m.set(tAct, a.doc.Nonce[:], a.row.Encode()); err != nil {
		return err
	}
	return m.set(tActOpen, a.doc.Nonce[:], format.OpenActRow{Aim: aim, From: from, Due: a.due()}.Encode())
}

// changeAct writes the rows of an open act anew.
func (m *Machine) changeAct(a *openAct) error {
	row, err := lookup(m, tActOpen, a.doc.Nonce[:], format.DecodeOpenActRow)
	if err != nil {
		return err
	}
	if row == nil {
		return fmt.Errorf("act %x is not open", a.doc.Nonce)
	}
	return m.putAct(a, row.From)
}
