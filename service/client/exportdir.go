package client

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sago-worm/sago/internal/durable"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// The files of an export (docs/formats/export.md).
const (
	exportFormat   = "sago-export-1"
	scopeTree      = "tree"
	scopeOwn       = "institution"
	manifestFile   = "export.json"
	checkpointFile = "checkpoint"
	linesFile      = "records.jsonl"
	entriesDir     = "tile/entries"
	recordsDir     = "records"
	proofsDir      = "proofs"
	exportTemp     = ".part" // what is being written; at most one is left behind
)

// manifest is export.json.
type manifest struct {
	Format          string `json:"format"`
	Scope           string `json:"scope"`
	Cluster         string `json:"cluster"`
	Institution     uint32 `json:"institution"`
	InstitutionCode string `json:"institution_code"`
	Since           int64  `json:"since"`
	Until           int64  `json:"until"`
	First           uint64 `json:"first"`
	End             uint64 `json:"end"`
	Minimum         uint64 `json:"minimum"`
	CheckpointSize  uint64 `json:"checkpoint_size"`
	ExportSequence  uint64 `json:"export_sequence"`
	Complete        bool   `json:"complete"`
}

func scopeName(tree bool) string {
	if tree {
		return scopeTree
	}
	return scopeOwn
}

// manifestOf is what a header says of an export that is not whole yet.
func manifestOf(h *sagov1.ExportHeader, tree bool, cp format.Checkpoint) manifest {
	return manifest{
		Format: exportFormat, Scope: scopeName(tree), Cluster: hex.EncodeToString(cp.Cluster[:]), Institution: h.GetInstitution(),
		InstitutionCode: h.GetInstitutionCode(), Since: microsOf(h.GetSince()), Until: microsOf(h.GetUntil()), First: h.GetFirst(),
		End: h.GetEnd(), Minimum: h.GetMinimum(), CheckpointSize: cp.Size, ExportSequence: h.GetSequence(),
	}
}

func (m manifest) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

// open looks at what the directory holds: nothing, or an export of the same kind
// that was broken off.
func (x *exporter) open() error {
	if err := os.Mkdir(string(x.dir), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return directoryError("%v", err)
	}
	raw, err := os.ReadFile(x.dir.path(manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return x.dir.checkEmpty()
	}
	m := &manifest{}
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		err = d.Decode(m)
	}
	switch {
	case err != nil:
		return directoryError("%s: %v", manifestFile, err)
	case m.Format != exportFormat:
		return directoryError("%s holds something else than a %s", x.dir, exportFormat)
	case m.Complete:
		return directoryError("%s holds a complete export; give an empty one", x.dir)
	case m.Cluster != hex.EncodeToString(x.client.cluster[:]) || m.Scope != scopeName(x.opts.Tree):
		return directoryError("%s holds the beginning of an export of another cluster or scope", x.dir)
	case m.Since != micros(x.opts.Since) || m.Until != micros(x.opts.Until):
		return directoryError("%s holds the beginning of an export of other times", x.dir)
	}
	x.manifest = m
	note, err := os.ReadFile(x.dir.path(checkpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		x.checkpoint, err = x.client.signed(string(note))
	}
	return err
}

// exportDir is an export's directory. A file appears under its name only whole,
// and on disk.
type exportDir string

func (d exportDir) path(name string) string {
	return filepath.Join(string(d), filepath.FromSlash(name))
}

func (d exportDir) checkEmpty() error {
	found, err := os.ReadDir(string(d))
	if err != nil {
		return directoryError("%v", err)
	}
	for _, f := range found {
		if f.Name() != exportTemp {
			return directoryError("%s is not empty and holds no export", d)
		}
	}
	return nil
}

// begin writes down what export is to be here.
func (d exportDir) begin(m manifest) error {
	raw, err := m.encode()
	if err != nil {
		return err
	}
	return d.write(manifestFile, raw)
}

// write puts a file under its name, whole: write, fsync, rename, fsync of the
// directory.
func (d exportDir) write(name string, data []byte) error {
	temp, path := d.path(exportTemp), d.path(name)
	if err := writeSynced(temp, data); err != nil {
		return err
	}
	if err := d.makeFor(path); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

func writeSynced(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// makeFor makes the folders that a file stands in, and puts their names on disk.
func (d exportDir) makeFor(path string) error {
	folder := filepath.Dir(path)
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	if err := d.makeFor(folder); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(filepath.Dir(folder))
}

// has reports whether a file is there; write let it appear only whole.
func (d exportDir) has(name string) bool {
	info, err := os.Lstat(d.path(name))
	return err == nil && info.Mode().IsRegular()
}

// read reads a file of that length.
func (d exportDir) read(name string, length int) ([]byte, error) {
	b, err := os.ReadFile(d.path(name))
	if err == nil && len(b) != length {
		err = directoryError("%s has %d bytes, %d belong there", name, len(b), length)
	}
	return b, err
}

// clearPartial removes the partial forms of the n-th bundle below dir, but one of
// that width.
func (d exportDir) clearPartial(dir string, n uint64, width int) error {
	folder := d.path(format.BundlePath(dir, n, format.TileWidth)) + ".p"
	found, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	left := 0
	for _, f := range found {
		if f.Name() == strconv.Itoa(width) {
			left++
			continue
		}
		err = errors.Join(err, os.Remove(filepath.Join(folder, f.Name())))
	}
	if err == nil && left == 0 {
		err = os.Remove(folder)
	}
	return err
}

// finish removes what is no part of the export and says that it is whole.
func (d exportDir) finish(m manifest, singles uint64) error {
	for _, dir := range []string{recordsDir, proofsDir} {
		if err := d.clearPartial(dir, singles/format.TileWidth, int(singles%format.TileWidth)); err != nil {
			return err
		}
	}
	raw, err := m.encode()
	if err != nil {
		return err
	}
	return d.write(manifestFile, raw)
}
