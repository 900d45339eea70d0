package store

import (
	"fmt"
	"unicode/utf8"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// isRequest reports whether a principal's request is behind the kind.
func (k Kind) isRequest() bool { return k.action() != 0 }

// action is what the DENY record of a refused request names.
func (k Kind) action() format.Action {
	switch k {
	case KindStore, KindChunk:
		return format.ActStore
	case KindRead:
		return format.ActRead
	case KindShow:
		return format.ActShow
	case KindList:
		return format.ActList
	case KindVerify:
		return format.ActVerify
	case KindUse:
		return format.ActUse
	case KindExport:
		return format.ActExport
	case KindPropose:
		return format.ActPropose
	case KindSign:
		return format.ActSign
	case KindVeto:
		return format.ActVeto
	case KindHold:
		return format.ActHoldPlace
	case KindExtend:
		return format.ActExtend
	case KindEvent:
		return format.ActEvent
	case KindStop:
		return format.ActCirculationStop
	case KindInstitution:
		return format.ActInstitution
	case KindBackup:
		return format.ActBackup
	}
	return 0
}

// Known reports whether this version decides operations of the kind. Any other
// kind halts the node that applies it.
func (k Kind) Known() bool { return k >= KindCeremony && k <= KindHoldSweep }

// admit judges what is the same for every kind. Errors are as decide's.
func (t *turn) admit() error {
	if !t.op.Kind.Known() {
		// Before any refusal: a newer version may take what this one would refuse.
		return fmt.Errorf("operation of unknown kind %d", t.op.Kind)
	}
	if t.op.BuiltAt+Window < t.entry {
		return refuse(format.ReasonStale, "the operation waited too long; send it again")
	}
	if t.op.BuiltAt >= t.entry {
		return refuse(format.ReasonInvalid, "the operation was built on an entry that comes after it")
	}
	if len(t.op.Detail) > maxDetail || t.op.Kind != KindCeremony && len(t.op.Body) > maxBody || len(t.op.Body) > maxCeremony {
		return refuse(format.ReasonInvalid, "an operation's part is too long")
	}
	if !validDetail(t.op) {
		return refuse(format.ReasonInvalid, "a detail comes with the class and epoch of its key, and these with a detail")
	}
	if t.ceremony == nil && t.op.Kind != KindCeremony {
		return refuse(format.ReasonNotReady, "the ceremony has not taken place")
	}
	return t.checkDetailEpoch()
}

// decide runs the operation. A *refusal is deterministic; any other error halts.
func (t *turn) decide() error {
	if err := t.admit(); err != nil {
		return err
	}
	switch t.op.Kind {
	case KindCeremony:
		return t.decideCeremony()
	case KindStore:
		return t.decideStore()
	case KindChunk:
		return nil
	case KindRead, KindShow, KindVerify, KindUse:
		return t.decideBundle()
	case KindList:
		return t.decideList()
	case KindDeny:
		return t.decideDeny()
	case KindSweep:
		return t.decideSweep()
	case KindClock:
		return t.decideClock()
	case KindMember:
		return t.decideMember()
	case KindMark:
		return t.decideMark()
	case KindCheckpoint:
		return t.decideCheckpoint()
	case KindKey:
		return t.decideKey()
	case KindAttest:
		return t.decideAttest()
	case KindNodeStart:
		return t.decideNodeStart()
	case KindEnrol:
		return t.decideEnrol()
	case KindDamage, KindRepair:
		return t.decideDamage()
	case KindState:
		return t.decideState()
	case KindExport:
		return t.decideExport()
	case KindPrune:
		return t.decidePrune()
	case KindCarry:
		return t.decideCarry()
	case KindBackup:
		return t.decideBackup()
	case KindPropose:
		return t.decidePropose()
	case KindSign:
		return t.decideSign()
	case KindVeto:
		return t.decideVeto()
	case KindExecute:
		return t.decideExecute()
	case KindStop:
		return t.decideStop()
	case KindHold:
		return t.decideHold()
	case KindExtend:
		return t.decideExtend()
	case KindEvent:
		return t.decideEvent()
	case KindHoldSweep:
		return t.decideHoldSweep()
	case KindInstitution:
		return t.decideInstitution()
	case KindCloseSweep:
		return t.decideCloseSweep()
	}
	return fmt.Errorf("operation of unknown kind %d", t.op.Kind)
}

// validDetail reports whether class, epoch and detail of an operation belong
// together: all of them, or none.
func validDetail(op *Op) bool {
	switch op.DetailClass {
	case format.DetailNone:
		return len(op.Detail) == 0 && op.DetailEpoch == 0
	case format.DetailUse, format.DetailOther:
		return len(op.Detail) > 0 && op.DetailEpoch > 0
	}
	return false
}

// permit decides whether the operation's actor may do verb for its institution.
// The node that took the request decided the same; a state that has changed
// since, or a node that lies, is met here.
func (t *turn) permit(verb access.Verb) error {
	p, err := t.person(t.op.Actor)
	if err != nil {
		return err
	}
	if p == nil {
		return refuse(format.ReasonUnknownPrincipal, "nobody is enrolled under this id")
	}
	who := access.Principal{ID: p.ID, Role: access.Role(p.Role), Institution: p.Institution}
	if err := access.Decide(who, verb); err != nil {
		return refuse(format.ReasonNotPermitted, err.Error())
	}
	if p.Institution != t.op.Institution {
		return refuse(format.ReasonNotPermitted, "the principal belongs to another institution")
	}
	return nil
}

func validTransaction(s string) bool {
	if s == "" || len(s) > format.MaxTransaction || !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func (t *turn) key() format.BundleKey {
	return format.BundleKey{Institution: t.op.Institution, Transaction: t.op.Transaction, Part: t.op.Part}
}

func (t *turn) decideStore() error {
	if err := t.permit(access.VerbPut); err != nil {
		return err
	}
	e, err := format.DecodeStoreEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	if !validTransaction(t.op.Transaction) || t.op.Part == 0 {
		return refuse(format.ReasonInvalid, "a transaction number has 1 to 128 bytes without control characters, a part counts from 1")
	}
	if e.Chunks == 0 || e.Size > format.MaxBundle || e.Sealed > e.Size+uint64(e.Chunks)*format.ChunkOverhead+maxPayloadHeader {
		return refuse(format.ReasonTooLarge, "a bundle has at most 256 MiB")
	}
	old, err := t.bundle(t.key())
	if err != nil {
		return err
	}
	if old != nil {
		t.out.Outcome, t.out.Bundle = Exists, old
		return nil
	}
	if err := t.checkIntake(t.op.Institution, e.Sealed); err != nil {
		return err
	}
	if err := t.checkDefinition(e); err != nil {
		return err
	}
	if _, err := t.checkRetention(e); err != nil {
		return err
	}
	if err := t.checkSlot(e.Slot); err != nil {
		return err
	}
	if err := t.write(t.about(format.ActStore, e)); err != nil {
		return err
	}
	t.out.Bundle, err = t.bundle(t.key())
	return err
}

// about is the draft of a record about the operation's own bundle.
func (t *turn) about(a format.Action, e format.Effect) draft {
	d := aboutBundle(a, t.key(), e)
	d.detail = true
	return d
}

// aboutBundle is the draft of a record about a bundle.
func aboutBundle(a format.Action, k format.BundleKey, e format.Effect) draft {
	return draft{action: a, institution: k.Institution, transaction: k.Transaction, part: k.Part, effect: e}
}

func (t *turn) checkDefinition(e format.StoreEffect) error {
	d, err := t.definition(t.op.Institution, e.Definition)
	if err != nil {
		return err
	}
	if d == nil {
		return refuse(format.ReasonDefinition, "no bundle definition "+e.Definition+" is in force for this institution")
	}
	fixed := retention.BasisKind(e.BasisKind) == retention.BasisDefinition
	if fixed && d.Rule != "" && d.Rule != e.Rule {
		return refuse(format.ReasonBasis, "the basis is the definition, whose rule is "+d.Rule)
	}
	return nil
}

// checkRetention is the retention that a bundle begins with.
func (m *Machine) checkRetention(e format.StoreEffect) (retention.Retention, error) {
	rule, err := retention.ParseRule(e.Rule)
	if err != nil {
		return retention.Retention{}, refuse(format.ReasonBadRule, err.Error())
	}
	limits, err := bounds(m.policy)
	if err != nil {
		return retention.Retention{}, err
	}
	r, err := retention.New(rule, retention.BasisKind(e.BasisKind), limits, m.atLeast())
	if err != nil {
		return r, refuse(format.ReasonBadRule, err.Error())
	}
	return r, nil
}

// checkSlot refuses a key slot that is not announced, not the front node's own,
// retired or already named.
func (t *turn) checkSlot(s format.Slot) error {
	b, err := t.block(s.Block)
	if err != nil {
		return err
	}
	switch {
	case b == nil:
		return refuse(format.ReasonSlot, "the key block is not announced")
	case b.Owner != t.op.Front:
		return refuse(format.ReasonSlot, "the key block belongs to another node")
	case b.Retired != 0 || s.Index >= b.Slots || b.IsUsed(s.Index):
		return refuse(format.ReasonSlot, "the key slot is retired or taken")
	}
	return nil
}

var bundleVerbs = map[Kind]access.Verb{
	KindRead: access.VerbGet, KindShow: access.VerbShow, KindVerify: access.VerbVerify, KindUse: access.VerbUse,
}

// decideBundle decides READ, SHOW, VERIFY and USE.
func (t *turn) decideBundle() error {
	if err := t.permit(bundleVerbs[t.op.Kind]); err != nil {
		return err
	}
	if !validTransaction(t.op.Transaction) {
		return refuse(format.ReasonNotFound, "no bundle has such a number") // nor a key in the index
	}
	b, err := t.bundle(t.key())
	if err != nil {
		return err
	}
	if b == nil {
		return refuse(format.ReasonNotFound, "no bundle has this number and part")
	}
	if t.op.Kind != KindShow {
		if err := t.gate(b); err != nil {
			return err
		}
	}
	if t.op.Kind == KindRead {
		return t.decideRead(b)
	}
	if t.op.Kind == KindUse && t.op.DetailClass == format.DetailOther {
		return refuse(format.ReasonInvalid, "a use record is sealed under the key that goes with its institution's closing")
	}
	var e format.Effect = format.BundleRef{Store: b.Store}
	if t.op.Kind == KindUse {
		e = format.UseEffect{Store: b.Store, Definition: b.Definition, Subject: b.Subject}
	}
	t.out.Bundle = b
	return t.write(t.about(t.op.Kind.action(), e))
}

func (t *turn) decideRead(b *format.BundleRow) error {
	e, err := format.DecodeReadEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	if err := t.mayRead(b, e); err != nil {
		return err
	}
	e.Store = b.Store
	t.out.Bundle = b
	return t.write(t.about(format.ActRead, e))
}

var listVerbs = map[format.ListKind]access.Verb{
	format.ListBundles: access.VerbList, format.ListSubject: access.VerbList, format.ListHistory: access.VerbHistoryList,
	format.ListUses: access.VerbUsageList, format.ListActs: access.VerbActShow, format.ListHolds: access.VerbHoldList,
	format.ListStops: access.VerbCirculationList, format.ListSpecial: access.VerbSpecialShow,
	format.ListInstitutions: access.VerbInstitutionList, format.ListPolicy: access.VerbPolicyShow,
	format.ListCertificate: access.VerbCertificate, format.ListSubjects: access.VerbInstitutionSubjects,
	format.ListArchives: access.VerbKeyArchiveList,
}

func (t *turn) decideList() error {
	e, err := format.DecodeListEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	verb, known := listVerbs[e.Kind]
	if !known {
		return refuse(format.ReasonInvalid, "no such kind of query")
	}
	err = t.permit(verb)
	if err != nil && e.Kind == format.ListSubject {
		err = t.permit(access.VerbSubjectView) // for the subject's own view (R55)
	}
	if err != nil {
		return err
	}
	return t.write(draft{action: format.ActList, institution: t.op.Institution, effect: e, detail: true})
}

// decideDeny writes what a front node refused, or counted in a flood.
func (t *turn) decideDeny() error {
	e, err := format.DecodeDenyEffect(t.op.Body)
	if err != nil || t.op.Reason == format.ReasonOK {
		return refuse(format.ReasonInvalid, "a denial names a verb, a count and a reason")
	}
	return t.writeDenial(draft{action: format.ActDeny, result: t.op.Reason, effect: e, detail: true})
}
