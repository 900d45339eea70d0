package main

import (
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type historyGroup struct {
	List    historyListCmd    `cmd:"" help:"${help_history_list}"`
	Show    historyShowCmd    `cmd:"" help:"${help_history_show}"`
	Verify  historyVerifyCmd  `cmd:"" help:"${help_history_verify}"`
	Prove   historyProveCmd   `cmd:"" help:"${help_history_prove}"`
	Receipt historyReceiptCmd `cmd:"" help:"${help_history_receipt}"`
	Export  historyExportCmd  `cmd:"" help:"${help_history_export}"`
	Keys    historyKeysCmd    `cmd:"" help:"${help_history_keys}"`

	Checkpoint historyCheckpointCmd `cmd:"" help:"${help_history_checkpoint}"`
}

type historyListCmd struct {
	Transaction string  `help:"${help_transaction}" placeholder:"NO"`
	Action      string  `help:"${help_action}" placeholder:"A"`
	Since       from    `help:"${help_since}" placeholder:"T"`
	Until       through `help:"${help_until}" placeholder:"T"`
	From        uint64  `help:"${help_from}" default:"0"`
	Limit       uint32  `help:"${help_limit}" default:"0"`
	All         bool    `help:"${help_all}"`
}

// recordJSON is one row of the history.
type recordJSON struct {
	Sequence            uint64            `json:"sequence"`
	Time                *string           `json:"time"`
	Action              string            `json:"action"`
	Institution         string            `json:"institution"`
	InstitutionSequence uint64            `json:"institution_sequence"`
	Transaction         string            `json:"transaction"`
	Part                uint32            `json:"part"`
	Actor               string            `json:"actor"`
	Purpose             string            `json:"purpose"`
	Result              string            `json:"result"`
	Detail              map[string]string `json:"detail"`
	LeafHash            string            `json:"leaf_hash"`
}

func toRecord(r *sagov1.HistoryRecord) recordJSON {
	detail := r.GetDetail()
	if detail == nil {
		detail = map[string]string{}
	}
	return recordJSON{
		Sequence: r.GetSequence(), Time: utc(r.GetTime()), Action: r.GetAction(), Institution: r.GetInstitution(),
		InstitutionSequence: r.GetInstitutionSequence(), Transaction: r.GetTransaction(), Part: r.GetPart(),
		Actor: r.GetActor(), Purpose: r.GetPurpose(), Result: r.GetResult(), Detail: detail, LeafHash: hexOf(r.GetLeafHash()),
	}
}

// Run lists the history.
func (c *historyListCmd) Run(s *session) error {
	return s.watched(func(cl *client.Client) error {
		found, next, err := cl.Records(s.ctx, &sagov1.HistoryServiceListRequest{
			Transaction: c.Transaction, Action: c.Action, Since: c.Since.Timestamp, Until: c.Until.Timestamp,
			From: c.From, Limit: c.Limit, All: c.All,
		})
		if err != nil {
			return err
		}
		rows := []recordJSON{}
		for _, r := range found {
			rows = append(rows, toRecord(r))
		}
		result := struct {
			Records []recordJSON `json:"records"`
			Next    uint64       `json:"next"`
		}{rows, next}
		return s.answer(result, func(p *page) {
			recordTable(p, found)
			if next != 0 {
				s.say("더 있습니다: --from "+decimal(next), "there is more: --from "+decimal(next))
			}
		})
	})
}

func recordTable(p *page, records []*sagov1.HistoryRecord) {
	p.head("일련번호", "SEQUENCE", "시각", "TIME", "동작", "ACTION", "거래일련번호", "TRANSACTION", "행위자", "ACTOR",
		"목적", "PURPOSE", "결과", "RESULT")
	for _, r := range records {
		p.row(r.GetSequence(), local(r.GetTime()), r.GetAction(), r.GetTransaction(), r.GetActor(), r.GetPurpose(), r.GetResult())
	}
}

type historyShowCmd struct {
	Sequence uint64 `arg:"" help:"${help_sequence}"`
}

// Run shows one record with its bytes.
func (c *historyShowCmd) Run(s *session) error {
	return s.watched(func(cl *client.Client) error {
		resp, err := cl.ShowRecord(s.ctx, c.Sequence)
		if err != nil {
			return err
		}
		r := resp.GetRecord()
		result := struct {
			recordJSON
			Encoded string `json:"encoded"`
		}{toRecord(r), hex.EncodeToString(resp.GetEncoded())}
		return s.answer(result, func(p *page) {
			p.line(decimal(r.GetSequence())+" "+r.GetAction(), decimal(r.GetSequence())+" "+r.GetAction())
			p.pair("시각", "time", local(r.GetTime()))
			p.pair("기관", "institution", r.GetInstitution())
			p.pair("거래일련번호", "transaction", r.GetTransaction())
			p.pair("행위자", "actor", r.GetActor())
			p.pair("목적", "purpose", r.GetPurpose())
			p.pair("결과", "result", r.GetResult())
			for _, k := range slices.Sorted(maps.Keys(r.GetDetail())) {
				p.pair(k, k, r.GetDetail()[k])
			}
			p.pair("잎 해시", "leaf hash", result.LeafHash)
			p.pair("바이트", "encoded", result.Encoded)
		})
	})
}

type historyVerifyCmd struct {
	Checkpoint []string `help:"${help_kept}" placeholder:"FILE"`
	Offline    string   `help:"${help_offline}" placeholder:"DIR"`
	Keys       string   `help:"${help_keys}" placeholder:"FILE"`
}

// proofJSON is what a verification found.
type proofJSON struct {
	Intact     bool            `json:"intact"`
	Size       uint64          `json:"size"`
	Root       string          `json:"root"`
	Checkpoint *checkpointJSON `json:"checkpoint"`
	Signers    []string        `json:"signers"`
	Needed     int             `json:"needed"`
	Damage     []string        `json:"damage"`
	Note       string          `json:"note"`
}

type checkpointJSON struct {
	Size  uint64 `json:"size"`
	Root  string `json:"root"`
	Entry uint64 `json:"entry"`
}

// Run holds the history against the signatures of a majority.
func (c *historyVerifyCmd) Run(s *session) error {
	switch {
	case c.Offline != "":
		return verifyOffline(s, c.Offline, c.Keys, c.Checkpoint)
	case c.Keys != "":
		return &inputError{"USAGE", "--keys goes with --offline DIR"}
	case len(c.Checkpoint) > 0:
		return verifyKept(s, c.Checkpoint)
	}
	return s.watched(func(cl *client.Client) error {
		proof, verr := cl.VerifyHistory(s.ctx)
		if proof == nil {
			return verr
		}
		a := proof.Answer
		result := proofJSON{
			Intact: verr == nil && proof.Checkpoint != nil, Size: a.GetSize(), Root: hexOf(a.GetRoot()),
			Signers: append([]string{}, proof.Signers...), Needed: proof.Needed,
			Damage: append([]string{}, a.GetDamage()...), Note: a.GetCheckpoint(),
		}
		if cp := proof.Checkpoint; cp != nil {
			result.Checkpoint = &checkpointJSON{cp.Size, hexOf(cp.Root[:]), cp.Entry}
		}
		if err := s.answer(result, func(p *page) { proofText(p, result) }); err != nil {
			return err
		}
		if verr == nil && proof.Checkpoint == nil {
			return &waitError{reason: "NO_CHECKPOINT"}
		}
		return verr
	})
}

func proofText(p *page, r proofJSON) {
	p.pair("확인됨", "verified", p.yes(r.Intact))
	p.pair("이력 건수", "records", r.Size)
	p.pair("루트", "root", r.Root)
	if r.Checkpoint != nil {
		p.pair("체크포인트 건수", "checkpoint records", r.Checkpoint.Size)
		p.pair("체크포인트 루트", "checkpoint root", r.Checkpoint.Root)
	}
	p.pair("서명한 노드", "signed by", strings.Join(r.Signers, ", "))
	p.pair("필요한 서명 수", "signatures needed", r.Needed)
	for _, d := range r.Damage {
		p.pair("손상", "damage", d)
	}
}
