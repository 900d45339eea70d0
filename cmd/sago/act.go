package main

import (
	"fmt"
	"strings"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
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
	Requester       string            `json:"requester,omitempty"`
	Basis           string            `json:"basis,omitempty"`
	Reason          string            `json:"reason,omitempty"`
	Document        map[string]string `json:"document"`
	HistorySequence uint64            `json:"history_sequence"`
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
		CoolingOffUntil: utc(a.GetCoolingOffUntil()), Requester: p.GetRequester(), Basis: p.GetBasis(), Reason: p.GetReason(),
		Document: map[string]string{}, HistorySequence: a.GetHistorySequence(),
	}
	for _, f := range said {
		out.Document[f.name] = f.value
	}
	return out, err
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
	p.pair("숙려 기간 끝", "cooling-off until", local(a.GetCoolingOffUntil()))
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
			p.head("번호", "ID", "종류", "KIND", "상태", "STATE", "서명", "SIGNED", "거래일련번호", "TRANSACTION", "만료", "LAPSES AT")
			for _, a := range found {
				p.row(a.GetId(), a.GetKind(), a.GetState(), fmt.Sprintf("%d/%d", len(a.GetSignatures()), a.GetNeeded()), a.GetTransaction(), local(a.GetExpiresAt()))
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

// Run signs the act's document with the key of the context.
func (c *actSignCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		a, err := cl.SignAct(s.ctx, c.ID, s.agree)
		if err != nil {
			return err
		}
		return s.answerAct(a)
	})
}

// agree shows what is about to be signed, as the document itself says it, and
// refuses a document that this program cannot read.
func (s *session) agree(a *sagov1.Act) error {
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
	if left := int(a.GetNeeded()) - len(a.GetSignatures()); a.GetState() == "pending" && left > 0 {
		s.say(fmt.Sprintf("%d명의 서명을 더 기다립니다: sago act sign --id %s", left, a.GetId()), fmt.Sprintf("waits for %d more to sign: sago act sign --id %s", left, a.GetId()))
	}
	return s.answerAct(a)
}
