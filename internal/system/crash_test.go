package system_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sago-worm/sago/audit/forensic"
	"github.com/sago-worm/sago/internal/crashpoint"
	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store"
)

// crashAt is the file, in the folder of its configuration, in which a process finds
// the step at which it kills itself.
const crashAt = "crash-at"

// crashing builds programs that kill themselves where they are told to, once.
var crashing = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(bin, "crashing")
	build := exec.Command("go", "build", "-tags", "sago_crash", "-o", dir+string(filepath.Separator), "./cmd/sagod", "./cmd/sago")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

// crashStep is a step of a destruction, and what a node that ended there still has
// of the bundle, in keys and ciphertext.
type crashStep struct {
	name         string
	key, payload bool
}

// keeperSteps are the numbered steps of the custodian (docs/custodian.md). Before a
// step is after the one before it.
func keeperSteps() []crashStep {
	return []crashStep{
		{"before overwrite slots", true, true}, {"after overwrite slots", false, true}, {"after sync slots", false, true},
		{"after zero ranges", false, false}, {"after sync zeros", false, false}, {"after punch ranges", false, false}, {"after sync holes", false, false},
	}
}

// daemonSteps are those of the daemon, from the decision to its attestation
// (docs/architecture.md).
func daemonSteps() []crashStep {
	duty := func(when string, k store.Kind) string { return fmt.Sprintf("%s duty %d", when, k) }
	return []crashStep{
		{duty("before", store.KindSweep), true, true}, {duty("after", store.KindSweep), true, true}, {duty("after", store.KindCheckpoint), true, true},
		{"before destroy", true, true}, {"before roll", false, true}, {"after roll", false, true},
		{"after forget ranges", false, false}, {"after attest", false, false},
	}
}

// TestRoot_P34_KilledAtEveryStep kills a custodian and a daemon of their own
// processes at every numbered step of an erasure, each of another bundle. They end
// where they should, by what is left on disk; started again they finish; nothing of
// any bundle is left, and the neighbour is there.
func TestRoot_P34_KilledAtEveryStep(t *testing.T) {
	keeper, daemon := keeperSteps(), daemonSteps()
	for i, steps := range [][]crashStep{keeper[:4], keeper[4:], daemon[:4], daemon[4:]} {
		inDaemon := i > 1
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			ctx := bounded(t, 3*time.Minute)
			s := crashSite(t, ctx, 1)
			_, err := put(ctx, s.client(ctx, 0, "app"), "STAYS", "P5Y", contentOf("STAYS"))
			must(t, err)
			var gone []testcluster.Chunk
			for k, step := range steps {
				gone = append(gone, s.crashOnce(ctx, fmt.Sprint("GOES-", k), step, inDaemon)...)
			}
			s.everywhere(ctx, []string{"STAYS"})
			s.intact(ctx)
			s.stopAll(ctx)
			if found := s.traces(0, gone); found != "" {
				t.Errorf("something is left in %s", found)
			}
			s.nothingLeft(ctx, "GOES-0")
		})
	}
}

// TestRoot_P34_KilledInSpecialDeletion kills the custodian of one node and the daemon
// of another in a special deletion (특수삭제) on three.
func TestRoot_P34_KilledInSpecialDeletion(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 3*time.Minute)
	s := crashSite(t, ctx, 3)
	app := s.client(ctx, 0, "app")
	_, err := put(ctx, app, "STAYS", "P5Y", contentOf("STAYS"))
	must(t, err)
	before := len(s.chunks(0))
	_, err = put(ctx, app, "GOES", "P5Y", contentOf("GOES"))
	must(t, err)
	gone := s.chunks(0)[before:]
	old, _ := s.copied()
	s.tellCrash(1, "after overwrite slots", false)
	s.tellCrash(2, "before roll", true)
	id, _ := s.sago(ctx, 0, 0, "officer", order("GOES")...)["request_id"].(string)
	for _, who := range []string{"manager", "approver1"} {
		s.sago(ctx, 0, 0, who, "special-delete", "approve", "--request", id)
	}
	awaitEnd(t, ctx, "the custodian of "+s.Name(1), s.CustodianEnded(1))
	awaitEnd(t, ctx, s.Name(2), s.Ended(2))
	s.restartCrashed(ctx, 1)
	s.restartCrashed(ctx, 2)
	s.awaitCertificate(ctx, 0, id, "final")
	for i := range s.Size() {
		if steps := rowsOf(t, s.sago(ctx, 0, i, "auditor", "special-delete", "ledger"), "entries"); len(steps) != 6 {
			t.Errorf("%s has %d steps", s.Name(i), len(steps))
		}
	}
	s.everywhere(ctx, []string{"STAYS"})
	s.intact(ctx)
	s.stopAll(ctx)
	for i := range s.Size() {
		if found := s.traces(i, gone); found != "" {
			t.Errorf("something is left in %s", found)
		}
	}
	s.onlyCiphertext(ctx, old, "GOES", "STAYS")
}

// crashSite is a ready cluster with custodians apart, of programs that can be told
// to kill themselves. Checkpoints are taken for destructions alone.
func crashSite(t *testing.T, ctx context.Context, nodes int) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("processes of several users need root")
	}
	programs, err := crashing()
	must(t, err)
	for _, dir := range []string{bin, programs, filepath.Dir(t.TempDir())} {
		must(t, os.Chmod(dir, 0o711))
	}
	s := newSite(t, testcluster.Options{Nodes: nodes, User: daemonUser, Custodian: custodianUser, Bin: programs, Env: []string{crashpoint.Env + "=" + crashAt},
		Policy: testcluster.Policy{CheckpointEvery: time.Hour, CoolingOff: time.Second}})
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	return s
}

// crashFile is the file for node i's daemon, or its custodian.
func (s *site) crashFile(i int, daemon bool) string {
	if daemon {
		return filepath.Join(s.NodeDir(i), crashAt)
	}
	return filepath.Join(filepath.Dir(s.CustodianConfig(i)), crashAt)
}

// tellCrash has a process of node i kill itself at a step, from now on.
func (s *site) tellCrash(i int, step string, daemon bool) {
	s.t.Helper()
	path := s.crashFile(i, daemon)
	must(s.t, os.WriteFile(path+".new", []byte(step), 0o644))
	must(s.t, os.Rename(path+".new", path))
}

// restartCrashed starts what of node i has ended, and has it go on.
func (s *site) restartCrashed(ctx context.Context, i int) {
	s.t.Helper()
	for _, daemon := range []bool{false, true} {
		if err := os.Remove(s.crashFile(i, daemon)); err != nil && !os.IsNotExist(err) {
			s.t.Fatal(err)
		}
	}
	must(s.t, s.StartCustodian(i))
	if !s.Running(i) {
		must(s.t, s.Start(i))
	}
	must(s.t, s.ReadyAt(ctx, i))
}

func awaitEnd(t *testing.T, ctx context.Context, what string, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Fatalf("%s did not end", what)
	}
}

// crashOnce has a bundle expire, ends the one node at a step of its erasure, and
// lets it finish. It answers what the bundle had on disk.
func (s *site) crashOnce(ctx context.Context, number string, step crashStep, daemon bool) []testcluster.Chunk {
	s.t.Helper()
	before := len(s.chunks(0))
	_, err := put(ctx, s.client(ctx, 0, "app"), number, "PT1S", contentOf(number))
	must(s.t, err)
	gone := s.chunks(0)[before:]
	if len(gone) == 0 {
		s.t.Fatal("no chunk on disk")
	}
	// Key blocks of an earlier start are destroyed by the same steps: where it ended in
	// one of those, it is started once more.
	for tries := 0; ; tries++ {
		s.tellCrash(0, step.name, daemon)
		ended := s.CustodianEnded(0)
		if daemon {
			ended = s.Ended(0)
		}
		awaitEnd(s.t, ctx, step.name, ended)
		key, payload := s.left(0, gone)
		if key == step.key && payload == step.payload {
			break
		}
		if tries == 3 {
			s.t.Fatalf("ended %s: key %v, payload %v", step.name, key, payload)
		}
		s.restartCrashed(ctx, 0)
	}
	s.restartCrashed(ctx, 0)
	auditor := s.client(ctx, 0, "auditor")
	await(s.t, ctx, number+" is erased after an end "+step.name, func(ctx context.Context) (bool, string, error) {
		b, err := auditor.Show(ctx, &sagov1.ShowRequest{Transaction: number, Part: 1})
		if unavailable(err) {
			return false, err.Error(), nil
		}
		return b.GetState() == "erased", b.String(), err
	})
	if key, payload := s.left(0, gone); key || payload {
		s.t.Errorf("erased after an end %s: key %v, payload %v", step.name, key, payload)
	}
	return gone
}

// left says whether node i's files hold the sealed key, and the ciphertext, of chunks.
func (s *site) left(i int, chunks []testcluster.Chunk) (key, payload bool) {
	s.t.Helper()
	must(s.t, filepath.WalkDir(s.DataDir(i), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, c := range chunks {
			key = key || bytes.Contains(raw, c.SealedKey)
			payload = payload || bytes.Contains(raw, c.Ciphertext)
		}
		return err
	}))
	return key, payload
}

// nothingLeft searches the nodes' files, as an inspector does, for a bundle that
// ended and for its neighbour.
func (s *site) nothingLeft(ctx context.Context, number string) {
	s.t.Helper()
	s.command(ctx, 0, number, nil)
	if r := s.command(ctx, 3, "STAYS", nil); r.Bundles[0].Recovery != forensic.Whole {
		s.t.Errorf("the neighbour: %+v", r.Bundles[0])
	}
}
