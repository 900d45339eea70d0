package store

import (
	"errors"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// Circulation stop (유통정지) and special deletion (특수삭제) of one bundle.

// maxOrder bounds an order's number, bytes.
const maxOrder = 128

func (m *Machine) stop(k format.BundleKey) (*format.StopRow, error) {
	return lookup(m, tStop, k.Encode(), format.DecodeStopRow)
}

func (m *Machine) exit(k format.BundleKey) (*format.ExitRow, error) {
	return lookup(m, tExit, k.Encode(), format.DecodeExitRow)
}

// barred is why nobody is handed a bundle any more, or not now: it has ended, or
// an order of circulation stop stands on it. nil when nothing bars it.
func (m *Machine) barred(key format.BundleKey, b *format.BundleRow) error {
	if err := m.left(key, b); err != nil {
		return err
	}
	stop, err := m.stop(key)
	if err == nil && stop != nil {
		err = refuse(format.ReasonStopped, "its circulation is stopped by an order")
	}
	return err
}

// left is how a bundle ended, if it has.
func (m *Machine) left(key format.BundleKey, b *format.BundleRow) error {
	if b.Expire == 0 {
		return nil
	}
	exit, err := m.exit(key)
	switch {
	case err != nil:
		return err
	case exit == nil:
		return refuse(format.ReasonExpired, "its retention has ended")
	case retention.Exit(exit.Exit) == retention.ExitSpecial:
		return refuse(format.ReasonSpecialDeleted, "it was specially deleted")
	}
	return refuse(format.ReasonClosed, "it went with its institution's closing")
}

// gate refuses what hands out or uses a bundle that has ended, and reads and
// uses of one whose circulation is stopped.
func (t *turn) gate(b *format.BundleRow) error {
	if err := t.left(t.key(), b); err != nil {
		return err
	}
	if t.op.Kind != KindRead { // a read is asked more closely
		switch s, err := t.stateOf(t.key(), b); {
		case err != nil:
			return err
		case s == retention.StateExpired:
			return refuse(format.ReasonExpired, "its retention has ended")
		case s == retention.StateHeld && t.op.Kind == KindUse:
			return refuse(format.ReasonHeld, "its retention has ended: it is kept for a hold's purpose only")
		}
	}
	if t.op.Kind == KindVerify {
		return nil // shows nothing of what is stopped
	}
	if err := t.serves(t.op.Institution); err != nil {
		return err
	}
	return t.barred(t.key(), b)
}

// present reads the bundle that the operation names, as long as it has not ended.
func (t *turn) present() (*format.BundleRow, error) {
	if !validTransaction(t.op.Transaction) {
		return nil, refuse(format.ReasonNotFound, "no bundle has such a number")
	}
	b, err := t.bundle(t.key())
	switch {
	case err != nil:
		return nil, err
	case b == nil:
		return nil, refuse(format.ReasonNotFound, "no bundle has this number and part")
	}
	return b, t.left(t.key(), b)
}

// decideStop registers an order of circulation stop. It takes hold at once.
func (t *turn) decideStop() error {
	if err := t.permit(access.VerbCirculation); err != nil {
		return err
	}
	e, err := format.DecodeStopEffect(t.op.Body)
	if err != nil || e.Order == "" || len(e.Order) > maxOrder {
		return refuse(format.ReasonInvalid, "an order has a number of at most 128 bytes")
	}
	b, err := t.present()
	if err != nil {
		return err
	}
	standing, err := t.stop(t.key())
	if err != nil {
		return err
	}
	if standing != nil {
		return refuse(format.ReasonState, "an order stands on it already")
	}
	e.Store = b.Store
	t.out.Bundle = b
	return t.write(t.about(format.ActCirculationStop, e))
}

func (m *Machine) foldStop(rec *format.Record) error {
	e, err := format.DecodeStopEffect(rec.Effect)
	if err != nil {
		return err
	}
	row := format.StopRow{Sequence: rec.Sequence, Order: e.Order, Document: e.Document, Act: e.Act, At: rec.Clock}
	return m.set(tStop, keyOf(rec).Encode(), row.Encode())
}

// checkLift lets a stop be lifted that stands as the document says, on a bundle
// that has not ended.
func (m *Machine) checkLift(a *openAct) error {
	p, err := format.DecodeLiftParams(a.doc.Params)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	stop, err := m.stop(a.object.Key())
	if err != nil {
		return err
	}
	if stop == nil || stop.Sequence != p.Stop || stop.Order != p.Order {
		return refuse(format.ReasonState, "no such order stands on it")
	}
	b, err := m.bundle(a.object.Key())
	if err != nil || b == nil {
		return err
	}
	return m.left(a.object.Key(), b)
}

// checkSpecial lets exactly the stored bundle be deleted that the document names
// by its STORE record and leaf hash, while the order stands and no hold does.
func (m *Machine) checkSpecial(a *openAct) error {
	p, err := format.DecodeSpecialParams(a.doc.Params)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	b, err := m.bundle(a.object.Key())
	if err != nil {
		return err
	}
	switch {
	case b == nil:
		return refuse(format.ReasonNotFound, "no bundle has this number and part")
	case b.Store != p.Store:
		return refuse(format.ReasonInvalid, "the document is not about this bundle")
	}
	encoded, err := m.log.Read(p.Store)
	if err != nil {
		return err
	}
	if format.LeafHash(encoded) != p.Leaf {
		return refuse(format.ReasonInvalid, "the document is not about this bundle")
	}
	if err := m.removable(a.object.Key(), b); err != nil {
		return err
	}
	stop, err := m.stop(a.object.Key())
	if err != nil {
		return err
	}
	if stop == nil || stop.Order != p.Order {
		return refuse(format.ReasonState, "a special deletion needs a registered order of circulation stop")
	}
	if stop.Document != (format.Digest{}) && stop.Document != p.Document {
		return refuse(format.ReasonState, "the order's document is not the one that was registered with the circulation stop")
	}
	return nil
}

// removable refuses what no order and no signature can specially delete now.
func (m *Machine) removable(key format.BundleKey, b *format.BundleRow) error {
	if err := m.left(key, b); err != nil {
		return err
	}
	if err := m.mayExit(key.Institution); err != nil {
		return err
	}
	held, err := m.heldByScope(key, b)
	if err != nil {
		return err
	}
	if held != nil {
		return refuse(format.ReasonHeld, "a hold on its subject or definition keeps it")
	}
	_, err = retentionOf(b.Retention).Leave(retention.RecordID(b.Store), retention.ExitSpecial, m.now())
	switch {
	case errors.Is(err, retention.ErrHeld):
		return refuse(format.ReasonHeld, "a hold keeps it")
	case errors.Is(err, retention.ErrExpired):
		return refuse(format.ReasonExpired, "its retention has ended")
	case err != nil:
		return refuse(format.ReasonState, err.Error())
	}
	return nil
}

// mayExit refuses every special deletion of an institution that has ended it for
// good, and of all while holds may be missing that a restore lost.
func (m *Machine) mayExit(institution uint32) error {
	row, err := m.tenant(institution)
	if err != nil {
		return err
	}
	if row.NoSpecial {
		return refuse(format.ReasonPolicy, "special deletion has ended for this institution, for good")
	}
	stopped, err := m.expiryStopped()
	if err == nil && stopped {
		err = refuse(format.ReasonRestored, "holds that a restore lost have still to be placed again")
	}
	return err
}

func (m *Machine) foldSpecial(rec *format.Record, a *openAct) error {
	p, err := format.DecodeSpecialParams(a.doc.Params)
	if err != nil {
		return err
	}
	exit := format.ExitRow{Exit: uint8(retention.ExitSpecial), Act: a.doc.Nonce, Decision: rec.Sequence}
	if err := m.set(tExit, keyOf(rec).Encode(), exit.Encode()); err != nil {
		return err
	}
	return m.end(keyOf(rec), p.Store, rec.Sequence)
}
