package main

import (
	"strings"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type bundleExtendCmd struct {
	number
	Retain    string `help:"${help_retain}" required:"" placeholder:"RULE"`
	Basis     string `help:"${help_basis}" required:"" placeholder:"TEXT"`
	BasisKind string `help:"${help_basis_kind}" enum:"statute,subject,definition" default:"statute"`
}

// changedJSON is a bundle after its retention changed.
type changedJSON struct {
	bundleJSON
	HistorySequence uint64 `json:"history_sequence"`
	LeafHash        string `json:"leaf_hash"`
}

// Run makes a bundle's retention longer (보유기간 연장).
func (c *bundleExtendCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.Extend(s.ctx, &sagov1.ExtendRequest{
			Transaction: c.Transaction, Part: c.Part, Retain: c.Retain, Basis: c.Basis, BasisKind: c.BasisKind,
		})
		if err != nil {
			return err
		}
		return s.changed(r.GetBundle(), r.GetHistorySequence(), r.GetLeafHash(), message{"보유기간을 연장했습니다: ", "extended: "})
	})
}

// changed answers a bundle whose retention changed.
func (s *session) changed(b *sagov1.Bundle, sequence uint64, leaf []byte, said message) error {
	return s.answer(changedJSON{toBundle(b), sequence, hexOf(leaf)}, func(p *page) {
		no := b.GetReceipt().GetTransaction()
		p.line(said.ko+no, said.en+no)
		p.pair("보유 규칙", "retention rule", b.GetRetentionRule())
		p.pair("근거", "basis", strings.TrimSpace(b.GetBasisKind()+" "+b.GetRetentionBasis()))
		p.pair("보유 기한(하한)", "retain until (floor)", untilText(p, b.GetReceipt().GetRetainUntil()))
		p.pair("이력 일련번호", "history sequence", sequence)
		p.pair("잎 해시", "leaf hash", hexOf(leaf))
	})
}

type bundleEventCmd struct {
	number
	At from `help:"${help_event_at}" placeholder:"T"`
}

// Run records the event that an event-based rule waits for.
func (c *bundleEventCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.Event(s.ctx, &sagov1.EventRequest{Transaction: c.Transaction, Part: c.Part, At: c.At.Timestamp})
		if err != nil {
			return err
		}
		s.say("보유기간은 다음 신뢰 시각 기록부터, 또는 더 늦은 사건 시각부터 셉니다", "the period counts from the next clock entry, or from the event if that is later")
		return s.changed(r.GetBundle(), r.GetHistorySequence(), r.GetLeafHash(), message{"사건을 기록했습니다: ", "event recorded: "})
	})
}

// preview shows what a put would make undeletable, and stores nothing.
func (c *putCmd) preview(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.Preview(s.ctx, c.header())
		if err != nil {
			return err
		}
		result := struct {
			Transaction      string  `json:"transaction"`
			Part             uint32  `json:"part"`
			Retain           string  `json:"retain"`
			UndeletableUntil *string `json:"undeletable_until"`
			RetentionState   string  `json:"retention_state"`
			Longest          *string `json:"longest"`
			Held             bool    `json:"held"`
			Stored           bool    `json:"stored"`
		}{c.Transaction, c.Part, r.GetRetain(), utc(r.GetUndeletableUntil()), r.GetRetentionState(), utc(r.GetLongest()), r.GetHeld(), false}
		return s.answer(result, func(p *page) {
			p.line("미리보기입니다. 아무것도 저장하지 않았습니다: "+c.Transaction, "preview; nothing was stored: "+c.Transaction)
			p.pair("지울 수 없는 기간(하한)", "undeletable until (floor)", untilText(p, r.GetUndeletableUntil()))
			p.pair("보유 규칙", "retention rule", r.GetRetain())
			p.pair("정책의 한도", "longest by policy", local(r.GetLongest()))
			p.pair("보존조치", "held", p.yes(r.GetHeld()))
		})
	})
}
