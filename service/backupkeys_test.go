package service

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyarchive"
)

// keyHouse is a house whose administrator backs up with keys.
type keyHouse struct {
	*house
	dir     string
	holders []format.ArchiveHolder
}

func newKeyHouse(t *testing.T) *keyHouse {
	h := &keyHouse{house: newHouse(t), dir: filepath.Join(t.TempDir(), "b")}
	h.begin()
	h.openPeriod()
	open, err := h.st.OpenArchive()
	must(t, err)
	h.holders = open.Holders
	return h
}

// archive makes a run and answers its key archive.
func (h *keyHouse) archive() *client.BackupArchive {
	h.t.Helper()
	r, err := h.client("admin0").Backup(limited(h.t), client.BackupOptions{Dir: h.dir, Keys: true})
	must(h.t, err)
	return r.Archive
}

// stored puts a bundle and answers its STORE record.
func (h *keyHouse) stored(transaction string) uint64 {
	h.t.Helper()
	h.put("app", transaction, "P5Y", []byte(transaction))
	h.begin()
	row, err := h.st.Bundle(format.BundleKey{Institution: 1, Transaction: transaction, Part: 1})
	must(h.t, err)
	return row.Store
}

func (h *keyHouse) file(sequence uint64) string {
	return filepath.Join(h.dir, "keys", fmt.Sprintf("%020d", sequence))
}

// forged is an archive that anybody could make, without a key in it.
func (h *keyHouse) forged(period format.ID, from, sequence uint64) []byte {
	h.t.Helper()
	var out bytes.Buffer
	w, err := keyarchive.NewWriter(&out, format.ArchiveHead{Cluster: h.st.Manifest().Cluster, Period: period, From: from, Sequence: sequence, Needed: 2}, h.holders)
	must(h.t, err)
	must(h.t, w.End())
	return out.Bytes()
}

// forgeManifest writes a whole manifest that no run wrote.
func (h *keyHouse) forgeManifest() {
	h.t.Helper()
	name := filepath.Join(h.dir, "manifest")
	raw, err := os.ReadFile(name)
	must(h.t, err)
	text, _, _ := bytes.Cut(bytes.Replace(raw, []byte(`"clock":1`), []byte(`"clock":2`), 1), []byte("\n"))
	must(h.t, os.WriteFile(name, fmt.Appendf(nil, "%s\n%x\n", text, sha256.Sum256(text)), 0o600))
}

// TestR24LackingKeysAreTriedAgain: a key that no node had in one run comes with a later
// one of the period; one that ended meanwhile is not waited for.
func TestR24LackingKeysAreTriedAgain(t *testing.T) {
	h := newKeyHouse(t)
	first, second := h.stored("FIRST"), h.stored("SECOND")
	h.lacking = []uint64{first, second}
	a := h.archive()
	if a.Lacking != 2 || a.From != 0 || a.Doubt != nil {
		t.Fatalf("%+v", a)
	}
	h.stored("THIRD")
	h.lacking = []uint64{second}
	b := h.archive()
	if b.Lacking != 1 || b.From != a.Sequence || b.Doubt != nil || b.Keys != a.Keys+2 { // FIRST and THIRD
		t.Fatalf("%+v behind %+v", b, a)
	}
	// A run without keys between does not forget.
	_, err := h.client("admin0").Backup(limited(t), client.BackupOptions{Dir: h.dir})
	must(t, err)
	h.lacking = nil
	if c := h.archive(); c.Lacking != 0 || c.From != b.Sequence || c.Keys != a.Keys+1 {
		t.Fatalf("%+v behind %+v", c, b)
	}
	if d := h.archive(); d.Keys != a.Keys {
		t.Fatalf("%+v: nothing is lacking any more", d)
	}
	stream, err := sagov1.NewClusterServiceClient(h.as("admin0")).Backup(limited(t), &sagov1.BackupRequest{Keys: true, Lacking: []uint64{2, 2}})
	must(t, err)
	_, err = stream.Recv()
	expect(t, err, codes.InvalidArgument, "INVALID")
}

// TestP36_AForgedArchiveSkipsNothing: whoever can write to the directory makes no
// run pass over keys, neither by a file, nor by a manifest that the history does not
// name; and what a good archive holds is not sent again.
func TestP36_AForgedArchiveSkipsNothing(t *testing.T) {
	h := newKeyHouse(t)
	h.stored("FIRST")
	a := h.archive()
	h.stored("SECOND")
	b := h.archive()
	h.stored("THIRD")

	// A file that no manifest names, newer than all that are.
	false1 := h.file(b.Sequence + 4)
	must(t, os.WriteFile(false1, h.forged(a.Period, b.Sequence, b.Sequence+4), 0o600))
	c := h.archive()
	if c.From != b.Sequence || c.Keys != b.Keys {
		t.Fatalf("%+v: it begins where a forged one ends", c)
	}
	must(t, os.Remove(false1))

	// Another one in the place of one that is named: redone from the one before it.
	must(t, os.WriteFile(h.file(b.Sequence), h.forged(a.Period, a.Sequence, b.Sequence), 0o600))
	d := h.archive()
	if d.From != a.Sequence || d.Doubt == nil || !strings.Contains(d.Doubt.Error(), fmt.Sprint(b.Sequence)) || d.Keys != b.Keys+1 {
		t.Fatalf("%+v", d)
	}
	if e := h.archive(); e.From != d.Sequence || e.Doubt != nil {
		t.Fatalf("%+v", e)
	}
	h.verifyBackup(h.dir)

	// A manifest that is not the one that a run left, whose archive has no key.
	h.stored("FOURTH")
	h.forgeManifest()
	f := h.archive()
	if f.From != 0 || f.Doubt == nil || f.Keys != a.Keys+3 {
		t.Fatalf("%+v: the manifest is nobody's", f)
	}
	if g := h.archive(); g.From != f.Sequence || g.Doubt != nil {
		t.Fatalf("%+v", g)
	}
	// A run without keys does not make such a manifest good.
	h.forgeManifest()
	_, err := h.client("admin0").Backup(limited(t), client.BackupOptions{Dir: h.dir})
	must(t, err)
	f = h.archive()
	if f.From != 0 || f.Doubt == nil {
		t.Fatalf("%+v: the manifest before was nobody's", f)
	}
	var damage *format.DamageError
	must(t, os.WriteFile(h.file(f.Sequence), h.forged(a.Period, 0, f.Sequence), 0o600))
	dir, err := backup.Open(h.dir)
	must(t, err)
	if _, err := dir.Archive(f.Sequence); !errors.As(err, &damage) {
		t.Errorf("a restore would take a forged archive: %v", err)
	}
}
