package backup_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
)

var cluster = format.ID{1, 2, 3}

func key(n byte) *ecdsa.PrivateKey {
	scalar := make([]byte, 32)
	scalar[31] = n
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		panic(err)
	}
	return k
}

func trust(t testing.TB) backup.Trust {
	out := backup.Trust{Cluster: cluster}
	for n := byte(1); n <= 3; n++ {
		der, err := x509.MarshalPKIXPublicKey(key(n).Public())
		if err != nil {
			t.Fatal(err)
		}
		out.Nodes = append(out.Nodes, format.CeremonyNode{Number: uint32(n), Name: fmt.Sprint("n", n), PublicKey: der})
	}
	return out
}

// past is a history: one record after another, different from a place on.
type past struct {
	t       testing.TB
	records [][]byte
}

func newPast(t testing.TB, n, fork int) *past {
	p := &past{t: t}
	for i := range n {
		actor := uint64(1)
		if i >= fork {
			actor = 2
		}
		rec := format.Record{Sequence: uint64(i), Action: format.ActShow, Actor: actor}
		p.records = append(p.records, rec.Encode())
	}
	return p
}

func (p *past) checkpoint(size int) (format.Checkpoint, string) {
	var f format.Frontier
	for _, r := range p.records[:size] {
		f.Add(format.LeafHash(r))
	}
	e := format.CheckpointEffect{Checkpoint: format.Checkpoint{Cluster: cluster, Size: uint64(size), Root: f.Root(), Entry: uint64(size), Clock: 1_800_000_000_000_000}}
	text := e.Checkpoint.Text()
	sum := sha256.Sum256([]byte(text))
	var rows []format.MemberRow
	for i, n := range trust(p.t).Nodes {
		rows = append(rows, format.MemberRow{Number: n.Number, Name: n.Name, PublicKey: n.PublicKey})
		if i < 2 {
			sig, err := key(byte(n.Number)).Sign(nil, sum[:], crypto.SHA256)
			if err != nil {
				p.t.Fatal(err)
			}
			e.Signatures = append(e.Signatures, format.NodeSignature{Node: n.Number, Signature: sig})
		}
	}
	return e.Checkpoint, e.Note(rows).String()
}

// backup writes the first size records into a backup.
func (p *past) backup(size int) string {
	p.t.Helper()
	dir := filepath.Join(p.t.TempDir(), "b")
	d, err := backup.Create(dir, cluster)
	var w *backup.HistoryWriter
	if err == nil {
		w, err = d.NewHistory()
	}
	for i := 0; i < size && err == nil; i++ {
		if err = w.Add(p.records[i]); i%100 == 99 && err == nil {
			if err = w.Publish(); err == nil {
				w, err = d.NewHistory()
			}
		}
	}
	if err == nil {
		err = w.Publish()
	}
	c, note := p.checkpoint(size)
	if err == nil {
		_, err = d.Finish(context.Background(), note, c)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return dir
}

// export writes the records from a tile on, as an export of the tree holds them.
func (p *past) export(from, size int) string {
	p.t.Helper()
	dir := p.t.TempDir()
	_, note := p.checkpoint(size)
	files := map[string]string{
		"checkpoint":  note,
		"export.json": fmt.Sprintf(`{"format": "sago-export-1", "scope": "tree", "first": %d, "end": %d, "checkpoint_size": %d, "complete": true}`, from, size, size),
	}
	for n := from / format.TileWidth; n*format.TileWidth < size; n++ {
		end := min(size, (n+1)*format.TileWidth)
		var b []byte
		for _, r := range p.records[n*format.TileWidth : end] {
			b = format.AppendEntry(b, r)
		}
		files[format.BundlePath("tile/entries", uint64(n), end-n*format.TileWidth)] = string(b)
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	return dir
}

func choose(t testing.TB, known []backup.Known, paths ...string) (*backup.Choice, error) {
	t.Helper()
	var sources []*backup.Source
	for _, p := range paths {
		s, err := backup.OpenSource(t.Context(), p, trust(t))
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, s)
	}
	return backup.Choose(t.Context(), sources, known)
}

func TestP68_TheLongestHistoryIsPutTogether(t *testing.T) {
	p := newPast(t, 900, 900)
	known := func(size int) backup.Known {
		c, _ := p.checkpoint(size)
		return backup.Known{Checkpoint: c, By: "somebody"}
	}
	old, middle, export := p.backup(120), p.backup(300), p.export(256, 800)
	for name, c := range map[string]struct {
		known []backup.Known
		paths []string
		size  uint64
	}{
		"one backup":        {nil, []string{old}, 120},
		"the newer backup":  {[]backup.Known{known(300)}, []string{old, middle}, 300},
		"and an export":     {[]backup.Known{known(60), known(790), known(800)}, []string{export, middle, old}, 800},
		"an export from 0":  {nil, []string{p.export(0, 700)}, 700},
		"of an export only": {nil, []string{p.export(0, 257), old}, 257},
	} {
		choice, err := choose(t, c.known, c.paths...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want, _ := p.checkpoint(int(c.size))
		n := uint64(7)
		err = choice.Range(t.Context(), n, func(seq uint64, encoded []byte) error {
			if seq != n || string(encoded) != string(p.records[n]) {
				t.Fatalf("%s: record %d", name, n)
			}
			n++
			return nil
		})
		if err != nil || choice.Checkpoint != want || n != c.size {
			t.Errorf("%s: %d records of %d: %v", name, n, choice.Checkpoint.Size, err)
		}
	}
}

func TestP68_WhatIsLostIsNamed(t *testing.T) {
	p := newPast(t, 900, 900)
	c, _ := p.checkpoint(850)
	for name, paths := range map[string][]string{"a newer checkpoint": {p.backup(120), p.export(0, 800)}, "a gap": {p.backup(120), p.export(512, 850)}} {
		choice, err := choose(t, []backup.Known{{Checkpoint: c, By: "a note on paper"}}, paths...)
		var lost *backup.LostError
		if !errors.As(err, &lost) || lost.From != choice.Checkpoint.Size || lost.To != 850 || !strings.Contains(err.Error(), fmt.Sprintf("records %d to 849", lost.From)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := choose(t, nil, p.export(512, 850)); !errors.Is(err, backup.ErrDirectory) {
		t.Errorf("a history without its first records: %v", err)
	}
}

func TestP54_TwoHistoriesAreRefused(t *testing.T) {
	p, q := newPast(t, 900, 900), newPast(t, 900, 100)
	c, _ := q.checkpoint(200)
	b, _ := p.checkpoint(900)
	for name, what := range map[string]struct {
		known []backup.Known
		paths []string
	}{
		"two backups":          {nil, []string{p.backup(300), q.backup(200)}},
		"two of a size":        {nil, []string{p.backup(300), q.backup(300)}},
		"a backup, an export":  {nil, []string{p.backup(300), q.export(256, 800)}},
		"a kept checkpoint":    {[]backup.Known{{Checkpoint: c}}, []string{p.backup(300)}},
		"one that is too long": {[]backup.Known{{Checkpoint: b}, {Checkpoint: c}}, []string{p.backup(300)}},
	} {
		if _, err := choose(t, what.known, what.paths...); !errors.Is(err, backup.ErrContradict) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSourcesAreVerified(t *testing.T) {
	p := newPast(t, 300, 300)
	other := trust(t)
	other.Nodes = other.Nodes[2:]
	for _, path := range []string{p.backup(200), p.export(0, 300)} {
		if _, err := backup.OpenSource(t.Context(), path, other); err == nil {
			t.Errorf("%s was believed by keys that did not sign", path)
		}
		other := trust(t)
		other.Cluster[0] ^= 1
		if _, err := backup.OpenSource(t.Context(), path, other); err == nil {
			t.Errorf("%s was believed for another cluster", path)
		}
	}
	if _, err := backup.OpenSource(t.Context(), t.TempDir(), trust(t)); !errors.Is(err, backup.ErrDirectory) {
		t.Error(err)
	}
	dir := p.export(0, 300)
	name := filepath.Join(dir, "tile", "entries", "000")
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := choose(t, nil, dir); err == nil {
		t.Error("a bent record was taken")
	}
}

// FuzzVerify holds whatever stands in a payload file against its STORE records.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("SAGOBKP1"), uint8(1))
	f.Add(format.BundleHead{Store: 1, Chunks: 1, Length: 100}.Encode(), uint8(0))
	whole := os.DirFS(newPast(f, 20, 20).backup(20))
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		dir := t.TempDir()
		if err := os.CopyFS(dir, whole); err != nil {
			t.Fatal(err)
		}
		h := format.FileHeader{Kind: format.KindBackupPayload, Cluster: cluster, Number: 20}
		names := []string{"payload/00000000000000000000-00000000000000000020.chunks", "history/00000000000000000000-00000000000000000020.rec", "beginning", "manifest"}
		name := filepath.Join(dir, filepath.FromSlash(names[int(which)%len(names)]))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if which%4 == 0 {
			b = append(h.Encode(), b...)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := backup.Open(dir)
		if err != nil {
			return
		}
		_, err = d.Verify(t.Context(), trust(t).Verify, nil)
		if err == nil && len(b) > 0 && !(which%4 == 0 && len(b) == format.FileHeaderSize) {
			t.Errorf("%s of %d bytes verified", names[int(which)%len(names)], len(b))
		}
	})
}

// TestANodesKeyCountsUntilItsSuccessor: a lost key signs nothing behind the restore
// that replaced it, and the new one nothing before.
func TestANodesKeyCountsUntilItsSuccessor(t *testing.T) {
	before := trust(t)
	after := before
	after.Turns = []format.RestoreParams{
		{Size: 10, Keys: []format.NodeKey{{Number: 2, PublicKey: []byte("second")}, {Number: 9, PublicKey: []byte("of nobody")}}},
		{Size: 20, Keys: []format.NodeKey{{Number: 2, PublicKey: []byte("third")}}},
	}
	for size, want := range map[uint64]string{10: string(before.Nodes[1].PublicKey), 11: "second", 20: "second", 21: "third"} {
		nodes := after.NodesAt(size)
		if got := string(nodes[1].PublicKey); got != want || len(nodes) != 3 || string(nodes[0].PublicKey) != string(before.Nodes[0].PublicKey) {
			t.Errorf("at %d: %x", size, got)
		}
	}
}
