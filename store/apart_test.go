package store

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/custodian/gate"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// apart runs every test of this package with custodians that are asked over a
// socket and judge for themselves: `go test ./store -apart`.
var apart = flag.Bool("apart", false, "ask a custodian over a socket, which judges for itself")

// keeper is a custodian of the node's directory that is apart, if the test is to
// have one; the one before has ended.
func (n *node) keeper() Custodian {
	if !*apart && !n.w.apart {
		return nil
	}
	n.w.Helper()
	if n.stop != nil {
		n.stop()
	}
	dir, err := os.MkdirTemp("", "keeper")
	n.w.must(err)
	path := filepath.Join(dir, "s")
	ctx, cancel := context.WithCancel(context.Background())
	s, err := custodian.NewServer(ctx, n.dir, custodian.ServerOptions{Peer: uint32(os.Geteuid()), Gate: gate.New(n.dir, n.w.digest), Log: slog.New(slog.DiscardHandler)})
	n.w.must(err)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	n.w.must(err)
	n.server = s
	var done sync.WaitGroup
	done.Go(func() { n.w.must(s.Serve(ctx, l)) })
	n.stop = func() {
		cancel()
		done.Wait()
		_ = os.RemoveAll(dir)
	}
	r, err := custodian.NewRemote(ctx, n.dir, path)
	n.w.must(err)
	return r
}

// fault has every step of a destruction ask hook, wherever it is done.
func (n *node) fault(hook func(step string, done bool) error) {
	if n.server != nil {
		n.server.SetFault(hook)
		return
	}
	n.custodian.(*custodian.Local).SetFault(hook)
}

// TestP21_DestructionsWithACustodianApart runs the tests of erasure again with
// custodians that judge for themselves.
func TestP21_DestructionsWithACustodianApart(t *testing.T) {
	if *apart || testing.Short() {
		t.Skip("in short runs, and within itself, it says nothing new")
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-apart", "-test.run",
		"^Test(P35_|P38_A|I1_N|I1_A|P34_|P30_|P22_|ACopiedNode|HistoryIsErased|ErasingCutShort|TheRecordOfAWiderHold|ASecondPrune|ActsMembers|R26_|P26_|P36_|.*Epoch|.*Special)")
	if out, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestP21_ACustodianApartDropsTheSameHistory holds its list of the actions that history
// retention drops against this package's.
func TestP21_ACustodianApartDropsTheSameHistory(t *testing.T) {
	known := 0
	for a := range format.Action(1 << 12) {
		e := effectOf(a)
		drops := e == retention.EffectBundle || e == retention.EffectMoment
		if drops != gate.Dropped(a) {
			t.Errorf("%s: dropped %v here, %v by a custodian apart", a, drops, !drops)
		}
		if e != retention.EffectUnknown {
			known++
		}
	}
	if known < 40 {
		t.Errorf("%d actions have an effect", known)
	}
}

// TestP38_ARottenHeaderKeepsNoKeyAndNoOtherWaiting breaks the header of one of five
// bundles that are due: its ciphertext stays and says so, everything else goes.
func TestP38_ARottenHeaderKeepsNoKeyAndNoOtherWaiting(t *testing.T) {
	if !*apart {
		return // only a custodian apart looks at headers: TestP21_DestructionsWithACustodianApart runs it with one
	}
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	others := []string{"T2", "T3", "T4", "T5"}
	w.put("T2", "PT1H")
	w.put("T0", "PT1H")
	for _, name := range others[1:] {
		w.put(name, "PT1H")
	}
	rotten := n.secret("T0")
	var gone []string
	for _, name := range others {
		gone = append(gone, string(n.secret(name)[1]))
	}
	w.began()
	w.tick(2 * hour)
	w.sweep(10)
	w.checkpoint()
	held, err := n.held(slotKey(n.row("T0").Slot))
	w.must(err)
	w.must(custodian.ClearTree(n.dir))
	f, err := os.OpenFile(filepath.Join(n.dir, n.segments.Name(held[0].File)), os.O_RDWR, 0)
	w.must(err)
	_, err = f.WriteAt([]byte{0xff}, held[0].Offset+33) // of the zeros there
	w.must(errors.Join(err, f.Close()))
	bundles, blocks := n.pending(1)
	for range 2 { // asked again, it says the same
		err := n.Destroy(context.Background(), bundles, blocks)
		var refused *RefusedError
		if !errors.As(err, &refused) || !errors.Is(err, custodian.ErrRange) || !slices.Equal(refused.Slots, []format.Slot{n.row("T0").Slot}) {
			t.Fatal(err)
		}
	}
	left, err := n.held(nil)
	w.must(err)
	if len(left) != 1 || left[0].Slot != n.row("T0").Slot {
		t.Fatalf("ranges that are left: %v", left)
	}
	for _, b := range bundles {
		if _, err := n.keys.Key(b.Slot); !errors.Is(err, keyring.ErrErased) {
			t.Errorf("key of %d: %v", b.Store, err)
		}
	}
	if len(bundles) != 1+len(others) || len(n.filesWith(string(rotten[1]))) == 0 {
		t.Errorf("of %d bundles: %v", len(bundles), n.filesWith(string(rotten[1])))
	}
	for i, secret := range gone {
		if files := n.filesWith(secret); len(files) != 0 {
			t.Errorf("%s: %v", others[i], files)
		}
	}
}
