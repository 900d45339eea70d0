package main

import (
	"fmt"
	"strings"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type specialLedgerCmd struct {
	From  uint64 `help:"${help_from}" default:"0"`
	Limit uint32 `help:"${help_limit}" default:"0"`
}

// ledgerJSON is the ledger of one node, and how the three records compare there.
type ledgerJSON struct {
	Node       string            `json:"node"`
	Entries    []ledgerEntryJSON `json:"entries"`
	CrossCheck crossCheckJSON    `json:"cross_check"`
}

type ledgerEntryJSON struct {
	Sequence    uint64  `json:"sequence"`
	Time        *string `json:"time"`
	Action      string  `json:"action"`
	Transaction string  `json:"transaction"`
	Part        uint32  `json:"part"`
	Order       string  `json:"order"`
	RequestID   string  `json:"request_id"`
	Actor       string  `json:"actor"`
	LeafHash    string  `json:"leaf_hash"`
	LineHash    string  `json:"line_hash"`
}

type crossCheckJSON struct {
	Agrees        bool     `json:"agrees"`
	Disagreements []string `json:"disagreements"`
	History       uint64   `json:"history"`
	Ledger        uint64   `json:"ledger"`
	OSRecord      uint64   `json:"os_record"`
}

// Run shows the ledger of the answering node. A disagreement is an integrity
// failure, told behind what was found.
func (c *specialLedgerCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		resp, err := cl.SpecialLedger(s.ctx, c.From, c.Limit)
		if err != nil {
			return err
		}
		out := ledgerJSON{Node: resp.GetNode(), Entries: []ledgerEntryJSON{}, CrossCheck: crossCheckJSON{resp.GetAgrees(),
			append([]string{}, resp.GetDisagreements()...), resp.GetInHistory(), resp.GetInLedger(), resp.GetInOsRecord()}}
		for _, e := range resp.GetEntries() {
			out.Entries = append(out.Entries, ledgerEntryJSON{e.GetSequence(), utc(e.GetTime()), e.GetAction(), e.GetTransaction(), e.GetPart(),
				e.GetOrder(), e.GetRequestId(), e.GetActor(), hexOf(e.GetLeafHash()), hexOf(e.GetLineHash())})
		}
		if err := s.answer(out, func(p *page) { ledgerPage(p, resp) }); err != nil {
			return err
		}
		if !resp.GetAgrees() {
			return damaged("%s: %s", resp.GetNode(), strings.Join(resp.GetDisagreements(), "; "))
		}
		return nil
	})
}

func ledgerPage(p *page, r *sagov1.SpecialDeleteServiceLedgerResponse) {
	p.head("일련번호", "SEQUENCE", "시각", "TIME", "단계", "STEP", "거래일련번호", "TRANSACTION", "명령", "ORDER", "누가", "ACTOR")
	for _, e := range r.GetEntries() {
		p.row(e.GetSequence(), local(e.GetTime()), e.GetAction(), e.GetTransaction(), e.GetOrder(), e.GetActor())
	}
	p.flush()
	p.pair("노드", "node", r.GetNode())
	p.pair("세 기록이 일치함", "the three agree", p.yes(r.GetAgrees()))
	p.pair("이력 / 원장 / 운영체제 기록", "history / ledger / os record", fmt.Sprintf("%d / %d / %d", r.GetInHistory(), r.GetInLedger(), r.GetInOsRecord()))
	for _, d := range r.GetDisagreements() {
		p.pair("불일치", "disagreement", d)
	}
}
