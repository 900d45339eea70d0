package audit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sago-worm/sago/audit"
	"github.com/sago-worm/sago/store/format"
)

// docs/verify/vectors holds, for each base, an export of that name. Beside them
// lie keys files (*.keys), kept checkpoints (*.note) and mutants.json. All but the
// last are written by this file, SAGO_WRITE_VECTORS=1 go test ./audit -run
// Vectors, and otherwise compared with what it would write.

const vectorDir = "../docs/verify/vectors"

var (
	vectorCluster = format.ID{0x5a, 0x60, 15: 1}
	vectorNodes   = []string{"n1", "n2", "n3"}
)

// history is a log of n everyday records, with the EXPORT record at x.
func history(t testing.TB, n, x uint64, institution uint32, e format.ExportEffect) *testLog {
	t.Helper()
	l := &testLog{}
	for i := range n {
		r := everyday(i)
		if i == x {
			r.Action, r.Result, r.Transaction, r.Institution = format.ActExport, format.ReasonOK, "", institution
			r.Effect = format.EncodeEffect(e)
		}
		l.add(t, r)
	}
	return l
}

// newPlan is an export of a history of n records, signed by two of three nodes
// and one witness.
func newPlan(t testing.TB, n, x uint64, institution uint32, e format.ExportEffect, carried ...uint64) plan {
	t.Helper()
	l := history(t, n, x, institution, e)
	note := signNote(t, l.checkpoint(t, vectorCluster, n), []string{"n1", "n3"}, []string{"w.example/1", "other.example/2"})
	return plan{l, vectorCluster, e, institution, x, note, n, carried}
}

// own is how many records of an institution lie before sequence x.
func own(l *testLog, institution uint32, x uint64) (count uint64) {
	for _, r := range l.records[:x] {
		if r.Institution == institution {
			count++
		}
	}
	return count
}

// bases are the valid exports.
func bases(t testing.TB) map[string]plan {
	t.Helper()
	const tree, institution = format.ExportTree, format.ExportInstitution
	plain := history(t, 600, 600, 0, format.ExportEffect{})
	since, until := plain.records[280].Clock, plain.records[500].Clock
	ownEnd := own(plain, 1, 596)
	return map[string]plan{
		// Everything: three entry bundles, the last of them partial.
		"tree": newPlan(t, 600, 597, 0, format.ExportEffect{Scope: tree, End: 598}),
		// A part of it: one bundle; the EXPORT record lies behind it.
		"range": newPlan(t, 600, 597, 0, format.ExportEffect{Scope: tree, Since: since, Until: until, First: 280, End: 500}),
		// History retention erased all before 300 but three records.
		"pruned": newPlan(t, 600, 597, 0, format.ExportEffect{Scope: tree, End: 598, Minimum: 300}, 3, 40, 255),
		// One institution: 199 records, the EXPORT record the last.
		"institution": newPlan(t, 600, 596, 1, format.ExportEffect{Scope: institution, End: ownEnd + 1}),
		// One institution after erasure, and the EXPORT record behind the range.
		"institution-pruned": newPlan(t, 60, 58, 1, format.ExportEffect{
			Scope: institution, Since: 1, Until: plain.records[40].Clock, First: 2, End: 14, Minimum: 8,
		}, 10, 19),
		// Two records.
		"small": newPlan(t, 2, 1, 0, format.ExportEffect{Scope: tree, End: 2}),
	}
}

// writeVectors writes every base, keys file and kept checkpoint to dir.
func writeVectors(t testing.TB, dir string) {
	t.Helper()
	for name, p := range bases(t) {
		p.write(t, filepath.Join(dir, name))
	}
	w := writer{t, dir}
	witnesses := []string{"w.example/1", "w.example/3"}
	good := testKeys(t, vectorCluster, vectorNodes, witnesses, 1)
	w.file("good.keys", []byte(good.String()))
	two := good
	two.Needed = 2
	w.file("two-witnesses.keys", []byte(two.String()))
	w.file("other-nodes.keys", []byte(testKeys(t, vectorCluster, []string{"x1", "x2", "x3"}, nil, 0).String()))
	w.file("same-names.keys", []byte(otherKeysSameNames(t).String()))
	w.file("five-nodes.keys", []byte(testKeys(t, vectorCluster, []string{"n1", "n2", "n3", "n4", "n5"}, nil, 0).String()))
	w.file("four-nodes.keys", []byte(testKeys(t, vectorCluster, []string{"n1", "n2", "n3", "n4"}, nil, 0).String()))
	w.file("other-log.keys", []byte(testKeys(t, format.ID{1}, vectorNodes, nil, 0).String()))

	grown := history(t, 700, 597, 0, format.ExportEffect{Scope: format.ExportTree, End: 598})
	forged := history(t, 600, 597, 0, format.ExportEffect{Scope: format.ExportTree, End: 599})
	for name, c := range map[string]format.Checkpoint{
		"kept-300": grown.checkpoint(t, vectorCluster, 300), "kept-600": grown.checkpoint(t, vectorCluster, 600),
		"kept-700": grown.checkpoint(t, vectorCluster, 700), "fork-600": forged.checkpoint(t, vectorCluster, 600),
		"fork-598": forged.checkpoint(t, vectorCluster, 598), "foreign": grown.checkpoint(t, format.ID{1}, 300),
	} {
		w.file(name+".note", []byte(signNote(t, c, []string{"n1", "n2"}, nil)))
	}
	line := strings.ReplaceAll(signNote(t, grown.checkpoint(t, vectorCluster, 599), []string{"n2", "n3"}, nil), "\n", "|")
	w.file("kept-lines.note", []byte(line+"\r\n\n"+strings.TrimSuffix(line, "|")+"\n"))
	w.file("empty.note", nil)
	w.file("unsigned-300.note", []byte(signNote(t, grown.checkpoint(t, vectorCluster, 300), []string{"n1"}, nil)))
}

// otherKeysSameNames are other nodes' keys under the names of the nodes.
func otherKeysSameNames(t testing.TB) audit.Keys {
	t.Helper()
	k := testKeys(t, vectorCluster, []string{"x1", "x2", "x3"}, nil, 0)
	for i, name := range vectorNodes {
		k.Nodes[i].Name = name
	}
	return k
}

func TestVectorsAreWrittenAsTheyStand(t *testing.T) {
	dir := t.TempDir()
	if os.Getenv("SAGO_WRITE_VECTORS") == "1" {
		dir = vectorDir
	}
	writeVectors(t, dir)
	written := contentsOf(t, dir)
	committed := contentsOf(t, vectorDir)
	delete(written, "mutants.json")
	delete(committed, "mutants.json")
	for name, b := range written {
		if committed[name] != b {
			t.Errorf("%s is not what this code writes", name)
		}
		delete(committed, name)
	}
	for name := range committed {
		t.Errorf("%s is nobody's", name)
	}
}

// contentsOf reads all files below dir.
func contentsOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		found[filepath.ToSlash(rel)] = string(b)
		return err
	}))
	return found
}
