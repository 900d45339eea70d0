package replication

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// ErrNotNow is returned by Rekey for a node that cannot change its root key at
// present; the text says why.
var ErrNotNow = errors.New("the root key cannot be changed now")

// Rekeyed is what a root key rotation found.
type Rekeyed struct {
	store.Rotation
	Root format.Digest // public id of the new root key
	// Recorded says that the rotation is in the history; without it the node
	// records it once it can.
	Recorded bool
}

// rotation changes the root key of one node, running or not, from wherever an
// earlier attempt left it. Its steps are numbered in docs/operations.md.
type rotation struct {
	dir  string // the key directory
	keys store.Keys
	// record puts the effect on record; nil where no node runs.
	record func(context.Context, format.KeyEffect) error
	// fault is asked before (done false) and after each step on the key directory;
	// tests fail there.
	fault func(step string, done bool) error

	mu    sync.Mutex // one attempt at a time; guards what follows
	state rotationState
	found *Rekeyed // of this process, once the old key is destroyed
}

// rotate finishes a rotation that was begun, then does another. Where nothing can
// be recorded the first is all that is done.
func (r *rotation) rotate(ctx context.Context) (Rekeyed, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != rotationNone {
		if done, err := r.goOn(ctx); err != nil || r.state != rotationNone {
			return done, err
		}
	}
	if err := r.begin(ctx); err != nil {
		return Rekeyed{}, fmt.Errorf("root key: %w", err)
	}
	return r.goOn(ctx)
}

// resume goes on with a rotation that was begun; without one it does nothing.
func (r *rotation) resume(ctx context.Context) (done Rekeyed, pending bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == rotationNone {
		return done, false, nil
	}
	done, err = r.goOn(ctx)
	return done, true, err
}

func (r *rotation) begin(ctx context.Context) error {
	if err := r.keys.Opens(ctx); err != nil {
		return err
	}
	if err := tidyRoots(r.dir); err != nil {
		return err
	}
	next := drawRoot()
	defer clear(next[:])
	path := filepath.Join(r.dir, rootKeyFile)
	err := r.step("keep former", func() error {
		if err := os.Link(path, filepath.Join(r.dir, formerFile)); err != nil {
			return err
		}
		return durable.SyncDir(r.dir)
	})
	if err != nil {
		return err
	}
	if err := r.step("write root key", func() error { return writeRoot(path, next) }); err != nil {
		return err
	}
	if err := r.keys.Rotate(next); err != nil {
		return err
	}
	r.state = rotationRewrapping
	return nil
}

func (r *rotation) goOn(ctx context.Context) (Rekeyed, error) {
	if r.found == nil {
		found, err := r.destroyFormer(ctx)
		if err != nil {
			return Rekeyed{}, err
		}
		r.state, r.found = rotationRecording, &found
	}
	done := *r.found
	if r.record == nil {
		return done, nil
	}
	effect := format.KeyEffect{Verb: format.KeyRewrap, Slots: uint32(done.Live), Root: done.Root}
	if err := r.step("record", func() error { return r.record(ctx, effect) }); err != nil {
		return done, fmt.Errorf("recording the root key rotation: %w", err)
	}
	done.Recorded = true
	if err := r.step("end", func() error { return durable.Remove(filepath.Join(r.dir, formerFile)) }); err != nil {
		return done, fmt.Errorf("root key: %w", err)
	}
	r.state, r.found = rotationNone, nil
	return done, nil
}

// destroyFormer has every slot sealed under the new root key and destroys the old
// one, once the new one is seen on disk.
func (r *rotation) destroyFormer(ctx context.Context) (Rekeyed, error) {
	found, err := r.keys.Rewrap(ctx)
	if err != nil {
		return Rekeyed{}, err
	}
	root, err := readRoot(filepath.Join(r.dir, rootKeyFile))
	defer clear(root[:])
	if err == nil && !r.keys.RootIs(root) {
		err = errors.New("the file does not hold the key that is in use")
	}
	if err == nil && r.state == rotationRewrapping {
		err = r.step("wipe former", func() error { return wipeFile(filepath.Join(r.dir, formerFile)) })
	}
	if err != nil {
		return Rekeyed{}, fmt.Errorf("root key: %w", err)
	}
	return Rekeyed{Rotation: found, Root: r.keys.RootID()}, r.keys.Forget()
}

func (r *rotation) step(name string, fn func() error) error {
	if err := r.ask(name, false); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return r.ask(name, true)
}

func (r *rotation) ask(step string, done bool) error {
	if r.fault == nil {
		return nil
	}
	return r.fault(step, done)
}

// Rekey changes this node's root key while it works: every key slot is sealed
// under a new one, and the old one is destroyed. An earlier rotation that is not
// finished is finished first. What fails once it has begun, the node goes on with
// by itself; ErrNotNow says that nothing was begun.
func (n *Node) Rekey(ctx context.Context) (Rekeyed, error) {
	if err := n.failed(); err != nil {
		return Rekeyed{}, fmt.Errorf("%w: the node has stopped: %w", ErrNotNow, err)
	}
	if n.fsm.copying.Load() {
		return Rekeyed{}, fmt.Errorf("%w: the node copies its state", ErrNotNow)
	}
	if err := nothingAside(n.cfg.DataDir); err != nil {
		return Rekeyed{}, err
	}
	done, err := n.rotation.rotate(ctx)
	n.sayRekeyed(done, err)
	return done, err
}

// nothingAside refuses while a data directory that was put aside waits to be
// destroyed: what it holds is sealed under the root key that would go.
func nothingAside(dataDir string) error {
	aside, err := filepath.Glob(dataDir + goneSuffix + "*")
	if err == nil && len(aside) > 0 {
		err = fmt.Errorf("%w: %s was put aside and is not destroyed yet", ErrNotNow, aside[0])
	}
	return err
}

// RekeyStopped is Rekey for a node that does not run: the caller holds its lock.
// The node's next start records the rotation.
func RekeyStopped(ctx context.Context, dataDir, keyDir string) (done Rekeyed, err error) {
	if err := nothingAside(dataDir); err != nil {
		return done, err
	}
	root, former, state, err := readRoots(keyDir)
	defer clear(root[:])
	defer clear(former[:])
	if err != nil {
		return done, fmt.Errorf("node keys: %w", err)
	}
	if state == rotationRecording {
		return done, fmt.Errorf("%w: the rotation before is not on record; the node's next start records it", ErrNotNow)
	}
	keys, err := store.OpenKeys(dataDir, root, former)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	return (&rotation{dir: keyDir, keys: keys, state: state}).rotate(ctx)
}

// rekeyEvery is how often a node goes on with a rotation that was cut short.
const rekeyEvery = 2 * time.Second

// resumeRekey goes on with a rotation that an earlier process, or a failure, left.
func (n *Node) resumeRekey(ctx context.Context) {
	tick := time.NewTicker(rekeyEvery)
	defer tick.Stop()
	for {
		if n.failed() == nil {
			done, pending, err := n.rotation.resume(ctx)
			if pending && ctx.Err() == nil {
				n.sayRekeyed(done, err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *Node) sayRekeyed(done Rekeyed, err error) {
	if err != nil {
		n.log.Warn("root key rotation", "error", err)
		return
	}
	for _, s := range done.Damaged {
		n.log.Error("damage found", "error", fmt.Sprintf("key slot %s: left as it is by the root key rotation", s))
	}
	n.log.Info("root key rotated", "slots", done.Live, "damaged", len(done.Damaged))
}

// recordRekey records a rotation. The operation's id follows from the new key, so
// that asking again after a crash records nothing twice.
func (n *Node) recordRekey(ctx context.Context, e format.KeyEffect) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	e.Owner = n.own.number
	r, err := n.Submit(ctx, store.Op{ID: format.ID(e.Root[:16]), Kind: store.KindKey, Body: format.EncodeEffect(e)})
	if err == nil && r.Outcome == store.Refused {
		err = fmt.Errorf("refused: %s: %s", r.Reason, r.Why)
	}
	return err
}
