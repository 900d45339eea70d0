package system_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

// hisFile is a history file in its parts (docs/formats/history-file.md).
type hisFile struct {
	path    string
	header  []byte
	records [][]byte
}

func (s *site) hisPaths(i int) []string {
	s.t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.DataDir(i), "history", "*.his"))
	must(s.t, err)
	if len(paths) == 0 {
		s.t.Fatalf("%s has no history file", s.Name(i))
	}
	return paths
}

// readHis takes a file of a stopped node apart.
func readHis(t *testing.T, path string) *hisFile {
	t.Helper()
	raw, err := os.ReadFile(path)
	must(t, err)
	f := &hisFile{path: path, header: raw[:format.FileHeaderSize]}
	for at := format.FileHeaderSize; at+8 <= len(raw); {
		n := int(binary.BigEndian.Uint32(raw[at:]))
		if n == 0 || at+8+n > len(raw) {
			break // a torn tail
		}
		f.records = append(f.records, raw[at+8:at+8+n])
		at += 8 + n
	}
	if len(f.records) == 0 {
		t.Fatalf("%s holds no record", path)
	}
	return f
}

// bytes are the file with the checksums of its records computed anew.
func (f *hisFile) bytes() []byte {
	out := bytes.Clone(f.header)
	for _, r := range f.records {
		length := binary.BigEndian.AppendUint32(nil, uint32(len(r)))
		out = append(out, length...)
		out = binary.BigEndian.AppendUint32(out, format.Checksum(append(length, r...)))
		out = append(out, r...)
	}
	return out
}

// offset is where the frame of the record in place k begins.
func (f *hisFile) offset(k int) int64 {
	at := int64(format.FileHeaderSize)
	for _, r := range f.records[:k] {
		at += 8 + int64(len(r))
	}
	return at
}

// rewritten is a record that says something else, and is as well formed as it was:
// another actor, and another byte of its effect or detail.
func rewritten(t *testing.T, encoded []byte) []byte {
	t.Helper()
	rec, err := format.DecodeRecord(bytes.Clone(encoded))
	must(t, err)
	rec.Actor++
	if len(rec.Detail) > 0 {
		rec.Detail[0] ^= 1
	}
	return rec.Encode()
}

// replaced puts other bytes in the place of a file of a stopped node.
func replaced(t *testing.T, path string, data []byte) {
	t.Helper()
	must(t, custodian.ClearTree(filepath.Dir(path)))
	must(t, os.WriteFile(path, data, 0o600))
}

// atRest is a way to damage the files of a stopped node.
type atRest struct {
	name string
	kill bool // the stop was unclean
	// sealed damages a file that the node does not append to any more.
	sealed bool
	// named is what the node must say, in which N stands for the sequence of the
	// record in the middle and F for the file it is in.
	named string
	do    func(d *damaged)
}

// damaged is the node and the record that a case is about.
type damaged struct {
	*site
	node int
	file *hisFile // the newest, or a sealed one
	k    int      // place of a record in its middle
	// sequence and offset are that record's before the damage.
	sequence uint64
	offset   int64
	old      []byte // what the file was some records ago
}

func (d *damaged) write(data []byte) { replaced(d.t, d.file.path, data) }

// flip changes one byte at a place of the file.
func (d *damaged) flip(at int64) {
	raw, err := os.ReadFile(d.file.path)
	must(d.t, err)
	raw[at] ^= 0x10
	d.write(raw)
}

func (d *damaged) lose(names ...string) {
	for _, n := range names {
		must(d.t, os.Remove(filepath.Join(d.DataDir(d.node), n)))
	}
}

// TestP45_P46_HistoryDamagedAtRest damages the history of one stopped node in
// every region, and brings an older copy of it back: it names file and record, and
// is whole again from the others.
func TestP45_P46_HistoryDamagedAtRest(t *testing.T) {
	damageOneNode(t, []atRest{
		{name: "file header", named: "damage in F at 0: file header", do: func(d *damaged) { d.flip(30) }},
		{name: "an older copy", named: "record", do: func(d *damaged) { d.write(d.old) }},
		{name: "checksum of a frame", named: "damage in F at O: record N", do: func(d *damaged) { d.flip(d.file.offset(d.k) + 5) }},
		{name: "middle of a record", named: "damage in F at O: record N", do: func(d *damaged) { d.flip(d.file.offset(d.k) + 8 + 60) }},
	})
}

// TestP46_P48_HistoryCutAndReordered cuts one node's history, and moves records
// about in it.
func TestP46_P48_HistoryCutAndReordered(t *testing.T) {
	cut := func(d *damaged) { d.write(d.file.bytes()[:d.file.offset(d.k)]) }
	damageOneNode(t, []atRest{
		{name: "tail cut after a clean stop", named: "record", do: cut},
		{name: "tail cut after a kill", kill: true, named: "record", do: cut},
		{name: "two records swapped", named: "damage in F at O: record N", do: func(d *damaged) {
			r := d.file.records
			r[d.k], r[d.k+1] = r[d.k+1], r[d.k]
			d.write(d.file.bytes())
		}},
		{name: "a record twice", named: "damage in F at ", do: func(d *damaged) {
			d.file.records = append(d.file.records[:d.k+1], d.file.records[d.k:]...)
			d.write(d.file.bytes())
		}},
	})
}

// TestP45_P46_OneNodeRewritten changes what is sealed or derived, and then a record
// together with every checksum, and takes away what is derived: it is not the
// majority's.
func TestP45_P46_OneNodeRewritten(t *testing.T) {
	change := func(d *damaged) {
		d.file.records[d.k] = rewritten(d.t, d.file.records[d.k])
		d.write(d.file.bytes())
	}
	damageOneNode(t, []atRest{
		{name: "a sealed file", sealed: true, named: "damage in F at O: record N", do: func(d *damaged) { d.flip(d.file.offset(d.k) + 8 + 60) }},
		{name: "the tree file altered", named: "history.tree", do: func(d *damaged) {
			path := filepath.Join(d.DataDir(d.node), "history.tree")
			raw, err := os.ReadFile(path)
			must(d.t, err)
			raw[len(raw)/2] ^= 1
			replaced(d.t, path, raw)
		}},
		{name: "a record and its checksum", named: "root that a majority signed", do: change},
		{name: "a record, its checksum, and the tree gone", named: "root that a majority signed",
			do: func(d *damaged) { change(d); d.lose("history.tree") }},
		{name: "a record, its checksum, tree and index gone", named: "root that a majority signed",
			do: func(d *damaged) { change(d); d.lose("history.tree", "index.db") }},
	})
}

// damageOneNode does each case to another node of one cluster.
func damageOneNode(t *testing.T, cases []atRest) {
	t.Helper()
	ctx := bounded(t, 2*time.Minute)
	s := startSite(t, ctx, testcluster.Options{Policy: testcluster.Policy{CheckpointEvery: time.Second}})
	a := &acknowledged{leaves: map[uint64][]byte{}}
	for k, c := range cases {
		victim := k % s.Size()
		d := &damaged{site: s, node: victim}
		a.writeFor(ctx, s, fmt.Sprint("C-", k))
		s.covered(ctx)
		if c.sealed {
			must(t, s.Kill(victim)) // the next start seals the file
		} else {
			must(t, s.Stop(ctx, victim))
		}
		paths := s.hisPaths(victim)
		var err error
		d.old, err = os.ReadFile(paths[len(paths)-1])
		must(t, err)
		must(t, s.Start(victim))
		must(t, s.ReadyAt(ctx, victim))
		a.writeFor(ctx, s, fmt.Sprint("E-", k))
		s.covered(ctx)
		before := d.end(ctx, c)
		c.do(d)
		must(t, s.Start(victim))
		must(t, s.ReadyAt(ctx, victim))
		s.healthy(ctx)
		d.found(ctx, c, before)
	}
	a.everywhere(ctx, s)
	s.intact(ctx)
}

// end ends the node and takes its history apart: what is damaged is the record in
// the middle of the file that is in use, or of the first one.
func (d *damaged) end(ctx context.Context, c atRest) (logged int) {
	d.t.Helper()
	log, err := d.Log(d.node)
	must(d.t, err)
	if c.kill {
		must(d.t, d.Kill(d.node))
	} else {
		must(d.t, d.Stop(ctx, d.node))
	}
	paths := d.hisPaths(d.node)
	at := len(paths) - 1
	if c.sealed {
		at = 0
		if p, err := testcluster.ProtectionOf(paths[0]); err != nil || len(paths) < 2 || os.Geteuid() == 0 && !p.Immutable {
			d.t.Fatalf("%v: %+v, %v", paths, p, err)
		}
	}
	d.file = readHis(d.t, paths[at])
	d.k = len(d.file.records) / 2
	rec, err := format.DecodeRecord(d.file.records[d.k])
	must(d.t, err)
	d.sequence, d.offset = rec.Sequence, d.file.offset(d.k)
	return len(log)
}

// found wants the damage named in what the node logged, with the replica, and as a
// record in the history.
func (d *damaged) found(ctx context.Context, c atRest, before int) {
	d.t.Helper()
	whole, err := d.Log(d.node)
	must(d.t, err)
	log := findings(whole[before:])
	d.t.Logf("%s: %s", c.name, log)
	want := strings.NewReplacer("F", "history/"+filepath.Base(d.file.path), "N", fmt.Sprint(d.sequence), "O", fmt.Sprint(d.offset)).Replace(c.named)
	if !strings.Contains(log, want) || !strings.Contains(log, d.Name(d.node)) {
		d.t.Errorf("%s: %s does not say %q", c.name, d.Name(d.node), want)
	}
	d.recorded(ctx, want)
}

// recorded waits for a DAMAGE record that says so of this node, and the REPAIR.
func (d *damaged) recorded(ctx context.Context, want string) {
	d.t.Helper()
	inspector := d.client(ctx, d.node, "inspector")
	await(d.t, ctx, "DAMAGE and REPAIR of "+want, func(ctx context.Context) (bool, string, error) {
		records, _, err := inspector.Records(ctx, &sagov1.HistoryServiceListRequest{All: true})
		if err != nil {
			return false, err.Error(), nil
		}
		said, all := map[string]bool{}, ""
		for _, r := range records {
			if r.GetAction() != "DAMAGE" && r.GetAction() != "REPAIR" {
				continue
			}
			shown, err := inspector.ShowRecord(ctx, r.GetSequence())
			if err != nil {
				return false, err.Error(), nil
			}
			rec, err := format.DecodeRecord(shown.GetEncoded())
			if err != nil {
				return false, "", err
			}
			e, err := format.DecodeDamageEffect(rec.Effect)
			if err != nil {
				return false, "", err
			}
			all += fmt.Sprintln(r.GetAction(), e.Node, e.Where)
			if int(e.Node) == d.node+1 && strings.Contains(e.Where, want) {
				said[r.GetAction()] = true
			}
		}
		return said["DAMAGE"] && said["REPAIR"], all, nil
	})
}

// covered waits until a checkpoint covers every record that is there.
func (s *site) covered(ctx context.Context) {
	s.t.Helper()
	cl := s.client(ctx, 0, "inspector")
	records, _, err := cl.Records(ctx, &sagov1.HistoryServiceListRequest{All: true})
	must(s.t, err)
	last := records[len(records)-1].GetSequence()
	await(s.t, ctx, "a checkpoint over everything", func(ctx context.Context) (bool, string, error) {
		proof, err := cl.VerifyHistory(ctx)
		if err != nil && proof == nil {
			return false, "", errors.Join(err, errors.New("verify"))
		}
		return proof.Checkpoint != nil && proof.Checkpoint.Size > last, fmt.Sprint(proof.Checkpoint), err
	})
}
