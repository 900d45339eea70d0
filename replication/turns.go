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
	"strings"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
)

// turnsGlob finds the acts of restore that gave nodes new keys: beside a node's own
// key, because whoever comes back without data knows its peers by the ceremony and by
// these. Each proves itself by its signatures.
const turnsGlob = "restored-*.act"

// begunSuffix names such an act until the data directory that is restored under it
// has its name. Whoever starts meanwhile knows its peers by it; the next restore
// does not count it: nothing here went on under it.
const begunSuffix = ".begun"

func turnFile(dir string, size uint64) string {
	return filepath.Join(dir, fmt.Sprintf("restored-%d.act", size))
}

// ErrNodeKey says that a node's key is neither the one that the ceremony names nor
// one that an act of restore does.
var ErrNodeKey = errors.New("not the key that this node is known by")

// readTurns reads the acts, by the size that the log went on from. begun says that
// those of a restore that was cut count too.
func readTurns(dir string, s start, begun bool) ([]format.RestoreParams, error) {
	paths, err := filepath.Glob(filepath.Join(dir, turnsGlob))
	if err != nil || dir == "" {
		return nil, err
	}
	if begun {
		cut, err := begunTurns(dir)
		if err != nil {
			return nil, err
		}
		paths = append(paths, cut...) // behind the others: of the same size the last one counts
	}
	var turns []format.RestoreParams
	for _, path := range paths {
		p, err := readTurn(dir, path, s)
		if err != nil {
			return nil, err
		}
		turns = append(turns, p)
	}
	slices.SortStableFunc(turns, func(a, b format.RestoreParams) int { return cmp.Compare(a.Size, b.Size) })
	return turns, nil
}

func readTurn(dir, path string, s start) (p format.RestoreParams, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	signed, err := format.DecodeSignedAct(raw)
	if err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	if p, err = store.CheckRestoreAct(signed, s.act.Cluster, s.ceremony); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	if strings.TrimSuffix(path, begunSuffix) != turnFile(dir, p.Size) {
		return p, fmt.Errorf("%s is an act over %d records", path, p.Size)
	}
	return p, nil
}

func begunTurns(dir string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, turnsGlob+begunSuffix))
}

// settleTurns gives acts of a restore their names, once there is a data directory.
func settleTurns(keyDir, dataDir string) error {
	if _, err := store.ReadManifest(dataDir); err != nil {
		return nil // none yet, or one that openData speaks of
	}
	begun, err := begunTurns(keyDir)
	if err != nil {
		return err
	}
	for _, path := range begun {
		raw, err := os.ReadFile(path)
		if err == nil {
			err = durable.WriteFile(strings.TrimSuffix(path, begunSuffix), raw, 0o600)
		}
		if err == nil {
			err = durable.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// judged names the acts beside the node's key in an error of a restore: it may be
// that one of them is of no restore that went on.
func (s start) judged(err error, keyDir string) error {
	var lost *backup.LostError
	if err == nil || len(s.turns) == 0 || errors.As(err, &lost) {
		return err
	}
	names := make([]string, len(s.turns))
	for i, t := range s.turns {
		names[i] = turnFile(keyDir, t.Size)
	}
	return fmt.Errorf("%w (nodes' keys are those that %s names; an act under which no node went on is to be moved away)", err, strings.Join(names, ", "))
}

// turn leaves the restore's act beside the keys when it names new ones, as begun, and
// takes those away that the surviving history does not hold any more, or whose restore was cut.
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
	begun, err := begunTurns(r.cfg.KeyDir)
	if err != nil {
		return err
	}
	for _, path := range begun {
		if err := durable.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(r.params.Keys) == 0 {
		return nil
	}
	return durable.WriteFile(turnFile(r.cfg.KeyDir, size)+begunSuffix, r.act, 0o600)
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
