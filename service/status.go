package service

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// clockServer answers ClockService. It leaves no record, and a node that is cut
// off answers too.
type clockServer struct {
	sagov1.UnimplementedClockServiceServer
	*Server
}

// Status implements sagov1.ClockServiceServer.
func (s *clockServer) Status(context.Context, *sagov1.ClockServiceStatusRequest) (*sagov1.ClockServiceStatusResponse, error) {
	answer := s.clock()
	now := s.node.Store().Summary()
	answer.Clock, answer.ClosedNetwork = instant(now.Clock.Now), now.Policy.ClosedNetwork
	if answer.Clock != nil && answer.Earliest != nil {
		answer.LagSeconds = max(0, answer.Earliest.AsTime().Sub(answer.Clock.AsTime()).Seconds())
	}
	slack := time.Duration(now.Policy.Slack) * time.Microsecond
	used := time.Duration(max(0, now.Clock.Now-now.Clock.Floor)) * time.Microsecond
	if why := held(answer.GetLagSeconds(), slack-used); why != "" {
		answer.Detail = strings.TrimPrefix(answer.GetDetail()+"; "+why, "; ")
	}
	answer.Budget = &sagov1.ClockBudget{FloorLine: instant(now.Clock.Floor), SlackSeconds: slack.Seconds(), UsedSeconds: used.Seconds()}
	return answer, nil
}

// heldLag is the lag above which the clock is not just between two ticks, seconds.
const heldLag = 120

// held says why the quorum clock stands behind this node's time.
func held(lag float64, left time.Duration) string {
	switch {
	case lag < heldLag:
		return ""
	case left < time.Second:
		return "the quorum clock is held: the slack is used up, and it goes on with uptime only (200 ppm); catching up more needs a clock resync by act"
	}
	return "the quorum clock lags: no majority of the nodes has voted for so long"
}

// clusterServer answers ClusterService. It leaves no record, and a node that is
// cut off answers too.
type clusterServer struct {
	sagov1.UnimplementedClusterServiceServer
	*Server
}

// Status implements sagov1.ClusterServiceServer.
func (s *clusterServer) Status(ctx context.Context, _ *sagov1.ClusterServiceStatusRequest) (*sagov1.ClusterServiceStatusResponse, error) {
	st := s.node.Store()
	seen, manifest := s.node.Status(ctx), st.Manifest()
	answer := &sagov1.ClusterServiceStatusResponse{
		Leader: seen.Leader, Term: seen.Term, Ready: seen.Ready, Detail: seen.Detail, Single: len(st.Members()) == 1,
		ClusterId: hex.EncodeToString(manifest.Cluster[:]), Production: manifest.Production, AnsweredBy: s.node.Name(),
		Checkpoint: s.checkpointState(),
	}
	var err error
	if answer.LastBackup, answer.BackupOverdue, err = s.backupState(); err != nil {
		return nil, err
	}
	if answer.KeyArchive, err = s.keyArchiveState(); err != nil {
		return nil, err
	}
	if answer.RestoreUnconfirmed, err = st.ExpiryStopped(); err != nil {
		return nil, err
	}
	for _, n := range seen.Nodes {
		answer.Nodes = append(answer.Nodes, &sagov1.Node{
			Number: n.Number, Id: n.Name, Address: n.Address, State: n.State, AppliedIndex: n.Applied, HistorySize: n.HistorySize,
			HistoryRoot: n.Root[:], StateHash: n.StateHash[:], Reachable: n.Reachable, Protection: n.Protection, Incarnation: n.Incarnation, Detail: n.Detail,
			SignedSize: n.SignedSize,
		})
	}
	return answer, nil
}

// Verify implements sagov1.ClusterServiceServer.
func (s *clusterServer) Verify(ctx context.Context, _ *sagov1.ClusterServiceVerifyRequest) (*sagov1.ClusterServiceVerifyResponse, error) {
	found, err := s.node.VerifyAll(ctx)
	if err != nil {
		return nil, err
	}
	answer := &sagov1.ClusterServiceVerifyResponse{Intact: found.Intact, RootsEqual: found.RootsEqual, ComparedSize: found.ComparedSize}
	for _, n := range found.Nodes {
		answer.Nodes = append(answer.Nodes, &sagov1.NodeVerification{
			Node: n.Node, Reachable: n.Reachable, HistorySize: n.HistorySize, Root: n.Root[:], RootAtCompared: n.RootAtCompared[:],
			Chunks: n.Chunks, KeySlots: n.KeySlots, Rows: n.Rows, Damage: n.Damage,
		})
	}
	return answer, nil
}
