package ledger

import (
	"bytes"
	"fmt"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/format"
)

// Report is what the comparison of the three records on one node found.
type Report struct {
	Entries []Entry // of the ledger, in order
	// Disagreements say what does not agree, one sentence each; empty when all agrees.
	Disagreements []string
	// History, Ledger and System are how many steps each of them has.
	History, Ledger, System int
}

// Check brings both files to the history's end and compares the three: each step
// that the history holds stands in either file once, as it is in the history, and
// nothing else does, and each file's chain is whole.
func (l *Ledger) Check() (Report, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	var r Report
	size := l.size()
	if err := l.writeTo(size); err != nil {
		r.say("the files cannot be brought up to date: %v", err)
	}
	steps, err := l.steps(size)
	if err != nil {
		return r, err
	}
	r.History = len(steps)
	first := l.opts.History.Pruned().Bound
	for _, b := range []struct {
		name  string
		book  *book
		count *int
	}{{"ledger", l.ledger(), &r.Ledger}, {"operating system record", l.system(), &r.System}} {
		c, err := b.book.read()
		if err != nil {
			r.say("%s: %v", b.name, err)
			continue
		}
		*b.count = len(c.entries)
		if b.name == "ledger" {
			r.Entries = c.entries
		}
		r.compare(b.name, c, steps, first, size)
	}
	return r, nil
}

func (l *Ledger) steps(size uint64) (all []store.SpecialStep, err error) {
	for from := uint64(0); ; {
		steps, err := l.opts.History.SpecialSteps(from, size, portion)
		if err != nil || len(steps) == 0 {
			return all, err
		}
		all = append(all, steps...)
		from = steps[len(steps)-1].Record.Sequence + 1
	}
}

func (r *Report) say(format string, args ...any) {
	r.Disagreements = append(r.Disagreements, fmt.Sprintf(format, args...))
}

// compare holds one file against the steps that the history has of [0, size).
// Records below first may have been erased from the history by its retention.
func (r *Report) compare(name string, c content, steps []store.SpecialStep, first, size uint64) {
	bySequence := map[uint64]store.SpecialStep{}
	for _, s := range steps {
		bySequence[s.Record.Sequence] = s
	}
	if len(c.torn) > 0 {
		r.say("%s: its end is torn", name)
	}
	found := map[uint64]bool{}
	var previous format.Digest
	var last uint64
	for i, e := range c.entries {
		if e.Previous != previous {
			r.say("%s: the chain breaks before record %d", name, e.Sequence)
		}
		previous = e.Line
		if i > 0 && e.Sequence <= last {
			r.say("%s: record %d stands twice, or out of order", name, e.Sequence)
		}
		last = e.Sequence
		found[e.Sequence] = true
		s, known := bySequence[e.Sequence]
		switch {
		case known && !sameStep(e, s):
			r.say("%s: record %d differs from the history's", name, e.Sequence)
		case !known && e.Sequence >= first && e.Sequence < size:
			r.say("%s: the history has no step with record %d", name, e.Sequence)
		case !known && e.Sequence >= size:
			r.say("%s: record %d lies beyond this node's history", name, e.Sequence)
		}
	}
	for _, s := range steps {
		if !found[s.Record.Sequence] {
			r.say("%s: record %d (%s) is missing", name, s.Record.Sequence, s.Record.Action)
		}
	}
	if c.foreign > 0 && len(r.Disagreements) > 0 {
		r.say("%s: %d lines are no entries", name, c.foreign)
	}
}

// sameStep reports whether an entry is a step's. Of an act that history retention
// took away the history says neither order nor request any more.
func sameStep(e Entry, s store.SpecialStep) bool {
	want := entryOf(s, e.Previous)
	if want.Request == "" {
		want.Order, want.Request = e.Order, e.Request
	}
	a, err := want.encode()
	b, again := e.encode()
	return err == nil && again == nil && bytes.Equal(a, b)
}
