package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sago-worm/sago/audit"
	"github.com/sago-worm/sago/service/client"
)

type historyKeysCmd struct{}

// Run writes the context's pins as a keys file, for whoever verifies offline.
func (historyKeysCmd) Run(s *session) error {
	keys, err := s.pinned()
	if err != nil {
		return err
	}
	result := keysJSON{keys.Origin, []string{}, keys.String()}
	for _, n := range keys.Nodes {
		result.Nodes = append(result.Nodes, n.VKey())
	}
	if s.json {
		return s.answer(result, nil)
	}
	_, err = fmt.Fprint(s.stdout, result.File)
	return err
}

// keysJSON is a keys file and what stands in it.
type keysJSON struct {
	Origin string   `json:"origin"`
	Nodes  []string `json:"nodes"`
	File   string   `json:"file"`
}

// pinned are the node keys of the context.
func (s *session) pinned() (audit.Keys, error) {
	if s.context == "" {
		return audit.Keys{}, &inputError{"CONTEXT", s.lang.pick("--context FILE이나 SAGO_CONTEXT가 없습니다", "neither --context FILE nor SAGO_CONTEXT is given")}
	}
	known, err := client.LoadContext(s.context)
	if err != nil {
		return audit.Keys{}, err
	}
	if len(known.Nodes) == 0 {
		return audit.Keys{}, &inputError{"CONTEXT", s.context + " pins no node keys"}
	}
	return audit.ContextKeys(known), nil
}

// verifyOffline verifies an export without asking anybody. Keys come from a file
// or from the context, never from the export (P47).
func verifyOffline(s *session, dir, keysFile string, kept []string) error {
	if keysFile == "" && s.context == "" {
		return &inputError{"USAGE", "--offline needs --keys FILE, or a context that pins the node keys; the export's own are never trusted"}
	}
	report, err := s.offline(dir, keysFile, kept)
	if report.Result == "" {
		return err // interrupted, or no keys to begin with
	}
	return errors.Join(err, s.answer(report, func(p *page) { reportText(p, report) }))
}

func (s *session) offline(dir, keysFile string, kept []string) (audit.Report, error) {
	keys, err := audit.LoadKeys(keysFile)
	if keysFile == "" {
		if keys, err = s.pinned(); err != nil {
			return audit.Report{}, err
		}
	}
	if err != nil {
		return audit.Failed(keys, err), err
	}
	notes, err := audit.LoadKept(kept)
	if err != nil {
		return audit.Failed(keys, err), err
	}
	shown := s.count()
	defer shown.end()
	return audit.VerifyExport(s.ctx, dir, keys, audit.Options{Kept: notes, Progress: shown.at})
}

func reportText(p *page, r audit.Report) {
	p.pair("결과", "result", string(r.Result))
	p.pair("사유", "reason", string(r.Reason))
	p.pair("위치", "where", r.Where)
	if r.Scope != "" {
		p.pair("범위", "scope", r.Scope)
		p.pair("클러스터", "cluster", r.Cluster)
		p.pair("기관", "institution", fmt.Sprintf(p.lang.pick("%d (코드 %s: 증명되지 않음)", "%d (code %s: shown, not proven)"), r.Institution, r.InstitutionCode))
		p.pair("처음", "first", r.First)
		p.pair("끝 (포함하지 않음)", "end (not included)", r.End)
		p.pair("보존된 처음", "kept from", r.Minimum)
		p.pair("확인한 이력 건수", "records verified", r.Records)
	}
	if r.Root != "" {
		p.pair("체크포인트 건수", "checkpoint records", r.Size)
		p.pair("체크포인트 루트", "checkpoint root", r.Root)
		p.pair("서명한 노드", "signed by", fmt.Sprintf("%s (%d / %d)", strings.Join(r.Signers, ", "), len(r.Signers), r.Nodes))
		p.pair("공동 서명한 증인", "cosigned by", fmt.Sprintf("%s (%d / %d)", strings.Join(r.Witnesses, ", "), len(r.Witnesses), r.Needed))
	}
	for _, k := range r.Kept {
		p.pair("보관된 체크포인트", "kept checkpoint", decimal(k.Size)+" "+k.State)
	}
}

// resultExit is the exit code of a verification that did not end well.
func resultExit(f *audit.Failure) int {
	if f.Reason.Result() == audit.Unreadable {
		return exitFailed
	}
	return exitIntegrity
}

// resultMessage says what a verification's reason means. Reasons of one result
// share a sentence: what failed, and where, follows it.
func resultMessage(f *audit.Failure) message {
	switch f.Reason {
	case audit.Fork:
		return message{"노드들이 서로 다른 두 이력에 서명했습니다. 두 체크포인트를 보관하고 감사자에게 알리십시오", "the nodes signed two histories; secure both checkpoints and tell the auditor"}
	case audit.Rollback:
		return message{"보관된 체크포인트보다 짧은 이력입니다. 더 새로운 내보내기를 요구하십시오", "a kept checkpoint has seen more than this export holds; ask for a newer one"}
	case audit.NotComparable:
		return message{"한 기관의 내보내기는 보관된 체크포인트와 대조할 수 없습니다. `sago history verify --checkpoint`로 저장소와 대조하십시오", "one institution's export cannot be held against it; hold the kept checkpoint against the appliance (`sago history verify --checkpoint`)"}
	case audit.Unwitnessed:
		return message{"공동 서명한 증인이 모자랍니다. 증인이 서명한 뒤 다시 내보내십시오", "too few witnesses cosigned; export again after they did"}
	}
	switch f.Reason.Result() {
	case audit.Tampered:
		return message{"서명된 이력과 맞지 않습니다 (변조). 폴더를 그대로 보관하고 감사자에게 알리십시오", "it contradicts what was signed; keep the folder as it is and tell the auditor"}
	case audit.Incomplete:
		return message{"있어야 할 것이 없습니다 (불완전). 다시 복사하거나 다시 내보내십시오", "something that must be there is not; copy or export it again"}
	case audit.WrongKey:
		return message{"가져온 키로 서명된 것이 아닙니다 (다른 키). 이 클러스터의 키인지 확인하십시오", "it was not signed by the keys given; check that they are this cluster's"}
	}
	return message{"확인할 수 없습니다. 폴더와 파일, 매체를 확인하십시오", "nothing can be said; check the folder, the files and the medium"}
}
