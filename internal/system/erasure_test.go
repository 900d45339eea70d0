package system_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// TestP41_ReturnsAfterExpiry: a node that was away while a bundle expired never
// serves it again, and destroys what it holds of it. Its neighbour stays.
func TestP41_ReturnsAfterExpiry(t *testing.T) {
	ctx := bounded(t, 90*time.Second)
	s := startSite(t, ctx, testcluster.Options{})
	const away = 2
	app := s.client(ctx, away, "app") // its receipt means that the node itself holds it
	_, err := put(ctx, app, "STAYS", "P5Y", contentOf("STAYS"))
	must(t, err)
	before := len(s.chunks(away))
	_, err = put(ctx, app, "GOES", "PT8S", contentOf("GOES"))
	must(t, err)
	gone := s.chunks(away)[before:]
	if len(gone) == 0 {
		t.Fatalf("%s holds nothing of what it acknowledged", s.Name(away))
	}
	must(t, s.Kill(away))
	s.awaitState(ctx, 0, "erased", map[string]bool{s.Name(away): false})
	if found := s.traces(away, gone); found == "" {
		t.Errorf("%s destroyed something while it was away", s.Name(away))
	}
	must(t, s.Start(away))
	officer := s.client(ctx, away, "officer")
	await(t, ctx, "the returned node knows", func(ctx context.Context) (bool, string, error) {
		_, data, err := read(ctx, officer, "GOES")
		if err == nil {
			return false, "", fmt.Errorf("it served %d bytes", len(data))
		}
		return !unavailable(err), err.Error(), nil
	})
	s.sago(ctx, 5, away, "officer", "bundle", "get", "--transaction", "GOES", "--purpose", "시험", "-o", os.DevNull)
	s.awaitState(ctx, away, "erased", map[string]bool{s.Name(away): true})
	for i := range s.Size() {
		await(t, ctx, "nothing is left at "+s.Name(i), func(context.Context) (bool, string, error) {
			found := s.traces(i, gone)
			return found == "", found, nil
		})
	}
	s.healthy(ctx)
	s.everywhere(ctx, []string{"STAYS"})
	s.intact(ctx)
}

func (s *site) chunks(i int) []testcluster.Chunk {
	s.t.Helper()
	all, err := s.Chunks(i)
	must(s.t, err)
	return all
}

// awaitState waits until node i shows the bundle GOES in this state, and these
// nodes as having attested its erasure, or not.
func (s *site) awaitState(ctx context.Context, i int, state string, attested map[string]bool) {
	s.t.Helper()
	auditor := s.client(ctx, i, "auditor")
	await(s.t, ctx, "GOES is "+state, func(ctx context.Context) (bool, string, error) {
		b, err := auditor.Show(ctx, &sagov1.ShowRequest{Transaction: "GOES", Part: 1})
		if err != nil {
			return false, err.Error(), nil
		}
		for _, r := range b.GetReplicas() {
			if want, ok := attested[r.GetNode()]; ok && want != (r.GetState() == "erased") {
				return false, b.String(), nil
			}
		}
		return b.GetState() == state, b.String(), nil
	})
}

// traces says where ciphertext or sealed key of these chunks is in node i's files.
func (s *site) traces(i int, chunks []testcluster.Chunk) (found string) {
	s.t.Helper()
	must(s.t, filepath.WalkDir(s.NodeDir(i), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, c := range chunks {
			if bytes.Contains(raw, c.Ciphertext) || bytes.Contains(raw, c.SealedKey) {
				found += path + " "
			}
		}
		return err
	}))
	return found
}
