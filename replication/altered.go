package replication

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	nodev1 "github.com/sago-worm/sago/proto/sago/node/v1"
	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// What a node does whose rows are not the majority's: it names the first
// difference and builds its rows again from its own history.

// judge holds this node's rows against the newest STATE record, once for each.
func (s *scrubber) judge(ctx context.Context) error {
	e, ok := s.node.store.StateRecord()
	if !ok || e.Mark.Entry == s.judged {
		return nil
	}
	var where string
	err := s.at(ctx, e.Mark.Entry, func(v *store.StateView, d store.StateDigest) error {
		if d.Digest == e.Rows && d.Count == e.Count {
			return nil
		}
		where = s.node.differsFrom(ctx, e, v, d)
		return nil
	})
	switch {
	case errors.Is(err, errNoView):
		s.judged = e.Mark.Entry // started or copied since: the next one tells
		return nil
	case isDamage(err):
		where = err.Error()
	case err != nil:
		return err
	}
	if where != "" {
		if err := s.node.mendRows(ctx, e, where); err != nil {
			return err
		}
	}
	s.judged = e.Mark.Entry
	return nil
}

// differsFrom names the first rows in which this node differs from one that has
// signed the digest.
func (n *Node) differsFrom(ctx context.Context, e format.StateEffect, v *store.StateView, d store.StateDigest) string {
	var errs []error
	for _, s := range e.Signatures {
		for _, m := range n.others() {
			if m.Number != s.Node {
				continue
			}
			where, err := n.firstDifference(ctx, m, v, d)
			if err == nil {
				return where
			}
			errs = append(errs, err)
		}
	}
	// The difference stands, whoever may be asked for its place.
	n.log.Warn("nobody answers where the rows differ", "error", errors.Join(errs...))
	return fmt.Sprintf("%s: rows altered at rest at entry %d", n.own.name, e.Mark.Entry)
}

// rangeParts is into how many ranges a table is parted at each step of a search.
const rangeParts = 64

// firstDifference names the first table and range of keys in which this node's rows
// and a member's differ.
func (n *Node) firstDifference(ctx context.Context, m format.MemberRow, v *store.StateView, mine store.StateDigest) (string, error) {
	c, err := n.peers.get(m.Name)
	if err != nil {
		return "", err
	}
	r, err := c.Rows(ctx, &nodev1.RowsRequest{Entry: v.Mark.Entry})
	if err != nil {
		return "", fmt.Errorf("node %s: %w", m.Name, err)
	}
	table := differingTable(mine.Tables, r.Ranges)
	if table == 0 {
		return "", fmt.Errorf("node %s has the same rows", m.Name)
	}
	var from, to []byte
	for {
		cuts, err := v.Cuts(ctx, table, from, to, rangeParts)
		if err != nil {
			return "", err
		}
		own, err := v.Ranges(ctx, table, from, to, cuts)
		if err != nil {
			return "", err
		}
		r, err := c.Rows(ctx, &nodev1.RowsRequest{Entry: v.Mark.Entry, Table: uint32(table), From: from, To: to, Cuts: cuts})
		if err != nil {
			return "", fmt.Errorf("node %s: %w", m.Name, err)
		}
		i := differingRange(own, r.Ranges)
		if i < 0 {
			return "", fmt.Errorf("node %s answers no difference in table %d", m.Name, table)
		}
		if i > 0 {
			from = cuts[i-1]
		}
		if i < len(cuts) {
			to = cuts[i]
		}
		if own[i].Count <= 1 {
			return fmt.Sprintf("%s: rows altered at rest: index.db table %d, keys from %s to %s, differ from %s's at entry %d",
				n.own.name, table, keyText(from, "the first"), keyText(to, "the end"), m.Name, v.Mark.Entry), nil
		}
	}
}

// differingTable is the first table whose digests differ, 0 for none.
func differingTable(mine []store.TableDigest, theirs []*nodev1.RowsDigest) uint8 {
	digests := map[uint8][2]store.RowsDigest{}
	for _, t := range mine {
		digests[t.Table] = [2]store.RowsDigest{t.RowsDigest, {}}
	}
	for _, t := range theirs {
		pair := digests[uint8(t.Table)]
		pair[1] = rowsDigest(t)
		digests[uint8(t.Table)] = pair
	}
	first := uint8(0)
	for t, pair := range digests {
		if pair[0] != pair[1] && (first == 0 || t < first) {
			first = t
		}
	}
	return first
}

func differingRange(mine []store.RowsDigest, theirs []*nodev1.RowsDigest) int {
	for i := range mine {
		if i >= len(theirs) || rowsDigest(theirs[i]) != mine[i] {
			return i
		}
	}
	return -1
}

func rowsDigest(d *nodev1.RowsDigest) store.RowsDigest {
	out := store.RowsDigest{Count: d.Count}
	copy(out.Digest[:], d.Digest)
	return out
}

// keyText is a key in hex, short enough for two in a DAMAGE record.
func keyText(k []byte, none string) string {
	const most = 80
	switch {
	case k == nil:
		return none
	case len(k) > most:
		return hex.EncodeToString(k[:most]) + "…"
	}
	return hex.EncodeToString(k)
}

// reportDifferences logs, where no majority agrees, the first rows in which this
// node differs from each other one.
func (n *Node) reportDifferences(ctx context.Context, entry uint64, states []format.StateEffect) {
	err := n.scrub.at(ctx, entry, func(v *store.StateView, d store.StateDigest) error {
		for _, m := range n.others() {
			for _, e := range states {
				if e.Signatures[0].Node != m.Number || e.Rows == d.Digest && e.Count == d.Count {
					continue
				}
				where, err := n.firstDifference(ctx, m, v, d)
				n.log.Error("no majority has the same rows; no digest is recorded", "first_difference", where, "error", err)
			}
		}
		return nil
	})
	if err != nil {
		n.log.Error("no majority has the same rows; no digest is recorded", "error", err)
	}
}

// mendRows records that this node's rows are not those of the majority and builds
// them again from its own history. If these differ as well, the node fences itself
// off and copies anew when it starts again.
func (n *Node) mendRows(ctx context.Context, e format.StateEffect, where string) error {
	n.log.Error("rows altered at rest: they are built again from the history", "where", where, "entry", e.Mark.Entry)
	d := format.DamageEffect{Node: n.own.number, Kind: format.DamageIndex, Where: where[:min(len(where), 500)]}
	if _, err := n.duty(ctx, store.KindDamage, format.EncodeEffect(d)); err != nil {
		return err
	}
	if n.alone() {
		return nil // what its rows were is nobody's to tell; the next start checks them
	}
	n.applying.Lock()
	defer n.applying.Unlock()
	if err := n.beginCopy(); err != nil {
		n.fail(fmt.Errorf("building rows again: %w", err))
		return err
	}
	if err := n.store.RebuildRows(ctx, e); err != nil {
		if ctx.Err() == nil {
			n.fail(fmt.Errorf("%w: %w", store.ErrDiverged, err))
		}
		return err
	}
	n.heal.add(wound{kind: d.Kind, where: d.Where, recorded: true, mended: true})
	return nil
}
