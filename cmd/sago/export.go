package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sago-worm/sago/service/client"
)

type historyExportCmd struct {
	Since       from    `help:"${help_since}" placeholder:"T"`
	Until       through `help:"${help_until}" placeholder:"T"`
	Institution string  `help:"${help_institution}" placeholder:"CODE"`
	To          string  `short:"o" help:"${help_export_to}" placeholder:"DIR" required:""`
}

// exportJSON is the answer of an export.
type exportJSON struct {
	Directory      string   `json:"directory"`
	Scope          string   `json:"scope"`
	First          uint64   `json:"first"`
	End            uint64   `json:"end"`
	Records        uint64   `json:"records"`
	CheckpointSize uint64   `json:"checkpoint_size"`
	Root           string   `json:"root"`
	ExportSequence uint64   `json:"export_sequence"`
	Signers        []string `json:"signers"`
	Needed         int      `json:"needed"`
	Resumed        bool     `json:"resumed"`
}

// Run writes the history, or one institution's, to a directory as evidence.
func (c *historyExportCmd) Run(s *session) error {
	bar := s.count()
	o := client.ExportOptions{
		Dir: c.To, Tree: c.Institution == "", Institution: c.Institution, Since: timeOf(c.Since.Timestamp), Until: timeOf(c.Until.Timestamp),
		Progress: func(p client.ExportProgress) { bar.at(p.Records, p.Of) },
	}
	return s.with(func(cl *client.Client) error {
		r, err := cl.Export(s.ctx, o)
		bar.end()
		if errors.Is(err, client.ErrExportDirectory) {
			return &inputError{"FILE", err.Error()}
		}
		if err != nil {
			c.goOn(s, err)
			return err
		}
		root := r.Checkpoint.Checkpoint.Root
		result := exportJSON{
			r.Directory, r.Scope, r.First, r.End, r.Records, r.Checkpoint.Checkpoint.Size, hexOf(root[:]), r.ExportSequence,
			append([]string{}, r.Checkpoint.Signers...), r.Checkpoint.Needed, r.Resumed,
		}
		return s.answer(result, func(p *page) { exportText(p, result) })
	})
}

// goOn says how a broken-off export goes on.
func (c *historyExportCmd) goOn(s *session, err error) {
	if _, serr := os.Stat(filepath.Join(c.To, "export.json")); serr != nil || errors.Is(err, client.ErrIntegrity) {
		return
	}
	s.say("내보내기가 끝나지 않았습니다. 같은 명령을 다시 실행하면 멈춘 곳에서 이어집니다: "+c.To,
		"the export is not whole; the same command again goes on where it stopped: "+c.To)
}

func exportText(p *page, r exportJSON) {
	p.line("내보내고 확인했습니다: "+r.Directory, "exported and verified: "+r.Directory)
	p.pair("범위", "scope", r.Scope)
	p.pair("처음", "first", r.First)
	p.pair("끝 (포함하지 않음)", "end (not included)", r.End)
	p.pair("이력 건수", "records", r.Records)
	p.pair("체크포인트 건수", "checkpoint records", r.CheckpointSize)
	p.pair("체크포인트 루트", "checkpoint root", r.Root)
	p.pair("내보내기 기록", "export record", r.ExportSequence)
	p.pair("서명한 노드", "signed by", strings.Join(r.Signers, ", "))
	p.pair("필요한 서명 수", "signatures needed", r.Needed)
}

// timeOf is the instant of a flag; the zero time when it was not given.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
