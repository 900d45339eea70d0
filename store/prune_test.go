package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/history"
)

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
	done := n.row("done").Expire
	w.accept(w.commit(w.op(KindAttest, w.attestation(3, format.AttestEffect{From: done - 1, To: done}))))
	w.years(4)
	w.prune()
	// The range of the first two names the open one too; the third's says no more of anything.
	if nodes, err := n.AttestedBy(n.row("open")); err != nil || !slices.Equal(nodes, []uint32{1, 2}) {
		t.Fatalf("attested by %v: %v", nodes, err)
	}
	if is, err := n.spanOf(3, done-1); err != nil || is.row != nil {
		t.Fatalf("%+v: %v", is.row, err)
	}
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
		n.fault(func(string, bool) error {
			if count++; count == i {
				return failed
			}
			return nil
		})
		err := n.EraseHistory(context.Background())
		if err == nil {
			break
		}
		if !errors.Is(err, failed) && n.server == nil || i > 100 {
			t.Fatalf("step %d: %v", i, err)
		}
		n.crash()
		if got := w.equal(); got != want {
			t.Fatalf("step %d: %+v, %+v before", i, got, want)
		}
	}
	w.must(n.RewriteIndex())
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
