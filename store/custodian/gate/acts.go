package gate

import (
	"context"
	"crypto/sha256"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// Acts (결재 행위): what several persons signed. Their keys are those of the
// ceremony, for an institution that was registered later those of its registration,
// and who may sign is asked of package access.

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
	rule, ok := h.ruleOf(kind, rec.Sequence)
	proposer, proposed := h.proposers[sha256.Sum256(s.Document)]
	if !ok || !proposed {
		return act, refuse("nobody proposed the act of record %d", rec.Sequence)
	}
	object, err := format.DecodeActObject(act.Object)
	if err != nil {
		return act, err
	}
	asked, _ := h.person(proposer, rule) // nobody, where the gate knows no such person: whoever proposed may not sign
	asked.ID = proposer
	if !rule.Complete(h.signers(s, rule, object.Institution, asked)) {
		return act, refuse("too few signed the act of record %d", rec.Sequence)
	}
	return act, nil
}

// signers are those whose signatures over an act count. For the appliance persons of
// one institution sign, the first one's.
func (h *history) signers(s format.SignedAct, rule access.ActRule, of uint32, asked access.Signer) []access.Signer {
	var signers []access.Signer
	for _, g := range s.Signatures {
		p, ok := h.person(g.Person, rule)
		if rule.Appliance && len(signers) > 0 {
			of = signers[0].Institution
		}
		if ok = ok && (p.Institution == of || rule.Appliance && len(signers) == 0); ok && access.VerifyAct(s.Document, g.Signature, p.PublicKey) == nil && rule.MaySign(p, asked, signers) == nil {
			signers = append(signers, p)
		}
	}
	return signers
}

// person is who may sign by a rule. The officers of an institution that was registered
// after the ceremony sign for it, and never for the appliance.
func (h *history) person(id uint64, rule access.ActRule) (access.Signer, bool) {
	p, ok := h.persons[id]
	if !ok && !rule.Appliance {
		p, ok = h.officers[id]
	}
	return p, ok
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
	if keyOf(&stored) != object.Key() || keyOf(&rec) != object.Key() || !h.standing(object.Key(), p.Order, rec.Sequence) {
		return format.Slot{}, refuse("record %d is not of a bundle under order %q", rec.Sequence, p.Order)
	}
	if err := h.mayExit(stored.Institution, rec.Sequence); err != nil {
		return format.Slot{}, err
	}
	return e.Slot, h.unheld(ctx, &stored, e, rec.Sequence)
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
