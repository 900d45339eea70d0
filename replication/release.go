package replication

import (
	"context"
	"crypto/ecdh"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyarchive"
)

// releaseKeyFile is the private half of a node's request for shares, beside its
// other keys until a restore has used it, or the node starts.
const releaseKeyFile = "release.key"

// ErrShares refuses a restore with shares that open no key archive.
var ErrShares = errors.New("the shares do not open the key archives")

// RequestShares answers a node's signed request for shares of key archives. Asked
// again before a restore has used it, it is the same request.
func RequestShares(name, keyDir string, ceremony format.SignedAct) (format.ReleaseRequest, error) {
	start, err := readStart(Config{Name: name, Ceremony: ceremony}, false)
	if err != nil {
		return format.ReleaseRequest{}, err
	}
	keys, err := LoadKeys(keyDir)
	if err != nil {
		return format.ReleaseRequest{}, err
	}
	defer clear(keys.Root[:])
	own, err := releaseKey(keyDir)
	if errors.Is(err, fs.ErrNotExist) {
		own, err = newReleaseKey(keyDir)
	}
	if err != nil {
		return format.ReleaseRequest{}, err
	}
	q := format.ReleaseRequest{Cluster: start.act.Cluster, Node: start.node.Number, Key: keyarchive.PublicOf(own.PublicKey())}
	q.Signature, err = keys.sign(q.Message())
	return q, err
}

func releaseKey(keyDir string) (*ecdh.PrivateKey, error) {
	text, err := os.ReadFile(filepath.Join(keyDir, releaseKeyFile))
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := keyarchive.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", releaseKeyFile, err)
	}
	return key, nil
}

func newReleaseKey(keyDir string) (*ecdh.PrivateKey, error) {
	key, err := keyarchive.NewPrivateKey()
	if err != nil {
		return nil, err
	}
	text, err := keyarchive.PrivateKeyText(key)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return key, durable.WriteFile(filepath.Join(keyDir, releaseKeyFile), text, 0o600)
}

// forgetRequest destroys the private half, if there is one: what was released to it
// opens no more.
func forgetRequest(keyDir string) error {
	path := filepath.Join(keyDir, releaseKeyFile)
	err := wipeFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = durable.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", releaseKeyFile, err)
	}
	return nil
}

// openArchive is a key archive and the key that the shares gave.
type openArchive struct {
	dir     *backup.Dir
	archive *keyarchive.Archive
	key     [32]byte
}

// place names an archive.
type place struct {
	period   format.ID
	sequence uint64
}

// openArchives puts the keys of archives together from what was released. Archives
// of periods, or of runs, that nobody released a share of are passed over.
func (r *restorer) openArchives(ctx context.Context) error {
	if len(r.cfg.Releases) == 0 {
		return nil
	}
	points, err := r.points()
	defer func() {
		for _, list := range points {
			clear(list)
		}
	}()
	if err != nil {
		return err
	}
	many := 0
	for _, s := range r.sources {
		if s.Backup != nil {
			many += len(s.Backup.Archives())
		}
	}
	r.archives = make([]openArchive, 0, many) // growing would leave keys behind
	for _, s := range r.sources {
		if s.Backup == nil {
			continue
		}
		for _, sequence := range s.Backup.Archives() {
			if err := ctx.Err(); err != nil {
				return err
			}
			a, err := s.Backup.Archive(sequence)
			if err != nil {
				return err
			}
			given := points[place{a.Period, sequence}]
			if len(given) == 0 {
				continue
			}
			key, err := a.Key(given)
			if err != nil {
				return fmt.Errorf("%w: that of record %d: %w", ErrShares, sequence, err)
			}
			r.archives = append(r.archives, openArchive{s.Backup, a, key})
			clear(key[:])
		}
	}
	if len(r.archives) == 0 {
		return fmt.Errorf("%w: none of theirs is in the backup", ErrShares)
	}
	r.report.Archives = len(r.archives)
	return nil
}

// points opens what was released to this node's request.
func (r *restorer) points() (map[place][]keyarchive.Point, error) {
	own, err := releaseKey(r.cfg.KeyDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: this node has requested none (--request)", ErrShares)
	}
	if err != nil {
		return nil, err
	}
	out := map[place][]keyarchive.Point{}
	for _, a := range r.cfg.Releases {
		if a.Cluster != r.start.act.Cluster {
			return out, fmt.Errorf("%w: those of person %d are of cluster %x", ErrShares, a.Person, a.Cluster[:])
		}
		given, err := keyarchive.Take(own, a)
		if err != nil {
			return out, fmt.Errorf("%w: those of person %d: %w", ErrShares, a.Person, err)
		}
		for sequence, p := range given {
			at := place{a.Period, sequence}
			if out[at] == nil {
				out[at] = make([]keyarchive.Point, 0, len(r.cfg.Releases))
			}
			out[at] = append(out[at], p)
		}
		clear(given)
	}
	return out, nil
}

// takeKeys fills key blocks from the archives: slots that live in the restored
// history, and no others.
func (r *restorer) takeKeys(st *store.Store) error {
	if len(r.archives) == 0 {
		return nil
	}
	out, err := st.TakeKeys(func(take func(format.Slot, [32]byte) error) error {
		for _, a := range r.archives {
			if err := a.dir.OpenArchive(a.archive, a.key, take); err != nil {
				return err
			}
		}
		return nil
	})
	r.report.Blocks, r.report.Keys, r.report.Absent = r.report.Blocks+out.Blocks, out.Keys, out.Absent
	return err
}
