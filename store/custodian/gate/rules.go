package gate

import (
	"crypto/sha256"
	"slices"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// What the history says at one of its records: how many persons must approve, which
// institutions have ended special deletion, which orders of circulation stop stand, and
// whether a restore waits to be confirmed. Each is asked as of the decision, whatever came behind it.

// need is how many approvals the policy asks for, from a record on.
type need struct {
	from      uint64
	approvals int
}

// approvals is the policy's number in force at a record.
func (h *history) approvals(at uint64) int {
	n := 0
	for _, v := range h.needs {
		if v.from <= at {
			n = v.approvals
		}
	}
	return n
}

// takePolicy takes in a change of policy. A greater number of approvals holds
// whoever signed, as it only keeps; a smaller one has to be signed by as many as
// the number before it asks for.
func (h *history) takePolicy(rec *format.Record) error {
	e, err := format.DecodeActEffect(rec.Effect)
	if err != nil {
		return err
	}
	s, err := format.DecodeSignedAct(e.Signed)
	if err != nil {
		return err
	}
	act, err := format.DecodeAct(s.Document)
	if err != nil {
		return err
	}
	p, err := format.DecodePolicyParams(act.Params)
	if err != nil {
		return err
	}
	approvals := int(p.Policy.Approvals)
	if approvals < h.approvals(rec.Sequence) {
		if _, err := h.signed(rec, format.ActKindPolicy); err != nil {
			return nil // the greater number stays
		}
	}
	h.needs = append(h.needs, need{from: rec.Sequence + 1, approvals: approvals})
	return nil
}

// takeInstitution notes an institution's first persons, and the end of special
// deletion for it, which nothing takes back.
func (h *history) takeInstitution(rec *format.Record) error {
	e, err := format.DecodeInstitutionEffect(rec.Effect)
	if err != nil {
		return err
	}
	switch e.Verb {
	case format.InstitutionRegister:
		h.takeOfficers(e)
	case format.InstitutionNoSpecial:
		if _, ended := h.noSpecial[e.Number]; !ended {
			h.noSpecial[e.Number] = rec.Sequence
		}
	}
	return nil
}

// takeOfficers notes the first persons of an institution that was registered. Whose
// number is taken is not theirs.
func (h *history) takeOfficers(e format.InstitutionEffect) {
	for _, p := range e.Officers {
		_, founder := h.persons[p.ID]
		if _, known := h.officers[p.ID]; !founder && !known && p.Institution == e.Number {
			h.officers[p.ID] = signerOf(p)
		}
	}
}

// mayExit refuses a special deletion that a record behind its end for the
// institution decides.
func (h *history) mayExit(institution uint32, decision uint64) error {
	if ended, ok := h.noSpecial[institution]; ok && ended < decision {
		return refuse("record %d ended special deletion for institution %d, for good", ended, institution)
	}
	return nil
}

// loss is a restore with declared loss: between its record and the act that
// confirms it (until, 0 where none does) nothing ends.
type loss struct{ from, until uint64 }

// takeRestore takes a RESTORE record in: the incarnations behind it, a loss that its act
// declares, whoever signed that, and new keys of nodes that it names.
func (h *history) takeRestore(rec *format.Record) error {
	e, err := format.DecodeActEffect(rec.Effect)
	if err != nil {
		return err
	}
	r := restored{root: h.tree.root()}
	defer func() { h.members.pending = append(h.members.pending, change{seq: rec.Sequence, restored: &r}) }()
	if len(e.Signed) == 0 {
		return nil
	}
	s, err := format.DecodeSignedAct(e.Signed)
	if err != nil {
		return err
	}
	r.act = sha256.Sum256(s.Document)
	act, err := format.DecodeAct(s.Document)
	if err != nil {
		return err
	}
	p, err := format.DecodeRestoreParams(act.Params)
	if err != nil {
		return err
	}
	if p.DeclaresLoss() {
		h.losses = append(h.losses, loss{from: rec.Sequence})
	}
	// The persons of the ceremony vouch for new keys, over this very history: the
	// majority's keys may be those that were lost.
	rule, ok := h.ruleOf(format.ActKindRestore, rec.Sequence)
	if ok && act.Kind == format.ActKindRestore && act.Cluster == h.members.cluster && p.Size == rec.Sequence && p.Root == r.root &&
		rule.Complete(h.signers(s, rule, 0, access.Signer{})) {
		return h.members.pin(p.Keys)
	}
	return nil
}

// takeConfirmation notes the act that confirms a restore.
func (h *history) takeConfirmation(rec *format.Record) error {
	if !slices.ContainsFunc(h.losses, func(l loss) bool { return l.until == 0 }) {
		return nil
	}
	if _, err := h.signed(rec, format.ActKindRestoreConfirm); err != nil {
		return nil // an act of another kind, or one that too few signed
	}
	for i := range h.losses {
		if h.losses[i].until == 0 {
			h.losses[i].until = rec.Sequence
		}
	}
	return nil
}

// confirmed refuses a decision that stands behind a restore with declared loss and
// before its confirmation: holds and extensions may be missing there.
func (h *history) confirmed(decision uint64) error {
	for _, l := range h.losses {
		if l.from < decision && (l.until == 0 || decision < l.until) {
			return refuse("the restore of record %d was not confirmed before record %d", l.from, decision)
		}
	}
	return nil
}

// stopped is an order of circulation stop (유통정지) on a bundle: it stands from one
// record to before another, 0 where nothing lifted it.
type stopped struct {
	order       string
	from, until uint64
}

func (h *history) takeStop(rec *format.Record) error {
	e, err := format.DecodeStopEffect(rec.Effect)
	if err == nil {
		key := keyOf(rec)
		h.stops[key] = append(h.stops[key], stopped{order: e.Order, from: rec.Sequence})
	}
	return err
}

// takeLift ends what stands on a bundle, whoever signed: it only keeps.
func (h *history) takeLift(rec *format.Record) error {
	on := h.stops[keyOf(rec)]
	for i := range on {
		if on[i].until == 0 {
			on[i].until = rec.Sequence
		}
	}
	return nil
}

// standing reports whether an order stood on a bundle at a decision: its number had
// been registered, and not been lifted since.
func (h *history) standing(key format.BundleKey, order string, decision uint64) bool {
	return slices.ContainsFunc(h.stops[key], func(s stopped) bool {
		return s.order == order && s.from < decision && (s.until == 0 || decision < s.until)
	})
}

// ruleOf is the rule of a kind of act at a record.
func (h *history) ruleOf(kind format.ActKind, at uint64) (access.ActRule, bool) {
	return access.RuleOfAct(access.ActKind(kind), h.approvals(at), false)
}
