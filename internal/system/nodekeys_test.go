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

// TestP68_LostNodeKeys: all data, and with it the keys of two of three nodes, are
// lost; the history is not. An act of two persons names new keys: the cluster goes on
// with them, expires what is due, and a node that then loses its data alone finds its
// peers by their new keys.
func TestP68_LostNodeKeys(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 2*time.Minute)
	s := startSite(t, ctx, testcluster.Options{Nodes: 3})
	stays := s.acknowledge(ctx, 0, "STAYS", 3)
	_, err := put(ctx, s.client(ctx, 0, "app"), "EARLY", "PT1S", contentOf("EARLY"))
	must(t, err)
	s.awaitShown(ctx, 0, "EARLY", "erased")
	_, err = put(ctx, s.client(ctx, 1, "app"), "GOES", "PT20S", contentOf("GOES"))
	must(t, err)
	dir, act := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "restore.act")
	s.sago(ctx, 0, 0, "admin", "cluster", "backup", "-o", dir)
	s.stopAll(ctx)
	survived := filepath.Join(t.TempDir(), "node3")
	must(t, s.CopyData(2, survived))
	root, err := os.ReadFile(filepath.Join(s.NodeDir(2), "keys", "root.key"))
	must(t, err)
	rootKey := filepath.Join(t.TempDir(), "root.key")
	must(t, os.WriteFile(rootKey, root, 0o600))
	var named []string
	for i := range s.Size() {
		must(t, s.Wipe(i))
		if i < 2 {
			request, err := s.LoseKeys(ctx, i)
			must(t, err)
			named = append(named, "--node-key", fmt.Sprintf("%d=%s", i+1, request))
		}
	}

	from := []string{"--from", dir, "--newer", survived}
	if said := s.restore(ctx, 3, 0, from...); !strings.Contains(said, "--node-key") {
		t.Errorf("a node with an unknown key: %s", said)
	}
	s.restore(ctx, 2, 2, append(from, "--draft", act, "--node-key", "2="+strings.TrimPrefix(named[1], "1="))...)
	said := s.restore(ctx, 0, 2, append(append(from, "--draft", act), named...)...)
	if !strings.Contains(said, "lost: nothing that is known") || !strings.Contains(said, "node 1: ") || !strings.Contains(said, "node 2: ") {
		t.Errorf("the draft: %s", said)
	}
	with := append(from, "--act", act, "--keys", filepath.Join(survived, "keys"), "--keys-root", rootKey)
	s.signAct(ctx, 0, act, "manager")
	s.restore(ctx, 1, 0, with...) // one person
	s.signAct(ctx, 0, act, "approver1")
	s.restore(ctx, 2, 0, append(with, "--declare-loss")...)
	for i := range s.Size() {
		if said := s.restore(ctx, 0, i, with...); !strings.Contains(said, "new node keys: node 1: ") {
			t.Errorf("node %d: %s", i+1, said)
		}
	}
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	s.everywhere(ctx, stays)
	if status := s.sago(ctx, 0, 0, "admin", "cluster", "status"); status["restore_unconfirmed"] != false {
		t.Errorf("status: %v", status)
	}
	s.sago(ctx, 0, 0, "auditor", "--no-memory", "history", "checkpoint") // what it remembers was signed by lost keys
	s.awaitState(ctx, 0, "erased", map[string]bool{s.Name(0): true, s.Name(1): true, s.Name(2): true})
	s.sago(ctx, 0, 0, "admin", "--no-memory", "cluster", "backup", "-o", dir)                      // goes on with the one that lost keys signed
	s.sago(ctx, 0, 0, "auditor", "--no-memory", "bundle", "certificate", "--transaction", "EARLY") // attested under lost keys
	s.rejoins(ctx, 2, stays)
	s.intact(ctx)
}

// rejoins has node i come back without its data.
func (s *site) rejoins(ctx context.Context, i int, stays []string) {
	s.t.Helper()
	must(s.t, s.Stop(ctx, i))
	must(s.t, s.Wipe(i))
	must(s.t, s.Start(i))
	must(s.t, s.ReadyAt(ctx, i))
	s.everywhere(ctx, stays)
}
