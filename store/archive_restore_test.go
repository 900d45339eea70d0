package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// unknowns are the rows that stand for what restores lost.
func (w *world) unknowns() (out []format.ArchiveRow) {
	w.Helper()
	rows, err := w.nodes[0].archives()
	w.must(err)
	return slices.DeleteFunc(rows, func(row format.ArchiveRow) bool { return !unknownPeriod(row) })
}

// names lists the periods that may hold a bundle's key, what a restore lost as "?".
func (w *world) names(transaction string) (out string) {
	w.Helper()
	rows, err := w.nodes[0].ArchivesHolding(w.nodes[0].row(transaction))
	w.must(err)
	for _, row := range rows {
		name := fmt.Sprint(row.Period[0])
		if unknownPeriod(row) {
			name = "?"
		}
		if row.Destroyed != 0 {
			name += "-"
		}
		out += name
	}
	return out
}

// TestP36_I5_ARestoreMayHoldARun: keys may have left in the part of the history that
// is lost, under the newest period or under one that was opened there; so bundles that
// lived then name both until acts record their end. No archive is taken meanwhile
// but in a new period.
func TestP36_I5_ARestoreMayHoldARun(t *testing.T) {
	for name, loss := range map[string]bool{"a declared loss": true, "new node keys": false} {
		t.Run(name, func(t *testing.T) {
			w, keys := newActWorld(t, t, 2, withOwner)
			w.put("GONE", "PT1H")
			w.put("LIVES", "P5Y")
			w.decideArchive(keys, w.openParams(keys, 1))
			w.decideArchive(keys, w.openParams(keys, 2))
			w.began()
			w.tick(2 * hour)
			w.sweep(10)
			w.restores(loss)
			w.put("LATER", "P5Y")
			if got := w.names("GONE") + w.names("LATER"); got != "" || w.names("LIVES") != "2?" {
				t.Fatalf("%q, LIVES %q", got, w.names("LIVES"))
			}
			views, err := w.nodes[0].Archives()
			w.must(err)
			open, err := w.nodes[0].OpenArchive()
			w.must(err)
			if len(views) != 3 || open != nil || !views[2].Ending || slices.ContainsFunc(views, func(v ArchiveView) bool { return v.State != ArchiveIsSuperseded }) {
				t.Fatalf("open %v, all %+v", open, views)
			}
			lost := w.unknowns()[0]
			for _, period := range []format.ID{{2}, lost.Period} {
				w.refuse(w.commit(w.backupOp(owner, 0, format.BackupEffect{Period: period})), format.ReasonState)
			}
			w.decideArchive(keys, destroyed(2))
			w.decideArchive(keys, w.openParams(keys, 3))
			w.takeKeys(3)
			if got := w.names("LIVES") + w.names("LATER"); got != "2-?33" {
				t.Fatalf("%q", got)
			}
			w.decideArchive(keys, format.ArchiveParams{Step: format.ArchiveDestroyed, Period: lost.Period})
			if got := w.names("LIVES"); got != "2-?-3" {
				t.Fatalf("%q", got)
			}
			w.equal()
			w.nodes[1].rebuild(true)
			w.equal()
		})
	}
}

// TestP36_I5_EveryRestoreWithAnActHasARow, also where no period was ever opened; one
// without an act lost nothing.
func TestP36_I5_EveryRestoreWithAnActHasARow(t *testing.T) {
	w, _ := newActWorld(t, t, 1, nil)
	w.put("LIVES", "P5Y")
	w.beginRestored(nil)
	if got := w.names("LIVES"); got != "" {
		t.Fatalf("%q", got)
	}
	w.loses()
	w.loses()
	rows := w.unknowns()
	if got := w.names("LIVES"); got != "??" || len(rows) != 2 || rows[0].Period == rows[1].Period || rows[0].End != rows[0].Opened {
		t.Fatalf("%q, %+v", got, rows)
	}
}
