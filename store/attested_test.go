package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestAttestedRangesAreWhatEachNodeSaid has three nodes attest ranges of the pending
// decisions in random order and holds what the state says of each bundle against a
// set for each: who attested it, what a node has still to destroy, and that ERASE
// stands from a majority on (I5).
func TestAttestedRangesAreWhatEachNodeSaid(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	for range 8 {
		w := newWorld(t, t, 1)
		for i := range 12 {
			w.put(fmt.Sprintf("T%02d", i), "P1D")
		}
		w.began()
		w.tick(400 * day)
		w.sweep(5)
		w.put("between", "P9Y") // records that end nothing lie among them
		w.sweep(50)
		w.checkpoint()
		n := w.nodes[0]
		due, _ := n.pending(1)
		if len(due) < 10 {
			t.Fatalf("%d bundles are due", len(due))
		}
		said := map[uint64][]uint32{}
		for left := 3 * len(due); left > 0; {
			voter := uint32(1 + random.IntN(voters))
			from := random.IntN(len(due))
			to := from + 1 + random.IntN(min(4, len(due)-from))
			some := due[from:to]
			e := w.attestation(voter, format.AttestEffect{From: some[0].Decision, To: some[len(some)-1].Decision + 1})
			if slices.ContainsFunc(some, func(p PendingErasure) bool { return slices.Contains(said[p.Decision], voter) }) {
				w.silent(w.op(KindAttest, e), format.ReasonState)
				for _, p := range some { // what is left of it, one by one
					if !slices.Contains(said[p.Decision], voter) {
						w.accept(w.commit(w.op(KindAttest, w.attestation(voter, format.AttestEffect{From: p.Decision, To: p.Decision + 1}))))
						said[p.Decision], left = append(said[p.Decision], voter), left-1
						break
					}
				}
			} else if r := w.commit(w.op(KindAttest, e)); r.Outcome == Accepted {
				for _, p := range some {
					said[p.Decision], left = append(said[p.Decision], voter), left-1
				}
			} else {
				t.Fatalf("%+v", r)
			}
			n.saidIs(due, said)
		}
		n.rebuild(false)
		n.saidIs(due, said)
		if waiting, err := n.endings(0, n.next, 1); err != nil || len(waiting) != 0 {
			t.Fatalf("%d erasures wait for nobody: %v", len(waiting), err)
		}
	}
}

// saidIs fails unless the state agrees with who said what of which decision.
func (n *node) saidIs(due []PendingErasure, said map[uint64][]uint32) {
	n.w.Helper()
	for voter := uint32(1); voter <= voters; voter++ {
		var want []uint64
		for _, p := range due {
			if !slices.Contains(said[p.Decision], voter) {
				want = append(want, p.Decision)
			}
		}
		left, _ := n.pending(voter)
		var got []uint64
		for i, p := range left {
			got = append(got, p.Decision)
			at := slices.Index(want, p.Decision)
			broken := i == 0 || slices.ContainsFunc(due, func(d PendingErasure) bool {
				return d.Decision > left[i-1].Decision && d.Decision < p.Decision
			})
			if at >= 0 && p.Apart != broken {
				n.w.Fatalf("node %d: decision %d behind %v, where %v is to do: apart %v; said %v, left %+v", voter, p.Decision, got, want, p.Apart, said, left)
			}
		}
		if !slices.Equal(got, want) {
			n.w.Fatalf("node %d has to destroy %v, is asked for %v", voter, want, got)
		}
	}
	for _, p := range due {
		rec, _, err := n.Record(p.Decision)
		n.w.must(err)
		row, err := n.Bundle(keyOf(&rec))
		n.w.must(err)
		nodes, err := n.AttestedBy(row)
		n.w.must(err)
		want := slices.Sorted(slices.Values(said[p.Decision]))
		if !slices.Equal(nodes, want) || (row.Erase != 0) != (len(want) > voters/2) {
			n.w.Fatalf("decision %d: attested by %v, erased %v; %v said so", p.Decision, nodes, row.Erase != 0, want)
		}
		if pending, err := n.erasurePending(row); err != nil || pending != (len(want) < voters) {
			n.w.Fatalf("decision %d: pending %v with %v (%v)", p.Decision, pending, want, err)
		}
	}
}

// TestI5_AnAttestationSaysNoMoreThanWasDecided refuses words about what is not
// covered yet, about nothing, and by an incarnation about what it said before.
func TestI5_AnAttestationSaysNoMoreThanWasDecided(t *testing.T) {
	w := dueWorld(t, 1)
	n := w.nodes[0]
	decision := n.row("T0").Expire - 1
	word := func(from, to uint64) Op {
		return w.op(KindAttest, w.attestation(2, format.AttestEffect{From: from, To: to}))
	}
	w.silent(word(decision, decision+1), format.ReasonState) // no checkpoint covers it
	w.put("later", "P5Y")
	w.checkpoint()
	size := n.Summary().Checkpoint.Checkpoint.Size
	w.silent(word(decision, size+1), format.ReasonState)
	w.silent(word(0, decision), format.ReasonState) // nothing ended there
	w.silent(word(decision+1, size), format.ReasonState)
	w.accept(w.commit(word(decision, decision+1)))
	for _, again := range [][2]uint64{{decision, decision + 1}, {0, size}, {0, decision + 1}, {decision, size}} {
		w.silent(word(again[0], again[1]), format.ReasonState)
	}
	forged := w.attestation(1, format.AttestEffect{From: decision, To: decision + 1})
	forged.To++
	w.silent(w.op(KindAttest, forged), format.ReasonSignature)
	w.attest(1)
	if n.row("T0").Erase == 0 {
		t.Fatal("a majority has attested, and no ERASE stands")
	}
}

// TestI5_OneAttestationNamesSoManyBundles bounds what one Apply has to write.
func TestI5_OneAttestationNamesSoManyBundles(t *testing.T) {
	w := newWorld(t, t, 1)
	w.began()
	n := w.nodes[0]
	for i := range uint64(maxAttested + 1) { // rows alone: putting so many takes long
		n.add(tErasure, key64(10+i), format.BundleKey{Institution: 1, Transaction: fmt.Sprint(i), Part: 1}.Encode())
	}
	n.checkpoint = format.CheckpointEffect{Checkpoint: format.Checkpoint{Size: 10_000}}
	for to, refused := range map[uint64]bool{10 + maxAttested: false, 11 + maxAttested: true} {
		t2 := &turn{Machine: n.Machine}
		_, err := t2.checkRange(format.AttestEffect{Node: 1, From: 10, To: to})
		if (err != nil) != refused {
			t.Errorf("to %d: %v", to, err)
		}
	}
}

// TestI5_LeftoversAreWhatNobodyWaitsFor: a node that never attested an end has its key
// among the leftovers once the others have settled it, for a range of its own may lie
// over that end; what it is still asked to destroy is none.
func TestI5_LeftoversAreWhatNobodyWaitsFor(t *testing.T) {
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	w.put("first", "PT1H")
	w.put("settled", "PT1H")
	w.put("last", "PT1H")
	w.began()
	w.tick(2 * hour)
	w.sweep(10)
	w.checkpoint()
	end := n.row("settled").Expire - 1
	for voter := uint32(1); voter <= voters; voter++ {
		w.accept(w.commit(w.op(KindAttest, w.attestation(voter, format.AttestEffect{From: end, To: end + 1}))))
	}
	const joined = voters + 1 // what a node that came since is asked for
	due, _ := n.pending(joined)
	if len(due) != 2 || due[1].Apart {
		t.Fatalf("%+v", due)
	}
	l, err := n.Leftovers(t.Context(), joined, n.Summary().Checkpoint.Checkpoint.Size, true, nil, 1000)
	if err != nil || len(l.Blocks) != 0 || len(l.Bundles) != 1 || l.Bundles[0].Slot != n.row("settled").Slot {
		t.Fatalf("%+v: %v", l, err)
	}
}

// TestLeftoversEndWithTheirContext: a look through very many ranges or keys keeps no
// stop of the node waiting.
func TestLeftoversEndWithTheirContext(t *testing.T) {
	w := newWorld(t, t, 1)
	w.put("kept", "P1Y")
	w.began()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, limit := range []int{0, 1000} { // keys alone, and ranges too
		if _, err := w.nodes[0].Leftovers(ctx, 1, 1<<62, limit == 0, nil, limit); !errors.Is(err, context.Canceled) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

// TestP34_LeftoversAreFoundInPieces: wherever one call stops, the next goes on, and
// nothing is found twice or by none.
func TestP34_LeftoversAreFoundInPieces(t *testing.T) {
	const many = 3*erasuresAtOnce + 1
	w := newWorld(t, t, 1)
	n := w.nodes[0]
	for i := range many {
		w.put(fmt.Sprint(i), "PT1H")
	}
	w.began()
	w.tick(2 * hour)
	w.sweep(many)
	w.checkpoint()
	for voter := uint32(1); voter <= voters; voter++ {
		w.attest(voter)
	}
	size, found, calls := n.Summary().Checkpoint.Checkpoint.Size, map[uint64]bool{}, 0
	for from := []byte(nil); calls == 0 || from != nil; calls++ {
		l, err := n.Leftovers(t.Context(), voters+1, size, false, from, erasuresAtOnce)
		w.must(err)
		for _, p := range l.Bundles {
			if found[p.Store] {
				t.Fatalf("the bundle of record %d is found again", p.Store)
			}
			found[p.Store] = true
		}
		from = l.Next
	}
	if len(found) != many || calls != 4 {
		t.Fatalf("%d of %d found in %d calls", len(found), many, calls)
	}
}
