package main

import (
	"strings"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type clusterGroup struct {
	Status clusterStatusCmd `cmd:"" help:"${help_cluster_status}"`
	Verify clusterVerifyCmd `cmd:"" help:"${help_cluster_verify}"`
	Backup backupGroup      `cmd:"" help:"${help_cluster_backup}"`
	Add    clusterAddCmd    `cmd:"" help:"${help_cluster_add}"`
	Remove clusterRemoveCmd `cmd:"" help:"${help_cluster_remove}"`
	Medium clusterMediumCmd `cmd:"" help:"${help_cluster_medium}"`

	ConfirmRestore confirmRestoreCmd `cmd:"" help:"${help_cluster_confirm}"`
}

type clusterStatusCmd struct{}

type clusterJSON struct {
	Leader     string     `json:"leader"`
	Term       uint64     `json:"term"`
	Ready      bool       `json:"ready"`
	Single     bool       `json:"single"`
	Nodes      []nodeJSON `json:"nodes"`
	ClusterID  string     `json:"cluster_id"`
	Production bool       `json:"production"`
	Detail     string     `json:"detail"`
	AnsweredBy string     `json:"answered_by"`

	Checkpoint witnessedJSON `json:"checkpoint"`

	LastBackup         *backupStateJSON `json:"last_backup"`
	BackupOverdue      bool             `json:"backup_overdue"`
	RestoreUnconfirmed bool             `json:"restore_unconfirmed"`

	KeyArchive *keyArchiveStateJSON `json:"key_archive"`
}

// backupStateJSON is the newest backup.
type backupStateJSON struct {
	Time *string `json:"time"`
	End  uint64  `json:"end"`
}

// keyArchiveStateJSON is the newest period of key archives, while its recovery keys
// may exist.
type keyArchiveStateJSON struct {
	Period string  `json:"period"`
	Until  *string `json:"until"`
	Ending bool    `json:"ending"`
}

type nodeJSON struct {
	ID           string `json:"id"`
	Number       uint32 `json:"number"`
	Address      string `json:"address"`
	State        string `json:"state"`
	AppliedIndex uint64 `json:"applied_index"`
	HistorySize  uint64 `json:"history_size"`
	SignedSize   uint64 `json:"signed_size"`
	HistoryRoot  string `json:"history_root"`
	StateHash    string `json:"state_hash"`
	Reachable    bool   `json:"reachable"`
	Protection   string `json:"protection"`
	Incarnation  string `json:"incarnation"`
	Detail       string `json:"detail"`
}

func toCluster(r *sagov1.ClusterServiceStatusResponse) clusterJSON {
	out := clusterJSON{
		Leader: r.GetLeader(), Term: r.GetTerm(), Ready: r.GetReady(), Single: r.GetSingle(), Nodes: []nodeJSON{},
		ClusterID: r.GetClusterId(), Production: r.GetProduction(), Detail: r.GetDetail(), AnsweredBy: r.GetAnsweredBy(),
		Checkpoint: toWitnessed(r.GetCheckpoint()), BackupOverdue: r.GetBackupOverdue(), RestoreUnconfirmed: r.GetRestoreUnconfirmed(),
	}
	if b := r.GetLastBackup(); b != nil {
		out.LastBackup = &backupStateJSON{utc(b.GetClock()), b.GetEnd()}
	}
	if a := r.GetKeyArchive(); a != nil {
		out.KeyArchive = &keyArchiveStateJSON{a.GetPeriod(), utc(a.GetUntil()), a.GetEnding()}
	}
	for _, n := range r.GetNodes() {
		out.Nodes = append(out.Nodes, nodeJSON{
			ID: n.GetId(), Number: n.GetNumber(), Address: n.GetAddress(), State: n.GetState(), AppliedIndex: n.GetAppliedIndex(),
			HistorySize: n.GetHistorySize(), SignedSize: n.GetSignedSize(), HistoryRoot: hexOf(n.GetHistoryRoot()), StateHash: hexOf(n.GetStateHash()),
			Reachable: n.GetReachable(), Protection: n.GetProtection(), Incarnation: n.GetIncarnation(), Detail: n.GetDetail(),
		})
	}
	return out
}

// Run shows the nodes.
func (c *clusterStatusCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.ClusterStatus(s.ctx)
		if err != nil {
			return err
		}
		return s.answer(toCluster(r), func(p *page) { clusterText(p, r) })
	})
}

func clusterText(p *page, r *sagov1.ClusterServiceStatusResponse) {
	p.pair("리더", "leader", r.GetLeader())
	p.pair("임기", "term", r.GetTerm())
	p.pair("준비됨", "ready", p.yes(r.GetReady()))
	if r.GetSingle() {
		p.pair("주의", "caution", p.lang.pick("노드 하나: 둘째 사본도 둘째 관문도 없음", "one node: no second copy, no second gate"))
	}
	if !r.GetProduction() {
		p.pair("주의", "caution", p.lang.pick("개발용 클러스터", "development cluster, not for production"))
	}
	p.pair("응답한 노드", "answered by", r.GetAnsweredBy())
	p.pair("설명", "detail", r.GetDetail())
	for _, n := range r.GetNodes() {
		if n.GetDetail() != "" && n.GetDetail() != r.GetDetail() {
			p.pair(n.GetId(), n.GetId(), n.GetDetail())
		}
	}
	witnessedText(p, r.GetCheckpoint())
	backupStateText(p, r)
	p.head("노드", "NODE", "주소", "ADDRESS", "상태", "STATE", "닿음", "REACHABLE", "적용", "APPLIED", "이력", "HISTORY", "서명", "SIGNED", "루트", "ROOT", "보호", "PROTECTION")
	for _, n := range r.GetNodes() {
		root := hexOf(n.GetHistoryRoot())
		p.row(n.GetId(), n.GetAddress(), n.GetState(), p.yes(n.GetReachable()), n.GetAppliedIndex(), n.GetHistorySize(), n.GetSignedSize(), root[:min(16, len(root))], n.GetProtection())
	}
}

func backupStateText(p *page, r *sagov1.ClusterServiceStatusResponse) {
	at := p.lang.pick("없음", "none")
	if b := r.GetLastBackup(); b != nil {
		at = local(b.GetClock())
	}
	if r.GetBackupOverdue() {
		at += p.lang.pick(" (기한 지남)", " (overdue)")
	}
	p.pair("마지막 백업", "last backup", at)
	if a := r.GetKeyArchive(); a != nil {
		until := local(a.GetUntil())
		if a.GetEnding() {
			until += p.lang.pick(" (새 기간을 여십시오)", " (open a new one)")
		}
		p.pair("키 보관 기간 끝", "key-archive period until", until)
	}
	if r.GetRestoreUnconfirmed() {
		p.pair("주의", "caution", p.lang.pick("손실을 선언한 복원이 확인되지 않음: 확인 결재까지 만료하지 않음", "a restore declared a loss: nothing expires until an act confirms it"))
	}
}

type clusterVerifyCmd struct{}

type verificationJSON struct {
	Intact       bool               `json:"intact"`
	RootsEqual   bool               `json:"roots_equal"`
	ComparedSize uint64             `json:"compared_size"`
	Nodes        []nodeVerification `json:"nodes"`
}

type nodeVerification struct {
	Node           string   `json:"node"`
	Reachable      bool     `json:"reachable"`
	HistorySize    uint64   `json:"history_size"`
	Root           string   `json:"root"`
	RootAtCompared string   `json:"root_at_compared"`
	Chunks         uint64   `json:"chunks"`
	KeySlots       uint64   `json:"key_slots"`
	Rows           uint64   `json:"rows"`
	Damage         []string `json:"damage"`
}

// Run has every node check all its files.
func (c *clusterVerifyCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, verr := cl.VerifyCluster(s.ctx)
		if r == nil {
			return verr
		}
		result := verificationJSON{verr == nil, r.GetRootsEqual(), r.GetComparedSize(), []nodeVerification{}}
		for _, n := range r.GetNodes() {
			result.Nodes = append(result.Nodes, nodeVerification{
				n.GetNode(), n.GetReachable(), n.GetHistorySize(), hexOf(n.GetRoot()), hexOf(n.GetRootAtCompared()),
				n.GetChunks(), n.GetKeySlots(), n.GetRows(), append([]string{}, n.GetDamage()...),
			})
		}
		if err := s.answer(result, func(p *page) { verificationText(p, result) }); err != nil {
			return err
		}
		return verr
	})
}

func verificationText(p *page, r verificationJSON) {
	p.pair("온전함", "intact", p.yes(r.Intact))
	p.pair("루트가 같음", "roots equal", p.yes(r.RootsEqual))
	p.pair("비교한 건수", "compared records", r.ComparedSize)
	p.head("노드", "NODE", "닿음", "REACHABLE", "이력", "HISTORY", "덩이", "CHUNKS", "키", "KEYS", "행", "ROWS", "손상", "DAMAGE")
	for _, n := range r.Nodes {
		p.row(n.Node, p.yes(n.Reachable), n.HistorySize, n.Chunks, n.KeySlots, n.Rows, strings.Join(n.Damage, "; "))
	}
}
