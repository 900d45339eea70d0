package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

func TestBackupAddsOnlyWhatIsNew(t *testing.T) {
	l := newBackupLog(t, 12)
	dir := filepath.Join(t.TempDir(), "b")
	cl := l.client(client.NewFileMemory(t.TempDir(), testCluster))
	first, err := l.run(cl, dir)
	if err != nil {
		t.Fatal(err)
	}
	l.holds(dir, 12)
	manifest, err := os.ReadFile(filepath.Join(dir, "manifest"))
	if err != nil || first.Digest != sha256.Sum256(manifest) || !bytes.Equal(l.done[0].GetDigest(), first.Digest[:]) || first.Bundles != 12 {
		t.Errorf("%+v: %v", first, err)
	}
	l.store()
	l.expire(0) // of the first run
	l.expire(l.store())
	second, err := l.run(cl, dir)
	if err != nil {
		t.Fatal(err)
	}
	if second.First != first.End || second.Bundles != 1 {
		t.Errorf("%+v behind %+v", second, first)
	}
	l.holds(dir, 12)
	for seq := range l.bundles {
		if !l.ended[seq] && seq < first.Payload {
			l.expire(seq)
		}
	}
	if _, err := l.run(cl, dir); err != nil {
		t.Fatal(err)
	}
	l.holds(dir, 1)
	files, _ := filepath.Glob(filepath.Join(dir, "payload", "*"))
	if info, err := os.Stat(files[0]); err != nil || info.Size() != format.FileHeaderSize {
		t.Errorf("a file of which everything has ended is %d bytes: %v", info.Size(), err)
	}
}

// TestAnotherProcessRemembersMeanwhile: what one process of a person proves is held
// against what it asked with, not against what another one has remembered since.
func TestAnotherProcessRemembersMeanwhile(t *testing.T) {
	l, m := newBackupLog(t, 4), newMemory(t)
	cl := l.client(m)
	l.taken = []uint64{l.next()}
	if _, err := cl.Checkpoint(t.Context(), client.CheckpointQuery{}); err != nil {
		t.Fatal(err)
	}
	before := loaded(t, m)
	l.store()
	newer := l.note(l.next())
	l.spoil = func(_ *sagov1.BackupResponse, i int) {
		if i > 0 {
			return
		}
		if done, err := m.Swap(before, newer); err != nil || !done {
			t.Error(done, err)
		}
	}
	if _, err := l.run(cl, filepath.Join(t.TempDir(), "b")); err != nil {
		t.Fatal(err)
	}
}

// TestP68_ABackupGoesOnWhereItWasCut cuts a run before each of its messages.
func TestP68_ABackupGoesOnWhereItWasCut(t *testing.T) {
	l := newBackupLog(t, 9)
	l.whole = 5
	cl := l.client(nil)
	dir := filepath.Join(t.TempDir(), "b")
	for l.cut = 1; ; l.cut++ {
		r, err := l.run(cl, dir)
		if err == nil {
			if l.cut < 5 || r.First != 0 {
				t.Errorf("after %d cuts: %+v", l.cut, r)
			}
			break
		}
		if errors.Is(err, client.ErrIntegrity) || l.cut > 60 {
			t.Fatalf("cut %d: %v", l.cut, err)
		}
	}
	l.holds(dir, 9)
}

// TestP34_ABundleThatIsHeldBackIsNoBackup: a node that leaves out a bundle which has
// not ended does not pass.
func TestP34_ABundleThatIsHeldBackIsNoBackup(t *testing.T) {
	l := newBackupLog(t, 4)
	l.ended[2] = true // though no record says so
	dir := filepath.Join(t.TempDir(), "b")
	cl := l.client(nil)
	r, err := l.run(cl, dir)
	if !errors.Is(err, client.ErrIntegrity) || !strings.Contains(err.Error(), "record 2") || !slices.Equal(r.NewMissing, []uint64{2}) {
		t.Fatal(r, err)
	}
	// Once told, it stays on the list.
	if r, err = l.run(cl, dir); err != nil || !slices.Equal(r.Missing, []uint64{2}) || r.NewMissing != nil {
		t.Fatal(r, err)
	}
	if v, err := l.verify(dir); err != nil || !slices.Equal(v.Missing, []uint64{2}) || v.Bundles != 3 {
		t.Fatal(v, err)
	}
	l.expire(2)
	if r, err = l.run(cl, dir); err != nil || len(r.Missing) > 0 {
		t.Fatal(r, err)
	}
}

// TestABundleThatBreaksOffIsTakenBack: others come all the same.
func TestABundleThatBreaksOffIsTakenBack(t *testing.T) {
	l := newBackupLog(t, 9)
	l.spoil = func(m *sagov1.BackupResponse, _ int) {
		if c := m.GetChunk(); c != nil && c.GetStore() == 8 {
			h, err := format.DecodeChunkHeader(c.GetHeader())
			if c.Absent = err == nil && h.Chunk == 2; c.Absent {
				c.Header, c.Sealed = nil, nil
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "b")
	if r, err := l.run(l.client(nil), dir); err == nil || !slices.Equal(r.NewMissing, []uint64{8}) {
		t.Fatal(r, err)
	}
	l.holds(dir, 8)
}

// TestP47_ABackupIsReadAgainWhole bends every file of a backup at many places: its
// verification names the first damage.
func TestP47_ABackupIsReadAgainWhole(t *testing.T) {
	l := newBackupLog(t, 6)
	l.whole = 3
	dir := filepath.Join(t.TempDir(), "b")
	if _, err := l.run(l.client(nil), dir); err != nil {
		t.Fatal(err)
	}
	var files []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		whole, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		change := func(what string, b []byte) {
			if err := os.WriteFile(f, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := l.verify(dir); !errors.Is(err, client.ErrIntegrity) && !errors.Is(err, client.ErrBackupDirectory) {
				t.Errorf("%s, %s: %v", f, what, err)
			}
		}
		for at := 0; at < len(whole); at += max(1, len(whole)/40) {
			bent := slices.Clone(whole)
			bent[at] ^= 4
			change(fmt.Sprint("a bit at ", at), bent)
		}
		change("cut", whole[:len(whole)-1])
		change("longer", append(slices.Clone(whole), 0))
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
		if _, err := l.verify(dir); err == nil {
			t.Errorf("%s: gone, and nobody missed it", f)
		}
		if err := os.WriteFile(f, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.holds(dir, 6)
	if _, err := client.VerifyBackup(context.Background(), dir, l.noteKeys()[2:], format.Origin(testCluster), nil); err == nil {
		t.Error("verified by keys that did not sign")
	}
}

func TestABackupGoesIntoItsOwnDirectory(t *testing.T) {
	l := newBackupLog(t, 1)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photos"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.run(l.client(nil), dir); !errors.Is(err, client.ErrBackupDirectory) {
		t.Error(err)
	}
}
