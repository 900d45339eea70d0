package system_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// outsider is a `sago witness` of a test, in a process of its own.
type outsider struct {
	t         *testing.T
	dir, keys string
	vkey, at  string // at is HOST:PORT, the same at every start
	cmd       *exec.Cmd
	done      chan error
	log       string
}

// newOutsider makes the witness's key; it does not run yet.
func newOutsider(t *testing.T) *outsider {
	t.Helper()
	var listen net.ListenConfig
	ln, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	w := &outsider{t: t, dir: filepath.Join(t.TempDir(), "witness"), keys: filepath.Join(t.TempDir(), "keys"), at: ln.Addr().String()}
	w.log = w.dir + ".log"
	must(t, ln.Close())
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "sago"), "--output", "json", "witness", "--dir", w.dir, "--name", "w.example/1").Output()
	must(t, err)
	w.vkey = object(t, string(out))["vkey"].(string)
	t.Cleanup(w.kill)
	return w
}

// policy is what `sagod dev` is told of it.
func (w *outsider) policy() string { return "--witness=" + w.vkey + "=http://" + w.at }

// start runs it until it is ready.
func (w *outsider) start(ctx context.Context) {
	w.t.Helper()
	log, err := os.OpenFile(w.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	must(w.t, err)
	w.cmd = exec.Command(filepath.Join(bin, "sago"), "witness", "--dir", w.dir, "--keys", w.keys, "--listen", w.at)
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	w.cmd.Stderr = log
	out, err := w.cmd.StdoutPipe()
	must(w.t, err)
	ready, begun := make(chan string, 1), make(chan error, 1)
	w.done = make(chan error, 1)
	go func() { // ends with the process, which kill ends
		runtime.LockOSThread() // the death signal is bound to this thread
		defer runtime.UnlockOSThread()
		err := w.cmd.Start()
		if begun <- err; err != nil {
			return
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "ready ") {
				ready <- lines.Text()
			}
		}
		w.done <- w.cmd.Wait()
	}()
	must(w.t, <-begun)
	must(w.t, log.Close())
	select {
	case said := <-ready:
		if said != "ready http://"+w.at {
			w.t.Fatal(said)
		}
	case err := <-w.done:
		w.done <- err
		w.t.Fatalf("sago witness ended: %v\n%s", err, w.said())
	case <-ctx.Done():
		w.t.Fatal("sago witness is not ready")
	}
}

// kill is the end without a word.
func (w *outsider) kill() {
	if w.cmd == nil || w.cmd.Process == nil {
		return
	}
	_ = w.cmd.Process.Kill() // it may have ended
	<-w.done
	w.cmd = nil
}

func (w *outsider) said() string {
	w.t.Helper()
	raw, err := os.ReadFile(w.log)
	must(w.t, err)
	return string(raw)
}

// show is what its folder holds of the one log.
func (w *outsider) show(ctx context.Context) map[string]any {
	w.t.Helper()
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "sago"), "--output", "json", "witness", "--dir", w.dir, "--show").Output()
	must(w.t, err)
	logs := rowsOf(w.t, object(w.t, string(out)), "logs")
	if len(logs) != 1 {
		w.t.Fatalf("%s", out)
	}
	return logs[0]
}

// putInto stores n bundles whose numbers begin so.
func (d *dev) putInto(ctx context.Context, n int, name string) {
	d.t.Helper()
	file := filepath.Join(d.t.TempDir(), name)
	must(d.t, os.WriteFile(file, contentOf(name), 0o600))
	for i := range n {
		d.must(ctx, 0, "app", "--no-memory", "bundle", "put", "--transaction", fmt.Sprint(name, i), "--bundle-id", "MDS0000001", "--subject-ci", "CI1",
			"--retain", "P5Y", "--basis", "TEST", file)
	}
}

// witnessed is what status says of the newest checkpoint and its one witness.
func (d *dev) witnessed(ctx context.Context) (checkpoint, witness map[string]any) {
	d.t.Helper()
	checkpoint = d.must(ctx, 0, "auditor", "cluster", "status")["checkpoint"].(map[string]any)
	all := rowsOf(d.t, checkpoint, "witnesses")
	if len(all) != 1 {
		d.t.Fatalf("%v", checkpoint)
	}
	return checkpoint, all[0]
}

// copied is another development directory with the same nodes, keys and log.
func (d *dev) copied(t *testing.T) *dev {
	t.Helper()
	other := newDev(t)
	must(t, os.CopyFS(other.dir, os.DirFS(d.dir)))
	return other
}

// TestP54_WitnessConvictsAForkedCluster: two clusters of the same nodes and keys
// go on from one copy, as after somebody rewrote the history on every node. The
// one that the witness saw first goes on; the other is refused, both signed
// checkpoints are kept, and its own status says FORK or ROLLBACK.
func TestP54_WitnessConvictsAForkedCluster(t *testing.T) {
	ctx := bounded(t, 3*time.Minute)
	w, a := newOutsider(t), newDev(t)
	a.args = []string{"--nodes", "3", w.policy()}
	a.start(ctx)
	must(t, os.WriteFile(w.keys, []byte(a.sago(ctx, "auditor", "history", "keys").Stdout), 0o600))
	a.putInto(ctx, 3, "before")
	first := a.must(ctx, 0, "auditor", "history", "checkpoint")
	if first["witnesses"] != 0.0 || first["witnesses_needed"] != 1.0 {
		t.Fatalf("witnessed by nobody: %v", first)
	}
	if cp, wit := a.witnessed(ctx); cp["witnessed"] != false || wit["size"] != 0.0 {
		t.Fatalf("P53: unwitnessed is not visible: %v", cp)
	}
	w.start(ctx)
	cosigned := a.must(ctx, 0, "auditor", "history", "checkpoint", "--last", "--wait", "60s")
	if cosigned["witnesses"] != 1.0 || !strings.Contains(cosigned["note"].(string), "— w.example/1 ") {
		t.Fatalf("not cosigned: %v", cosigned)
	}
	if cp, _ := a.witnessed(ctx); cp["witnessed"] != true {
		t.Fatalf("%v", cp)
	}
	exported := filepath.Join(t.TempDir(), "export")
	a.must(ctx, 0, "auditor", "history", "export", "-o", exported)
	keys := w.keys + "-witnessed"
	trust, err := os.ReadFile(w.keys)
	must(t, err)
	trusted := strings.ReplaceAll(string(trust), "witnesses-needed 0\n", "witness "+w.vkey+"\nwitnesses-needed 1\n")
	must(t, os.WriteFile(keys, []byte(trusted), 0o600))
	if !strings.Contains(trusted, "witnesses-needed 1") {
		t.Fatalf("%s", trusted)
	}
	a.must(ctx, 0, "auditor", "history", "verify", "--offline", exported, "--keys", keys)
	a.stop()
	b := a.copied(t)

	// A node's cosignatures outlive its process, and the witness a kill.
	w.kill()
	a.args = nil
	a.start(ctx)
	again := a.must(ctx, 0, "auditor", "history", "checkpoint", "--size", fmt.Sprint(cosigned["size"]))
	if again["witnesses"] != 1.0 {
		t.Fatalf("the cosignature is gone after a restart: %v", again)
	}
	w.start(ctx)
	a.putInto(ctx, 2, "shown")
	seen := a.must(ctx, 0, "auditor", "history", "checkpoint", "--wait", "60s")
	if seen["witnesses"] != 1.0 {
		t.Fatalf("%v", seen)
	}
	asked := a.must(ctx, 0, "auditor", "history", "checkpoint", "--size", fmt.Sprint(seen["size"]), "--witness", "http://"+w.at, "--witness-key", w.vkey)
	if asked["cosigned_by"] != "w.example/1" {
		t.Fatalf("cosigned by %v", asked["cosigned_by"])
	}
	a.stop()

	b.start(ctx)
	b.putInto(ctx, 6, "rewritten")
	b.must(ctx, 7, "auditor", "--no-memory", "history", "checkpoint", "--witness", "http://"+w.at, "--witness-key", w.vkey)
	await(t, ctx, "the forked cluster says so", func(ctx context.Context) (bool, string, error) {
		_, wit := b.witnessed(ctx)
		detail := wit["detail"].(string)
		return strings.HasPrefix(detail, "FORK: ") || strings.HasPrefix(detail, "ROLLBACK: "), detail, nil
	})
	b.stop()
	held := w.show(ctx)
	if held["size"] != seen["size"] || held["root"] != seen["root"] {
		t.Fatalf("the witness has moved to %v from %v", held, seen)
	}
	bothAreKept(t, b, held, seen)
	if !strings.Contains(w.said(), "both signed checkpoints are kept as proof") {
		t.Fatalf("the witness does not say so: %s", w.said())
	}

	a.start(ctx)
	a.putInto(ctx, 1, "after")
	if last := a.must(ctx, 0, "auditor", "history", "checkpoint", "--wait", "60s"); last["witnesses"] != 1.0 {
		t.Fatalf("the honest cluster is not cosigned any more: %v", last)
	}
}

// bothAreKept holds that the witness's proofs are pairs of notes that a majority
// of the pinned nodes signed, one of them the checkpoint that it saw.
func bothAreKept(t *testing.T, d *dev, held, seen map[string]any) {
	t.Helper()
	known, err := client.LoadContext(filepath.Join(d.dir, "contexts", "auditor.toml"))
	must(t, err)
	raw, err := json.Marshal(held)
	must(t, err)
	var found struct{ Proofs, Suspicions []string }
	must(t, json.Unmarshal(raw, &found))
	pairs := append(found.Proofs, found.Suspicions...)
	if len(pairs) == 0 {
		t.Fatalf("nothing was kept: %s", raw)
	}
	for _, dir := range pairs {
		roots := map[string]format.Digest{}
		for _, name := range []string{"kept.note", "offered.note"} {
			note, err := os.ReadFile(filepath.Join(dir, name))
			must(t, err)
			cp, signers, err := client.VerifyCheckpoint(string(note), known.Nodes)
			must(t, err)
			if len(signers) < 2 {
				t.Errorf("%s/%s: signed by %v", dir, name, signers)
			}
			roots[name] = cp.Root
		}
		if fmt.Sprintf("%x", roots["kept.note"]) != seen["root"] || roots["offered.note"] == roots["kept.note"] {
			t.Errorf("%s: %x beside %v", dir, roots, seen["root"])
		}
	}
}
