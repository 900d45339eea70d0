package replication

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
)

// RestoreConfig says what a node's data is restored from.
type RestoreConfig struct {
	Name            string
	DataDir, KeyDir string
	Ceremony        format.SignedAct
	Admitted        *format.CeremonyNode // as in Config
	// From are backups, exports of the tree and nodes' data directories, in any order.
	From []string
	// Checkpoints are signed notes that were kept elsewhere, by where.
	Checkpoints map[string]string
	// Blocks, when set, is a data directory whose key blocks survived, sealed under
	// Root.
	Blocks string
	Root   *store.RootKey
	// Releases are what holders released of key archives, to this node's request.
	Releases []format.Release
	// Act, when set, declares a loss, or names new keys of nodes that lost theirs.
	Act *format.SignedAct
	// Keys are new keys that an act is to name, while there is none.
	Keys []format.NodeKey
	// Check does everything that can be refused and changes nothing.
	Check bool
	// Progress, when set, is called now and then with the records that are in.
	Progress func(done, of uint64)
}

// RestoreReport says what was restored.
type RestoreReport struct {
	Params format.RestoreParams // of the surviving history; Lost is 0 when nothing known is
	Clock  int64                // quorum clock there, microseconds
	// Behind is how many records this node once had behind the surviving history,
	// that no checkpoint covers.
	Behind      uint64
	Sequence    uint64 // of the RESTORE record
	Incarnation format.ID
	Bundles     uint64 // bundles whose ciphertext is here
	Missing     uint64 // live bundles whose ciphertext no backup holds
	Blocks      int    // key blocks
	// Archives is how many key archives were opened, Keys how many live keys came out
	// of them, and Absent how many live keys of the same blocks did not.
	Archives     int
	Keys, Absent uint64
}

// ErrNotEmpty refuses a data directory that holds anything.
var ErrNotEmpty = errors.New("a node is restored into an empty data directory only")

// restoreTerm is raft's term at the beginning of a restored log: the incarnations
// are new, and so is their count.
const restoreTerm = 1

// restoringSuffix names the data directory until it is whole.
const restoringSuffix = ".restoring"

// restorer is one restore.
type restorer struct {
	cfg      RestoreConfig
	start    start
	keys     Keys
	attestor *attestor
	signer   *signer
	sources  []*backup.Source
	choice   *backup.Choice
	archives []openArchive
	report   RestoreReport
	act      []byte               // encoded; nil without one
	params   format.RestoreParams // of the act
	named    []format.NodeKey     // by the act, or the one that is to be drafted
	actSum   format.Digest
}

// Restore makes the data directory of a stopped node from what survived. Until
// everything is checked nothing is changed, and the directory appears whole. A
// history that does not reach a known checkpoint is a *backup.LostError, unless the
// act declares the loss; the report then says what the act is about.
func Restore(ctx context.Context, c RestoreConfig) (RestoreReport, error) {
	r := &restorer{cfg: c}
	defer func() { clear(r.archives) }()
	if err := r.look(ctx); err != nil || c.Check {
		return r.report, err
	}
	return r.report, r.build(ctx)
}

// look checks all that can be refused.
func (r *restorer) look(ctx context.Context) error {
	c := r.cfg
	var err error
	if r.start, err = readStart(Config{Name: c.Name, KeyDir: c.KeyDir, Ceremony: c.Ceremony, Admitted: c.Admitted}, false); err != nil {
		return err
	}
	if r.keys, err = LoadKeys(c.KeyDir); err != nil {
		return err
	}
	if r.attestor, err = openAttestor(c.KeyDir); err != nil {
		return err
	}
	if r.signer, err = openSigner(c.KeyDir, r.keys.sign); err != nil {
		return err
	}
	if err := isEmpty(c.DataDir); err != nil {
		return err
	}
	if err := r.readAct(); err != nil {
		return err
	}
	if err := r.start.judged(r.choose(ctx), c.KeyDir); err != nil {
		return err
	}
	if size := r.attestor.have.Size; size > r.choice.Checkpoint.Size {
		r.report.Behind = size - r.choice.Checkpoint.Size
	}
	return r.start.judged(r.settleAct(), c.KeyDir)
}

// choose opens what survived and finds the longest history in it.
func (r *restorer) choose(ctx context.Context) error {
	c, trust := r.cfg, r.start.trust()
	for _, path := range c.From {
		s, err := backup.OpenSource(ctx, path, trust)
		if err != nil {
			return err
		}
		r.sources = append(r.sources, s)
	}
	if err := r.openArchives(ctx); err != nil {
		return err
	}
	known, err := r.known(trust)
	if err != nil {
		return err
	}
	r.choice, err = backup.Choose(ctx, r.sources, known)
	if r.choice != nil {
		at := r.choice.Checkpoint
		r.report.Params, r.report.Clock = format.RestoreParams{Size: at.Size, Root: at.Root, Keys: c.Keys}, at.Clock
	}
	var lost *backup.LostError
	if errors.As(err, &lost) {
		r.report.Params.Lost = lost.To
		err = r.declared(lost)
	}
	return err
}

// known are the checkpoints that a history has to reach.
func (r *restorer) known(trust backup.Trust) ([]backup.Known, error) {
	var out []backup.Known
	if c, _ := r.signer.newest(format.ID{}); c.Size > 0 {
		if c.Cluster != trust.Cluster {
			return nil, fmt.Errorf("%s is of cluster %x", r.signer.path, c.Cluster[:])
		}
		out = append(out, backup.Known{Checkpoint: c, By: "the checkpoint that this node's key last signed"})
	}
	for where, note := range r.cfg.Checkpoints {
		c, err := trust.Verify(note)
		if err != nil {
			return nil, fmt.Errorf("checkpoint %s: %w", where, err)
		}
		out = append(out, backup.Known{Checkpoint: c, By: "the checkpoint " + where})
	}
	return out, nil
}

// readAct reads what the act says.
func (r *restorer) readAct() error {
	keys := r.cfg.Keys
	if r.cfg.Act != nil {
		p, err := store.CheckRestoreAct(*r.cfg.Act, r.start.act.Cluster, r.start.ceremony)
		if err != nil {
			return err
		}
		r.params, r.act, r.actSum = p, r.cfg.Act.Encode(), sha256.Sum256(r.cfg.Act.Document)
		keys = p.Keys
	}
	r.named = keys
	return store.CheckNodeKeys(keys)
}

// declared lets a loss pass that an act declares.
func (r *restorer) declared(lost *backup.LostError) error {
	if r.act == nil || !r.params.DeclaresLoss() {
		return lost
	}
	return nil
}

// settleAct holds the act and this node's key against the surviving history, and
// refuses to begin the same restored incarnation twice.
func (r *restorer) settleAct() error {
	at := r.choice.Checkpoint
	if err := r.ownKey(at.Size); err != nil {
		return err
	}
	if p := r.params; r.act != nil {
		if p.Size != at.Size || p.Root != at.Root {
			return fmt.Errorf("the act is about a surviving history of %d records with root %x, this one has %d and %x", p.Size, p.Root[:], at.Size, at.Root[:])
		}
		if err := store.CheckRestoreTime(r.cfg.Act.Document, at.Clock, r.start.ceremony.Time); err != nil {
			return err
		}
		r.report.Params = p
	}
	r.report.Incarnation = format.RestoredIncarnation(r.start.act.Cluster, r.start.node.Number, at.Size, at.Root, r.actSum)
	have := r.attestor.have
	if have.Incarnation == hex.EncodeToString(r.report.Incarnation[:]) && have.Commit > 0 {
		return fmt.Errorf("this node has run on a restore of these %d records before; bring what it wrote since, or declare the loss of it", at.Size)
	}
	return nil
}

func isEmpty(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(list) > 0 {
		err = fmt.Errorf("%w: %s holds %s", ErrNotEmpty, dir, list[0].Name())
	}
	return err
}

// build makes the directory under another name, and gives it its own when it is
// whole. What stands beside the keys is written first: a node that starts in
// between finds no data and joins as one that lost it.
func (r *restorer) build(ctx context.Context) error {
	dir := r.cfg.DataDir + restoringSuffix
	if _, err := os.Lstat(dir); err == nil {
		if err := store.DestroyUnfinished(dir); err != nil {
			return err
		}
	}
	m := store.Manifest{Cluster: r.start.act.Cluster, Node: r.start.node.Number, Incarnation: r.report.Incarnation,
		Production: r.start.ceremony.Production, Ceremony: r.start.digest}
	if err := store.Create(dir, m); err != nil {
		return err
	}
	begun, err := r.fill(ctx, dir)
	if err != nil {
		return err
	}
	r.report.Sequence = begun.Sequence
	if err := beginRaft(dir, begun); err != nil {
		return err
	}
	if r.act != nil && r.params.DeclaresLoss() {
		if err := r.signer.forget(); err != nil {
			return err
		}
	}
	if err := r.turn(); err != nil {
		return err
	}
	if err := r.attestor.begin(r.report.Incarnation, ""); err != nil {
		return err
	}
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	if err := os.Rename(dir, r.cfg.DataDir); err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(r.cfg.DataDir)); err != nil {
		return err
	}
	if err := settleTurns(r.cfg.KeyDir, r.cfg.DataDir); err != nil || len(r.archives) == 0 {
		return err
	}
	return forgetRequest(r.cfg.KeyDir)
}

// fill puts history, state, payload and keys into an empty store, by the code of
// every day: that of a node which copies from a peer.
func (r *restorer) fill(ctx context.Context, dir string) (begun store.Restored, err error) {
	st, err := store.Open(ctx, store.Options{Dir: dir, Root: r.keys.Root})
	if err != nil {
		return begun, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Abandon())
			return
		}
		err = st.Close()
	}()
	if err := r.history(ctx, st); err != nil {
		return begun, err
	}
	if begun, err = st.BeginRestored(r.act); err != nil {
		return begun, err
	}
	if err := r.payload(ctx, st); err != nil {
		return begun, err
	}
	if r.cfg.Blocks != "" {
		root := r.keys.Root
		if r.cfg.Root != nil {
			root = *r.cfg.Root
		}
		if r.report.Blocks, err = st.TakeBlocks(r.cfg.Blocks, root); err != nil {
			return begun, err
		}
	}
	return begun, r.takeKeys(st)
}

func (r *restorer) history(ctx context.Context, st *store.Store) error {
	at := r.choice.Checkpoint
	if r.choice.Begins != nil {
		if err := takeKept(ctx, st, r.choice.Begins); err != nil {
			return err
		}
	}
	err := r.choice.Range(ctx, st.CopiedSize(), func(seq uint64, encoded []byte) error {
		if r.cfg.Progress != nil && seq%4096 == 0 {
			r.cfg.Progress(seq, at.Size)
		}
		return st.Copy(encoded)
	})
	if err != nil {
		return err
	}
	return st.Adopt(ctx, at)
}

// takeKept takes a backup's beginning in.
func takeKept(ctx context.Context, st *store.Store, d *backup.Dir) error {
	b, p := d.Beginning(), d.Parts(ctx)
	defer p.Stop()
	return st.TakeBeginning(ctx, store.Beginning{Whole: b.Whole, Decided: b.Decided, Entry: b.Entry}, p.Base, p.Leaf, p.Record)
}

// payloadBatch is how many bytes of ciphertext are made durable at once, about.
const payloadBatch = 16 << 20

// payload takes in the ciphertext of every bundle that lives in the restored
// state: what a record says has ended stays out.
func (r *restorer) payload(ctx context.Context, st *store.Store) error {
	live := map[uint64]bool{}
	if err := st.EachLive(ctx, func(row *format.BundleRow) error { live[row.Store] = true; return nil }); err != nil {
		return err
	}
	var batch []format.Chunk
	size := 0
	flush := func() error {
		err := st.AppendChunks(batch)
		batch, size = nil, 0
		return err
	}
	for _, s := range r.sources {
		if s.Backup == nil {
			continue
		}
		err := s.Backup.Bundles(ctx, func(seq uint64) bool { return live[seq] }, func(seq uint64, chunks []format.Chunk) error {
			delete(live, seq)
			r.report.Bundles++
			for _, c := range chunks {
				batch, size = append(batch, c), size+len(c.Sealed)
			}
			if size < payloadBatch {
				return nil
			}
			return flush()
		})
		if err == nil {
			err = flush()
		}
		if err != nil {
			return err
		}
	}
	var err error
	r.report.Missing, err = st.Unpaid(ctx)
	return err
}
