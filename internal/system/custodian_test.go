package system_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

// custodianUser owns the vaults of these tests.
const custodianUser = 64124

// TestRoot_P21_CustodiansApart runs three nodes of production with custodians that
// are processes of their own: puts, a sealed key block, expiry and erasure go their
// way, across a custodian that is killed, as does a new root key, and every byte of
// the three rooms is the custodian's.
func TestRoot_P21_CustodiansApart(t *testing.T) {
	ctx := bounded(t, 60*time.Second)
	s := apartSite(t, ctx)
	for i := range s.Size() {
		n, err := s.memberAt(ctx, i, i)
		must(t, err)
		if !strings.Contains(n.GetProtection(), "immutable flag active; custodian is a process of its own") {
			t.Fatalf("%s: %s", s.Name(i), n.GetProtection())
		}
		confined(t, s, i)
	}
	app := s.client(ctx, 0, "app")
	for number, rule := range map[string]string{"STAYS": "P5Y", "GOES": "PT6S"} {
		_, err := put(ctx, app, number, rule, contentOf(number))
		must(t, err)
	}
	must(t, s.KillCustodian(1)) // its node goes on, and finds it again
	must(t, s.StartCustodian(1))
	s.awaitState(ctx, 0, "erased", map[string]bool{s.Name(0): true, s.Name(1): true, s.Name(2): true})
	s.rekeyApart(ctx, 0)
	s.everywhere(ctx, []string{"STAYS"})
	s.intact(ctx)
	for i := range s.Size() {
		s.ownedByCustodian(i)
	}
	s.strikeRooms(ctx)
}

// rekeyApart changes node i's root key, whose key blocks only its custodian can write.
func (s *site) rekeyApart(ctx context.Context, i int) {
	s.t.Helper()
	first := s.rootKey(i)
	before, _ := oldCopyOpens(s.t, s.DataDir(i), first)
	s.rekey(ctx, i, "public id")
	with, _ := oldCopyOpens(s.t, s.DataDir(i), s.rootKey(i))
	without, refused := oldCopyOpens(s.t, s.DataDir(i), first)
	if before == 0 || with == 0 || without > 0 || refused != with {
		s.t.Errorf("%s: %d slots opened; of %d that open now the old root key opens %d and not %d", s.Name(i), before, with, without, refused)
	}
	if found := s.rootTraces(i, first); len(found) > 0 {
		s.t.Errorf("the old root key of %s is in %v", s.Name(i), found)
	}
}

// TestRoot_RejoinsWithACustodianApart damages the history of one node: its data
// directory is put aside and, once the new incarnation votes, destroyed, by its
// custodian, which finds in the new history that the old incarnation is gone.
func TestRoot_RejoinsWithACustodianApart(t *testing.T) {
	ctx := bounded(t, 60*time.Second)
	s := apartSite(t, ctx)
	app := s.client(ctx, 0, "app")
	_, err := put(ctx, app, "STAYS", "P5Y", contentOf("STAYS"))
	must(t, err)
	const hurt = 2
	must(t, s.Stop(ctx, hurt))
	must(t, s.Flip(filepath.Join(s.DataDir(hurt), "history", "00000001.his"), 400))
	must(t, s.Start(hurt))
	await(t, ctx, "what was put aside is destroyed", func(context.Context) (bool, string, error) {
		left, err := filepath.Glob(s.DataDir(hurt) + ".gone-*")
		return len(left) == 0 && strings.Contains(s.CustodianLog(hurt), "destroyed a data directory that was put aside"), strings.Join(left, " "), err
	})
	must(t, s.Ready(ctx))
	s.everywhere(ctx, []string{"STAYS"})
	s.intact(ctx)
	s.ownedByCustodian(hurt)
}

// apartSite is a ready cluster of production whose custodians are apart.
func apartSite(t *testing.T, ctx context.Context) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("processes of several users need root")
	}
	for _, dir := range []string{bin, filepath.Dir(t.TempDir())} {
		must(t, os.Chmod(dir, 0o711))
	}
	s := newSite(t, testcluster.Options{User: daemonUser, Custodian: custodianUser, Production: true})
	t.Cleanup(func() {
		if t.Failed() {
			for i := range s.Size() {
				t.Logf("custodian of %s:\n%s", s.Name(i), s.CustodianLog(i))
			}
		}
	})
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	return s
}

// confined wants the custodian of node i to hold one capability and to be under a
// filter of system calls.
func confined(t *testing.T, s *site, i int) {
	t.Helper()
	pid, _ := s.CustodianPid(i)
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	must(t, err)
	for _, want := range []string{"CapEff:\t0000000000000200", "CapPrm:\t0000000000000200", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("custodian of %s: no %q in its status", s.Name(i), want)
		}
	}
}

// ownedByCustodian looks at every name in the three rooms of node i.
func (s *site) ownedByCustodian(i int) {
	s.t.Helper()
	for _, room := range []string{"segments", "history", "keys"} {
		list, err := filepath.Glob(filepath.Join(s.DataDir(i), room, "*"))
		must(s.t, err)
		if len(list) == 0 {
			s.t.Errorf("%s: nothing in %s", s.Name(i), room)
		}
		for _, path := range append(list, filepath.Join(s.DataDir(i), room)) {
			st, err := os.Stat(path)
			must(s.t, err)
			if st.Sys().(*syscall.Stat_t).Uid != custodianUser || st.Mode().Perm()&0o022 != 0 {
				s.t.Errorf("%s: user %d, mode %v", path, st.Sys().(*syscall.Stat_t).Uid, st.Mode())
			}
		}
	}
}

// strikeRooms tries every attack on every file of the history and the payload, as the
// daemon's user.
func (s *site) strikeRooms(_ context.Context) {
	s.t.Helper()
	total := 0
	for i := range s.Size() {
		for _, pattern := range []string{"history/*.his", "segments/*.seg", "keys/*.kb"} {
			files, err := filepath.Glob(filepath.Join(s.DataDir(i), pattern))
			must(s.t, err)
			for _, f := range files {
				open, tries := strike(daemonUser, f)
				total += tries
				for _, o := range open {
					s.t.Error(o)
				}
			}
		}
	}
	if total == 0 {
		s.t.Error("nothing was attacked")
	}
}
