package timesource

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

var (
	// errNoMajority says that no instant lies within the intervals of a majority.
	errNoMajority = errors.New("no majority of the sources agrees")
	// errOneOperator says that the agreeing sources belong to one operator.
	errOneOperator = errors.New("the agreeing sources belong to one operator")
	// errJump says that the sources agree on a time that the held interval excludes.
	errJump = errors.New("jump refused")
)

// intersect is the intersection of RFC 5905 (Marzullo's), over the spans of those
// sources that answered, out of n configured ones; majority must agree.
//
// RFC 5905 looks for the fewest falsetickers that explain the samples. That can
// shut truth out: liars who overlap honest sources raise the count somewhere else.
// Here up to n-majority sources may lie whether they look like it or not. So with
// k answers, truth is covered by at least k-(n-majority) of them, and the result
// is the hull of all instants with that cover, given one that a majority covers.
// Each such instant is covered by at least one source of that majority, so the
// hull is never wider than honest spans make it.
//
// It returns the hull and, for each span, whether it meets the hull.
func intersect(spans []span, n, majority int) (span, []bool, error) {
	type edge struct {
		at   int64
		step int // +1 opens, -1 closes
	}
	edges := make([]edge, 0, 2*len(spans))
	for _, s := range spans {
		edges = append(edges, edge{s.lo, 1}, edge{s.hi, -1})
	}
	// At one instant spans open before others close: they are closed intervals.
	slices.SortFunc(edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.step, a.step))
	})
	need := len(spans) - (n - majority)
	if len(spans) < majority || need < 1 {
		return span{}, nil, errNoMajority
	}
	var hull span
	cover, most, found := 0, 0, false
	for _, e := range edges {
		if e.step > 0 {
			cover++
			if cover >= need && !found {
				hull.lo, found = e.at, true
			}
			most = max(most, cover)
			continue
		}
		if cover >= need {
			hull.hi = e.at
		}
		cover--
	}
	if most < majority {
		return span{}, nil, errNoMajority
	}
	selected := make([]bool, len(spans))
	for i, s := range spans {
		selected[i] = s.meets(hull)
	}
	return hull, selected, nil
}

// selection is everything that one selection was decided from, and its result. It
// is what evidence holds.
type selection struct {
	bootID   [16]byte
	at       stamp
	floor    int64 // microseconds since the Unix epoch
	ppm      int64
	limit    time.Duration // root distance
	majority int
	closed   bool
	held     *span // the node's interval before, at the stamp at
	entries  []entry

	result span
}

// entry is one configured source in a selection.
type entry struct {
	source Source // name, operator and authentication count
	sample *sample

	usable   bool
	span     span // at the selection's stamp
	selected bool
}

// decide fills the result from the inputs: it is a pure function of them.
func (s *selection) decide() error {
	var spans []span
	for i := range s.entries {
		e := &s.entries[i]
		e.usable, e.span, e.selected = false, span{}, false
		if e.sample == nil || s.at.before(e.sample.got) {
			continue
		}
		moved, err := e.sample.at(s.at, s.floor, s.ppm, s.limit)
		if err != nil {
			continue
		}
		e.usable, e.span = true, moved
		spans = append(spans, e.span)
	}
	hull, selected, err := intersect(spans, len(s.entries), s.majority)
	if err != nil {
		return err
	}
	s.mark(selected)
	if !s.closed && s.operators() < 2 {
		return errOneOperator
	}
	s.result = hull
	if s.held != nil {
		if !s.held.meets(hull) {
			return errJump
		}
		s.result = hull.within(*s.held)
	}
	return nil
}

func (s *selection) mark(selected []bool) {
	next := 0
	for i := range s.entries {
		if s.entries[i].usable {
			s.entries[i].selected = selected[next]
			next++
		}
	}
}

// operators counts those of the selected sources.
func (s *selection) operators() int {
	seen := map[string]bool{}
	for _, e := range s.entries {
		if e.selected {
			seen[e.source.Operator] = true
		}
	}
	return len(seen)
}
