package store

import "github.com/sago-worm/sago/store/format"

// window remembers the results of recent operations by id. What it answers
// depends on the entries alone: an id counts for Window entries after its own.
// It is rebuilt from the history's fields at a start.
type window struct {
	known   map[format.ID]remembered
	entries []uint64               // indexes of remembered entries, ascending
	ids     map[uint64][]format.ID // by entry
}

type remembered struct {
	result Result
	entry  uint64
}

func (w *window) add(r Result, entry uint64) {
	if w.known == nil {
		w.known, w.ids = map[format.ID]remembered{}, map[uint64][]format.ID{}
	}
	w.known[r.ID] = remembered{r, entry}
	if len(w.ids[entry]) == 0 {
		w.entries = append(w.entries, entry)
	}
	w.ids[entry] = append(w.ids[entry], r.ID)
}

func (w *window) find(id format.ID, entry uint64) (Result, bool) {
	k, ok := w.known[id]
	if !ok || k.entry+Window < entry {
		return Result{}, false
	}
	return k.result, true
}

// advance forgets what no entry at or after the given one may ask for.
func (w *window) advance(entry uint64) {
	for len(w.entries) > 0 && w.entries[0]+Window < entry {
		for _, id := range w.ids[w.entries[0]] {
			delete(w.known, id)
		}
		delete(w.ids, w.entries[0])
		w.entries = w.entries[1:]
	}
}

// remember takes in the first record of an operation: its result.
func (w *window) remember(rec *format.Record, leaf format.Digest) {
	if rec.Ordinal != 0 {
		return
	}
	r := Result{ID: rec.Operation, Outcome: Accepted, Sequence: rec.Sequence, Leaf: leaf, Clock: rec.Clock, Recorded: true, Entry: rec.Entry}
	if rec.Action == format.ActDeny {
		r.Outcome, r.Reason = Refused, rec.Result
	}
	w.add(r, rec.Entry)
}
