package main

import (
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type usageGroup struct {
	Record usageRecordCmd `cmd:"" help:"${help_usage_record}"`
	List   usageListCmd   `cmd:"" help:"${help_usage_list}"`
}

type usageRecordCmd struct {
	number
	who
}

// Run writes one use record (이용 내역).
func (c *usageRecordCmd) Run(s *session) error {
	who, err := c.message()
	if err != nil {
		return err
	}
	return s.with(func(cl *client.Client) error {
		r, err := cl.RecordUse(s.ctx, &sagov1.RecordRequest{Transaction: c.Transaction, Part: c.Part, Who: who})
		if err != nil {
			return err
		}
		result := struct {
			Transaction     string  `json:"transaction"`
			Part            uint32  `json:"part"`
			HistorySequence uint64  `json:"history_sequence"`
			LeafHash        string  `json:"leaf_hash"`
			RecordedAt      *string `json:"recorded_at"`
		}{c.Transaction, c.Part, r.GetHistorySequence(), hexOf(r.GetLeafHash()), utc(r.GetRecordedAt())}
		return s.answer(result, func(p *page) {
			p.line("이용 내역을 기록했습니다: "+c.Transaction, "use recorded: "+c.Transaction)
			p.pair("기록 시각", "recorded at", local(r.GetRecordedAt()))
			p.pair("이력 일련번호", "history sequence", r.GetHistorySequence())
			p.pair("잎 해시", "leaf hash", result.LeafHash)
		})
	})
}

type usageListCmd struct {
	Transaction string `help:"${help_transaction}" placeholder:"NO" xor:"of" required:""`
	SubjectCI   string `name:"subject-ci" help:"${help_subject_ci}" placeholder:"CI" xor:"of" required:""`
	Limit       uint32 `help:"${help_limit}" default:"0"`
}

// useJSON is one use record with its six items and who wrote it.
type useJSON struct {
	HistorySequence uint64  `json:"history_sequence"`
	Transaction     string  `json:"transaction"`
	BundleID        string  `json:"bundle_id"`
	UsedAt          *string `json:"used_at"`
	Purpose         string  `json:"purpose"`
	UserName        string  `json:"user_name"`
	UserDepartment  string  `json:"user_department"`
	UserContact     string  `json:"user_contact"`
	Actor           string  `json:"actor"`
}

// Run lists use records.
func (c *usageListCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		req := &sagov1.UsageServiceListRequest{Transaction: c.Transaction, SubjectCi: c.SubjectCI, Limit: c.Limit}
		found := []*sagov1.Use{}
		rows := []useJSON{}
		for u, err := range cl.Uses(s.ctx, req) {
			if err != nil {
				return err
			}
			w := u.GetWho()
			found = append(found, u)
			rows = append(rows, useJSON{
				u.GetHistorySequence(), u.GetTransaction(), u.GetBundleId(), utc(u.GetUsedAt()), w.GetPurpose(),
				w.GetUserName(), w.GetUserDepartment(), w.GetUserContact(), u.GetActor(),
			})
		}
		return s.answer(map[string]any{"uses": rows}, func(p *page) { useTable(p, found) })
	})
}

func useTable(p *page, uses []*sagov1.Use) {
	p.head("이용 일시", "USED AT", "거래일련번호", "TRANSACTION", "묶음정보 ID", "BUNDLE ID", "이용 목적", "PURPOSE",
		"이름", "NAME", "소속", "DEPARTMENT", "연락처", "CONTACT")
	for _, u := range uses {
		w := u.GetWho()
		p.row(local(u.GetUsedAt()), u.GetTransaction(), u.GetBundleId(), w.GetPurpose(), w.GetUserName(), w.GetUserDepartment(), w.GetUserContact())
	}
}
