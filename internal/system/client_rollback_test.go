package system_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// remembering is a client of the appliance with the command line's memory.
func (d *dev) remembering(ctx context.Context, role string) *client.Client {
	d.t.Helper()
	known, err := client.LoadContext(filepath.Join(d.dir, "contexts", role+".toml"))
	must(d.t, err)
	known.Memory = client.NewFileMemory(d.memory, known.ClusterID)
	cl, err := client.Open(ctx, known)
	must(d.t, err)
	d.t.Cleanup(func() { must(d.t, cl.Close()) })
	return cl
}

// TestP48_ClientReportsARollback: an appliance that is put back to an older copy
// of itself, whole and with everything that its nodes know of themselves, cannot
// tell. A client that looked in between can, and names what is missing.
func TestP48_ClientReportsARollback(t *testing.T) {
	ctx := bounded(t, time.Minute)
	d := newDev(t)
	d.start(ctx)
	_, err := put(ctx, d.remembering(ctx, "app"), "T1", "P5Y", contentOf("T1"))
	must(t, err)
	d.stop()
	copied := &dev{t: t, dir: d.dir + "-copy", memory: d.memory}
	t.Cleanup(func() {
		copied.stop()
		if out, err := exec.Command(filepath.Join(bin, "sagod"), "dev", "--remove", "--dir", copied.dir).CombinedOutput(); err != nil {
			t.Errorf("sagod dev --remove: %v: %s", err, out)
		}
	})
	if out, err := exec.Command("cp", "-a", d.dir, copied.dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}

	d.start(ctx)
	app := d.remembering(ctx, "app")
	receipt, err := put(ctx, app, "T2", "P5Y", contentOf("T2"))
	must(t, err)
	for i := range 40 { // more than what the copy writes of itself when it starts
		_, err := put(ctx, app, fmt.Sprint("T2-", i), "P5Y", contentOf("more"))
		must(t, err)
	}
	had, err := d.remembering(ctx, "auditor").Checkpoint(ctx, client.CheckpointQuery{Fresh: true})
	must(t, err)
	d.proves(ctx, receipt)
	d.stop()

	copied.start(ctx)
	out := copied.sago(ctx, "auditor", "history", "list")
	missing := fmt.Sprintf("to %d are missing", had.Checkpoint.Size-1)
	if out.Exit != 7 || !strings.HasPrefix(out.Stderr, "error: ROLLBACK: ") || !strings.Contains(out.Stderr, missing) || !strings.Contains(out.Stdout, "STORE") {
		t.Errorf("exit %d, want %q: %s%s", out.Exit, missing, out.Stderr, out.Stdout)
	}
	if out := copied.sago(ctx, "officer", "bundle", "get", "--transaction", "T2", "--purpose", "X"); out.Exit != 7 || !strings.Contains(out.Stderr, "NOT_FOUND") {
		t.Errorf("the bundle that is gone: exit %d: %s", out.Exit, out.Stderr)
	}
	if out := copied.sago(ctx, "officer", "--no-memory", "bundle", "get", "--transaction", "T1", "--purpose", "X"); out.Exit != 0 {
		t.Errorf("without a memory: exit %d: %s", out.Exit, out.Stderr)
	}
}

// proves holds the receipt of a put, and a record's proof from the command line,
// against the pinned keys.
func (d *dev) proves(ctx context.Context, answer client.Recorded) {
	d.t.Helper()
	r, err := client.ReceiptOf(answer)
	must(d.t, err)
	p, err := d.remembering(ctx, "app").Receipt(ctx, r)
	must(d.t, err)
	shown := d.sago(ctx, "auditor", "--output", "json", "history", "prove", fmt.Sprint(r.Sequence))
	again, err := format.DecodeProof([]byte(shown.Stdout))
	if err != nil || again.LeafHash != p.LeafHash || len(again.Record) == 0 {
		d.t.Errorf("exit %d: %v: %s%s", shown.Exit, err, shown.Stderr, shown.Stdout)
	}
}
