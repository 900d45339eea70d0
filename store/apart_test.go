package store

import (
	"context"
	"flag"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/custodian/gate"
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
		"^Test(P35_|P38_ADestruction|I1_N|I1_A|P34_|P30_|P22_|ACopiedNode|HistoryIsErased|ErasingCutShort|ASecondPrune|ActsMembers|.*Epoch|.*Special)")
	if out, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
