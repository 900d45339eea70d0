package system_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

// says waits until the log of node i holds each text.
func (s *site) says(ctx context.Context, i int, texts ...string) {
	s.t.Helper()
	must(s.t, testcluster.Await(ctx, "the log of "+s.Name(i), func(context.Context) (bool, string, error) {
		log, err := s.Log(i)
		for _, text := range texts {
			if !strings.Contains(log, text) {
				return false, "does not say: " + text, err
			}
		}
		return err == nil, "", err
	}))
}

// TestP48_CutHistoryOfEveryNode: the last hundred records are gone from every
// node. The raft logs still hold them: nothing is lost, and every node says so.
// Then every data directory is replaced by an older copy, keys left as they are:
// every node says ROLLBACK and which records are missing, at every start, keeps
// what it put aside, and nobody goes on.
func TestP48_CutHistoryOfEveryNode(t *testing.T) {
	ctx := bounded(t, 2*time.Minute)
	s := startSite(t, ctx, testcluster.Options{})
	copies := t.TempDir()
	numbers := s.acknowledge(ctx, 0, "EARLY", 20)
	s.stopAll(ctx)
	for i := range s.Size() {
		must(t, s.CopyData(i, filepath.Join(copies, s.Name(i))))
	}
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	numbers = append(numbers, s.acknowledge(ctx, 0, "LATE", 120)...)
	s.stopAll(ctx)
	for i := range s.Size() {
		left, err := s.CutHistory(i, 100)
		must(t, err)
		if i == 1 {
			must(t, os.Remove(filepath.Join(s.DataDir(i), "index.db")))
		}
		must(t, s.Start(i))
		defer func() { s.says(ctx, i, fmt.Sprintf("records %d to ", left), "nothing is lost") }()
	}
	must(t, s.Ready(ctx))
	s.everywhere(ctx, numbers[len(numbers)-30:])
	if answer := s.sago(ctx, 0, 0, "admin", "cluster", "verify"); answer["intact"] != true {
		t.Fatalf("verify: %v", answer)
	}
	signed, err := s.memberAt(ctx, 0, 0)
	must(t, err)
	if signed.GetSignedSize() == 0 || signed.GetSignedSize() > signed.GetHistorySize() {
		t.Fatalf("status: %v", signed)
	}
	s.stopAll(ctx)
	for i := range s.Size() {
		must(t, s.ReplaceData(i, filepath.Join(copies, s.Name(i))))
	}
	for range 2 {
		s.rolledBack(ctx)
	}
}

// rolledBack starts all nodes, which were rolled back, and stops them again.
func (s *site) rolledBack(ctx context.Context) {
	s.t.Helper()
	told := func(i int, text string) int {
		log, err := s.Log(i)
		must(s.t, err)
		return strings.Count(log, text)
	}
	texts := []string{"ROLLBACK: the history holds ", "are missing", "3 of 3 nodes have no history of their own any more"}
	before := map[string]int{}
	for i := range s.Size() {
		for _, text := range texts {
			before[fmt.Sprint(i, text)] = told(i, text)
		}
		must(s.t, s.Start(i))
	}
	for i := range s.Size() {
		must(s.t, testcluster.Await(ctx, "this start's words of "+s.Name(i), func(context.Context) (bool, string, error) {
			for _, text := range texts {
				if told(i, text) <= before[fmt.Sprint(i, text)] {
					return false, "does not say: " + text, nil
				}
			}
			return true, "", nil
		}))
		aside, err := filepath.Glob(s.DataDir(i) + ".gone-*")
		must(s.t, err)
		if len(aside) != 1 {
			s.t.Errorf("%s keeps %v", s.Name(i), aside)
		}
	}
	must(s.t, testcluster.Await(ctx, "the status of a node", func(ctx context.Context) (bool, string, error) {
		n, err := s.memberAt(ctx, 0, 0)
		detail := n.GetDetail()
		return err == nil && strings.Contains(detail, "ROLLBACK") && strings.Contains(detail, "no majority is left"), fmt.Sprint(detail, err), nil
	}))
	s.stopAll(ctx)
}
