package system_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/audit/forensic"
	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// TestP34_P36_P39_ForensicsRecoverNothing: after an expiry, one node killed in the middle of
// the erasure, neither the nodes' files with their root keys nor what was copied of
// segments, history, logs and indexes before give anything back of the bundle; its
// neighbour is recovered. A copy that had the key blocks as well does, and the
// report says which file opened it: threat-model.md names that limit.
func TestP34_P36_P39_ForensicsRecoverNothing(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 90*time.Second)
	s := startSite(t, ctx, testcluster.Options{})
	const killed = 2
	neighbour, _ := s.putLarge(ctx, "STAYS", "P5Y")
	_, guesses := s.putLarge(ctx, "GOES", "PT8S")
	old, keys := s.copied()
	if s.find(ctx, "GOES", nil).Verdict != forensic.Recovered {
		t.Fatal("the bundle is not found before it expires: the copies prove nothing")
	}
	auditor := s.client(ctx, 0, "auditor")
	await(t, ctx, "GOES is over", func(ctx context.Context) (bool, string, error) {
		b, err := auditor.Show(ctx, &sagov1.ShowRequest{Transaction: "GOES", Part: 1})
		return err == nil && (b.GetState() == "expired" || b.GetState() == "erased"), b.String(), nil
	})
	must(t, s.Kill(killed))
	must(t, s.Start(killed))
	s.awaitState(ctx, 0, "erased", map[string]bool{s.Name(0): true, s.Name(1): true, s.Name(killed): true})
	s.stopAll(ctx)

	r := s.find(ctx, "GOES", nil)
	recovers(t, r, forensic.Nothing)
	if b := r.Bundles[0]; b.Payload.Whole != 0 || b.Payload.Zeros != s.Size()*int(b.Chunks) || len(b.Keys) != s.Size() {
		t.Errorf("keys and ciphertext on the nodes: %+v", b)
	}
	r = s.find(ctx, "GOES", old)
	recovers(t, r, forensic.Nothing)
	if b := r.Bundles[0]; b.Payload.Whole == 0 || b.Chunks != 3 {
		t.Errorf("the copies hold no ciphertext, so that nothing was tried: %+v", b)
	}
	for _, way := range []string{forensic.WayRecords, forensic.WayOperations, forensic.WayRows, forensic.WayHeaders} {
		if r.Way(way).Found == 0 {
			t.Errorf("%s found nothing in real files: %+v", way, r.Ways)
		}
	}
	s.areNowhere(guesses)
	s.command(ctx, 0, "GOES", old)

	r = s.find(ctx, "STAYS", old)
	recovers(t, r, forensic.Recovered)
	if b := r.Bundles[0]; b.Recovery != forensic.Whole || b.Fingerprint != neighbour {
		t.Errorf("the neighbour: %+v", b)
	}
	r = s.find(ctx, "GOES", slices.Concat(old, keys))
	recovers(t, r, forensic.Recovered)
	for _, k := range r.Bundles[0].Keys {
		if (k.Root != "") != strings.HasPrefix(k.File, filepath.Dir(filepath.Dir(keys[0]))) {
			t.Errorf("a key block opened that should not, or the other way: %+v", k)
		}
	}
	s.command(ctx, 3, "GOES", slices.Concat(old, keys))
}

// putLarge stores a bundle of three documents and three chunks at every node. It
// answers its fingerprint in hex, and what a guess of its content would be compared
// with: documents, their digests, the fingerprint.
func (s *site) putLarge(ctx context.Context, number, retain string) (fingerprint string, guesses [][]byte) {
	s.t.Helper()
	var contents []client.Content
	for i, size := range []int{1 << 20, 100, 1<<20 + 1} {
		b := make([]byte, size)
		_, _ = rand.NewChaCha8(sha256.Sum256([]byte(number + string(rune('a'+i))))).Read(b) // never fails
		contents = append(contents, client.BytesContent("홍길동.bin", "application/octet-stream", b))
		digest := sha256.Sum256(b)
		guesses = append(guesses, b[:64], digest[:], []byte(hex.EncodeToString(digest[:])))
	}
	receipt, err := s.client(ctx, 0, "app").Put(ctx, bundle(number, retain), contents...)
	must(s.t, err)
	await(s.t, ctx, number+" is at every node", func(context.Context) (bool, string, error) {
		for i := range s.Size() {
			if len(s.chunks(i)) < len(s.chunks(0)) || len(s.chunks(0)) < 3 {
				return false, s.Name(i), nil
			}
		}
		return true, "", nil
	})
	fingerprint = strings.TrimPrefix(receipt.GetFingerprint(), "sha256:")
	raw, err := hex.DecodeString(fingerprint)
	must(s.t, err)
	return fingerprint, append(guesses, raw, []byte(fingerprint))
}

// copyLive copies the files of a running node as they are at that moment.
func copyLive(t *testing.T, from, to string) {
	t.Helper()
	must(t, filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // replaced meanwhile
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		return errors.Join(err, os.MkdirAll(filepath.Dir(target), 0o700), os.WriteFile(target, b, 0o600))
	}))
}

// copied copies the data directories of all nodes as they are now. It answers what
// there is but key blocks (payload, history, raft logs, snapshots, indexes), and the
// key blocks.
func (s *site) copied() (old, keys []string) {
	s.t.Helper()
	copies := s.t.TempDir()
	for i := range s.Size() {
		dir := filepath.Join(copies, s.Name(i))
		copyLive(s.t, s.DataDir(i), dir)
		parts, err := os.ReadDir(dir)
		must(s.t, err)
		for _, part := range parts {
			path := filepath.Join(dir, part.Name())
			switch part.Name() {
			case "keys":
				keys = append(keys, path)
			case "reserve": // empty space
			default:
				old = append(old, path)
			}
		}
	}
	for _, part := range []string{"segments", "history", "raft.db", "index.db"} {
		if !slices.Contains(old, filepath.Join(copies, s.Name(0), part)) {
			s.t.Fatalf("the copies have no %s: %v", part, old)
		}
	}
	return old, keys
}

// find searches the data directories of all nodes, and more, with every root key.
func (s *site) find(ctx context.Context, number string, more []string) forensic.Report {
	s.t.Helper()
	in := forensic.Input{Transaction: number, Part: 1, Slide: 64 << 20, Paths: slices.Clone(more)}
	for i := range s.Size() {
		root, err := forensic.ReadRoot(filepath.Join(s.NodeDir(i), "keys"))
		must(s.t, err)
		in.Roots, in.Paths = append(in.Roots, root), append(in.Paths, s.DataDir(i))
	}
	r, err := forensic.Search(ctx, in)
	must(s.t, err)
	return r
}

// recovers insists on a verdict about one stored bundle that every node's files name.
func recovers(t *testing.T, r forensic.Report, verdict forensic.Verdict) {
	t.Helper()
	if r.Verdict != verdict || len(r.Bundles) != 1 || !r.Bundles[0].Recorded {
		var text bytes.Buffer
		must(t, r.WriteText(&text))
		t.Fatalf("want %s:\n%s", verdict, &text)
	}
}

// areNowhere insists that no file of the nodes has one of these, so that a guess of
// the content can be compared with nothing.
func (s *site) areNowhere(guesses [][]byte) {
	s.t.Helper()
	must(s.t, filepath.WalkDir(s.Dir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for i, g := range guesses {
			if bytes.Contains(b, g) {
				s.t.Errorf("%s confirms guess %d of what was erased", path, i)
			}
		}
		return err
	}))
}

// command runs the program as an inspector does, and answers its report.
func (s *site) command(ctx context.Context, exit int, number string, more []string) forensic.Report {
	s.t.Helper()
	args := []string{"forensic", "--transaction", number, "--slide", "64", "--output", "json"}
	paths := slices.Clone(more)
	for i := range s.Size() {
		args = append(args, "--roots", filepath.Join(s.NodeDir(i), "keys", "root.key"))
		paths = append(paths, s.DataDir(i))
	}
	c := exec.CommandContext(ctx, filepath.Join(bin, "sagod"), append(args, paths...)...)
	out, err := c.Output()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		s.t.Fatal(err)
	}
	var r forensic.Report
	if err := json.Unmarshal(out, &r); err != nil || c.ProcessState.ExitCode() != exit || r.Transaction != number {
		s.t.Fatalf("sagod forensic: exit %d, want %d; %v: %s", c.ProcessState.ExitCode(), exit, err, out)
	}
	return r
}
