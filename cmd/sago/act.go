package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

type actGroup struct {
	List actListCmd `cmd:"" help:"${help_act_list}"`
	Show actShowCmd `cmd:"" help:"${help_act_show}"`
	Sign actSignCmd `cmd:"" help:"${help_act_sign}"`
	Veto actVetoCmd `cmd:"" help:"${help_act_veto}"`
}

// actJSON is an act, with the field names that scripts rely on.
type actJSON struct {
	ID              string            `json:"id"`
	Kind            string            `json:"kind"`
	State           string            `json:"state"`
	Transaction     string            `json:"transaction,omitempty"`
	Part            uint32            `json:"part,omitempty"`
	Proposer        string            `json:"proposer"`
	ProposedAt      *string           `json:"proposed_at"`
	ExpiresAt       *string           `json:"expires_at"`
	Signatures      []actSignedJSON   `json:"signatures"`
	Needed          uint32            `json:"needed"`
	CoolingOffUntil *string           `json:"cooling_off_until"`
	BlockedBy       string            `json:"blocked_by,omitempty"`
	Executable      *bool             `json:"executable"`
	NotExecutable   string            `json:"not_executable,omitempty"`
	Institution     string            `json:"institution,omitempty"`
	Requester       string            `json:"requester,omitempty"`
	Basis           string            `json:"basis,omitempty"`
	Reason          string            `json:"reason,omitempty"`
	Document        map[string]string `json:"document"`
	HistorySequence uint64            `json:"history_sequence"`
	ExecutedBy      *uint64           `json:"executed_sequence"`
	VetoedBy        *uint64           `json:"vetoed_sequence"`
}

type actSignedJSON struct {
	Actor           string  `json:"actor"`
	SignedAt        *string `json:"signed_at"`
	HistorySequence uint64  `json:"history_sequence"`
}

func toAct(a *sagov1.Act) (actJSON, error) {
	said, err := documentOf(a)
	p := a.GetParticulars()
	out := actJSON{
		ID: a.GetId(), Kind: a.GetKind(), State: a.GetState(), Transaction: a.GetTransaction(), Part: a.GetPart(), Proposer: a.GetProposer(),
		ProposedAt: utc(a.GetProposedAt()), ExpiresAt: utc(a.GetExpiresAt()), Signatures: toSigned(a), Needed: a.GetNeeded(),
		CoolingOffUntil: utc(a.GetCoolingOffUntil()), BlockedBy: a.GetBlockedBy(), Requester: p.GetRequester(), Basis: p.GetBasis(), Reason: p.GetReason(),
		Document: map[string]string{}, HistorySequence: a.GetHistorySequence(),
		Executable: a.Executable, NotExecutable: a.GetNotExecutable(), Institution: a.GetInstitution(),
		ExecutedBy: sequenceOf(a.GetExecuted()), VetoedBy: sequenceOf(a.GetVetoed()),
	}
	for _, f := range said {
		out.Document[f.name] = f.value
	}
	return out, err
}

// sequenceOf is the record of what happened, nil where nothing did: the API adds
// one to it.
func sequenceOf(plusOne uint64) *uint64 {
	if plusOne == 0 {
		return nil
	}
	plusOne--
	return &plusOne
}

func toSigned(a *sagov1.Act) []actSignedJSON {
	out := make([]actSignedJSON, 0, len(a.GetSignatures()))
	for _, s := range a.GetSignatures() {
		out = append(out, actSignedJSON{s.GetActor(), utc(s.GetSignedAt()), s.GetHistorySequence()})
	}
	return out
}

// answerAct prints an act: what the document itself says, and where it stands.
func (s *session) answerAct(a *sagov1.Act) error {
	row, err := toAct(a)
	if err != nil {
		return err
	}
	return s.answer(row, func(p *page) { actPage(p, a) })
}

func actPage(p *page, a *sagov1.Act) {
	p.line("결재 행위 "+a.GetId(), "act "+a.GetId())
	p.pair("종류", "kind", a.GetKind())
	p.pair("상태", "state", a.GetState())
	p.pair("기관 코드 (설비의 표시)", "institution code, as the appliance says", a.GetInstitution())
	p.pair("거래일련번호", "transaction", a.GetTransaction())
	if said, err := documentOf(a); err == nil { // answerAct has met an error before
		for _, f := range said {
			p.pair(f.ko, f.name, f.value)
		}
	}
	p.pair("요청자", "requester", a.GetParticulars().GetRequester())
	p.pair("근거", "basis", a.GetParticulars().GetBasis())
	p.pair("사유", "reason", a.GetParticulars().GetReason())
	p.pair("제안자", "proposed by", a.GetProposer())
	p.pair("제안 시각", "proposed at", local(a.GetProposedAt()))
	p.pair("서명", "signed", fmt.Sprintf("%d / %d", len(a.GetSignatures()), a.GetNeeded()))
	for _, g := range a.GetSignatures() {
		p.pair("서명자", "by", strings.TrimSpace(g.GetActor()+" "+local(g.GetSignedAt())))
	}
	p.pair("진행을 막는 사유", "blocked by", a.GetBlockedBy())
	p.pair("지금 실행할 수 없는 사유", "cannot be executed now", a.GetNotExecutable())
	p.pair("숙려 기간 끝", "cooling-off until", local(a.GetCoolingOffUntil()))
	if n := sequenceOf(a.GetExecuted()); n != nil {
		p.pair("실행 이력", "executed by record", *n)
	}
	if n := sequenceOf(a.GetVetoed()); n != nil {
		p.pair("거부 이력", "vetoed by record", *n)
	}
	p.pair("만료", "lapses at", local(a.GetExpiresAt()))
}

type actListCmd struct {
	Open  bool   `help:"${help_act_open}"`
	Kind  string `help:"${help_act_kind}" placeholder:"KIND"`
	Limit uint32 `help:"${help_limit}" default:"0"`
}

// Run lists acts.
func (c *actListCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		req := &sagov1.ActServiceListRequest{Open: c.Open, Kind: c.Kind, Limit: c.Limit}
		rows, found := []actJSON{}, []*sagov1.Act{}
		for a, err := range cl.Acts(s.ctx, req) {
			if err != nil {
				return err
			}
			row, err := toAct(a)
			if err != nil {
				return err
			}
			rows, found = append(rows, row), append(found, a)
		}
		return s.answer(map[string]any{"acts": rows}, func(p *page) {
			p.head("번호", "ID", "종류", "KIND", "상태", "STATE", "서명", "SIGNED", "거래일련번호", "TRANSACTION", "만료", "LAPSES AT", "실행할 수 없는 사유", "NOT EXECUTABLE")
			for _, a := range found {
				p.row(a.GetId(), a.GetKind(), a.GetState(), fmt.Sprintf("%d/%d", len(a.GetSignatures()), a.GetNeeded()), a.GetTransaction(), local(a.GetExpiresAt()), a.GetNotExecutable())
			}
		})
	})
}

// actRef names one act.
type actRef struct {
	ID string `name:"id" help:"${help_act_id}" required:"" placeholder:"ID"`
}

type actShowCmd struct{ actRef }

// Run shows one act with what its document says.
func (c *actShowCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		a, err := cl.ShowAct(s.ctx, c.ID)
		if err != nil {
			return err
		}
		return s.answerAct(a)
	})
}

type actSignCmd struct{ actRef }

// Run signs the act's document with the key of the context; a special deletion as
// its approve does, whose document alone does not show what is deleted.
func (c *actSignCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		a, err := cl.SignAct(s.ctx, c.ID, s.agree)
		if errors.Is(err, client.ErrOpening) {
			if err = s.approve(cl, c.ID); err == nil {
				a, err = cl.ShowAct(s.ctx, c.ID)
			}
		}
		if err != nil {
			return err
		}
		s.waits(a)
		return s.answerAct(a)
	})
}

// agree shows what is about to be signed, and asks whether it shall be.
func (s *session) agree(a *sagov1.Act) error {
	if err := s.show(a); err != nil {
		return err
	}
	return s.confirm()
}

// show prints an act to standard error as its document itself says it, and refuses
// a document that this program cannot read.
func (s *session) show(a *sagov1.Act) error {
	if _, err := documentOf(a); err != nil {
		return err
	}
	if !s.json {
		p := &page{lang: s.lang}
		actPage(p, a)
		fmt.Fprint(s.stderr, p.String())
	}
	return nil
}

type actVetoCmd struct {
	actRef
	Reason string `help:"${help_act_reason}" placeholder:"TEXT"`
}

// Run vetoes the act.
func (c *actVetoCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		a, err := cl.VetoAct(s.ctx, c.ID, c.Reason)
		if err != nil {
			return err
		}
		return s.answerAct(a)
	})
}

// opened signs the act that the caller just opened, where the caller may sign it,
// and says what it waits for.
func (s *session) opened(cl *client.Client, a *sagov1.Act) error {
	if a.GetMaySign() {
		signed, err := cl.SignOwn(s.ctx, a)
		if err != nil {
			return err
		}
		a = signed
	}
	s.waits(a)
	return s.answerAct(a)
}

// waits says whose signatures a pending act still needs: so many persons, and an
// access manager among all who sign.
func (s *session) waits(a *sagov1.Act) {
	if a.GetState() != "pending" {
		return
	}
	command := "sago act sign --id " + a.GetId()
	if a.GetKind() == format.ActKindSpecialDelete.String() {
		command = "sago special-delete approve --request " + a.GetId()
	}
	left := max(1, int(a.GetNeeded())-len(a.GetSignatures()))
	ko, en := fmt.Sprintf("%d명의 서명을 더 기다립니다", left), fmt.Sprintf("waits for %d more to sign", left)
	if !slices.ContainsFunc(a.GetSignatures(), byManager) {
		ko, en = ko+" (권한관리책임자의 서명이 있어야 합니다)", en+", an access manager among them"
	}
	s.say(ko+": "+command, en+": "+command)
}

func byManager(g *sagov1.ActSignature) bool { return strings.HasPrefix(g.GetActor(), "manager/") }
