package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

type institutionGroup struct {
	Register institutionRegisterCmd `cmd:"" help:"${help_institution_register}"`
	Suspend  institutionSuspendCmd  `cmd:"" help:"${help_institution_suspend}"`
	Resume   institutionResumeCmd   `cmd:"" help:"${help_institution_resume}"`
	Close    institutionCloseCmd    `cmd:"" help:"${help_institution_close}"`
	List     institutionListCmd     `cmd:"" help:"${help_institution_list}"`
	Subjects institutionSubjectsCmd `cmd:"" help:"${help_institution_subjects}"`
}

// institutionJSON is an institution, with the field names that scripts rely on.
type institutionJSON struct {
	Institution           string       `json:"institution"`
	Number                uint32       `json:"number"`
	State                 string       `json:"state"`
	Since                 *string      `json:"since"`
	SuspendedUntil        *string      `json:"suspended_until"`
	Overdue               bool         `json:"overdue"`
	Quota                 uint64       `json:"quota"`
	Used                  uint64       `json:"used"`
	SpecialDeleteDisabled bool         `json:"special_delete_disabled"`
	Closing               *closingJSON `json:"closing"`
	Persons               []uint64     `json:"persons,omitempty"`
	HistorySequence       uint64       `json:"history_sequence,omitempty"`
}

type closingJSON struct {
	Act             string   `json:"act"`
	Due             *string  `json:"due"`
	Latest          *string  `json:"latest"`
	Swept           bool     `json:"swept"`
	Kept            []string `json:"kept"`
	Receipt         string   `json:"receipt"`
	HistorySequence uint64   `json:"history_sequence"`
}

func toInstitution(i *sagov1.Institution) institutionJSON {
	out := institutionJSON{
		Institution: i.GetCode(), Number: i.GetNumber(), State: i.GetState(), Since: utc(i.GetSince()), SuspendedUntil: utc(i.GetSuspendedUntil()),
		Overdue: i.GetOverdue(), Quota: i.GetQuota(), Used: i.GetUsed(), SpecialDeleteDisabled: i.GetSpecialDeleteDisabled(),
	}
	if c := i.GetClosing(); c != nil {
		out.Closing = &closingJSON{c.GetAct(), utc(c.GetDue()), utc(c.GetLatest()), c.GetSwept(), append([]string{}, c.GetKept()...), hexOf(c.GetReceipt()), c.GetHistorySequence()}
	}
	return out
}

func institutionPage(p *page, i *sagov1.Institution) {
	p.line("기관 "+i.GetCode(), "institution "+i.GetCode())
	p.pair("상태", "state", i.GetState())
	p.pair("휴지 종료 예정", "suspended until", local(i.GetSuspendedUntil()))
	p.pair("기한 경과", "overdue", p.yes(i.GetOverdue()))
	if i.GetQuota() > 0 {
		p.pair("저장 한도(바이트)", "quota (bytes)", i.GetQuota())
		p.pair("사용량(바이트)", "used (bytes)", i.GetUsed())
	}
	if c := i.GetClosing(); c != nil {
		p.pair("폐지 결재", "closing", c.GetAct())
		p.pair("삭제 예정", "erasure due", local(c.GetDue()))
		p.pair("삭제 기한", "at the latest", local(c.GetLatest()))
		p.pair("보존조치로 남은 것", "kept by a hold", strings.Join(c.GetKept(), ", "))
	}
}

// answerInstitution prints what a change made of an institution.
func (s *session) answerInstitution(i *sagov1.Institution, persons []uint64, at uint64) error {
	row := toInstitution(i)
	row.Persons, row.HistorySequence = persons, at
	return s.answer(row, func(p *page) {
		institutionPage(p, i)
		for _, id := range persons {
			p.pair("이용자 번호", "person", id)
		}
		p.pair("이력 일련번호", "history sequence", at)
	})
}

// institutionRef names an institution; empty is one's own.
type institutionRef struct {
	Institution string `help:"${help_institution_code}" placeholder:"CODE"`
}

type institutionSuspendCmd struct {
	institutionRef
	Until  through `help:"${help_institution_until}" placeholder:"T"`
	Reason string  `help:"${help_institution_reason}" placeholder:"TEXT"`
}

// Run suspends an institution.
func (c *institutionSuspendCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.SuspendInstitution(s.ctx, &sagov1.SuspendRequest{Institution: c.Institution, Until: c.Until.Timestamp, Reason: c.Reason})
		if err != nil {
			return err
		}
		return s.answerInstitution(r.GetInstitution(), nil, r.GetHistorySequence())
	})
}

type institutionResumeCmd struct {
	institutionRef
	Reason string `help:"${help_institution_reason}" placeholder:"TEXT"`
}

// Run ends a suspension.
func (c *institutionResumeCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.ResumeInstitution(s.ctx, &sagov1.ResumeRequest{Institution: c.Institution, Reason: c.Reason})
		if err != nil {
			return err
		}
		return s.answerInstitution(r.GetInstitution(), nil, r.GetHistorySequence())
	})
}

type institutionCloseCmd struct {
	institutionRef
	Receipt   string  `help:"${help_close_receipt}" placeholder:"FILE"`
	Date      through `help:"${help_close_date}" required:"" placeholder:"DATE"`
	Export    uint64  `help:"${help_close_export}" placeholder:"SEQUENCE"`
	Requester string  `help:"${help_close_requester}" placeholder:"NAME"`
	Basis     string  `help:"${help_close_basis}" placeholder:"TEXT"`
	Reason    string  `help:"${help_institution_reason}" placeholder:"TEXT"`
}

// Run opens the act of a closing and signs it, where the caller may sign.
func (c *institutionCloseCmd) Run(s *session) error {
	req := &sagov1.CloseRequest{Institution: c.Institution, Date: c.Date.Timestamp, ExportSequence: c.Export, Requester: c.Requester, Basis: c.Basis, Reason: c.Reason}
	if c.Receipt != "" {
		digest, err := fileDigest(c.Receipt)
		if err != nil {
			return err
		}
		req.Receipt = digest
	}
	return s.with(func(cl *client.Client) error {
		a, err := cl.CloseInstitution(s.ctx, req)
		if err != nil {
			return err
		}
		return s.opened(cl, a)
	})
}

// closeSaid is what the document of a closing says.
func closeSaid(doc format.Act) ([]said, error) {
	object, oerr := format.DecodeActObject(doc.Object)
	p, err := format.DecodeCloseParams(doc.Params)
	return []said{
		{"기관 번호", "institution", strconv.FormatUint(uint64(object.Institution), 10)},
		{"폐지 예정일", "date", time.UnixMicro(p.Date - 1).In(kst).Format(time.DateOnly)},
		{"접수증 해시", "receipt", digestText(p.Receipt)}, {"이관한 이력", "handed_over", fmt.Sprintf("%d..%d", p.First, p.End)},
		{"이력 건수", "size", strconv.FormatUint(p.Size, 10)}, {"이력 루트", "root", hex.EncodeToString(p.Root[:])},
	}, errors.Join(oerr, err)
}

// fileDigest is the SHA-256 of a file.
func fileDigest(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &inputError{"FILE", err.Error()}
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, &inputError{"FILE", err.Error()}
	}
	return h.Sum(nil), nil
}

type institutionListCmd struct{}

// Run lists the institutions that the caller may see.
func (c *institutionListCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		found, err := cl.ListInstitutions(s.ctx)
		if err != nil {
			return err
		}
		rows := []institutionJSON{}
		for _, i := range found {
			rows = append(rows, toInstitution(i))
		}
		return s.answer(map[string]any{"institutions": rows}, func(p *page) {
			for _, i := range found {
				institutionPage(p, i)
			}
		})
	})
}
