package store

import (
	"errors"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// The steps of circulation stops and special deletions: what is recorded three
// times (R16, R17). The state lists their records, so that the two records outside
// are written and compared at a cost that depends on these alone.

// noteStep lists a record that is a step.
func (m *Machine) noteStep(rec *format.Record) error {
	switch rec.Action {
	case format.ActCirculationStop, format.ActCirculationLift, format.ActSpecialRequest, format.ActSpecialApprove,
		format.ActSpecialVeto, format.ActSpecialExecute:
	case format.ActErase:
		exit, err := m.exit(keyOf(rec))
		if err != nil || exit == nil || retention.Exit(exit.Exit) != retention.ExitSpecial {
			return err
		}
	default:
		return nil
	}
	return m.set(tSpecialStep, key64(rec.Sequence), []byte{})
}

// SpecialStep is a record of a circulation stop or special deletion, with what
// lines outside say of it in clear.
type SpecialStep struct {
	Record  format.Record
	Encoded []byte
	Order   string
	Act     format.ID // the request, or the act that lifts; zero for none
}

// SpecialSteps lists the steps with sequences [from, to) that are still in the
// history, in order, at most limit.
func (m *Machine) SpecialSteps(from, to uint64, limit int) ([]SpecialStep, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []SpecialStep
	err := m.idx.Ascend(tSpecialStep, key64(from), key64(to), func(k, _ []byte) (bool, error) {
		r := format.NewReader(k)
		s, err := m.step(r.U64())
		out = append(out, s)
		return len(out) < limit, errors.Join(err, r.Done())
	})
	return out, err
}

func (m *Machine) step(sequence uint64) (s SpecialStep, err error) {
	if s.Record, s.Encoded, err = m.Record(sequence); err != nil {
		return s, err
	}
	return s, m.about(&s)
}

// about takes act and order from where the record has them.
func (m *Machine) about(s *SpecialStep) error {
	rec := &s.Record
	switch rec.Action {
	case format.ActCirculationStop:
		e, err := format.DecodeStopEffect(rec.Effect)
		s.Order, s.Act = e.Order, e.Act
		return err
	case format.ActSpecialRequest:
		e, err := format.DecodeProposeEffect(rec.Effect)
		if err != nil {
			return err
		}
		return s.of(e.Document)
	case format.ActSpecialApprove, format.ActSpecialVeto:
		e, err := format.DecodeSignEffect(rec.Effect)
		if err != nil {
			return err
		}
		return m.stepOf(s, e.Act)
	case format.ActErase:
		exit, err := m.exit(keyOf(rec))
		if err != nil || exit == nil {
			return err
		}
		return m.stepOf(s, exit.Act)
	}
	signed, _, err := signedAct(rec)
	if err != nil {
		return err
	}
	return s.of(signed.Document)
}

// stepOf names the act that a step is about, as long as it is known.
func (m *Machine) stepOf(s *SpecialStep, act format.ID) error {
	row, err := lookup(m, tAct, act[:], format.DecodeActRow)
	if err != nil || row == nil {
		return err
	}
	return s.of(row.Document)
}

// of takes act and order from a document.
func (s *SpecialStep) of(document []byte) error {
	doc, err := format.DecodeAct(document)
	if err != nil {
		return err
	}
	s.Act = doc.Nonce
	if doc.Kind == format.ActKindLiftStop {
		p, err := format.DecodeLiftParams(doc.Params)
		s.Order = p.Order
		return err
	}
	p, err := format.DecodeSpecialParams(doc.Params)
	s.Order = p.Order
	return err
}
