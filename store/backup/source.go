package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sago-worm/sago/store/format"
)

// What survived of a history: a backup, an export of the whole tree, or the
// history files of a node's data directory.

// Trust is whom the checkpoints of a cluster are signed by.
type Trust struct {
	Cluster format.ID
	Nodes   []format.CeremonyNode
	// Turns are the acts of restore that gave nodes new keys, by the size that the
	// log went on from, ascending.
	Turns []format.RestoreParams
}

// NodesAt are the nodes with the keys that sign a checkpoint of that size. A key that
// was lost signs nothing behind the restore that replaced it.
func (t Trust) NodesAt(size uint64) []format.CeremonyNode {
	nodes := slices.Clone(t.Nodes)
	for _, turn := range t.Turns {
		if size <= turn.Size {
			break
		}
		for _, k := range turn.Keys {
			if i := slices.IndexFunc(nodes, func(n format.CeremonyNode) bool { return n.Number == k.Number }); i >= 0 {
				nodes[i].PublicKey = k.PublicKey
			}
		}
	}
	return nodes
}

// Verify reads a note that a majority of the nodes signed.
func (t Trust) Verify(note string) (format.Checkpoint, error) {
	n, err := format.ParseNote(note)
	if err != nil {
		return format.Checkpoint{}, err
	}
	c, err := format.ParseCheckpoint(n.Text)
	if err != nil {
		return format.Checkpoint{}, err
	}
	nodes := t.NodesAt(c.Size)
	keys := make([]format.NoteKey, len(nodes))
	for i, n := range nodes {
		keys[i] = format.NoteKey{Name: n.Name, Type: format.NoteECDSA, Key: n.PublicKey}
	}
	return format.VerifyMajority(note, t.Cluster, keys)
}

// verifyEffect is Verify of what a CHECKPOINT record holds.
func (t Trust) verifyEffect(e format.CheckpointEffect) (format.Checkpoint, error) {
	nodes := t.NodesAt(e.Checkpoint.Size)
	members := make([]format.MemberRow, len(nodes))
	for i, n := range nodes {
		members[i] = format.MemberRow{Number: n.Number, Name: n.Name, PublicKey: n.PublicKey}
	}
	return t.Verify(e.Note(members).String())
}

// Source is one surviving history: records [From, To) and the newest checkpoint in
// it that a majority signed, which is of To records.
type Source struct {
	Name       string
	From, To   uint64
	Checkpoint format.Checkpoint
	// Backup is set for a backup, which holds ciphertext too.
	Backup *Dir

	read func(ctx context.Context, from, to uint64, each func(uint64, []byte) error) error
}

// OpenSource finds out what a path is and how far its checkpoint reaches. Its
// records are verified by Choose. The error is a *format.DamageError or wraps
// ErrDirectory.
func OpenSource(ctx context.Context, path string, t Trust) (*Source, error) {
	has := func(name string) bool {
		_, err := os.Lstat(filepath.Join(path, name))
		return err == nil
	}
	switch {
	case Is(path):
		return openBackup(path, t)
	case has("export.json"):
		return openExport(path, t)
	case has("history"):
		return openFiles(ctx, filepath.Join(path, "history"), t)
	}
	if list, err := filepath.Glob(filepath.Join(path, "*.his")); err == nil && len(list) > 0 {
		return openFiles(ctx, path, t)
	}
	return nil, fmt.Errorf("%w: %s is no backup, no export of the tree and no node's history", ErrDirectory, path)
}

func openBackup(path string, t Trust) (*Source, error) {
	d, err := Open(path)
	if err != nil {
		return nil, err
	}
	note, err := d.Note()
	if err != nil {
		return nil, err
	}
	s := &Source{Name: path, From: d.Whole(), Backup: d, read: d.Range}
	if s.Checkpoint, err = t.Verify(note); err != nil {
		return nil, d.damage(checkpointFile, 0, "checkpoint", err)
	}
	if s.To = s.Checkpoint.Size; s.To > d.Records() || s.To < s.From {
		return nil, d.damage(historyDir, -1, fmt.Sprintf("record %d", d.Records()), fmt.Errorf("%d records were signed", s.To))
	}
	return s, nil
}

// exported is what export.json (docs/formats/export.md) says that is needed here.
type exported struct {
	Format         string `json:"format"`
	Scope          string `json:"scope"`
	Until          int64  `json:"until"`
	First          uint64 `json:"first"`
	End            uint64 `json:"end"`
	Minimum        uint64 `json:"minimum"`
	CheckpointSize uint64 `json:"checkpoint_size"`
	Complete       bool   `json:"complete"`
}

func openExport(path string, t Trust) (*Source, error) {
	d := &Dir{path: path, cluster: t.Cluster}
	raw, err := os.ReadFile(d.at("export.json"))
	if err != nil {
		return nil, err
	}
	var m exported
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, d.damage("export.json", 0, "manifest", err)
	}
	if m.Format != "sago-export-1" || m.Scope != "tree" || m.Until != 0 || !m.Complete {
		return nil, fmt.Errorf("%w: %s: of exports, a whole one of the tree without --until is taken", ErrDirectory, path)
	}
	note, err := d.Note()
	if err != nil {
		return nil, err
	}
	s := &Source{Name: path}
	if s.Checkpoint, err = t.Verify(note); err != nil {
		return nil, d.damage(checkpointFile, 0, "checkpoint", err)
	}
	if s.Checkpoint.Size != m.CheckpointSize {
		return nil, d.damage("export.json", 0, "manifest", fmt.Errorf("%d records, %d were signed", m.CheckpointSize, s.Checkpoint.Size))
	}
	s.From, s.To = format.ExportEffect{Until: m.Until, First: m.First, End: m.End, Minimum: m.Minimum}.Bundled(s.Checkpoint.Size)
	s.read = func(ctx context.Context, from, to uint64, each func(uint64, []byte) error) error {
		return d.entries(ctx, s.To, from, to, each)
	}
	return s, nil
}

// entries reads the entry bundles of an export that goes on to the end of a tree.
func (d *Dir) entries(ctx context.Context, size, from, to uint64, each func(uint64, []byte) error) error {
	for n := from / format.TileWidth; n*format.TileWidth < to; n++ {
		width := int(min(format.TileWidth, size-n*format.TileWidth))
		name := format.BundlePath("tile/entries", n, width)
		raw, err := os.ReadFile(d.at(name))
		if err != nil {
			return d.damage(name, -1, "entry bundle", err)
		}
		list, err := format.Entries(raw, width)
		if err != nil {
			return d.damage(name, -1, "entry bundle", err)
		}
		for i, encoded := range list {
			seq := n*format.TileWidth + uint64(i)
			if seq < from || seq >= to {
				continue
			}
			if err := errors.Join(ctx.Err(), each(seq, encoded)); err != nil {
				return err
			}
		}
	}
	return nil
}

// hisFile is one history file of a node.
type hisFile struct {
	name  string
	first uint64
	good  int64 // nothing beyond is read; -1 in the newest
}

// openFiles reads a node's history files. What lies behind the newest checkpoint
// that a majority signed vouches for itself only, and is not taken.
func openFiles(ctx context.Context, path string, t Trust) (*Source, error) {
	d := &Dir{path: path, cluster: t.Cluster}
	files, err := d.hisFiles()
	if err != nil {
		return nil, err
	}
	s := &Source{Name: path, From: files[0].first}
	s.read = func(ctx context.Context, from, to uint64, each func(uint64, []byte) error) error {
		return d.readHis(ctx, files, from, to, each)
	}
	err = d.readHis(ctx, files, 0, 1<<63, func(_ uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		if err != nil || rec.Action != format.ActCheckpoint {
			return err
		}
		e, err := format.DecodeCheckpointEffect(rec.Effect)
		if err != nil {
			return err
		}
		if c, err := t.verifyEffect(e); err == nil && c.Size <= rec.Sequence {
			s.Checkpoint, s.To = c, c.Size
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.To <= s.From {
		return nil, fmt.Errorf("%w: %s holds no checkpoint that a majority signed", ErrDirectory, path)
	}
	return s, nil
}

func (d *Dir) hisFiles() ([]hisFile, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), ".his"); ok {
			if n, err := strconv.ParseUint(base, 10, 64); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	var out []hisFile
	for _, n := range numbers {
		name := fmt.Sprintf("%08d.his", n)
		if info, err := os.Stat(d.at(name)); err == nil && info.Size() <= format.FileHeaderSize {
			continue // no record can be in it
		}
		r, err := d.open(name, format.KindHistory)
		if err != nil {
			return nil, err
		}
		if len(out) > 0 {
			out[len(out)-1].good = int64(r.head.PrevGood)
		}
		out = append(out, hisFile{name, r.head.First, -1})
		if err := r.f.Close(); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: %s holds no history", ErrDirectory, d.path)
	}
	return out, nil
}

func (d *Dir) readHis(ctx context.Context, files []hisFile, from, to uint64, each func(uint64, []byte) error) error {
	for i, f := range files {
		if i+1 < len(files) && files[i+1].first <= from || f.first >= to {
			continue
		}
		if err := d.readOneHis(ctx, f, i+1 == len(files), from, to, each); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dir) readOneHis(ctx context.Context, f hisFile, newest bool, from, to uint64, each func(uint64, []byte) error) (err error) {
	r, err := d.open(f.name, format.KindHistory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.f.Close()) }()
	for seq := f.first; seq < to && (newest || r.off < f.good); seq++ {
		encoded, err := r.frame()
		if errors.Is(err, io.EOF) || newest && err != nil {
			return nil // a torn tail, or what the checkpoint will miss
		}
		if err != nil {
			return err
		}
		if seq < from {
			continue
		}
		if err := errors.Join(ctx.Err(), each(seq, encoded)); err != nil {
			return err
		}
	}
	return nil
}
