// Package backup keeps the directory of a backup: ciphertext, history, and what
// proves both (docs/formats/backup.md). Keys are in it only in archives that
// several persons together open (docs/formats/key-archive.md).
//
// It guarantees that a file has its name only once it is whole, on disk and
// verified; that what a directory holds follows from the names in it, so that a
// run that was cut goes on where it was; and that ciphertext of a bundle which the
// directory's own history says has ended is overwritten before a run is called
// whole.
package backup

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// The names in a backup's directory.
const (
	manifestFile   = "manifest"
	checkpointFile = "checkpoint"
	beginningFile  = "beginning"
	partFile       = ".part" // what is being written; at most one is left behind
	historyDir     = "history"
	payloadDir     = "payload"
	archiveDir     = "keys"
	historyExt     = "rec"
	payloadExt     = "chunks"
)

const formatName = "sago-backup-1"

// Errors that callers decide on.
var (
	// ErrDirectory: the directory is not one that this backup may be written to.
	ErrDirectory = errors.New("backup directory")
	// ErrMismatch: what is to be kept is not what the history says.
	ErrMismatch = errors.New("does not match")
)

// Manifest says what a backup holds once a run has ended. Its digest is in the
// history.
type Manifest struct {
	Cluster format.ID
	// Records is how many records the history here has, Root their root.
	Records uint64
	Root    format.Digest
	// Payload is the sequence below which every bundle that had not ended is here.
	Payload uint64
	// Clock is the checkpoint's, microseconds.
	Clock int64
	// Missing are the STORE records below Payload whose bundles have not ended and are
	// not here: no node had them whole. Ascending.
	Missing []uint64
	// Archives is how many key archives belong here, Keys what they are, ascending;
	// none where a manifest of before names them only by their number.
	Archives uint64
	Keys     []KeyArchive
	// Lacking are STORE records whose keys the archives of the newest period lack, of
	// bundles that had not ended. Ascending.
	Lacking []uint64
}

type manifestJSON struct {
	Format   string        `json:"format"`
	Cluster  string        `json:"cluster"`
	Records  uint64        `json:"records"`
	Root     string        `json:"root"`
	Payload  uint64        `json:"payload"`
	Clock    int64         `json:"clock"`
	Missing  []uint64      `json:"missing,omitempty"`
	Archives uint64        `json:"archives,omitempty"`
	Keys     []archiveJSON `json:"keys,omitempty"`
	Lacking  []uint64      `json:"lacking,omitempty"`
}

func (m Manifest) encode() ([]byte, error) {
	return format.EncodeSummed(manifestJSON{formatName, hex.EncodeToString(m.Cluster[:]), m.Records, hex.EncodeToString(m.Root[:]), m.Payload, m.Clock, m.Missing, m.Archives, archivesJSON(m.Keys), m.Lacking})
}

func decodeManifest(raw []byte) (m Manifest, err error) {
	var j manifestJSON
	if err := format.DecodeSummed(raw, &j); err != nil {
		return m, err
	}
	if j.Format != formatName {
		return m, fmt.Errorf("%w: format %q", format.ErrMalformed, j.Format)
	}
	m.Records, m.Payload, m.Clock, m.Missing, m.Archives, m.Lacking = j.Records, j.Payload, j.Clock, j.Missing, j.Archives, j.Lacking
	m.Keys = make([]KeyArchive, len(j.Keys))
	fields := []hexField{{j.Cluster, m.Cluster[:]}, {j.Root, m.Root[:]}}
	for i, a := range j.Keys {
		m.Keys[i].Sequence, m.Keys[i].From = a.Sequence, a.From
		fields = append(fields, hexField{a.Period, m.Keys[i].Period[:]}, hexField{a.Digest, m.Keys[i].Digest[:]})
	}
	for _, f := range fields {
		raw, err := hex.DecodeString(f.text)
		if err != nil || len(raw) != len(f.dst) {
			return m, fmt.Errorf("%w: a field is not hex of its length", format.ErrMalformed)
		}
		copy(f.dst, raw)
	}
	if err := m.checkKeys(); err != nil {
		return m, err
	}
	if again, err := m.encode(); err != nil || !bytes.Equal(again, raw) {
		return m, fmt.Errorf("%w: not as it is written", format.ErrMalformed)
	}
	return m, nil
}

type hexField struct {
	text string
	dst  []byte
}

// span is a file and the sequences that it speaks for.
type span struct{ first, end uint64 }

func (s span) name(dir, ext string) string {
	return fmt.Sprintf("%s/%020d-%020d.%s", dir, s.first, s.end, ext)
}

func parseSpan(name, ext string) (s span, ok bool) {
	base, found := strings.CutSuffix(name, "."+ext)
	first, end, two := strings.Cut(base, "-")
	var err1, err2 error
	s.first, err1 = strconv.ParseUint(first, 10, 64)
	s.end, err2 = strconv.ParseUint(end, 10, 64)
	ok = found && two && err1 == nil && err2 == nil && s.first < s.end
	return s, ok && "/"+name == s.name("", ext)
}

// Dir is a backup's directory. It has one user at a time.
type Dir struct {
	path    string
	cluster format.ID
	// run is the manifest of the newest run that ended; nil before the first.
	run       *Manifest
	beginning *Beginning // nil where the history begins with record 0
	history   []span
	payload   []span
	archives  []uint64        // sequences of the BACKUP records under which keys left, of all files
	brought   *KeyArchive     // the archive of the run that goes on
	lacking   []uint64        // STORE records whose keys that one lacks
	frontier  format.Frontier // of all records that are here
	ahead     bool            // frontier is known
}

// Create opens a directory for the backup of a cluster, and makes it where there
// is none. The error wraps ErrDirectory for one that holds anything else.
func Create(path string, cluster format.ID) (*Dir, error) {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: %w", ErrDirectory, err)
	}
	found, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDirectory, err)
	}
	for _, f := range found {
		if !slices.Contains([]string{manifestFile, checkpointFile, beginningFile, partFile, historyDir, payloadDir, archiveDir, manifestFile + ".tmp", checkpointFile + ".tmp"}, f.Name()) {
			return nil, fmt.Errorf("%w: %s holds %s, which is no part of a backup", ErrDirectory, path, f.Name())
		}
	}
	d := &Dir{path: path, cluster: cluster}
	return d, d.load()
}

// Open opens a backup for reading. The cluster is the one that its newest run
// names; a directory in which no run has ended is refused.
func Open(path string) (*Dir, error) {
	d := &Dir{path: path}
	raw, err := os.ReadFile(d.at(manifestFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDirectory, err)
	}
	m, err := decodeManifest(raw)
	if err != nil {
		return nil, d.damage(manifestFile, 0, "manifest", err)
	}
	d.cluster = m.Cluster
	return d, d.load()
}

// Is reports whether a directory holds a backup of which a run has ended.
func Is(path string) bool {
	raw, err := os.ReadFile(filepath.Join(path, manifestFile))
	return err == nil && bytes.Contains(raw, []byte(formatName))
}

func (d *Dir) at(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

func (d *Dir) damage(file string, offset int64, what string, err error) error {
	return &format.DamageError{File: filepath.Join(filepath.Base(d.path), file), Offset: offset, What: what, Err: err}
}

// load finds out from the names what is here.
func (d *Dir) load() error {
	raw, err := os.ReadFile(d.at(manifestFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		m, err := decodeManifest(raw)
		if err != nil {
			return d.damage(manifestFile, 0, "manifest", err)
		}
		if m.Cluster != d.cluster {
			return fmt.Errorf("%w: %s holds a backup of cluster %x", ErrDirectory, d.path, m.Cluster[:])
		}
		d.run = &m
	}
	start := uint64(0)
	if d.beginning, err = d.readBeginning(); err != nil {
		return err
	}
	if d.beginning != nil {
		start = d.beginning.Whole
	}
	if d.history, err = d.spans(historyDir, historyExt, start); err != nil {
		return err
	}
	if d.payload, err = d.spans(payloadDir, payloadExt, 0); err != nil {
		return err
	}
	if d.archives, err = d.listArchives(); err != nil {
		return err
	}
	if d.run != nil && (d.Records() < d.run.Records || d.Payload() < d.run.Payload) {
		return d.damage(historyDir, -1, "files", fmt.Errorf("records up to %d and payload up to %d are here, %d and %d belong here",
			d.Records(), d.Payload(), d.run.Records, d.run.Payload))
	}
	return nil
}

// spans lists the files of a folder, which follow each other.
func (d *Dir) spans(dir, ext string, start uint64) ([]span, error) {
	entries, err := os.ReadDir(d.at(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []span
	for _, e := range entries {
		s, ok := parseSpan(e.Name(), ext)
		if !ok {
			return nil, d.damage(dir, -1, "files", fmt.Errorf("%q is no name of a backup", e.Name()))
		}
		if s.first != start {
			return nil, d.damage(dir, -1, "files", fmt.Errorf("%s comes where %d belongs", e.Name(), start))
		}
		out, start = append(out, s), s.end
	}
	return out, nil
}

func last(list []span, start uint64) uint64 {
	if len(list) == 0 {
		return start
	}
	return list[len(list)-1].end
}

// Cluster is whose backup it is.
func (d *Dir) Cluster() format.ID { return d.cluster }

// Run is the manifest of the newest run that ended; nil before the first.
func (d *Dir) Run() *Manifest { return d.run }

// Whole is the sequence from which on every record is here; what is here of the
// ones before it is the beginning's.
func (d *Dir) Whole() uint64 {
	if d.beginning == nil {
		return 0
	}
	return d.beginning.Whole
}

// Records is one past the last record that is here, of a run that ended or not.
func (d *Dir) Records() uint64 { return last(d.history, d.Whole()) }

// Payload is one past the last sequence whose bundles are here.
func (d *Dir) Payload() uint64 { return last(d.payload, 0) }

// Note is the signed checkpoint over the records of the newest run.
func (d *Dir) Note() (string, error) {
	raw, err := os.ReadFile(d.at(checkpointFile))
	return string(raw), err
}

// Size is the length of all files, bytes.
func (d *Dir) Size() (size uint64, err error) {
	err = filepath.WalkDir(d.path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == partFile {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += uint64(info.Size())
		}
		return err
	})
	return size, err
}

// write puts a small file under its name.
func (d *Dir) write(name string, data []byte) error {
	return durable.WriteFile(d.at(name), data, 0o600)
}
