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

// TestP68_RestoreFromKeyArchives: all nodes are lost with their key blocks. With the
// shares of two of three officers everything that was stored before the backup reads
// again, what ended since stays gone, and the log goes on; what was stored since has
// no key. One officer opens nothing. A certificate names the archive until its
// recovery keys are recorded destroyed.
func TestP68_RestoreFromKeyArchives(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 2*time.Minute)
	s := startSite(t, ctx, testcluster.Options{Nodes: 3})
	a := archived{s, filepath.Join(t.TempDir(), "backup"), t.TempDir()}
	stays := s.acknowledge(ctx, 0, "STAYS", 6)
	s.acknowledge(ctx, 1, "ENDED", 1)
	_, err := put(ctx, s.client(ctx, 2, "app"), "GOES", "PT15S", contentOf("GOES"))
	must(t, err)
	s.sago(ctx, 3, 0, "admin", "cluster", "backup", "-o", a.dir, "--keys") // no period is open
	period := a.open(ctx)
	run := s.sago(ctx, 0, 0, "admin", "cluster", "backup", "-o", a.dir, "--keys")
	if got := run["key_archive"].(map[string]any); got["period"] != period || got["keys"].(float64) < 8 || got["lacking"] != 0.0 || got["needed"] != 2.0 {
		t.Errorf("the archive: %v", got)
	}
	s.acknowledge(ctx, 0, "LATER", 1)
	id := a.delete(ctx, "ENDED-0")
	s.awaitState(ctx, 0, "erased", map[string]bool{s.Name(0): true, s.Name(1): true, s.Name(2): true})
	a.certificate(ctx, id, "interim", period)
	export := filepath.Join(t.TempDir(), "export")
	s.sago(ctx, 0, 0, "inspector", "history", "export", "-o", export)
	s.stopAll(ctx)
	for i := range s.Size() {
		must(t, s.Wipe(i))
	}

	a.restoreAll(ctx, "--from", a.dir, "--newer", export)
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	s.everywhere(ctx, stays)
	for i := range s.Size() {
		for number, exit := range map[string]int{"ENDED-0": 5, "GOES": 5, "LATER-0": 6} {
			s.sago(ctx, exit, i, "officer", "bundle", "get", "--transaction", number, "--purpose", "시험", "-o", os.DevNull)
		}
	}
	_, err = put(ctx, s.client(ctx, 1, "app"), "NEW", "P5Y", contentOf("NEW"))
	must(t, err)
	s.everywhere(ctx, []string{"NEW"})
	s.healthy(ctx)
	s.intact(ctx)
	more := s.sago(ctx, 0, 0, "admin", "cluster", "backup", "-o", a.dir, "--keys")["key_archive"].(map[string]any)
	if more["lacking"] != 1.0 {
		t.Errorf("the second archive: %v", more)
	}
	if said := s.verifyBackup(ctx, 0, a.dir, s.keysFile(ctx)); !strings.Contains(said, `"key_archives": 2`) {
		t.Error(said)
	}
	a.signed(ctx, s.sago(ctx, 0, 0, "admin", "key-archive", "destroyed", period, "--reason", "시험"))
	a.certificate(ctx, id, "final", period)
}

// archived is a site whose backups take keys along.
type archived struct {
	*site
	dir  string // the backup
	keys string // folder of the officers' recovery keys, requests and shares
}

// holders are the persons who hold recovery keys here.
var holders = []string{"manager", "approver1", "approver2"}

// open has each holder make a recovery key and opens a period of them.
func (a archived) open(ctx context.Context) (period string) {
	a.t.Helper()
	args := []string{"key-archive", "open", "--needed", "2", "--reason", "시험"}
	for _, who := range holders {
		a.sago(ctx, 0, 0, who, "key-archive", "key", "--out", filepath.Join(a.keys, who))
		args = append(args, filepath.Join(a.keys, who)+".pub")
	}
	a.signed(ctx, a.sago(ctx, 0, 0, "admin", args...))
	periods := rowsOf(a.t, a.sago(ctx, 0, 0, "auditor", "key-archive", "list"), "periods")
	if len(periods) != 1 || periods[0]["state"] != "open" {
		a.t.Fatalf("periods: %v", periods)
	}
	return periods[0]["period"].(string)
}

// signed has an act signed by those who must.
func (a archived) signed(ctx context.Context, act map[string]any) {
	a.t.Helper()
	for _, who := range []string{"manager", "approver1"} {
		a.sago(ctx, 0, 0, who, "act", "sign", "--id", act["id"].(string))
	}
}

// delete specially deletes a bundle.
func (a archived) delete(ctx context.Context, number string) (id string) {
	a.t.Helper()
	id, _ = a.sago(ctx, 0, 0, "officer", order(number)...)["request_id"].(string)
	a.sago(ctx, 0, 0, "manager", "special-delete", "approve", "--request", id)
	a.sago(ctx, 0, 0, "approver1", "special-delete", "approve", "--request", id)
	a.awaitSpecial(ctx, 0, id, "executed")
	return id
}

// certificate awaits the certificate of a deletion, which names the archive's
// period as long as it is interim.
func (a archived) certificate(ctx context.Context, id, state, period string) {
	a.t.Helper()
	await(a.t, ctx, "the certificate is "+state, func(ctx context.Context) (bool, string, error) {
		out, err := a.SagoAt(ctx, 0, "auditor", "--output", "json", "special-delete", "certificate", "--request", id)
		return strings.Contains(out.Stdout, `"state": "`+state+`"`) && strings.Contains(out.Stdout, period), out.Stdout + out.Stderr, err
	})
}

// restoreAll restores every node with the shares that two holders release to it.
func (a archived) restoreAll(ctx context.Context, from ...string) {
	a.t.Helper()
	for i := range a.Size() {
		request := filepath.Join(a.keys, fmt.Sprintf("request-%d", i))
		a.restore(ctx, 0, i, "--request", request)
		var shares []string
		for _, who := range []string{"manager", "approver2"} {
			share := fmt.Sprintf("%s-%s", request, who)
			got := a.sago(ctx, 0, i, who, "key-archive", "release", "--backup", a.dir, "--key", filepath.Join(a.keys, who), "--request", request, "--out", share)
			if got["node"] != a.Name(i) || got["needed"] != 2.0 {
				a.t.Errorf("released: %v", got)
			}
			shares = append(shares, "--share", share)
		}
		said := a.restore(ctx, 3, i, append(from, shares[:2]...)...)
		if !strings.Contains(said, "1 of 2") {
			a.t.Errorf("one share: %s", said)
		}
		if i > 0 { // what was released to another node
			other := filepath.Join(a.keys, "request-0-")
			a.restore(ctx, 3, i, append(from, "--share", other+"manager", "--share", other+"approver2")...)
		}
		a.restore(ctx, 0, i, append(from, shares...)...)
		if _, err := os.Lstat(filepath.Join(filepath.Dir(a.Config(i)), "keys", "release.key")); !os.IsNotExist(err) {
			a.t.Errorf("the request's private half is still there: %v", err)
		}
	}
}
