package format

// RetentionRow is a record's retention metadata as the state keeps it; package
// retention gives it its meaning. Instants are microseconds, 0 while unset.
type RetentionRow struct {
	Rule  string
	Basis uint8
	Start int64
	// Deadline is a floor while the period waits for its start.
	Deadline int64
	Event    int64
	Prior    []string  // rules that were replaced before they had a start, oldest first
	Holds    []HoldRow // ascending by id
	// The one-time view: who took it, under which request, how often they read
	// and until when they may repeat.
	ViewActor   uint64
	ViewRequest ID
	ViewReads   uint8
	ViewGrace   int64
}

// HoldRow is a legal hold in place.
type HoldRow struct {
	ID, Owner uint64
	Basis     uint8
	Review    int64
}

func (t RetentionRow) encode(w *Writer) {
	w.Str(t.Rule)
	w.U8(t.Basis)
	w.I64(t.Start)
	w.I64(t.Deadline)
	w.I64(t.Event)
	w.U32(uint32(len(t.Prior)))
	for _, p := range t.Prior {
		w.Str(p)
	}
	w.U32(uint32(len(t.Holds)))
	for _, h := range t.Holds {
		w.U64(h.ID)
		w.U64(h.Owner)
		w.U8(h.Basis)
		w.I64(h.Review)
	}
	w.U64(t.ViewActor)
	w.Raw(t.ViewRequest[:])
	w.U8(t.ViewReads)
	w.I64(t.ViewGrace)
}

func readRetentionRow(r *Reader) (t RetentionRow) {
	t.Rule = r.Str()
	t.Basis = r.U8()
	t.Start, t.Deadline, t.Event = r.I64(), r.I64(), r.I64()
	t.Prior = list(r, 2, (*Reader).Str)
	t.Holds = list(r, 25, func(r *Reader) HoldRow { return HoldRow{r.U64(), r.U64(), r.U8(), r.I64()} })
	ascending(r, "holds", t.Holds, func(h HoldRow) uint64 { return h.ID })
	t.ViewActor = r.U64()
	r.Raw(t.ViewRequest[:])
	t.ViewReads = r.U8()
	t.ViewGrace = r.I64()
	return t
}
