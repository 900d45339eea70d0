package store

import (
	"testing"

	"github.com/sago-worm/sago/access"
	"github.com/sago-worm/sago/store/format"
)

// The auditors that exportWorld adds to the kit's persons.
const (
	auditor2  = 6 // of institution 2
	appliance = 7 // of the appliance
)

func exportWorld(t *testing.T, institutions int) *world {
	return newWorldWith(t, t, 2, func(c *format.Ceremony) {
		c.Institutions = c.Institutions[:institutions]
		if institutions == 1 {
			c.Definitions, c.Persons[stranger-1].Institution = c.Definitions[:2], 1
		}
		for i, of := range []uint32{uint32(institutions), 0} {
			id := auditor2 + uint64(i)
			p := format.Person{ID: id, Role: uint8(access.RoleAuditor), Institution: of, PublicKey: public(t, newKey(t)), Identity: format.Digest{byte(id)}}
			c.Persons = append(c.Persons, p)
		}
	})
}

func (w *world) exportOp(actor uint64, institution uint32, e format.ExportEffect) Op {
	op := w.op(KindExport, e)
	op.Actor, op.Institution = actor, institution
	return op
}

func (w *world) export(actor uint64, institution uint32, e format.ExportEffect) (Result, format.ExportEffect) {
	w.Helper()
	r := w.accept(w.commit(w.exportOp(actor, institution, e)))
	rec, _, err := w.nodes[0].Record(r.Sequence)
	w.must(err)
	if rec.Action != format.ActExport || rec.Institution != institution {
		w.Fatalf("recorded %s of institution %d", rec.Action, rec.Institution)
	}
	out, err := format.DecodeExportEffect(rec.Effect)
	w.must(err)
	return r, out
}

// TestExportRange holds what Apply finds against a walk over every record.
func TestExportRange(t *testing.T) {
	w := exportWorld(t, 2)
	for i := range 7 {
		w.tick(1000)
		for range i % 3 { // several records at one clock, and none
			w.put("T"+string(rune('a'+w.serial%26))+string(rune('a'+i)), "P1Y")
			list := w.op(KindList, format.ListEffect{Kind: format.ListHistory})
			list.Actor, list.Institution = auditor, 1
			w.accept(w.commit(list))
		}
	}
	all := w.nodes[0].records(0)
	clocks := []int64{0, 1, base + 1, 1 << 60}
	for _, r := range all {
		clocks = append(clocks, r.Clock-1, r.Clock, r.Clock+1)
	}
	for i, since := range clocks {
		until := clocks[(i*7+3)%len(clocks)]
		if since < 0 || until < 0 || until != 0 && until <= since {
			continue
		}
		scope := format.ExportEffect{Scope: format.ExportInstitution, Since: since, Until: until}
		r, own := w.export(auditor, 1, scope)
		checkRange(t, w, r, own, func(rec *format.Record) (uint64, bool) { return rec.InstitutionSequence, rec.Institution == 1 })
		scope.Scope = format.ExportTree
		r, tree := w.export(appliance, 0, scope)
		checkRange(t, w, r, tree, func(rec *format.Record) (uint64, bool) { return rec.Sequence, true })
	}
	w.equal()
	was := w.nodes[1].standing()
	w.nodes[1].rebuild(true)
	if is := w.nodes[1].standing(); is != was {
		t.Errorf("rebuilt %+v, was %+v", is, was)
	}
}

func checkRange(t *testing.T, w *world, r Result, e format.ExportEffect, number func(*format.Record) (uint64, bool)) {
	t.Helper()
	first, end, found := uint64(0), uint64(0), false
	for _, rec := range w.nodes[0].records(0) {
		n, mine := number(&rec)
		if !mine || rec.Sequence > r.Sequence {
			continue
		}
		in := rec.Clock >= e.Since && (e.Until == 0 || rec.Clock < e.Until) && rec.Sequence < r.Sequence || e.Until == 0 && rec.Sequence == r.Sequence
		if in && !found {
			first, found = n, true
		}
		if in {
			end = n + 1
		}
	}
	switch {
	case found && (e.First != first || e.End != end):
		t.Errorf("since %d until %d: found [%d, %d), want [%d, %d)", e.Since, e.Until, e.First, e.End, first, end)
	case !found && e.First != e.End:
		t.Errorf("since %d until %d: found [%d, %d) where there is nothing", e.Since, e.Until, e.First, e.End)
	}
}

// TestExportRefused: refused, recorded as denied, on every node alike.
func TestExportRefused(t *testing.T) {
	w := exportWorld(t, 2)
	tree, own := format.ExportEffect{Scope: format.ExportTree}, format.ExportEffect{Scope: format.ExportInstitution}
	for _, c := range []struct {
		name        string
		actor       uint64
		institution uint32
		e           format.ExportEffect
		reason      format.Reason
	}{
		{"an application", app, 1, own, format.ReasonNotPermitted},
		{"an administrator", admin, 1, tree, format.ReasonNotPermitted},
		{"the tree, by one institution's auditor", auditor, 1, tree, format.ReasonNotPermitted},
		{"the tree, by the other's", auditor2, 2, tree, format.ReasonNotPermitted},
		{"another institution", auditor, 2, own, format.ReasonNotPermitted},
		{"the appliance's, by an institution's auditor", auditor, 0, tree, format.ReasonNotPermitted},
		{"nobody", nobody, 1, own, format.ReasonUnknownPrincipal},
		{"no scope", auditor, 1, format.ExportEffect{}, format.ReasonInvalid},
		{"a range of one's own making", auditor, 1, format.ExportEffect{Scope: format.ExportInstitution, End: 3}, format.ReasonInvalid},
		{"a minimum of one's own making", auditor, 1, format.ExportEffect{Scope: format.ExportInstitution, Minimum: 3}, format.ReasonInvalid},
		{"times that go back", auditor, 1, format.ExportEffect{Scope: format.ExportInstitution, Since: 5, Until: 5}, format.ReasonInvalid},
		{"a time before the epoch", auditor, 1, format.ExportEffect{Scope: format.ExportInstitution, Since: -1}, format.ReasonInvalid},
	} {
		op := w.exportOp(c.actor, c.institution, c.e)
		size := w.nodes[0].Summary().Size
		r := w.commit(op)
		if r.Outcome != Refused || r.Reason != c.reason {
			t.Errorf("%s: outcome %d, %s", c.name, r.Outcome, r.Reason)
			continue
		}
		denials := w.nodes[0].records(size)
		if len(denials) != 1 || denials[0].Action != format.ActDeny || denials[0].Result != c.reason {
			t.Errorf("%s: recorded %+v", c.name, denials)
			continue
		}
		if e, err := format.DecodeDenyEffect(denials[0].Effect); err != nil || e.Verb != format.ActExport {
			t.Errorf("%s: denied %v, %v", c.name, e, err)
		}
	}
	w.equal()
}

// TestExportOfTheOnlyInstitutionsTree (ADR 0018).
func TestExportOfTheOnlyInstitutionsTree(t *testing.T) {
	w := exportWorld(t, 1)
	r, e := w.export(auditor, 1, format.ExportEffect{Scope: format.ExportTree})
	if e.First != 0 || e.End != r.Sequence+1 {
		t.Errorf("range %+v of record %d", e, r.Sequence)
	}
	w.equal()
}
