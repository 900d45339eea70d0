package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
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
			steps++
		} else if next == 0 {
			return steps
		}
		from = next
	}
}

// eraseHistory makes what was dropped gone on every node.
func (w *world) eraseHistory() {
	w.Helper()
	w.checkpoint()
	w.state()
	for _, n := range w.nodes {
		w.must(n.EraseHistory(context.Background()))
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
func lived(t *testing.T, nodes int) *world {
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

func TestHistoryIsErasedAtTheEndOfItsRetention(t *testing.T) {
	w := lived(t, 2)
	n := w.nodes[0]
	long, whole := n.row("long"), n.transactions()
	if whole["short-0"] < 4 || whole["nothing-here"] != 1 {
		t.Fatal(whole)
	}
	if w.prune() == 0 {
		t.Fatal("nothing was pruned")
	}
	w.equal()
	w.eraseHistory()
	w.equal()
	for _, n := range w.nodes {
		left := n.transactions()
		for i := range 5 {
			number := fmt.Sprintf("short-%d", i)
			if row, err := n.Bundle(keyOfBundle(number)); left[number] != 0 || row != nil || err != nil {
				t.Fatalf("%d records of %s are left, %v", left[number], number, err)
			}
			list, err := n.Sequences(1, number, format.Digest{}, 0, 10)
			if err != nil || len(list) != 0 {
				t.Fatalf("%v of %s are listed, %v", list, number, err)
			}
		}
		if left["nothing-here"] != 0 || left["long"] != whole["long"] || left["later"] != whole["later"] {
			t.Fatalf("%v are left of %v", left, whole)
		}
		if n.proved() == 0 {
			t.Fatal("nothing is carried")
		}
		if row := n.row("long"); row.Store != long.Store || row.Slot != long.Slot {
			t.Fatalf("%+v", row)
		}
		if v, err := n.Verify(context.Background()); err != nil || len(v.Damage) != 0 {
			t.Fatalf("%+v, %v", v.Damage, err)
		}
	}
	w.readable("long")
	w.put("after", "P1Y")
	w.put("short-0", "P1Y") // nothing of the first one is left
}

func TestWhatWasErasedIsInNoFile(t *testing.T) {
	w := lived(t, 1)
	n := w.nodes[0]
	w.must(n.Flush())
	if f := n.filesWith("short-3"); len(f) == 0 {
		t.Fatal("the search finds nothing")
	}
	w.prune()
	w.eraseHistory()
	n.restart()
	for _, what := range []string{"short-", "nothing-here"} {
		if f := n.filesWith(what); len(f) != 0 {
			t.Errorf("%s is still in %v", what, f)
		}
	}
	if f := n.filesWith("long"); len(f) == 0 {
		t.Error("what stays is gone")
	}
}

// TestARebuildAfterPruningLosesNothing: from the base, cleanly or not, the same
// rows and running hash.
func TestARebuildAfterPruningLosesNothing(t *testing.T) {
	w := lived(t, 2)
	w.prune()
	w.eraseHistory()
	w.put("after", "P1Y")
	w.began()
	want := w.equal()
	for _, clean := range []bool{true, false} {
		w.nodes[1].rebuild(clean)
		if got := w.equal(); got != want {
			t.Fatalf("%+v after a rebuild, %+v before", got, want)
		}
	}
	// An operation that was repeated is still known, and the log goes on.
	again := w.log[len(w.log)-1].Ops[0]
	w.accept(w.commit(again))
	w.put("more", "P1Y")
	if w.equal().size != want.size+1+1 {
		// the put needs a record; a new key block may add one more
		w.equal()
	}
	w.readable("long")
}

// TestASecondPruneDropsCarriedRecords once their time comes.
func TestASecondPruneDropsCarriedRecords(t *testing.T) {
	w := lived(t, 2)
	w.prune()
	w.eraseHistory()
	before := w.nodes[0].proved()
	if w.nodes[0].transactions()["later"] == 0 {
		t.Fatal("gone too early")
	}
	w.years(2)
	if w.prune() == 0 {
		t.Fatal("nothing was pruned")
	}
	w.eraseHistory()
	for _, n := range w.nodes {
		left := n.transactions()
		if left["later"] != 0 || left["long"] == 0 {
			t.Fatalf("%v", left)
		}
		n.restart()
		if f := n.filesWith("later"); len(f) != 0 {
			t.Errorf("in %v", f)
		}
	}
	t.Log(before, "carried at first,", w.nodes[0].proved(), "then")
	want := w.equal()
	w.nodes[1].rebuild(true)
	if got := w.equal(); got != want {
		t.Fatalf("%+v after a rebuild, %+v before", got, want)
	}
}

// TestI1_PruningIsRefusedUntilItsTime: whoever proposes, too early, too much, out
// of order, not covered, or of what may be repeated.
func TestI1_PruningIsRefusedUntilItsTime(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("T0", "P1D")
	w.began()
	w.expire(3 * day)
	n := w.nodes[0]
	step := func(e format.PruneEffect) Op { return w.op(KindPrune, e) }
	clock := func() uint64 { // the newest clock record
		for seq := n.Summary().Size; seq > 0; seq-- {
			if rec, _, err := n.Record(seq - 1); err == nil && rec.Action == format.ActClock {
				return seq - 1
			}
		}
		return 0
	}
	early := clock()
	good := format.PruneEffect{From: 0, To: 5, Cut: early}
	w.silent(step(good), format.ReasonState) // no digest of the rows is signed
	w.checkpoint()
	w.state()
	w.silent(step(good), format.ReasonState) // too early
	w.years(3)
	now := n.Summary().Clock.Now
	if end, err := retention.HistoryEnd(retention.Instant(base+w.now-int64(36*31*day)), 3); err != nil || now <= int64(end) {
		t.Fatalf("three years have not passed: %v", err)
	}
	for _, bad := range []format.PruneEffect{
		{From: 1, To: 5, Cut: early}, {From: 0, To: 0, Cut: early}, {From: 0, To: early + 1, Cut: early}, {From: 0, To: 5, Cut: clock()},
		{From: 0, To: 5, Cut: n.Summary().Size}, {From: 0, To: 5, Cut: 1 << 60}, {From: 0, To: 1 << 40, Cut: 1 << 41},
	} {
		w.silent(step(bad), format.ReasonState)
	}
	w.silent(step(format.PruneEffect{From: 0, To: 5, Cut: 7}), format.ReasonInvalid)                 // no clock record
	w.silent(step(format.PruneEffect{From: 0, To: 5, Cut: early, Dropped: 5}), format.ReasonInvalid) // a result
	w.silent(step(format.PruneEffect{Again: true, From: 0, To: 5}), format.ReasonInvalid)            // nothing is carried
	w.accept(w.commit(step(good)))                                                                   // now it may
	w.silent(step(good), format.ReasonState)                                                         // not twice
	w.silent(step(format.PruneEffect{Again: true, From: 0, To: 5}), format.ReasonState)              // nothing is due
	if p := n.Pruned(); p.Bound != 5 {
		t.Fatalf("%+v", p)
	}
}

// TestI1_AHoldAndAnOpenErasureKeepTheHistory of what they are on.
func TestI1_AHoldAndAnOpenErasureKeepTheHistory(t *testing.T) {
	w := newWorld(t, t, 1)
	for _, number := range []string{"held", "open", "done"} {
		w.put(number, "P1D")
	}
	w.began()
	n := w.nodes[0]
	n.hold("held", 1)
	w.tick(3 * day)
	w.sweep(10)
	w.checkpoint()
	n.destroy()
	// Two of three attest both, the third only one of them.
	w.attest(1)
	w.attest(2)
	w.accept(w.commit(w.op(KindAttest, w.attestation(3, []uint64{n.row("done").Store}, nil))))
	w.years(4)
	w.prune()
	for number, want := range map[string]bool{"held": true, "open": true, "done": false} {
		list, err := n.Sequences(1, number, format.Digest{}, 0, 10)
		if err != nil || (len(list) > 0) != want {
			t.Errorf("%s: %v, %v", number, list, err)
		}
	}
}

// TestActsMembersAndTheirCheckpointsStay: what pinned keys rest on.
func TestActsMembersAndTheirCheckpointsStay(t *testing.T) {
	w := newWorld(t, t, 1)
	w.began()
	w.checkpoint()
	first := w.nodes[0].Summary().Size - 1
	w.tick(minute)
	w.checkpoint()
	second := w.nodes[0].Summary().Size - 1
	join := format.MemberEffect{Node: 3, Incarnation: format.ID{9}, State: format.MemberJoining}
	join.Signature = sign(w, w.keys[2], join.Message(w.cluster))
	member := w.accept(w.commit(w.op(KindMember, join))).Sequence
	w.tick(minute)
	w.checkpoint()
	third := w.nodes[0].Summary().Size - 1
	w.tick(minute)
	w.checkpoint()
	fourth := w.nodes[0].Summary().Size - 1
	w.years(4)
	w.prune()
	w.eraseHistory()
	for seq, want := range map[uint64]bool{0: true, first: true, second: false, member: true, third: true, fourth: false} {
		if _, _, err := w.nodes[0].Record(seq); (err == nil) != want || err != nil && !errors.Is(err, history.ErrPruned) {
			t.Errorf("record %d: %v", seq, err)
		}
	}
}

// TestErasingCutShortIsResumed stops the custodian before and after each step of
// erasing, and goes on from the files as they are.
func TestErasingCutShortIsResumed(t *testing.T) {
	w := lived(t, 1)
	n := w.nodes[0]
	w.prune()
	if err := n.EraseHistory(context.Background()); err != nil || n.log.Decided() != 0 {
		t.Fatalf("erased without a base: %v", err)
	}
	w.checkpoint()
	w.state()
	want := w.equal()
	// A carried file that never came into place.
	w.must(os.WriteFile(filepath.Join(n.dir, "history", "00000001.car.new"), []byte("short-1"), 0o600))
	n.crash()
	if f, _ := filepath.Glob(filepath.Join(n.dir, "history", "*.new")); len(f) != 0 {
		t.Fatalf("%v is left", f)
	}
	// In place, and nothing destroyed.
	w.must(n.carry(context.Background(), n.Pruned()))
	n.crash()
	if got := w.equal(); got != want {
		t.Fatalf("%+v, %+v before", got, want)
	}
	// Destruction stops at every step of the custodian.
	for i := 1; ; i++ {
		count, failed := 0, errors.New("failed")
		n.custodian.SetFault(func(string, bool) error {
			if count++; count == i {
				return failed
			}
			return nil
		})
		err := n.EraseHistory(context.Background())
		if err == nil {
			break
		}
		if !errors.Is(err, failed) || i > 100 {
			t.Fatalf("step %d: %v", i, err)
		}
		n.crash()
		if got := w.equal(); got != want {
			t.Fatalf("step %d: %+v, %+v before", i, got, want)
		}
	}
	n.proved()
	n.restart()
	if f := n.filesWith("short-"); len(f) != 0 {
		t.Fatalf("in %v", f)
	}
	w.put("after", "P1Y")
}

func TestI1_AForgedWarrantErasesNoHistory(t *testing.T) {
	w := lived(t, 1)
	n := w.nodes[0]
	w.prune()
	w.checkpoint()
	w.state()
	w.must(n.carry(context.Background(), n.Pruned()))
	left, _, err := n.leftovers()
	if err != nil || len(left) == 0 {
		t.Fatal(left, err)
	}
	read := func(seq uint64) []byte {
		_, encoded, err := n.Record(seq)
		w.must(err)
		return encoded
	}
	p := n.Pruned()
	good := custodian.Warrant{Decision: read(p.Decision - 1), Checkpoint: format.EncodeEffect(n.Summary().Checkpoint)}
	other := good
	other.Decision = read(n.Summary().Size - 1)
	forged := good
	rec, err := format.DecodeRecord(good.Decision)
	w.must(err)
	rec.Clock++
	forged.Decision = rec.Encode()
	weak := good
	weak.Checkpoint = format.EncodeEffect(w.cosigned(n.Summary().Checkpoint.Checkpoint, 1))
	for name, warrant := range map[string]custodian.Warrant{"another record": other, "no record": forged, "no majority": weak, "nothing": {}} {
		if _, err := n.custodian.Destroy(context.Background(), warrant, custodian.Work{History: true, Remove: left}); !errors.Is(err, custodian.ErrWarrant) {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := os.ReadDir(filepath.Join(n.dir, "history"))
	w.must(err)
	for _, e := range list {
		name := "history/" + e.Name()
		if strings.Contains(strings.Join(left, " "), name) {
			continue
		}
		if _, err := n.custodian.Destroy(context.Background(), good, custodian.Work{History: true, Remove: []string{name}}); !errors.Is(err, custodian.ErrWarrant) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.must(n.EraseHistory(context.Background()))
}
