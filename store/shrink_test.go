package store

import (
	"fmt"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// remove lets a node go by an act.
func (w *world) remove(keys actors, number uint32) {
	w.Helper()
	doc := w.document(format.ActKindMember, format.ActObject{}, format.MemberParams{Remove: true, Node: format.CeremonyNode{Number: number}}.Encode())
	w.propose(admin, doc)
	w.agree(keys, doc)
}

// tickBy moves the clock on by the votes of some.
func (w *world) tickBy(voters ...uint32) {
	w.Helper()
	w.now += 1000
	var votes []format.SignedVote
	for _, v := range voters {
		votes = append(votes, w.vote(v, w.now))
	}
	w.accept(w.commit(w.clockOp(votes...)))
}

// endedWorld is a world of acts in which these bundles have ended, under a checkpoint.
func endedWorld(t *testing.T, count int, names ...string) (*world, actors) {
	t.Helper()
	w, keys := newActWorld(t, t, count, nil)
	for _, name := range names {
		w.put(name, "PT1H")
	}
	w.began()
	w.tick(2 * hour)
	w.sweep(maxSweep)
	w.checkpoint()
	return w, keys
}

// says commits a voter's word about one bundle.
func (w *world) says(voter uint32, name string) {
	w.Helper()
	decision := w.nodes[0].row(name).Expire - 1
	w.accept(w.commit(w.op(KindAttest, w.attestation(voter, format.AttestEffect{From: decision, To: decision + 1}))))
}

// erasuresFrom counts the ERASE records from a sequence on.
func (n *node) erasuresFrom(sequence uint64) (count int) {
	n.w.Helper()
	for _, r := range n.records(sequence) {
		if r.Action == format.ActErase {
			count++
		}
	}
	return count
}

// waits lists which of these bundles' erasures are pending, and which are erased.
func (n *node) waits(names ...string) (pending, erased string) {
	n.w.Helper()
	for _, name := range names {
		row := n.row(name)
		is, err := n.erasurePending(row)
		n.w.must(err)
		if is {
			pending += name
		}
		if row.Erase != 0 {
			erased += name
		}
	}
	return pending, erased
}

// TestI5_WhoIsLeftErases shrinks a cluster from three nodes to one behind
// attestations that were no majority of three. What everybody left has attested is
// erased, once, and waits for nobody; the word of a node that left is none.
func TestI5_WhoIsLeftErases(t *testing.T) {
	names := []string{"1", "2", "3", "0"}
	w, keys := endedWorld(t, 3, names...)
	n := w.nodes[0]
	standing := func(when, pending, erased string) {
		t.Helper()
		if p, e := n.waits(names...); p != pending || e != erased {
			t.Fatalf("%s: pending %q, erased %q where %q, %q belong", when, p, e, pending, erased)
		}
	}
	w.says(1, "1")
	w.says(1, "2")
	w.says(2, "2")
	w.says(3, "3")
	standing("with three", "1230", "2")

	w.remove(keys, 3)
	w.tickBy(1, 2)
	standing("with two", "130", "2")
	w.remove(keys, 2)
	if _, wanted, err := n.Due(0); err != nil || !wanted {
		t.Fatalf("no clock entry is wanted: %v", err)
	}
	w.nodes[1].crash()
	w.tickBy(1)
	standing("alone", "30", "12")
	if _, wanted, err := n.Due(0); err != nil || wanted {
		t.Fatalf("a clock entry is wanted: %v", err)
	}
	w.attest(1)
	standing("at the end", "", "1230")
	w.tickBy(1)
	if count := n.erasuresFrom(0); count != len(names) {
		t.Fatalf("%d ERASE records of %d bundles", count, len(names))
	}
	w.equal()
	w.nodes[1].rebuild(true)
	w.nodes[2].rebuild(false)
	w.equal()
}

// TestI5_AShrunkClusterErasesInSteps: one entry erases so many, the next goes on, and
// a second removal in between begins anew. A rebuild half way stands where it stood.
func TestI5_AShrunkClusterErasesInSteps(t *testing.T) {
	const more = 3
	var names []string
	for i := range settleAtOnce + more {
		names = append(names, fmt.Sprintf("T%03d", i))
	}
	w, keys := endedWorld(t, 1, names...)
	n := w.nodes[0]
	w.attest(1)
	w.remove(keys, 3)
	w.tickBy(1, 2)
	w.remove(keys, 2)
	if count := n.erasuresFrom(0); count != 0 {
		t.Fatalf("%d erased below a majority", count)
	}
	for i, want := range []int{settleAtOnce, more, 0} {
		from := n.Summary().Size
		w.tickBy(1)
		if count := n.erasuresFrom(from); count != want {
			t.Fatalf("tick %d erased %d, not %d", i, count, want)
		}
		before := n.standing()
		n.rebuild(i == 0)
		if after := n.standing(); after != before {
			t.Fatalf("tick %d: rebuilt at %+v, stood at %+v", i, after, before)
		}
	}
	if pending, _ := n.waits(names...); pending != "" {
		t.Fatalf("pending: %s", pending)
	}
}
