package replication

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// copyingFile stands in the data directory while its state is being copied from
// a peer: what is there is not yet the state at the log's beginning.
const copyingFile = "COPYING"

// goneSuffix marks a data directory that was put aside; the id of the start that
// did it follows.
const goneSuffix = ".gone-"

// logFile is the open raft log and stable store.
type logFile struct {
	bolt   *raftboltdb.BoltStore
	stable *stableStore
	fresh  bool
}

// Close closes the file.
func (f *logFile) Close() error { return f.bolt.Close() }

// errUnusable marks data that this node must not use again.
var errUnusable = errors.New("data directory cannot be used again")

func isDamage(err error) bool {
	var d *format.DamageError
	return errors.As(err, &d)
}

// openData opens the data directory, or begins a new incarnation where there is
// none, or none that may be used.
func (n *Node) openData(ctx context.Context) error {
	m, err := store.ReadManifest(n.cfg.DataDir)
	switch {
	case errors.Is(err, store.ErrNoData):
		m, err = n.beginIncarnation("")
	case err == nil && (m.Cluster != n.start.act.Cluster || m.Node != n.start.node.Number):
		return fmt.Errorf("%s belongs to node %d of cluster %x, not to node %d of cluster %x", n.cfg.DataDir, m.Node, m.Cluster[:], n.start.node.Number, n.start.act.Cluster[:])
	case err == nil && m.Production != n.start.ceremony.Production:
		return errors.New("production and development never open each other's data")
	case err == nil && m.Ceremony != n.start.digest:
		return errors.New("the data directory began with another ceremony")
	}
	if err == nil {
		err = n.openIncarnation(ctx, m)
	}
	if err == nil || !isDamage(err) && !errors.Is(err, errUnusable) {
		return err
	}
	var back *RollbackError
	if errors.As(err, &back) {
		n.log.Error(back.Error())
	}
	if n.alone() {
		return fmt.Errorf("there is no other node to copy from, and nothing is changed: %w", err)
	}
	n.log.Error("data directory is not used again; the node rejoins as a new incarnation", "error", err)
	if err := n.putAside(); err != nil {
		return err
	}
	if m, err = n.beginIncarnation(err.Error()); err != nil {
		return err
	}
	return n.openIncarnation(ctx, m)
}

// beginIncarnation makes an empty data directory: the ceremony's own incarnation
// at the node's very first start, a new one ever after. aside says why the one
// before was put aside, if it was.
func (n *Node) beginIncarnation(aside string) (store.Manifest, error) {
	m := store.Manifest{Cluster: n.start.act.Cluster, Node: n.start.node.Number, Incarnation: n.start.node.Incarnation,
		Production: n.start.ceremony.Production, Ceremony: n.start.digest}
	if n.attestor.have.Incarnation != "" {
		m.Incarnation = randomID()
	}
	if err := store.Create(n.cfg.DataDir, m); err != nil {
		return m, err
	}
	return m, n.attestor.begin(m.Incarnation, aside)
}

// putAside moves the data directory out of the way. It is destroyed once the new
// incarnation is whole; until then it may be the last copy of something.
func (n *Node) putAside() error {
	suffix := goneSuffix + hex.EncodeToString(n.startID[:8])
	if n.cfg.Custodian != nil {
		return n.cfg.Custodian.PutAside(suffix)
	}
	aside := n.cfg.DataDir + suffix
	if err := os.Rename(n.cfg.DataDir, aside); err != nil {
		return fmt.Errorf("putting the data directory aside: %w", err)
	}
	return durable.SyncDir(filepath.Dir(n.cfg.DataDir))
}

// openIncarnation opens log and store and holds them against what this
// incarnation is known to have had.
func (n *Node) openIncarnation(ctx context.Context, m store.Manifest) error {
	n.own = identityOf{cluster: m.Cluster, number: m.Node, name: n.cfg.Name, incarnation: m.Incarnation}
	snapshot, err := (&markerStore{dir: n.cfg.DataDir}).read()
	if err != nil {
		return err
	}
	cut := uint64(0)
	if snapshot != nil {
		cut = snapshot.Index
	}
	if err := n.openLogFile(cut); err != nil {
		return err
	}
	err = n.openStore(ctx, cut)
	if err == nil {
		err = n.writeOn(cut)
	}
	if err == nil {
		err = n.checkAttested()
	}
	if err == nil {
		err = n.checkSigned()
	}
	if err == nil {
		err = n.checkCut(cut)
	}
	if err = n.rolledBack(err); err != nil {
		if n.store != nil {
			err = errors.Join(err, n.store.Abandon())
			n.store = nil
		}
		return errors.Join(err, n.files.Close())
	}
	return nil
}

// checkCut settles what a kill in the middle of an installed snapshot leaves. Rows
// of the log that end below the cut go: what follows the cut would stand behind a
// gap. And a state that lacks an operation below the cut, which nobody will
// deliver any more, has to be copied.
func (n *Node) checkCut(cut uint64) error {
	first, err := n.files.bolt.FirstIndex()
	if err != nil {
		return err
	}
	last, err := n.files.bolt.LastIndex()
	if err != nil {
		return err
	}
	if err := n.checkApplied(cut, first, last); err != nil {
		return err
	}
	if last != 0 && last < cut {
		return n.files.bolt.DeleteRange(first, last)
	}
	return nil
}

// checkApplied begins to copy where an entry between what is applied and the cut
// is an operation, or is not in the log to tell.
func (n *Node) checkApplied(cut, first, last uint64) error {
	for i := n.store.Summary().Applied + 1; i <= cut; i++ {
		missing := last == 0 || i < first || i > last
		if !missing {
			var l raft.Log
			if err := n.files.bolt.GetLog(i, &l); err != nil {
				return err
			}
			missing = l.Type == raft.LogCommand
		}
		if missing {
			return durable.WriteFile(filepath.Join(n.cfg.DataDir, copyingFile), nil, 0o600)
		}
	}
	return nil
}

func (n *Node) openStore(ctx context.Context, cut uint64) error {
	copying, err := n.copyPending()
	if err != nil {
		return err
	}
	first := cut + 1
	if copying {
		first = 0 // the history is not yet whole up to the cut
	}
	refill, err := n.refill()
	if err != nil {
		return err
	}
	n.store, err = store.Open(ctx, store.Options{Dir: n.cfg.DataDir, Root: n.keys.Root, Former: n.keys.former, FirstLogged: first, Refill: refill, Probe: n.cfg.Probe,
		Custodian: n.cfg.Custodian, OnDamage: n.foundDamage, Notify: n.noticed})
	if err != nil {
		return err
	}
	n.attestor.room = func() error { _, err := n.store.KeepRoom(); return err }
	n.logs, err = newLogStore(n.files.bolt, n.store, n.fail, n.gotStub, func() uint64 { return n.store.Summary().Applied })
	return err
}

// openLogFile opens the raft log and checks every row of it: a node that lost
// part of its log must not vote on what is left.
func (n *Node) openLogFile(cut uint64) error {
	path := filepath.Join(n.cfg.DataDir, store.LogFile)
	_, err := os.Stat(path)
	fresh := errors.Is(err, os.ErrNotExist)
	if fresh && cut > 0 {
		return &format.DamageError{File: store.LogFile, Offset: -1, What: "missing raft log"}
	}
	if !fresh {
		probe := n.cfg.Probe
		if probe == nil {
			probe = store.CheckLogFile
		}
		if err := probe(path); err != nil {
			if !isDamage(err) {
				return fmt.Errorf("looking at the raft log: %w", err) // nothing is known of it
			}
			return &format.DamageError{File: store.LogFile, Offset: -1, What: "raft log", Err: err}
		}
	}
	bolt, err := openLog(path)
	if err != nil {
		return err
	}
	f := &logFile{bolt: bolt, fresh: fresh}
	f.stable = &stableStore{bolt: bolt, attest: func(term uint64) error { return n.attestor.raise(0, term, 0, format.Digest{}) }, failed: n.fail}
	n.files = f
	if fresh {
		err = f.stable.begin()
	} else {
		err = f.check(cut)
	}
	if err != nil {
		return errors.Join(err, bolt.Close())
	}
	return nil
}

// check reads every row of the log: each under its own index, none missing.
func (f *logFile) check(cut uint64) error {
	for _, key := range [][]byte{keyTerm, keyVoteTerm} {
		if _, err := f.stable.GetUint64(key); err != nil {
			return err
		}
	}
	if _, err := f.stable.Get(keyVoteCand); err != nil {
		return err
	}
	first, err := f.bolt.FirstIndex()
	if err != nil {
		return err
	}
	last, err := f.bolt.LastIndex()
	if err != nil {
		return err
	}
	if last != 0 && first > cut+1 {
		return &format.DamageError{File: store.LogFile, Offset: -1, What: fmt.Sprintf("log begins at %d, the snapshot ends at %d", first, cut)}
	}
	for i := first; i <= last && last != 0; i++ {
		var row raft.Log
		err := f.bolt.GetLog(i, &row)
		if err == nil && row.Index != i {
			err = fmt.Errorf("it is entry %d", row.Index)
		}
		if err == nil {
			_, err = openLogRow(&row)
		}
		if err != nil {
			return &format.DamageError{File: store.LogFile, Offset: -1, What: fmt.Sprintf("log entry %d", i), Err: err}
		}
	}
	return nil
}

// checkAttested gives an incarnation up whose data is older than it once was.
func (n *Node) checkAttested() error {
	last, err := n.lastIndex()
	if err != nil {
		return err
	}
	term, err := n.files.stable.GetUint64(keyTerm)
	if err != nil {
		return err
	}
	if err := n.attestor.check(n.own.incarnation, last, term, n.store.DurableSize()); err != nil {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	if err := n.attestor.checkRoot(n.store.RootAt); err != nil {
		return err
	}
	if n.attestor.have.Incarnation == "" {
		return n.attestor.begin(n.own.incarnation, "")
	}
	return n.attestor.stopped(0)
}

// lastIndex is the last log index that this node durably has, in the log or
// under a snapshot.
func (n *Node) lastIndex() (uint64, error) {
	last, err := n.files.bolt.LastIndex()
	if err != nil {
		return 0, err
	}
	snapshot, err := (&markerStore{dir: n.cfg.DataDir}).read()
	if err == nil && snapshot != nil {
		last = max(last, snapshot.Index)
	}
	return last, err
}

// alone reports whether the cluster has no other node.
func (n *Node) alone() bool { return len(n.start.ceremony.Nodes) == 1 && !n.start.admitted }

// giveUp marks the incarnation as one that may not be used again. A node that is
// alone keeps its own: there is nothing to copy from.
func (n *Node) giveUp(why error) error {
	if n.alone() {
		return nil
	}
	return n.attestor.giveUp(why.Error())
}

func (n *Node) copyPending() (bool, error) {
	_, err := os.Stat(filepath.Join(n.cfg.DataDir, copyingFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// installing notes, durably and before the snapshot's own marker, that the state
// must be copied: the entries up to index will never be delivered here.
func (n *Node) installing(index uint64) error {
	n.applying.Lock()
	defer n.applying.Unlock()
	if index <= n.fsm.target.Load() {
		return nil // this node's own snapshot, of what it was given
	}
	n.fsm.target.Store(index)
	return n.beginCopy()
}

// beginCopy notes, durably, that the state must be copied. The caller holds
// applying.
func (n *Node) beginCopy() error {
	if err := durable.WriteFile(filepath.Join(n.cfg.DataDir, copyingFile), nil, 0o600); err != nil {
		return err
	}
	n.fsm.copying.Store(true)
	n.noticed(0)
	return nil
}

// noticed wakes the duties, and notes what the duties give way to.
func (n *Node) noticed(a format.Action) {
	switch a {
	case format.ActStore, format.ActRead, format.ActUse:
		n.requested()
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}
