package main

import (
	"fmt"
	"strings"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type specialGroup struct {
	Request     specialRequestCmd     `cmd:"" help:"${help_special_request}"`
	Approve     specialApproveCmd     `cmd:"" help:"${help_special_approve}"`
	Veto        specialVetoCmd        `cmd:"" help:"${help_special_veto}"`
	Show        specialShowCmd        `cmd:"" help:"${help_special_show}"`
	List        specialListCmd        `cmd:"" help:"${help_special_list}"`
	Ledger      specialLedgerCmd      `cmd:"" help:"${help_special_ledger}"`
	Certificate specialCertificateCmd `cmd:"" help:"${help_special_certificate}"`
	Disable     specialDisableCmd     `cmd:"" help:"${help_special_disable}"`
}

// grounds are the people and reasons of an order or request.
type grounds struct {
	Requester string `help:"${help_requester}" required:"" placeholder:"TEXT"`
	Basis     string `help:"${help_order_basis}" required:"" placeholder:"TEXT"`
	Reason    string `help:"${help_order_reason}" required:"" placeholder:"TEXT"`
}

// orderDocument is the file of an order, of which only the digest is recorded.
type orderDocument struct {
	Document string `help:"${help_order_document}" placeholder:"FILE"`
}

func (o orderDocument) digest() ([]byte, error) {
	if o.Document == "" {
		return nil, nil
	}
	return fileDigest(o.Document)
}

// specialJSON is a request of special deletion, with the field names that scripts
// rely on.
type specialJSON struct {
	RequestID       string            `json:"request_id"`
	State           string            `json:"state"`
	Approvals       []actSignedJSON   `json:"approvals"`
	Needed          uint32            `json:"needed"`
	CoolingOffUntil *string           `json:"cooling_off_until"`
	BlockedBy       *string           `json:"blocked_by"`
	Transaction     string            `json:"transaction"`
	Part            uint32            `json:"part"`
	BundleState     string            `json:"bundle_state"`
	Order           string            `json:"order"`
	RequestedBy     string            `json:"requested_by"`
	RequestedAt     *string           `json:"requested_at"`
	ExpiresAt       *string           `json:"expires_at"`
	Requester       string            `json:"requester,omitempty"`
	Basis           string            `json:"basis,omitempty"`
	Reason          string            `json:"reason,omitempty"`
	Document        map[string]string `json:"document"`
	HistorySequence uint64            `json:"history_sequence"`
	ExecutedBy      *uint64           `json:"executed_sequence"`
	VetoedBy        *uint64           `json:"vetoed_sequence"`
}

func toSpecial(r *sagov1.SpecialDelete) (specialJSON, error) {
	a, err := toAct(r.GetAct())
	out := specialJSON{
		RequestID: a.ID, State: r.GetState(), Approvals: a.Signatures, Needed: a.Needed, CoolingOffUntil: a.CoolingOffUntil,
		Transaction: a.Transaction, Part: a.Part, BundleState: r.GetBundleState(), Order: r.GetOrder(), RequestedBy: a.Proposer,
		RequestedAt: a.ProposedAt, ExpiresAt: a.ExpiresAt, Requester: a.Requester, Basis: a.Basis, Reason: a.Reason, Document: a.Document,
		HistorySequence: a.HistorySequence, ExecutedBy: a.ExecutedBy, VetoedBy: a.VetoedBy,
	}
	if b := r.GetBlockedBy(); b != "" {
		out.BlockedBy = &b
	}
	return out, err
}

// answerSpecial prints a request: what its document says, and where it stands.
func (s *session) answerSpecial(r *sagov1.SpecialDelete) error {
	row, err := toSpecial(r)
	if err != nil {
		return err
	}
	return s.answer(row, func(p *page) { specialPage(p, r) })
}

func specialPage(p *page, r *sagov1.SpecialDelete) {
	actPage(p, r.GetAct())
	p.pair("특수삭제 상태", "special deletion", r.GetState())
	p.pair("묶음정보 상태", "bundle state", r.GetBundleState())
}

type specialRequestCmd struct {
	number
	Order string `help:"${help_order}" required:"" placeholder:"NO"`
	grounds
	orderDocument
}

// Run requests a special deletion.
func (c *specialRequestCmd) Run(s *session) error {
	digest, err := c.digest()
	if err != nil {
		return err
	}
	return s.with(func(cl *client.Client) error {
		r, err := cl.RequestSpecialDelete(s.ctx, &sagov1.SpecialDeleteServiceRequestRequest{Transaction: c.Transaction, Part: c.Part,
			Order: c.Order, DocumentDigest: digest, Requester: c.Requester, Basis: c.Basis, Reason: c.Reason})
		if err != nil {
			return err
		}
		return s.answerSpecial(r)
	})
}

// requestRef names one request.
type requestRef struct {
	Request string `help:"${help_request}" required:"" placeholder:"ID"`
}

// shown prints a request as it stands now.
func (c *requestRef) shown(s *session, cl *client.Client) error {
	r, err := cl.ShowSpecialDelete(s.ctx, c.Request)
	if err != nil {
		return err
	}
	return s.answerSpecial(r)
}

type specialShowCmd struct{ requestRef }

// Run shows a request.
func (c *specialShowCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error { return c.shown(s, cl) })
}

type specialApproveCmd struct{ requestRef }

// Run checks what the request is about, and signs it.
func (c *specialApproveCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		if err := s.approve(cl, c.Request); err != nil {
			return err
		}
		r, err := cl.ShowSpecialDelete(s.ctx, c.Request)
		if err != nil {
			return err
		}
		s.waits(r.GetAct())
		return s.answerSpecial(r)
	})
}

// approve checks what a request is about, shows it, and signs it.
func (s *session) approve(cl *client.Client, id string) error {
	return cl.ApproveSpecialDelete(s.ctx, id, func(r *sagov1.SpecialDelete, open *sagov1.SpecialDeleteServiceOpeningResponse) error {
		if err := s.show(r.GetAct()); err != nil {
			return err
		}
		if !s.json {
			p := &page{lang: s.lang}
			p.pair("지문 (저장 이력의 확인값과 일치)", "fingerprint (opens the commitment)", open.GetFingerprint())
			p.pair("문서", "documents", strings.Join(open.GetDocuments(), ", "))
			fmt.Fprint(s.stderr, p.String())
		}
		return s.confirm()
	})
}

type specialVetoCmd struct {
	requestRef
	Reason string `help:"${help_act_reason}" placeholder:"TEXT"`
}

// Run vetoes a request.
func (c *specialVetoCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		if _, err := cl.ShowSpecialDelete(s.ctx, c.Request); err != nil {
			return err
		}
		if _, err := cl.VetoAct(s.ctx, c.Request, c.Reason); err != nil {
			return err
		}
		return c.shown(s, cl)
	})
}

type specialListCmd struct {
	Open  bool   `help:"${help_act_open}"`
	Limit uint32 `help:"${help_limit}" default:"0"`
}

// Run lists the requests.
func (c *specialListCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		rows, found := []specialJSON{}, []*sagov1.SpecialDelete{}
		for r, err := range cl.SpecialDeletes(s.ctx, &sagov1.SpecialDeleteServiceListRequest{Open: c.Open, Limit: c.Limit}) {
			if err != nil {
				return err
			}
			row, err := toSpecial(r)
			if err != nil {
				return err
			}
			rows, found = append(rows, row), append(found, r)
		}
		return s.answer(map[string]any{"requests": rows}, func(p *page) {
			p.head("번호", "REQUEST", "거래일련번호", "TRANSACTION", "부분", "PART", "명령", "ORDER", "상태", "STATE", "승인", "APPROVED", "막는 것", "BLOCKED BY")
			for _, r := range found {
				a := r.GetAct()
				p.row(a.GetId(), a.GetTransaction(), a.GetPart(), r.GetOrder(), r.GetState(), fmt.Sprintf("%d/%d", len(a.GetSignatures()), a.GetNeeded()), r.GetBlockedBy())
			}
		})
	})
}

type specialDisableCmd struct {
	Institution string `help:"${help_special_institution}" required:"" placeholder:"CODE"`
	Reason      string `help:"${help_institution_reason}" placeholder:"TEXT"`
}

// Run ends special deletion for the caller's institution, for good.
func (c *specialDisableCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.DisableSpecialDelete(s.ctx, c.Institution, c.Reason)
		if err != nil {
			return err
		}
		return s.answerInstitution(r.GetInstitution(), nil, r.GetHistorySequence())
	})
}
