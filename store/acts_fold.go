package store

import (
	"fmt"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// What records of acts change in the state.

// signedAct reads the act that a record executed.
func signedAct(rec *format.Record) (format.SignedAct, format.Act, error) {
	e, err := format.DecodeActEffect(rec.Effect)
	if err != nil {
		return format.SignedAct{}, format.Act{}, err
	}
	signed, err := format.DecodeSignedAct(e.Signed)
	if err != nil {
		return signed, format.Act{}, err
	}
	doc, err := format.DecodeAct(signed.Document)
	return signed, doc, err
}

// foldExecuted takes in an act that was executed.
func (m *Machine) foldExecuted(rec *format.Record) error {
	_, doc, err := signedAct(rec)
	if err != nil {
		return err
	}
	a, err := m.act(doc.Nonce)
	if err != nil {
		return err
	}
	if a == nil {
		return fmt.Errorf("no act %x was proposed", doc.Nonce)
	}
	a.row.Executed = rec.Sequence + 1
	if err := m.endAct(a); err != nil {
		return err
	}
	switch doc.Kind {
	case format.ActKindSpecialDelete:
		return m.foldSpecial(rec, a)
	case format.ActKindLiftStop:
		return m.set(tStop, a.object.Key().Encode(), nil)
	case format.ActKindHoldRelease:
		return m.foldHoldRelease(rec, a)
	case format.ActKindPolicy:
		return m.foldPolicy(rec, a)
	case format.ActKindClose:
		return m.foldClose(rec, a)
	case format.ActKindMember:
		return m.foldMemberAct(rec, a)
	case format.ActKindResync:
		return m.foldResync(rec, a)
	case format.ActKindMedium:
		return m.foldMedium(rec, a)
	case format.ActKindKeyArchive:
		return m.foldArchive(rec, a)
	case format.ActKindRestoreConfirm:
		return m.foldRestoreConfirm()
	}
	return fmt.Errorf("an act of kind %v in this version", doc.Kind)
}

// endAct writes an act's row and takes it from the open ones.
func (m *Machine) endAct(a *openAct) error {
	if err := m.set(tAct, a.doc.Nonce[:], a.row.Encode()); err != nil {
		return err
	}
	return m.unset(tActOpen, a.doc.Nonce[:])
}

func (m *Machine) foldPropose(rec *format.Record) error {
	e, err := format.DecodeProposeEffect(rec.Effect)
	if err != nil {
		return err
	}
	a, err := m.readAct(e.Document)
	if err != nil {
		return err
	}
	institution := rec.Institution
	if a.rule.Appliance {
		if institution, err = m.operator(); err != nil {
			return err
		}
	}
	a.row = format.ActRow{Document: e.Document, Institution: institution, Proposer: rec.Actor, Proposed: rec.Sequence, At: rec.Clock}
	if a.doc.Kind == format.ActKindClose {
		if err := m.foldCloseProposed(rec); err != nil {
			return err
		}
	}
	return m.putAct(&a, rec.Institution)
}

func (m *Machine) foldSign(rec *format.Record) error {
	e, err := format.DecodeSignEffect(rec.Effect)
	if err != nil {
		return err
	}
	a, err := m.act(e.Act)
	if err != nil {
		return err
	}
	if a == nil {
		return fmt.Errorf("no act %x was proposed", e.Act)
	}
	placed := format.PlacedSignature{Person: e.Person, Signature: e.Signature, Sequence: rec.Sequence}
	a.row.Signatures = append(slices.Clone(a.row.Signatures), placed)
	slices.SortFunc(a.row.Signatures, func(x, y format.PlacedSignature) int { return int(int64(x.Person) - int64(y.Person)) })
	complete, err := m.complete(a)
	if err != nil {
		return err
	}
	if complete {
		a.row.Round, a.row.CoolingEnd = m.clock.Round, 0
	}
	return m.changeAct(a)
}

// foldVeto ends an act. The circulation stop that a special deletion brought with
// it goes with its veto.
func (m *Machine) foldVeto(rec *format.Record) error {
	e, err := format.DecodeVetoEffect(rec.Effect)
	if err != nil {
		return err
	}
	a, err := m.act(e.Act)
	if err != nil {
		return err
	}
	if a == nil {
		return fmt.Errorf("no act %x was proposed", e.Act)
	}
	a.row.Vetoed = rec.Sequence + 1
	if err := m.endAct(a); err != nil {
		return err
	}
	if a.doc.Kind != format.ActKindSpecialDelete {
		return nil
	}
	stop, err := m.stop(a.object.Key())
	if err != nil || stop == nil || stop.Act != e.Act {
		return err
	}
	return m.set(tStop, a.object.Key().Encode(), nil)
}

// coolActs begins the cooling-off of acts that were signed in an earlier round
// than the one this clock entry answered, and lets go of what has lapsed.
func (m *Machine) coolActs(tick retention.Tick) error {
	open, err := m.actsDue(m.clock.Now)
	if err != nil {
		return err
	}
	for _, a := range open {
		j, err := m.judged(a)
		if err != nil {
			return err
		}
		if j.State(m.now()) == retention.ActLapsed {
			if err := m.unset(tActOpen, a.doc.Nonce[:]); err != nil {
				return err
			}
			continue
		}
		if a.row.Round == 0 || !tick.Starts(a.row.Round) {
			continue
		}
		if cooled := j.Cooled(tick.Start); cooled.CoolingEnd != j.CoolingEnd {
			a.row.CoolingEnd = int64(cooled.CoolingEnd)
			if err := m.changeAct(a); err != nil {
				return err
			}
		}
	}
	return nil
}
