package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

const day = 24 * hour

// state records the digest over all rows; each node writes a base if it wants one.
func (w *world) state() {
	w.Helper()
	views := w.markRows()
	mark := views[0].Mark
	d, err := views[0].Digest(context.Background())
	w.must(err)
	e := w.stateOf(mark, d, 1, 2)
	w.accept(w.commit(w.op(KindState, e)))
	for i, n := range w.nodes {
		wants, err := n.WantsBase()
		w.must(err)
		if wants {
			w.must(n.WriteBase(context.Background(), views[i], e))
		}
		w.must(views[i].Close())
	}
}

// years lets the clock pass years, in steps that the votes allow, and the window.
func (w *world) years(n int) {
	w.Helper()
	for range n * 12 {
		w.tick(31 * day)
		w.openEpoch()
	}
	w.skip(Window + 1)
	w.tick(minute)
}

// openEpoch opens institution 1's next quarter, once it has come.
func (w *world) openEpoch() {
	w.Helper()
	epoch := EpochAt(w.nodes[0].Summary().Clock.Now)
	if inst, err := w.nodes[0].Institution(1); err != nil || inst.Epoch >= epoch {
		return
	}
	w.accept(w.commit(w.op(KindKey, format.KeyEffect{Verb: format.KeyEpoch, Institution: 1, Epoch: epoch, Use: w.slot(), Other: w.slot()})))
}

// old is the newest clock record whose time has come.
func (w *world) old() uint64 {
	w.Helper()
	now := w.nodes[0].Summary().Clock.Now
	cut, err := w.nodes[0].PruneCut(retention.Instant(time.UnixMicro(now).UTC().AddDate(-3, 0, -1).UnixMicro()))
	w.must(err)
	return cut
}

// prune takes every step there is, as the leader would, and answers how many.
func (w *world) prune() (steps int) {
	w.Helper()
	w.checkpoint()
	w.state()
	cut := w.old()
	for from := uint64(0); ; {
		body, next, err := w.nodes[0].NextPrune(cut, from)
		w.must(err)
		if body != nil {
			op := w.op(KindPrune, nil)
			op.Body = body
			w.accept(w.commit(op))
			w.nodes[0].rangesHaveRecords()
			w.nodes[0].endsHaveBundles()
			steps++
		} else if next == 0 {
			return steps
		}
		from = next
	}
}

// rangesHaveRecords fails if an attested range stands below the bound whose records
// are all gone.
func (n *node) rangesHaveRecords() {
	n.w.Helper()
	n.w.must(n.idx.Ascend(tAttested, nil, nil, func(k, v []byte) (bool, error) {
		row, err := format.DecodeAttestedRow(v)
		n.w.must(err)
		r := format.NewReader(k[4:])
		to := r.U64()
		left, err := n.stands(tCarried, key64(row.From), key64(to))
		if to <= n.pruned.Bound && !left {
			n.w.Fatalf("node %x attests %d to %d, of which no record is left", k[:4], row.From, to)
		}
		return true, errors.Join(err, r.Done())
	}))
}

// endsHaveBundles fails if the end of a bundle stands whose row is gone.
func (n *node) endsHaveBundles() {
	n.w.Helper()
	stored := map[uint64]bool{}
	n.w.must(n.idx.Ascend(tBundle, nil, nil, func(_, v []byte) (bool, error) {
		row, err := format.DecodeBundleRow(v)
		stored[row.Store] = true
		return true, err
	}))
	n.w.must(n.idx.Ascend(tEnded, nil, nil, func(k, _ []byte) (bool, error) {
		r := format.NewReader(k)
		if store := r.U64(); !stored[store] {
			n.w.Fatalf("the end of the bundle of record %d stands without it", store)
		}
		return true, r.Done()
	}))
}

// eraseHistory makes what was dropped gone on every node.
func (w *world) eraseHistory() {
	w.Helper()
	w.checkpoint()
	w.state()
	for _, n := range w.nodes {
		w.must(n.EraseHistory(context.Background()))
		if !n.WantsRewrite() {
			w.Fatalf("the index needs no rewriting")
		}
		w.must(n.RewriteIndex())
		if n.WantsRewrite() {
			w.Fatalf("the index needs another rewriting")
		}
	}
}

// expire lets a period pass and erases what is due, attested by everybody.
func (w *world) expire(by int64) {
	w.Helper()
	w.tick(by)
	w.sweep(100)
	w.checkpoint()
	for _, n := range w.nodes {
		n.destroy()
	}
	for v := uint32(1); v <= voters; v++ {
		w.attest(v)
	}
}

// lived is a world in which years have passed: short bundles are long erased, a
// long one lives, one was erased a year ago.
func lived(t *testing.T, nodes int) *world { return livedWith(t, nodes, func(*world) {}) }

// livedWith is lived with something that is done in the first days.
func livedWith(t *testing.T, nodes int, early func(*world)) *world {
	w := newWorld(t, t, nodes)
	for i := range 5 {
		number := fmt.Sprintf("short-%d", i)
		w.put(number, "P1D")
		w.accept(w.commit(w.about(KindRead, app, number, format.ReadEffect{Request: format.ID{1}})))
		w.accept(w.commit(w.about(KindUse, app, number, nil)))
	}
	w.put("long", "P9Y")
	w.put("later", "P2Y")
	w.refuse(w.commit(w.about(KindRead, app, "nothing-here", format.ReadEffect{Request: format.ID{1}})), format.ReasonNotFound)
	early(w)
	w.began()
	w.checkpoint()
	w.accept(w.commit(w.about(KindRead, app, "long", format.ReadEffect{Request: format.ID{2}})))
	w.expire(3 * day)
	w.years(2)
	w.expire(31 * day)
	w.years(2)
	return w
}

// transactions lists the transaction numbers in the records of a node's history
// that are still here.
func (n *node) transactions() map[string]int {
	n.w.Helper()
	out := map[string]int{}
	n.w.must(n.log.Kept(context.Background(), 0, n.Summary().Size, func(_ uint64, encoded []byte) error {
		r, err := format.DecodeRecord(encoded)
		out[r.Transaction]++
		return err
	}))
	return out
}

// filesWith lists the files below a node's directory that hold some bytes.
func (n *node) filesWith(what string) (files []string) {
	n.w.Helper()
	n.w.must(filepath.WalkDir(n.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if bytes.Contains(b, []byte(what)) {
			files = append(files, filepath.Base(p))
		}
		return err
	}))
	return files
}

// proved insists that every record that is here proves into the tree, opens, and
// is answered by lists; and answers how many are carried.
func (n *node) proved() (carried int) {
	n.w.Helper()
	s := n.Summary()
	root, err := n.RootAt(s.Size)
	n.w.must(err)
	bound := n.Pruned().Bound
	n.w.must(n.log.Kept(context.Background(), 0, s.Size, func(seq uint64, encoded []byte) error {
		if seq < bound {
			carried++
		}
		rec, err := format.DecodeRecord(encoded)
		n.w.must(err)
		if _, err := n.OpenDetail(&rec); err != nil {
			return err
		}
		p, err := tlog.ProveRecord(int64(s.Size), int64(seq), n.log.HashReader())
		n.w.must(err)
		return tlog.CheckRecord(p, int64(s.Size), tlog.Hash(root), int64(seq), tlog.Hash(format.LeafHash(encoded)))
	}))
	for _, inst := range []uint32{0, 1, 2} {
		for from := uint64(0); from < s.Size; from += 7 {
			list, err := n.Sequences(inst, "", format.Digest{}, from, 5)
			n.w.must(err)
			for _, seq := range list {
				if rec, _, err := n.Record(seq); err != nil || rec.Institution != inst || seq < from {
					n.w.Fatalf("record %d of the list from %d: %v", seq, from, err)
				}
			}
		}
	}
	return carried
}
