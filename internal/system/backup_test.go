package system_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// TestP68_TotalLossAndRestore: all data is lost but the keys; a backup, brought up
// to date once, and the history exported since bring everything back that had not
// ended, and nothing that had. Without the newer history nothing is changed. Without
// key blocks what was read stays ciphertext that verifies.
func TestP68_TotalLossAndRestore(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 2*time.Minute)
	s := startSite(t, ctx, testcluster.Options{Nodes: 3})
	stays := s.acknowledge(ctx, 0, "STAYS", 20)
	_, err := put(ctx, s.client(ctx, 1, "app"), "GOES", "PT10S", contentOf("GOES"))
	must(t, err)
	dir, export := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "export")
	first := s.sago(ctx, 0, 0, "admin", "cluster", "backup", "-o", dir)
	stays = append(stays, s.acknowledge(ctx, 1, "MORE", 5)...)
	second := s.sago(ctx, 0, 1, "admin", "cluster", "backup", "-o", dir)
	if first["bundles"] != 21.0 || second["bundles"] != 5.0 || second["first"] != first["end"] {
		t.Errorf("two runs: %v, %v", first, second)
	}
	s.awaitState(ctx, 0, "erased", map[string]bool{s.Name(0): true, s.Name(1): true, s.Name(2): true})
	s.sago(ctx, 4, 0, "auditor", "cluster", "backup", "-o", filepath.Join(t.TempDir(), "x"))
	if status := s.sago(ctx, 0, 2, "admin", "cluster", "status"); status["last_backup"].(map[string]any)["end"] != second["end"] || status["backup_overdue"] != false {
		t.Errorf("status: %v", status["last_backup"])
	}
	exported := s.sago(ctx, 0, 0, "inspector", "history", "export", "-o", export)
	keys := s.keysFile(ctx)
	s.stopAll(ctx)
	s.verifyBackup(ctx, 0, dir, keys)
	survived := filepath.Join(t.TempDir(), "node1")
	must(t, s.CopyData(0, survived))
	for i := range s.Size() {
		must(t, s.Wipe(i))
	}

	s.restore(ctx, 3, 0, "--from", dir)
	if _, err := os.Lstat(s.DataDir(0)); !os.IsNotExist(err) {
		t.Errorf("a refused restore left a data directory: %v", err)
	}
	for i := range s.Size() {
		s.restore(ctx, 0, i, "--check", "--from", dir, "--newer", export)
		s.restore(ctx, 0, i, "--from", dir, "--newer", export)
	}
	s.restore(ctx, 3, 0, "--from", dir, "--newer", export) // no longer empty
	s.withoutKeys(ctx, uint64(exported["checkpoint_size"].(float64)), stays[0])
	after := filepath.Join(t.TempDir(), "after")
	must(t, s.CopyData(2, after))
	for i := range s.Size() {
		must(t, s.Wipe(i))
	}
	for i := range s.Size() {
		s.restore(ctx, 0, i, "--from", dir, "--newer", export, "--newer", after,
			"--keys", filepath.Join(survived, "keys"), "--keys-root", filepath.Join(filepath.Dir(s.Config(0)), "keys", "root.key"))
	}
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	s.everywhere(ctx, stays)
	s.sago(ctx, 5, 0, "officer", "bundle", "get", "--transaction", "GOES", "--purpose", "시험", "-o", os.DevNull)
	s.intact(ctx)
	receipt, err := put(ctx, s.client(ctx, 0, "app"), "NEW", "P5Y", contentOf("NEW"))
	must(t, err)
	if float64(receipt.GetHistorySequence()) <= second["end"].(float64) {
		t.Errorf("the new bundle is record %d", receipt.GetHistorySequence())
	}
	s.everywhere(ctx, []string{"NEW"})
	s.healthy(ctx)
	s.sago(ctx, 0, 0, "admin", "cluster", "backup", "-o", dir)
	s.verifyBackup(ctx, 0, dir, keys)
	s.destroyed(ctx, dir)
}

// TestP68_DeclaredLoss: what a checkpoint covers and nobody has is lost, and says so.
// Only an act of two persons goes on behind it; then nothing expires.
func TestP68_DeclaredLoss(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 90*time.Second)
	s := startSite(t, ctx, testcluster.Options{Nodes: 1})
	stays := s.acknowledge(ctx, 0, "STAYS", 3)
	cl := s.client(ctx, 0, "app")
	_, err := put(ctx, cl, "GOES", "PT8S", contentOf("GOES"))
	must(t, err)
	dir, act := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "restore.act")
	run := s.sago(ctx, 0, 0, "admin", "cluster", "backup", "-o", dir)
	_, err = put(ctx, cl, "LOST", "P5Y", contentOf("LOST"))
	must(t, err)
	s.sago(ctx, 0, 0, "auditor", "history", "checkpoint") // the node signs beyond the backup
	s.stopAll(ctx)
	survived := filepath.Join(t.TempDir(), "node")
	must(t, s.CopyData(0, survived))
	must(t, s.Wipe(0))

	said := s.restore(ctx, 3, 0, "--from", dir)
	if !strings.Contains(said, fmt.Sprintf("records %.0f to ", run["end"])) {
		t.Errorf("the loss is not named: %s", said)
	}
	s.restore(ctx, 0, 0, "--from", dir, "--draft", act)
	loss := []string{"--from", dir, "--declare-loss", "--act", act, "--keys", filepath.Join(survived, "keys")}
	s.restore(ctx, 1, 0, loss...) // nobody signed
	s.signAct(ctx, 0, act, "manager")
	s.restore(ctx, 1, 0, loss...)
	s.signAct(ctx, 2, act, "manager")
	s.signAct(ctx, 0, act, "approver1")
	s.restore(ctx, 0, 0, loss...)
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	s.everywhere(ctx, stays)
	status := s.sago(ctx, 0, 0, "admin", "cluster", "status")
	if status["restore_unconfirmed"] != true {
		t.Errorf("status: %v", status)
	}
	auditor := s.client(ctx, 0, "auditor")
	await(t, ctx, "GOES past its deadline", func(ctx context.Context) (bool, string, error) {
		b, err := auditor.Show(ctx, &sagov1.ShowRequest{Transaction: "GOES", Part: 1})
		return b.GetState() == "expired", b.GetState(), err
	})
	_, err = put(ctx, s.client(ctx, 0, "app"), "NEW", "P5Y", contentOf("NEW"))
	must(t, err)
	// Whoever saw the lost part is told, until they say that they know.
	s.sago(ctx, 7, 0, "auditor", "history", "checkpoint")
	s.sago(ctx, 5, 0, "officer", "--no-memory", "bundle", "get", "--transaction", "LOST", "--purpose", "시험", "-o", os.DevNull)
	rows := rowsOf(t, s.sago(ctx, 0, 0, "inspector", "--no-memory", "history", "list", "--action", "RESTORE"), "records")
	if len(rows) != 1 || rows[0]["sequence"] != run["end"] {
		t.Errorf("the first record behind the loss: %v", rows)
	}
	rows = rowsOf(t, s.sago(ctx, 0, 0, "auditor", "--no-memory", "history", "list", "--action", "EXPIRE"), "records")
	if len(rows) != 0 {
		t.Errorf("expired while the loss is not confirmed: %v", rows)
	}
	s.intact(ctx)
	s.confirmRestore(ctx)
}

// confirmRestore has two persons confirm a declared loss: only then does what is
// overdue go.
func (s *site) confirmRestore(ctx context.Context) {
	s.t.Helper()
	id, _ := s.sago(ctx, 0, 0, "admin", "--no-memory", "cluster", "confirm-restore", "--reason", "시험")["id"].(string)
	s.sago(ctx, 0, 0, "manager", "--no-memory", "act", "sign", "--id", id)
	if status := s.sago(ctx, 0, 0, "admin", "--no-memory", "cluster", "status"); status["restore_unconfirmed"] != true {
		s.t.Errorf("one person confirmed: %v", status)
	}
	s.sago(ctx, 0, 0, "approver1", "--no-memory", "act", "sign", "--id", id)
	await(s.t, ctx, "GOES is erased", func(ctx context.Context) (bool, string, error) {
		b, err := s.SagoAt(ctx, 0, "auditor", "--no-memory", "--output", "json", "bundle", "show", "--transaction", "GOES")
		return strings.Contains(b.Stdout, `"state": "erased"`), b.Stdout + b.Stderr, err
	})
	if status := s.sago(ctx, 0, 0, "admin", "--no-memory", "cluster", "status"); status["restore_unconfirmed"] != false {
		s.t.Errorf("two persons confirmed: %v", status)
	}
	s.sago(ctx, 3, 0, "admin", "--no-memory", "cluster", "confirm-restore", "--reason", "시험")
}

// signAct has a person sign an act; the command must exit so.
func (s *site) signAct(ctx context.Context, exit int, act, who string) {
	s.t.Helper()
	contexts := filepath.Dir(s.Context(who))
	person := map[string]string{"manager": "4", "approver1": "5"}[who]
	out, err := s.Sagod(ctx, "sign", act, "--ceremony", filepath.Join(filepath.Dir(contexts), "ceremony.act"), "--person", person, "--key", filepath.Join(contexts, who+".key"))
	must(s.t, err)
	if out.Exit != exit {
		s.t.Fatalf("sign by %s: exit %d: %s%s", who, out.Exit, out.Stdout, out.Stderr)
	}
}

// restore runs a restore of node i, which must exit so.
func (s *site) restore(ctx context.Context, exit, i int, args ...string) string {
	s.t.Helper()
	out, err := s.Sagod(ctx, append([]string{"restore", "--config", s.Config(i)}, args...)...)
	must(s.t, err)
	if out.Exit != exit {
		s.t.Fatalf("restore %v: exit %d, want %d: %s%s", args, out.Exit, exit, out.Stdout, out.Stderr)
	}
	if exit != 0 && strings.Count(out.Stderr, "\n") != 1 {
		s.t.Errorf("restore %v says %q", args, out.Stderr)
	}
	return out.Stdout + out.Stderr
}

// verifyBackup has the command line read a whole backup offline.
func (s *site) verifyBackup(ctx context.Context, exit int, dir, keys string) string {
	s.t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "sago"), "--output", "json", "--lang", "en", "cluster", "backup", "verify", dir, "--keys", keys)
	out, _ := cmd.CombinedOutput() // its exit code says
	if got := cmd.ProcessState.ExitCode(); got != exit {
		s.t.Fatalf("backup verify: exit %d, want %d: %s", got, exit, out)
	}
	return string(out)
}

// withoutKeys starts the restored cluster, which has no key block, until a majority
// has signed beyond the RESTORE record.
func (s *site) withoutKeys(ctx context.Context, restored uint64, number string) {
	s.t.Helper()
	must(s.t, s.StartAll())
	await(s.t, ctx, "a checkpoint of the restored log", func(ctx context.Context) (bool, string, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		status, err := s.Status(ctx)
		if err != nil {
			return false, err.Error(), nil
		}
		signed := 0
		for _, n := range status.GetNodes() {
			if n.GetSignedSize() > restored {
				signed++
			}
		}
		// Who came too late for it signs the next one, when there is something to sign.
		return signed >= 2 && status.GetCheckpoint().GetSize() > restored, status.String(), nil
	})
	out, err := s.SagoAt(ctx, 0, "officer", "bundle", "get", "--transaction", number, "--purpose", "시험", "-o", os.DevNull)
	must(s.t, err)
	if out.Exit != 6 || !strings.Contains(out.Stderr, "KEY_MISSING") {
		s.t.Errorf("a read without keys: exit %d: %s", out.Exit, out.Stderr)
	}
	s.intact(ctx)
	s.stopAll(ctx)
}

// destroyed holds that the ciphertext of what has ended is gone from a backup.
func (s *site) destroyed(ctx context.Context, dir string) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "payload", "*"))
	must(s.t, err)
	zeros := 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		must(s.t, err)
		if bytes.Contains(raw[160:], make([]byte, 72)) {
			zeros++
		}
	}
	if zeros == 0 || ctx.Err() != nil {
		s.t.Errorf("no place of %d payload files is overwritten", len(files))
	}
}
