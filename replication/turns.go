package replication

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// turnsGlob finds the acts of restore that gave nodes new keys: beside a node's own
// key, because whoever comes back without data knows its peers by the ceremony and by
// these. Each proves itself by its signatures.
const turnsGlob = "restored-*.act"

func turnFile(dir string, size uint64) string {
	return filepath.Join(dir, fmt.Sprintf("restored-%d.act", size))
}

// ErrNodeKey says that a node's key is neither the one that the ceremony names nor
// one that an act of restore does.
var ErrNodeKey = errors.New("not the key that this node is known by")

// readTurns reads the acts, by the size that the log went on from.
func readTurns(dir string, s start) ([]format.RestoreParams, error) {
	paths, err := filepath.Glob(filepath.Join(dir, turnsGlob))
	if err != nil || dir == "" {
		return nil, err
	}
	var turns []format.RestoreParams
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		signed, err := format.DecodeSignedAct(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		p, err := store.CheckRestoreAct(signed, s.act.Cluster, s.ceremony)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if path != turnFile(dir, p.Size) {
			return nil, fmt.Errorf("%s is an act over %d records", path, p.Size)
		}
		turns = append(turns, p)
	}
	slices.SortFunc(turns, func(a, b format.RestoreParams) int { return cmp.Compare(a.Size, b.Size) })
	return turns, nil
}

// turn leaves the restore's act beside the keys when it names new ones, and takes
// those away that the surviving history does not hold any more.
func (r *restorer) turn() error {
	size := r.report.Params.Size
	for _, t := range r.start.turns {
		if t.Size < size {
			continue
		}
		if err := durable.Remove(turnFile(r.cfg.KeyDir, t.Size)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(r.params.Keys) == 0 {
		return nil
	}
	return durable.WriteFile(turnFile(r.cfg.KeyDir, size), r.act, 0o600)
}

// ownKey refuses a key that nobody knows this node by in the restored cluster. What an
// admitted node's own request says is not signed: the others know it by their records.
func (r *restorer) ownKey(size uint64) error {
	own, err := r.keys.PublicKey()
	if err != nil {
		return err
	}
	number, want := r.start.node.Number, r.start.node.PublicKey
	for _, n := range r.start.trust().NodesAt(size) {
		if n.Number == number {
			want = n.PublicKey
		}
	}
	for _, k := range r.named {
		if k.Number == number {
			want = k.PublicKey
		}
	}
	if !bytes.Equal(own, want) {
		return fmt.Errorf("%w: if node %d has lost its key, an act of restore has to name the new one (--node-key)", ErrNodeKey, number)
	}
	return nil
}
