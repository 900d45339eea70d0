package timesource

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestIntersectTable(t *testing.T) {
	for name, c := range map[string]struct {
		spans       []span
		n, majority int
		want        span
		err         error
	}{
		"all agree":           {[]span{{0, 10}, {5, 15}, {8, 20}}, 3, 2, span{5, 15}, nil},
		"one liar of four":    {[]span{{0, 10}, {2, 12}, {4, 14}, {900, 910}}, 4, 3, span{4, 10}, nil},
		"two and two":         {[]span{{0, 10}, {2, 12}, {900, 910}, {905, 915}}, 4, 3, span{}, errNoMajority},
		"chain, no instant":   {[]span{{0, 10}, {8, 20}, {18, 30}}, 4, 3, span{}, errNoMajority},
		"too few":             {[]span{{0, 10}, {2, 12}}, 4, 3, span{}, errNoMajority},
		"none":                {nil, 4, 3, span{}, errNoMajority},
		"touching":            {[]span{{0, 5}, {5, 9}, {5, 5}}, 3, 2, span{5, 5}, nil},
		"one missing":         {[]span{{0, 10}, {2, 12}, {4, 14}}, 4, 3, span{2, 12}, nil},
		"closed network of 1": {[]span{{0, 10}}, 1, 1, span{0, 10}, nil},
	} {
		got, _, err := intersect(c.spans, c.n, c.majority)
		if !errors.Is(err, c.err) || got != c.want {
			t.Errorf("%s: %v %v, want %v %v", name, got, err, c.want, c.err)
		}
	}
}

// With any minority of liars, anywhere, and any sources silent, the result holds
// the truth or is refused; with all honest sources present it is not refused and
// no wider than they are.
func TestSelectionHoldsTruthWithAMinorityOfLiars(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, maxSources).Draw(r, "n")
		majority := n/2 + 1
		liars := rapid.IntRange(0, n-majority).Draw(r, "liars")
		const truth = 1000
		edge := rapid.Int64Range(0, 50)
		var spans []span
		silent := false
		around := span{truth, truth}
		for range n - liars {
			s := span{truth - edge.Draw(r, "below"), truth + edge.Draw(r, "above")}
			if rapid.IntRange(0, 9).Draw(r, "silent") == 0 {
				silent = true
				continue
			}
			around = span{min(around.lo, s.lo), max(around.hi, s.hi)}
			spans = append(spans, s)
		}
		for range liars {
			at := rapid.Int64Range(900, 1100).Draw(r, "lie")
			spans = append(spans, span{at, at + rapid.Int64Range(0, 100).Draw(r, "lie's width")})
		}
		spans = rapid.Permutation(spans).Draw(r, "order")
		got, selected, err := intersect(spans, n, majority)
		if err != nil {
			if !silent {
				r.Fatalf("refused although every honest source answered: %v", err)
			}
			return
		}
		if truth < got.lo || truth > got.hi {
			r.Fatalf("%v lost the truth, from %v", got, spans)
		}
		if !silent && (got.lo < around.lo || got.hi > around.hi) {
			r.Fatalf("%v is wider than the honest sources %v", got, around)
		}
		count := 0
		for _, yes := range selected {
			if yes {
				count++
			}
		}
		if count < majority {
			r.Fatalf("%d selected of a majority of %d", count, majority)
		}
	})
}

// The node's interval over many polls: a minority lies as it likes, and no reading
// ever loses the truth.
func TestNodeHoldsTruthWithAMinorityOfLiars(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t, fourSources())
		liar := rapid.IntRange(0, 3).Draw(r, "liar")
		for range rapid.IntRange(1, 30).Draw(r, "polls") {
			offsets := make([]int64, 4)
			w.pass(1 + 1000*1000*ns(rapid.Int64Range(0, 100_000).Draw(r, "ms")))
			offsets[liar] = rapid.Int64Range(-50_000_000, 50_000_000).Draw(r, "lie")
			w.poll(ns(offsets[0]), ns(offsets[1]), ns(offsets[2]), ns(offsets[3]))
			s, status, reason, _ := w.core.now(w.now)
			if at := w.truth().UnixMicro(); status != Synchronized || at < s.lo || at > s.hi {
				r.Fatalf("%v %s: truth %d, interval %v", status, reason, at, s)
			}
		}
	})
}

func TestP06_OneOperatorIsNoMajority(t *testing.T) {
	p := fourSources()
	for i := range 3 {
		p.Sources[i].Operator = "one"
	}
	if err := p.Validate(); !errors.Is(err, ErrPolicy) {
		t.Errorf("3 of 4 sources of one operator: %v", err)
	}
	p.Sources[2].Operator = "two"
	if err := p.Validate(); err != nil {
		t.Errorf("2 of 4: %v", err)
	}
	// The selection looks again, whatever let such a list in.
	w := newWorld(t, p)
	for i := range w.core.policy.Sources {
		w.core.policy.Sources[i].Operator = "one"
	}
	w.core.setPolicy(w.core.policy)
	w.poll(0, 0, 0, 0)
	w.want(Unsynchronized)
	if w.core.reason != errOneOperator.Error() {
		t.Errorf("reason %q", w.core.reason)
	}
}
