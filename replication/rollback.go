package replication

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// A history that is shorter than what this node signed or durably had, or another
// one, was rolled back: by an old copy, a snapshot of a disk, or a hand.

// RollbackError says that a node's history is not the one that it vouched for.
type RollbackError struct {
	Have   uint64 // records that are there
	Signed uint64 // records under the last checkpoint that the node key signed; 0: none
	Had    uint64 // records that are known to have been on this disk
	// Differs says that enough records are there, and others.
	Differs bool
	Err     error // what was found
}

func (e *RollbackError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ROLLBACK: the history holds %d records", e.Have)
	if e.Signed > 0 {
		fmt.Fprintf(&b, "; this node signed a checkpoint of %d", e.Signed)
	}
	if e.Had > e.Signed {
		fmt.Fprintf(&b, "; %d were on this disk", e.Had)
	}
	if e.Differs {
		fmt.Fprintf(&b, ": the first %d are not those that it signed", e.Signed)
	} else if to := max(e.Signed, e.Had); to > e.Have {
		fmt.Fprintf(&b, ": records %d to %d are missing", e.Have, to-1)
	}
	if e.Err != nil && e.Had == 0 { // else it says nothing more
		fmt.Fprintf(&b, " (%v)", e.Err)
	}
	return b.String()
}

// Unwrap is what was found.
func (e *RollbackError) Unwrap() []error {
	if e.Err == nil {
		return []error{errUnusable}
	}
	return []error{errUnusable, e.Err}
}

// refill is what the store is told about a history that is shorter than it was.
// The log may write it on only if it lacks nothing that was known to be committed.
func (n *Node) refill() (store.Refill, error) {
	r := store.Refill{Had: n.attestor.had(n.own.incarnation)}
	last, own := n.signer.newest(n.own.incarnation)
	if own {
		r.Had = max(r.Had, last.Size)
	} else {
		last.Entry = 0
	}
	copying, err := n.copyPending()
	if err != nil || copying {
		return r, err
	}
	first, err := n.files.bolt.FirstIndex()
	if err != nil {
		return r, err
	}
	end, err := n.files.bolt.LastIndex()
	if err != nil {
		return r, err
	}
	if end != 0 && end >= max(n.attestor.commit(), last.Entry) {
		r.Logged = first
	}
	return r, nil
}

// rolledBack makes the error of a start one of a rollback, if it is.
func (n *Node) rolledBack(err error) error {
	var short *store.ShortError
	var known *RollbackError
	last, _ := n.signer.newest(n.own.incarnation)
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &short):
		return &RollbackError{Have: short.Have, Had: short.Had, Signed: last.Size, Err: err}
	case n.store != nil && errors.Is(err, errUnusable) && n.store.DurableSize() < last.Size:
		return &RollbackError{Have: n.store.DurableSize(), Signed: last.Size, Err: err}
	}
	return err
}

// writeOn applies from the raft log what a cut history lacks. The entries up to the
// snapshot and up to what was known to be committed are; raft delivers the rest.
func (n *Node) writeOn(cut uint64) error {
	had := n.store.Refilling()
	if had == 0 {
		return nil
	}
	have := n.store.Summary().Size
	for i := n.store.Summary().Applied + 1; i <= max(cut, n.attestor.commit()); i++ {
		var l raft.Log
		if err := n.logs.GetLog(i, &l); err != nil {
			return fmt.Errorf("%w: entry %d: %w", errUnusable, i, err)
		}
		if l.Type != raft.LogCommand {
			n.store.Skip(i)
			continue
		}
		e, err := decodeEntry(i, l.Data)
		if err != nil {
			return fmt.Errorf("%w: %w", errUnusable, err)
		}
		if _, err := n.store.Apply(e); err != nil {
			return fmt.Errorf("%w: %w", errUnusable, err)
		}
	}
	if err := n.store.Flush(); err != nil {
		return err
	}
	if size := n.store.DurableSize(); size < had {
		last, _ := n.signer.newest(n.own.incarnation)
		return &RollbackError{Have: size, Had: had, Signed: last.Size}
	}
	n.log.Warn("the history was cut and is whole again: nothing is lost",
		"applied_again_from", have, "records", n.store.DurableSize(), "written_again_from", store.LogFile)
	return nil
}

// checkSigned holds the history against the last checkpoint that the node key
// signed, as far as it reaches: that of an earlier incarnation it may still be
// copying.
func (n *Node) checkSigned() error {
	c, own := n.signer.newest(n.own.incarnation)
	have := n.store.DurableSize()
	if c.Size == 0 || have < c.Size && !own {
		return nil
	}
	if have < c.Size {
		return &RollbackError{Have: have, Signed: c.Size}
	}
	root, err := n.store.RootAt(c.Size)
	if err != nil {
		return err
	}
	if root != c.Root || c.Cluster != n.own.cluster {
		return &RollbackError{Have: have, Signed: c.Size, Differs: true}
	}
	return nil
}

// lostEvery is how often a node that has no history asks the others whether they
// have.
const lostEvery = 3 * time.Second

// sayLost finds out whether so many nodes have lost their histories that nobody is
// left to copy from, and says so, in the log and in the status. One answer does
// not tell: a node may be on its way.
func (d *duties) sayLost(ctx context.Context) {
	n := d.node
	if time.Since(d.asked) < lostEvery {
		return
	}
	d.asked = time.Now()
	what := n.majorityLost(ctx)
	again := what != "" && what == d.lost
	d.lost = what
	if !again {
		n.lost.Store(nil)
		return
	}
	n.lost.Store(&what)
	if time.Since(d.said) >= time.Minute {
		d.said = time.Now()
		n.log.Error(what, "why", n.attestor.aside(), "put_aside", n.asideDirs())
	}
}

// majorityLost says that no majority of the nodes has a history any more; empty
// when one may have.
func (n *Node) majorityLost(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	if n.leaderName() != "" {
		return ""
	}
	members, without := len(n.members()), 1
	for _, m := range n.others() {
		c, err := n.peers.get(m.Name)
		if err != nil {
			continue
		}
		r, err := c.Status(ctx, &nodev1.StatusRequest{})
		if err != nil {
			continue
		}
		if r.Leader != "" {
			return ""
		}
		if r.State == stateJoining {
			without++
		}
	}
	if members-without >= members/2+1 {
		return ""
	}
	return fmt.Sprintf("%d of %d nodes have no history of their own any more: no majority is left to go on or to copy from. "+
		"What was put aside is kept; do not remove it", without, members)
}

// sayAside says at every start, until this incarnation is whole and votes, why the
// one before it is not used any more.
func (n *Node) sayAside() {
	why := n.attestor.aside()
	if why == "" {
		return
	}
	n.log.Error(why, "put_aside", n.asideDirs())
	n.startDamage = append(n.startDamage, &format.DamageError{File: "history", Offset: -1, What: why})
}

// asideDirs are the data directories that were put aside and are still there.
func (n *Node) asideDirs() []string {
	dirs, err := filepath.Glob(n.cfg.DataDir + goneSuffix + "*")
	if err != nil {
		return nil // of a malformed pattern only
	}
	return dirs
}
