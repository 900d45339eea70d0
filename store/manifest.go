package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// Names in the data directory.
const (
	manifestFile = "MANIFEST"
	cleanFile    = "CLEAN"
	indexFile    = "index.db"
	// LogFile is the raft log, which package replication owns.
	LogFile = "raft.db"
)

// ErrNoData is returned by ReadManifest for a directory that holds no store.
var ErrNoData = errors.New("no data directory here")

// Manifest says whose data a directory holds (docs/formats/node-files.md).
type Manifest struct {
	Cluster     format.ID
	Node        uint32
	Incarnation format.ID
	Production  bool
	// Ceremony is the digest of the only first act that the store accepts.
	Ceremony format.Digest
}

type manifestJSON struct {
	Format      int    `json:"format"`
	Cluster     string `json:"cluster"`
	Node        uint32 `json:"node"`
	Incarnation string `json:"incarnation"`
	Production  bool   `json:"production"`
	Ceremony    string `json:"ceremony"`
}

// Create makes an empty data directory for the incarnation that m names.
func Create(dir string, m Manifest) error {
	if _, err := os.Stat(filepath.Join(dir, manifestFile)); err == nil {
		return fmt.Errorf("%s holds data already", dir)
	}
	for _, sub := range []string{"segments", "history", "keys"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
	}
	text, err := format.EncodeSummed(manifestJSON{Format: format.FormatVersion, Cluster: hex.EncodeToString(m.Cluster[:]), Node: m.Node,
		Incarnation: hex.EncodeToString(m.Incarnation[:]), Production: m.Production, Ceremony: hex.EncodeToString(m.Ceremony[:])})
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, manifestFile), text, 0o600)
}

// ReadManifest reads a data directory's manifest: ErrNoData when there is none,
// a *format.DamageError when it is not what was written.
func ReadManifest(dir string) (Manifest, error) {
	raw, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, os.ErrNotExist) {
		return Manifest{}, fmt.Errorf("%w: %s", ErrNoData, dir)
	}
	if err != nil {
		return Manifest{}, err
	}
	m, err := parseManifest(raw)
	if err != nil {
		return m, &format.DamageError{File: manifestFile, Offset: -1, What: "manifest", Err: err}
	}
	return m, nil
}

func parseManifest(raw []byte) (m Manifest, err error) {
	var j manifestJSON
	if err := format.DecodeSummed(raw, &j); err != nil {
		return m, err
	}
	if j.Format != format.FormatVersion {
		return m, fmt.Errorf("format %d, this version reads %d", j.Format, format.FormatVersion)
	}
	m.Node, m.Production = j.Node, j.Production
	for _, f := range []struct {
		text string
		dst  []byte
	}{{j.Cluster, m.Cluster[:]}, {j.Incarnation, m.Incarnation[:]}, {j.Ceremony, m.Ceremony[:]}} {
		raw, err := hex.DecodeString(f.text)
		if err != nil || len(raw) != len(f.dst) {
			return m, errors.New("a field is not hex of its length")
		}
		copy(f.dst, raw)
	}
	return m, nil
}
