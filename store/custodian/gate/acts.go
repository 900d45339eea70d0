package gate

import (
	"context"
	"crypto/sha256"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// Acts (결재 행위): what several persons signed. Their keys are those of the
// ceremony, and who may sign is asked of package access.

// signed reads the act in a record, and insists that enough persons signed it.
func (h *history) signed(rec *format.Record, kind format.ActKind) (format.Act, error) {
	e, err := format.DecodeActEffect(rec.Effect)
	if err != nil {
		return format.Act{}, err
	}
	s, err := format.DecodeSignedAct(e.Signed)
	if err != nil {
		return format.Act{}, err
	}
	act, err := format.DecodeAct(s.Document)
	if err != nil {
		return act, err
	}
	if act.Kind != kind || act.Cluster != h.members.cluster {
		return act, refuse("record %d holds no act of %s", rec.Sequence, kind)
	}
	rule, ok := access.RuleOfAct(access.ActKind(kind), 0, false)
	asked, proposed := h.proposers[sha256.Sum256(s.Document)]
	proposer, known := h.persons[asked]
	if !known {
		proposer.ID = asked
	}
	if !ok || !proposed {
		return act, refuse("nobody proposed the act of record %d", rec.Sequence)
	}
	object, err := format.DecodeActObject(act.Object)
	if err != nil {
		return act, err
	}
	var signers []access.Signer
	for _, g := range s.Signatures {
		p, ok := h.persons[g.Person]
		of := object.Institution
		if rule.Appliance && len(signers) > 0 {
			of = signers[0].Institution
		}
		if ok = ok && (p.Institution == of || rule.Appliance && len(signers) == 0); ok && access.VerifyAct(s.Document, g.Signature, p.PublicKey) == nil && rule.MaySign(p, proposer, signers) == nil {
			signers = append(signers, p)
		}
	}
	if !rule.Complete(signers) {
		return act, refuse("too few signed the act of record %d", rec.Sequence)
	}
	return act, nil
}

func signerOf(p format.Person) access.Signer {
	return access.Signer{Principal: access.Principal{ID: p.ID, Role: access.Role(p.Role), Institution: p.Institution},
		PublicKey: p.PublicKey, Identity: p.Identity}
}

// judgeSpecial judges a special deletion (특수삭제): the act names the bundle by its
// STORE record and leaf hash, and the order stands in the history.
func (h *history) judgeSpecial(ctx context.Context, rec format.Record) (format.Slot, error) {
	act, err := h.signed(&rec, format.ActKindSpecialDelete)
	if err != nil {
		return format.Slot{}, err
	}
	p, err := format.DecodeSpecialParams(act.Params)
	if err != nil {
		return format.Slot{}, err
	}
	object, err := format.DecodeActObject(act.Object)
	if err != nil {
		return format.Slot{}, err
	}
	encoded, err := h.record(ctx, p.Store)
	if err != nil {
		return format.Slot{}, err
	}
	if format.LeafHash(encoded) != p.Leaf {
		return format.Slot{}, refuse("the act of record %d is about another record %d", rec.Sequence, p.Store)
	}
	stored, e, err := h.stored(ctx, p.Store)
	if err != nil {
		return format.Slot{}, err
	}
	if keyOf(&stored) != object.Key() || keyOf(&rec) != object.Key() || !h.stops[stopped{object.Key(), p.Order}] {
		return format.Slot{}, refuse("record %d is not of a bundle under order %q", rec.Sequence, p.Order)
	}
	return e.Slot, h.unheld(&stored, e)
}

// judgeClose judges the end of one bundle by its institution's closing (폐지).
func (h *history) judgeClose(ctx context.Context, rec format.Record) (format.Slot, error) {
	end, err := format.DecodeCloseEffect(rec.Effect)
	if err != nil {
		return format.Slot{}, err
	}
	encoded, err := h.record(ctx, end.Act)
	if err != nil {
		return format.Slot{}, err
	}
	closing, err := format.DecodeRecord(encoded)
	if err != nil {
		return format.Slot{}, err
	}
	act, err := h.signed(&closing, format.ActKindClose)
	if err != nil {
		return format.Slot{}, err
	}
	object, err := format.DecodeActObject(act.Object)
	if err != nil {
		return format.Slot{}, err
	}
	stored, e, err := h.stored(ctx, end.Store)
	if err != nil {
		return format.Slot{}, err
	}
	if end.Act >= rec.Sequence || object.Institution == 0 || stored.Institution != object.Institution || keyOf(&stored) != keyOf(&rec) {
		return format.Slot{}, refuse("record %d closes no bundle of institution %d", rec.Sequence, object.Institution)
	}
	return e.Slot, h.unheld(&stored, e)
}

// stopped is a bundle and the number of an order of circulation stop (유통정지).
type stopped struct {
	key   format.BundleKey
	order string
}

// placedHold is a hold in place, by the sequence of its HOLD_PLACE record.
type placedHold struct {
	format.HoldEffect
	key         format.BundleKey // of the bundle, where it is one's
	institution uint32
}

// takeHold notes a hold, and takeRelease its end: only the act that names its
// record ends it.
func (h *history) takeHold(rec *format.Record) error {
	e, err := format.DecodeHoldEffect(rec.Effect)
	h.holds[rec.Sequence] = placedHold{e, keyOf(rec), rec.Institution}
	return err
}

func (h *history) takeRelease(rec *format.Record) error {
	act, err := h.signed(rec, format.ActKindHoldRelease)
	if err != nil {
		return nil // it stays in place
	}
	p, err := format.DecodeHoldReleaseParams(act.Params)
	for seq, hold := range h.holds {
		if seq == p.Placed || hold.From == p.Placed+1 {
			delete(h.holds, seq)
		}
	}
	return err
}

// unheld refuses a bundle that a hold keeps. A hold on a subject or definition keeps
// it once its own record says that it reached the bundle (From).
func (h *history) unheld(stored *format.Record, _ format.StoreEffect) error {
	for seq, hold := range h.holds {
		if hold.Scope == format.HoldBundle && hold.key == keyOf(stored) {
			return refuse("the hold of record %d keeps the bundle", seq)
		}
	}
	return nil
}

// takeMemberAct notes the admission or removal of a node, until a checkpoint of the
// majority before covers it.
func (h *history) takeMemberAct(rec *format.Record) error {
	act, err := h.signed(rec, format.ActKindMember)
	if err != nil {
		return nil // an act of another kind, or one that pins nothing
	}
	p, err := format.DecodeMemberParams(act.Params)
	if err == nil {
		h.members.pending = append(h.members.pending, change{seq: rec.Sequence, act: &p})
	}
	return err
}
