package witness

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/service/client/cosign"
	"github.com/sago-worm/sago/store/format"
)

// Names in the folder of a log (docs/formats/witness-files.md).
const (
	newestFile  = "checkpoint"
	keptFile    = "kept.note"
	offeredFile = "offered.note"
	proofFile   = "offered.proof"
)

// How many proofs are kept of one log. Only the holders of a majority of the node
// keys can make a fork or rollback; a suspicion, whoever saw a checkpoint.
const (
	maxProven     = 64
	maxSuspicions = 16
)

func logDir(dir, origin string) string { return filepath.Join(dir, cosign.OriginHash(origin)) }

// readNewest reads what cosign kept. A note that this key did not sign is not
// taken: the witness would contradict itself by it.
func readNewest(dir string, key format.NoteKey) (n note, err error) {
	path := filepath.Join(dir, newestFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	if n.Note, err = format.ParseNote(string(raw)); err == nil {
		n.cp, err = format.ParseCheckpoint(n.Text)
	}
	if err != nil {
		return n, fmt.Errorf("%s: %w", path, err)
	}
	if _, ok := n.LineOf(key); !ok {
		return n, fmt.Errorf("%s: not cosigned by %s: restore the file, or begin in another directory under another name", path, key.Name)
	}
	return n, nil
}

// accuse keeps both signed notes and the offered proof. What cannot be kept is
// refused all the same.
func (w *Witness) accuse(st *state, what string, a format.AddCheckpoint, offered note) {
	digest := sha256.Sum256([]byte(offered.Text))
	name := fmt.Sprintf("%s-%d-%x", what, offered.cp.Size, digest[:6]) // offered again, it is kept once
	log := w.log.With("origin", st.Origin, "kept_size", st.newest.cp.Size, "offered_size", offered.cp.Size,
		"kept_root", hash64(st.newest.cp.Root), "offered_root", hash64(offered.cp.Root), "proof", name)
	new, err := st.keepProof(name, what, a, offered)
	switch {
	case err != nil:
		log.Error(strings.ToUpper(what)+": not cosigned, and the proof could not be kept", "error", err)
	case new:
		log.Error(strings.ToUpper(what) + ": not cosigned; both signed checkpoints are kept as proof")
	default:
		log.Warn(strings.ToUpper(what) + ": offered again")
	}
}

func hash64(d format.Digest) string { return base64.StdEncoding.EncodeToString(d[:]) }

// errFull means that no more proofs are kept of a log.
var errFull = errors.New("as many as are kept")

// keepProof writes kept.note last: a folder without it was cut short, and is
// written again.
func (st *state) keepProof(name, what string, a format.AddCheckpoint, offered note) (new bool, err error) {
	dir := filepath.Join(st.dir, name)
	if _, err := os.Stat(filepath.Join(dir, keptFile)); err == nil {
		return false, nil
	}
	proofs, suspicions, err := countProofs(st.dir)
	if err != nil {
		return false, err
	}
	if what == suspicion && suspicions >= maxSuspicions || what != suspicion && proofs >= maxProven {
		return false, errFull
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	var proof strings.Builder
	fmt.Fprintf(&proof, "old %d\n", a.Old)
	for _, h := range a.Proof {
		fmt.Fprintln(&proof, hash64(h))
	}
	for _, f := range []struct{ name, text string }{
		{proofFile, proof.String()}, {offeredFile, offered.Note.String()}, {keptFile, st.newest.Note.String()},
	} {
		if err := durable.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o600); err != nil {
			return false, err
		}
	}
	return true, durable.SyncDir(st.dir)
}

// countProofs counts the folders of proofs of a log.
func countProofs(dir string) (proofs, suspicions int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		switch what, _, _ := strings.Cut(e.Name(), "-"); what {
		case fork, rollback:
			proofs++
		case suspicion:
			suspicions++
		}
	}
	return proofs, suspicions, nil
}

// Report is what a witness's directory holds of one log.
type Report struct {
	Origin     string
	Newest     format.Note
	Checkpoint format.Checkpoint
	Proofs     []string // folders of forks and rollbacks
	Suspicions []string
}

// Show reads a witness's directory, also while the witness runs.
func Show(dir string) (Key, []Report, error) {
	key, err := ReadKey(dir)
	if err != nil {
		return key, nil, err
	}
	folders, err := os.ReadDir(dir)
	if err != nil {
		return key, nil, err
	}
	var all []Report
	for _, f := range folders {
		if !f.IsDir() {
			continue
		}
		r, err := report(filepath.Join(dir, f.Name()), key.Public())
		if err != nil {
			return key, all, err
		}
		if r.Origin != "" {
			all = append(all, r)
		}
	}
	return key, all, nil
}

func report(dir string, key format.NoteKey) (r Report, err error) {
	n, err := readNewest(dir, key)
	if err != nil || n.Text == "" {
		return r, err
	}
	r = Report{Origin: format.Origin(n.cp.Cluster), Newest: n.Note, Checkpoint: n.cp}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		switch what, _, _ := strings.Cut(e.Name(), "-"); what {
		case fork, rollback:
			r.Proofs = append(r.Proofs, filepath.Join(dir, e.Name()))
		case suspicion:
			r.Suspicions = append(r.Suspicions, filepath.Join(dir, e.Name()))
		}
	}
	return r, err
}
