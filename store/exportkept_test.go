package store

import (
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestExportAfterHistoryRetention: from the minimum that the EXPORT record names on
// every record of its range is there, and of the time that was asked for.
func TestExportAfterHistoryRetention(t *testing.T) {
	w := lived(t, 2)
	w.prune()
	w.eraseHistory()
	n := w.nodes[0]
	now, gone := n.Summary().Clock.Now, uint64(0)
	for _, since := range []int64{0, 1, base + 1, base + day, now - 200*day, now - 1000*day, now} {
		for _, until := range []int64{0, base + 2*day, now - 100*day, now + 5} {
			if until != 0 && until <= since {
				continue
			}
			_, e := w.export(auditor, 1, format.ExportEffect{Scope: format.ExportInstitution, Since: since, Until: until})
			gone += w.checkKept(t, e)
		}
	}
	if gone == 0 {
		t.Error("nothing was erased")
	}
	w.equal()
}

// checkKept walks an export's range and answers how many of it are gone.
func (w *world) checkKept(t *testing.T, e format.ExportEffect) (gone uint64) {
	t.Helper()
	n := w.nodes[0]
	sequences, err := n.OwnSequences(1, e.First, e.End)
	w.must(err)
	at := e.First
	for _, s := range sequences {
		rec, _, err := n.Record(s)
		w.must(err)
		own := rec.InstitutionSequence
		if own > at && own > e.Minimum {
			t.Errorf("%+v: a gap before %d", e, own)
		}
		if own >= e.Minimum && (rec.Clock < e.Since || e.Until != 0 && rec.Clock >= e.Until) {
			t.Errorf("%+v: %d has the clock %d", e, own, rec.Clock)
		}
		gone, at = gone+own-at, own+1
	}
	if at < e.End && e.End > e.Minimum {
		t.Errorf("%+v: nothing from %d on", e, at)
	}
	return gone
}
