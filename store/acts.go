package store

import (
	"slices"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// Acts (결재 행위): whatever can shorten, weaken, reveal or re-key is one
// mechanism. A document is proposed, each person signs it with their own key,
// and once enough have signed (and cooled off, where the kind asks for it) it is
// executed as one record that holds the document with every signature. All of it
// is judged here, inside Apply, on every node; the word of the node that brings
// an operation counts for nothing. What a kind does is in act_*.go.

// maxActLife is how long at most an act waits, microseconds.
const maxActLife = 366 * 24 * 3600 * 1e6

// ActTime is how long an act has for its signatures and its execution beside its
// cooling-off, microseconds, where nobody asks for less.
const ActTime = 30 * 24 * 3600 * 1e6

// maxSignatures bounds the signatures of an act, so that the record of its execution
// holds them all beside the longest document.
const maxSignatures = 64

// openAct is an act with what its document says.
type openAct struct {
	row    format.ActRow
	doc    format.Act
	object format.ActObject
	rule   access.ActRule
}

// readAct reads a document that is not the ceremony's, and the rule of its kind.
func (m *Machine) readAct(document []byte) (a openAct, err error) {
	if a.doc, err = format.DecodeAct(document); err != nil {
		return a, refuse(format.ReasonInvalid, err.Error())
	}
	if a.object, err = format.DecodeActObject(a.doc.Object); err != nil {
		return a, refuse(format.ReasonInvalid, err.Error())
	}
	if _, err = format.ActParticulars(a.doc.Params); err != nil {
		return a, refuse(format.ReasonInvalid, err.Error())
	}
	stronger := false
	if a.doc.Kind == format.ActKindPolicy {
		if stronger, err = m.strengthens(a.doc); err != nil {
			return a, err
		}
	}
	rule, known := access.RuleOfAct(access.ActKind(a.doc.Kind), int(m.policy.Approvals), stronger)
	if !known {
		return a, refuse(format.ReasonInvalid, "this version takes no act of this kind")
	}
	a.rule = rule
	return a, nil
}

// act reads an act that was proposed, or nil.
func (m *Machine) act(nonce format.ID) (*openAct, error) {
	row, err := lookup(m, tAct, nonce[:], format.DecodeActRow)
	if err != nil || row == nil {
		return nil, err
	}
	a, err := m.readAct(row.Document)
	a.row = *row
	return &a, err
}

// judged is what the clock judges of an act.
func (m *Machine) judged(a *openAct) (retention.Act, error) {
	complete, err := m.complete(a)
	j := retention.Act{Expires: retention.Instant(a.doc.Expires), Complete: complete && a.row.Round != 0,
		CoolingEnd: retention.Instant(a.row.CoolingEnd), Executed: a.row.Executed != 0, Vetoed: a.row.Vetoed != 0}
	if a.rule.Cools {
		j.Cooling = micros(m.policy.CoolingOff)
	}
	return j, err
}

// permitAct decides whether the operation's actor may do verb for an act of this
// rule. Acts about the appliance are proposed by its own staff or the operator's,
// and signed by the operator's.
func (t *turn) permitAct(r access.ActRule, verb access.Verb) error {
	if err := t.permit(verb); err != nil {
		return err
	}
	if !r.Appliance || verb == r.Propose && t.op.Institution == 0 {
		return nil
	}
	operator, err := t.operator()
	if err == nil && t.op.Institution != operator {
		err = refuse(format.ReasonNotPermitted, "only persons who act for the appliance may do this")
	}
	return err
}

// decidePropose opens an act.
func (t *turn) decidePropose() error {
	e, err := format.DecodeProposeEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	a, err := t.readAct(e.Document)
	if err != nil {
		return err
	}
	if err := t.permitAct(a.rule, a.rule.Propose); err != nil {
		return err
	}
	if err := t.checkDocument(&a); err != nil {
		return err
	}
	if err := t.checkAct(&a); err != nil {
		return err
	}
	if err := t.checkOpen(&a); err != nil {
		return err
	}
	d := t.about(format.ActPropose, e)
	if a.doc.Kind == format.ActKindSpecialDelete {
		d.action = format.ActSpecialRequest
	}
	return t.write(d)
}

// checkDocument refuses a document of another cluster or institution, one that
// was proposed before, and one that waits longer than an act may.
func (t *turn) checkDocument(a *openAct) error {
	known, err := t.idx.Get(tAct, a.doc.Nonce[:])
	if err != nil {
		return err
	}
	about := a.object.Institution == t.op.Institution
	if a.rule.Appliance {
		about = a.object == format.ActObject{}
	}
	now := t.clock.Now
	switch {
	case now == 0:
		return refuse(format.ReasonNotReady, "the clock has not begun: an act has an expiry")
	case a.doc.Cluster != t.own.cluster || !about || a.object.Transaction != t.op.Transaction || a.object.Part != t.op.Part:
		return refuse(format.ReasonInvalid, "the act is of another appliance, or about something else than the operation")
	case known != nil || a.doc.Nonce == format.ID{}:
		return refuse(format.ReasonState, "an act with this nonce was proposed before")
	case a.doc.Expires <= now || a.doc.Expires > now+maxActLife:
		return refuse(format.ReasonLapsed, "an act's expiry lies ahead, and at most a year")
	case len(t.op.Detail) == 0:
		return refuse(format.ReasonInvalid, "a proposal brings its particulars")
	}
	return nil
}

// visible reports whether an institution sees the act: its own, and the appliance
// those about itself.
func (a *openAct) visible(institution uint32) bool {
	return a.row.Institution == institution || a.rule.Appliance && institution == 0
}

// find reads the act that an operation names, as far as its institution sees it.
func (t *turn) find(nonce format.ID) (*openAct, error) {
	a, err := t.act(nonce)
	if err == nil && (a == nil || !a.visible(t.op.Institution)) {
		err = refuse(format.ReasonNotFound, "no act has this id")
	}
	return a, err
}

// decideSign takes one person's signature, and executes the act with the last
// one that it needs unless it has to cool off.
func (t *turn) decideSign() error {
	e, err := format.DecodeSignEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	a, err := t.find(e.Act)
	if err != nil {
		return err
	}
	if err := t.permitAct(a.rule, a.rule.Sign); err != nil {
		return err
	}
	if err := t.checkSigner(a, e); err != nil {
		return err
	}
	if err := t.checkAct(a); err != nil {
		return err
	}
	d := t.aboutAct(a, format.ActSign, e)
	if a.doc.Kind == format.ActKindSpecialDelete {
		d.action = format.ActSpecialApprove
	}
	d.detail, d.institution = true, t.op.Institution
	if err := t.write(d); err != nil {
		return err
	}
	if a, err = t.act(e.Act); err != nil {
		return err
	}
	j, err := t.judged(a)
	if err != nil || j.State(t.now()) != retention.ActReady {
		return err
	}
	return t.execute(a)
}

// aboutAct is the draft of a record of an act.
func (t *turn) aboutAct(a *openAct, action format.Action, e format.Effect) draft {
	return draft{action: action, institution: a.row.Institution, transaction: a.object.Transaction, part: a.object.Part, effect: e}
}

// checkSigner refuses a signature that is not of the person who brings it, of one
// who may not sign, of one who has signed, and of an act that waits for none.
func (t *turn) checkSigner(a *openAct, e format.SignEffect) error {
	if e.Person != t.op.Actor {
		return refuse(format.ReasonSigner, "everybody brings their own signature")
	}
	j, err := t.judged(a)
	if err != nil {
		return err
	}
	if s := j.State(t.now()); s == retention.ActLapsed {
		return refuse(format.ReasonLapsed, "the act's time has passed")
	} else if s != retention.ActPending {
		return refuse(format.ReasonState, "the act is "+s.String()+" and waits for no signature")
	}
	signed, err := t.signers(a)
	if err != nil {
		return err
	}
	proposer, err := t.proposer(a)
	if err != nil {
		return err
	}
	p, err := t.person(e.Person)
	if err != nil {
		return err
	}
	if p == nil {
		return refuse(format.ReasonUnknownPrincipal, "nobody is enrolled under this id")
	}
	if err := a.rule.MaySign(signerOf(p), proposer, signed); err != nil {
		return refuse(format.ReasonSigner, err.Error())
	}
	if len(a.row.Signatures) >= maxSignatures {
		return refuse(format.ReasonSigner, "as many have signed as a record holds, and no access manager among them")
	}
	if slices.ContainsFunc(a.row.Signatures, func(s format.PlacedSignature) bool { return s.Person == e.Person }) {
		return refuse(format.ReasonSigner, "the person has signed before")
	}
	if err := access.VerifyAct(a.row.Document, e.Signature, p.PublicKey); err != nil {
		return refuse(format.ReasonSignature, err.Error())
	}
	return nil
}

// decideVeto ends an act that is not executed. Who proposed it may take it back.
func (t *turn) decideVeto() error {
	e, err := format.DecodeVetoEffect(t.op.Body)
	if err != nil {
		return refuse(format.ReasonInvalid, err.Error())
	}
	a, err := t.find(e.Act)
	if err != nil {
		return err
	}
	verb := a.rule.Veto
	if t.op.Actor == a.row.Proposer {
		verb = a.rule.Propose
	}
	if err := t.permitAct(a.rule, verb); err != nil {
		return err
	}
	p, err := t.person(e.Person)
	if err != nil {
		return err
	}
	if p == nil || e.Person != t.op.Actor {
		return refuse(format.ReasonSigner, "everybody brings their own signature")
	}
	if err := access.VerifyAct(format.VetoMessage(a.row.Document), e.Signature, p.PublicKey); err != nil {
		return refuse(format.ReasonSignature, err.Error())
	}
	j, err := t.judged(a)
	if err != nil {
		return err
	}
	if s := j.State(t.now()); s == retention.ActExecuted || s == retention.ActVetoed || s == retention.ActLapsed {
		return refuse(format.ReasonState, "the act is "+s.String())
	}
	d := t.aboutAct(a, format.ActVeto, e)
	if a.doc.Kind == format.ActKindSpecialDelete {
		d.action = format.ActSpecialVeto
	}
	d.detail, d.institution = true, t.op.Institution
	return t.write(d)
}

// decideExecute executes an act that has cooled off. Whoever proposes it, the
// state alone decides.
func (t *turn) decideExecute() error {
	r := format.NewReader(t.op.Body)
	var nonce format.ID
	r.Raw(nonce[:])
	if r.Done() != nil {
		return refuse(format.ReasonInvalid, "an execution names one act")
	}
	a, err := t.act(nonce)
	if err != nil {
		return err
	}
	if a == nil {
		return refuse(format.ReasonNotFound, "no act has this id")
	}
	j, err := t.judged(a)
	if err != nil {
		return err
	}
	if s := j.State(t.now()); s != retention.ActReady {
		return refuse(format.ReasonState, "the act is "+s.String())
	}
	if err := t.checkAct(a); err != nil {
		return err
	}
	return t.execute(a)
}

// execute writes the one record of an act's execution: the whole signed act.
func (t *turn) execute(a *openAct) error {
	return t.write(t.aboutAct(a, executedAs(a.doc.Kind), format.ActEffect{Signed: a.row.Signed().Encode()}))
}

// executedAs is the action under which the execution of a kind is recorded.
func executedAs(k format.ActKind) format.Action {
	switch k {
	case format.ActKindSpecialDelete:
		return format.ActSpecialExecute
	case format.ActKindHoldRelease:
		return format.ActHoldRelease
	case format.ActKindLiftStop:
		return format.ActCirculationLift
	case format.ActKindPolicy:
		return format.ActPolicy
	case format.ActKindRestore:
		return format.ActRestore
	}
	return format.ActAct
}

// checkAct refuses an act that the state does not let happen now: when it is
// proposed, with every signature, and when it is executed.
func (m *Machine) checkAct(a *openAct) error {
	switch a.doc.Kind {
	case format.ActKindSpecialDelete:
		return m.checkSpecial(a)
	case format.ActKindLiftStop:
		return m.checkLift(a)
	case format.ActKindHoldRelease:
		return m.checkHoldRelease(a)
	case format.ActKindPolicy:
		return m.checkPolicy(a)
	case format.ActKindClose:
		return m.checkClose(a)
	case format.ActKindMember:
		return m.checkMember(a)
	case format.ActKindResync:
		return m.checkResync(a)
	case format.ActKindMedium:
		return m.checkMedium(a)
	case format.ActKindKeyArchive:
		return m.checkArchive(a)
	case format.ActKindRestoreConfirm:
		return m.checkRestoreConfirm(a)
	}
	return refuse(format.ReasonInvalid, "this version takes no act of this kind")
}
