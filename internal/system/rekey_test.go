package system_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// rekey changes node i's root key by the command, which must succeed.
func (s *site) rekey(ctx context.Context, i int, says string) {
	s.t.Helper()
	out, err := s.Sagod(ctx, "rekey", "--config", s.Config(i))
	must(s.t, err)
	if out.Exit != 0 || !strings.Contains(out.Stdout, "key slots sealed again") || !strings.Contains(out.Stdout, says) {
		s.t.Fatalf("rekey of %s: exit %d: %s%s", s.Name(i), out.Exit, out.Stdout, out.Stderr)
	}
}

// rootTraces lists node i's files that hold a root key, as bytes or in hex.
func (s *site) rootTraces(i int, key keyring.RootKey) (found []string) {
	s.t.Helper()
	must(s.t, filepath.WalkDir(s.NodeDir(i), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // files come and go
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(raw, key[:]) || bytes.Contains(raw, []byte(hex.EncodeToString(key[:]))) {
			found = append(found, path)
		}
		return err
	}))
	return found
}

// oldCopyOpens counts the slots of a copied key room that a root key opens.
func oldCopyOpens(t *testing.T, dir string, root keyring.RootKey) (opened, refused int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "keys", "*.kb"))
	must(t, err)
	raw, err := os.ReadFile(files[0])
	must(t, err)
	h, err := format.DecodeFileHeader(format.KindKeyBlock, raw)
	must(t, err)
	ring, err := keyring.Open(dir, root, h.Cluster, nil)
	must(t, err)
	must(t, ring.Verify(t.Context(), func(_ format.Slot, err error) error {
		switch {
		case err == nil:
			opened++
		case keyring.IsForeign(err):
			refused++
		}
		return nil
	}))
	must(t, ring.Close())
	return opened, refused
}

// TestP36_RekeyUnderLoad changes the root key of every node of a cluster of
// production while clients put and read. Everything stays readable, old copies of
// the key blocks open with nothing that is left, and each change is on record once.
func TestP36_RekeyUnderLoad(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 90*time.Second)
	s := startSite(t, ctx, testcluster.Options{Production: true})
	l := startLoad(ctx, s)
	l.flows(ctx, 0, 1, 2)
	for i := range s.Size() {
		first, old := s.rootKey(i), t.TempDir()
		must(t, os.CopyFS(filepath.Join(old, "keys"), os.DirFS(filepath.Join(s.DataDir(i), "keys"))))
		if opened, _ := oldCopyOpens(t, old, first); opened == 0 {
			t.Fatal("the copy of the key blocks opens with nothing: the test shows nothing")
		}
		begun := time.Now()
		s.rekey(ctx, i, "public id")
		t.Logf("%s: %v", s.Name(i), time.Since(begun))
		if opened, refused := oldCopyOpens(t, old, s.rootKey(i)); opened > 0 || refused == 0 {
			t.Errorf("%s: the new root key opens %d slots of the old copy, refuses %d", s.Name(i), opened, refused)
		}
		if found := s.rootTraces(i, first); len(found) > 0 {
			t.Errorf("the old root key of %s is in %v", s.Name(i), found)
		}
		l.flows(ctx, 0, 1, 2)
	}
	l.end()
	s.stopAll(ctx)
	s.rekey(ctx, 0, "next start records it") // the same by hand, on a node that is down
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	l.readable(ctx, s)
	s.intact(ctx)
	s.settled(ctx, 0)
}

// settled waits until node i has its rotation on record.
func (s *site) settled(ctx context.Context, i int) {
	s.t.Helper()
	await(s.t, ctx, "the rotation of "+s.Name(i)+" is finished", func(context.Context) (bool, string, error) {
		_, err := os.Stat(filepath.Join(s.NodeDir(i), "keys", "root.key.old"))
		return errors.Is(err, fs.ErrNotExist), "root.key.old is there", nil
	})
}

// TestP38_RekeyKilled kills a node while it changes its root key, at random
// moments: every start goes on by itself, and nothing is lost.
func TestP38_RekeyKilled(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 2*time.Minute)
	s := startSite(t, ctx, testcluster.Options{Nodes: 1})
	app, officer := s.client(ctx, 0, "app"), s.client(ctx, 0, "officer")
	first := s.rootKey(0)
	cut := 0
	n := rounds(6)
	for k := range n {
		number := "R-" + string(rune('A'+k))
		_, err := put(ctx, app, number, "P5Y", contentOf(number))
		must(t, err)
		asked := make(chan testcluster.Output, 1)
		go func() {
			out, err := s.Sagod(ctx, "rekey", "--config", s.Config(0))
			if err != nil {
				t.Error(err)
			}
			asked <- out
		}()
		wait := time.NewTimer(time.Duration(rand.IntN(90)) * time.Millisecond)
		<-wait.C
		must(t, s.Kill(0))
		if out := <-asked; out.Exit != 0 {
			cut++
		}
		must(t, s.Start(0))
		must(t, s.ReadyAt(ctx, 0))
		s.settled(ctx, 0)
		for _, number := range []string{"R-A", number} {
			s.readAgain(ctx, officer, 0, number)
		}
	}
	t.Logf("%d of %d rotations were cut", cut, n)
	s.rekey(ctx, 0, "public id")
	if found := s.rootTraces(0, first); len(found) > 0 {
		t.Errorf("the first root key is in %v", found)
	}
	if left, err := filepath.Glob(filepath.Join(s.DataDir(0), "keys", "*.rekey")); err != nil || len(left) > 0 {
		t.Errorf("%v is left: %v", left, err)
	}
	s.intact(ctx)
}
