package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sago-worm/sago/audit"
	"github.com/sago-worm/sago/service/client"
)

type backupGroup struct {
	Run    backupRunCmd    `cmd:"" default:"withargs" help:"${help_cluster_backup}"`
	Verify backupVerifyCmd `cmd:"" help:"${help_cluster_backup_verify}"`
}

type backupRunCmd struct {
	To   string `short:"o" help:"${help_backup_to}" placeholder:"DIR" required:""`
	Keys bool   `help:"${help_backup_keys}"`
}

// backupJSON is the answer of a backup.
type backupJSON struct {
	Directory      string             `json:"directory"`
	First          uint64             `json:"first"`
	End            uint64             `json:"end"`
	Payload        uint64             `json:"payload"`
	Bundles        uint64             `json:"bundles"`
	Size           uint64             `json:"size"`
	Digest         string             `json:"digest"`
	CheckpointSize uint64             `json:"checkpoint_size"`
	Root           string             `json:"root"`
	Signers        []string           `json:"signers"`
	Needed         int                `json:"needed"`
	BackupSequence uint64             `json:"backup_sequence"`
	Missing        []uint64           `json:"missing"`
	KeyArchive     *backupArchiveJSON `json:"key_archive,omitempty"`
}

// backupArchiveJSON is the key archive that a backup brought.
type backupArchiveJSON struct {
	Period   string `json:"period"`
	Sequence uint64 `json:"sequence"`
	Needed   int    `json:"needed"`
	Keys     uint64 `json:"keys"`
	Lacking  uint64 `json:"lacking"`
	From     uint64 `json:"from"`
	Doubt    string `json:"doubt,omitempty"`
}

// Run brings the backup in a directory up to date.
func (c *backupRunCmd) Run(s *session) error {
	shown := s.count()
	o := client.BackupOptions{Dir: c.To, Keys: c.Keys, Progress: shown.at}
	return s.with(func(cl *client.Client) error {
		r, err := cl.Backup(s.ctx, o)
		shown.end()
		if errors.Is(err, client.ErrBackupDirectory) {
			return &inputError{"FILE", err.Error()}
		}
		if r == nil {
			if errors.Is(err, context.Canceled) || exitCode(err) == exitUnavailable {
				s.say("백업이 끝나지 않았습니다. 같은 명령을 다시 실행하면 멈춘 곳에서 이어집니다: "+c.To,
					"the backup is not whole; the same command again goes on where it stopped: "+c.To)
			}
			return err
		}
		cp := r.Checkpoint.Checkpoint
		result := backupJSON{r.Directory, r.First, r.End, r.Payload, r.Bundles, r.Size, hexOf(r.Digest[:]), cp.Size, hexOf(cp.Root[:]),
			append([]string{}, r.Checkpoint.Signers...), r.Checkpoint.Needed, r.Sequence, append([]uint64{}, r.Missing...), nil}
		if a := r.Archive; a != nil {
			result.KeyArchive = &backupArchiveJSON{hexOf(a.Period[:]), a.Sequence, int(a.Needed), a.Keys, a.Lacking, a.From, ""}
			if a.Doubt != nil {
				result.KeyArchive.Doubt = a.Doubt.Error()
			}
		}
		return errors.Join(err, s.answer(result, func(p *page) { backupText(p, result) }))
	})
}

func backupText(p *page, r backupJSON) {
	p.line("백업하고 확인했습니다: "+r.Directory, "backed up and verified: "+r.Directory)
	p.pair("새 이력의 처음", "first new record", r.First)
	p.pair("끝 (포함하지 않음)", "end (not included)", r.End)
	p.pair("본문을 담은 끝", "payload up to", r.Payload)
	p.pair("새 묶음정보", "new bundles", r.Bundles)
	p.pair("크기 (바이트)", "size (bytes)", r.Size)
	p.pair("목록의 지문", "manifest digest", r.Digest)
	p.pair("체크포인트 루트", "checkpoint root", r.Root)
	p.pair("서명한 노드", "signed by", strings.Join(r.Signers, ", "))
	p.pair("백업 기록", "backup record", r.BackupSequence)
	if len(r.Missing) > 0 {
		p.pair("어느 노드에도 없는 묶음정보", "bundles that no node has", len(r.Missing))
	}
	if a := r.KeyArchive; a != nil {
		p.pair("키 보관본의 기간", "key archive of period", a.Period)
		p.pair("담은 키", "keys in it", a.Keys)
		p.pair("여는 데 필요한 복구키", "recovery keys needed to open it", a.Needed)
		if a.Lacking > 0 {
			p.pair("어느 노드에도 없는 키", "live keys that no node has", a.Lacking)
		}
		if a.Doubt != "" {
			p.pair("앞선 키 보관본을 믿지 않고 다시 담은 기록부터", "earlier key archives are not relied on, keys are in it again from record", a.From)
			p.pair("까닭", "because", a.Doubt)
		}
	}
}

type backupVerifyCmd struct {
	Dir  string `arg:"" help:"${help_backup_dir}"`
	Keys string `help:"${help_keys}" placeholder:"FILE"`
}

// backupVerifyJSON is the answer of a backup's verification.
type backupVerifyJSON struct {
	Intact   bool     `json:"intact"`
	Records  uint64   `json:"records"`
	Payload  uint64   `json:"payload"`
	Bundles  uint64   `json:"bundles"`
	Ended    uint64   `json:"ended"`
	Archives uint64   `json:"key_archives"`
	Missing  []uint64 `json:"missing"`
	Size     uint64   `json:"size"`
	Root     string   `json:"root"`
	Digest   string   `json:"digest"`
	Clock    *string  `json:"clock"`
}

// Run reads a whole backup without asking anybody. Keys come from a file or the
// context, never from the backup (P47).
func (c *backupVerifyCmd) Run(s *session) error {
	if c.Keys == "" && s.context == "" {
		return &inputError{"USAGE", "--keys FILE, or a context that pins the node keys: the backup's own are never trusted"}
	}
	if _, err := os.Stat(c.Dir); err != nil {
		return &inputError{"FILE", err.Error()}
	}
	var keys audit.Keys
	var err error
	if c.Keys != "" {
		keys, err = audit.LoadKeys(c.Keys)
	} else {
		keys, err = s.pinned()
	}
	if err != nil {
		return err
	}
	shown := s.count()
	r, err := client.VerifyBackup(s.ctx, c.Dir, keys.Nodes, keys.Origin, shown.at)
	shown.end()
	if errors.Is(err, client.ErrBackupDirectory) {
		return &inputError{"FILE", err.Error()}
	}
	if err != nil {
		return err
	}
	clock := timestamppb.New(time.UnixMicro(r.Clock))
	result := backupVerifyJSON{true, r.Records, r.Payload, r.Bundles, r.Ended, r.Archives, append([]uint64{}, r.Missing...), r.Size, hexOf(r.Root[:]), hexOf(r.Digest[:]), utc(clock)}
	return s.answer(result, func(p *page) {
		p.pair("온전함", "intact", p.yes(true))
		p.pair("이력 건수", "records", r.Records)
		p.pair("본문을 담은 끝", "payload up to", r.Payload)
		p.pair("묶음정보", "bundles", r.Bundles)
		p.pair("소거된 자리", "places of ended bundles", r.Ended)
		p.pair("키 보관본", "key archives", r.Archives)
		p.pair("어느 노드에도 없던 묶음정보", "bundles that no node had", len(r.Missing))
		p.pair("크기 (바이트)", "size (bytes)", r.Size)
		p.pair("이력 루트", "history root", result.Root)
		p.pair("목록의 지문", "manifest digest", result.Digest)
		p.pair("신뢰 시각", "quorum clock", local(clock))
	})
}
