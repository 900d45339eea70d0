package audit_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/sago-worm/sago/audit"
)

// TestBothVerifiersAgreeOnRandomDamage bends bytes of every base at places drawn
// from a fixed seed and holds the verifiers against each other. SAGO_DAMAGES says
// how many.
func TestBothVerifiersAgreeOnRandomDamage(t *testing.T) {
	second := startPython(t)
	count := 60
	if n, err := strconv.Atoi(os.Getenv("SAGO_DAMAGES")); err == nil {
		count = n
	}
	draw := rand.New(rand.NewPCG(1, uint64(count)))
	for _, name := range []string{"small", "institution-pruned", "range"} {
		dir := copyOf(t, name)
		files := contentsOf(t, dir)
		names := slices.Sorted(maps.Keys(files))
		for range count {
			file := names[draw.IntN(len(names))]
			b := []byte(files[file])
			at := draw.IntN(len(b))
			what := "bent"
			switch draw.IntN(5) {
			case 0, 1:
				b[at] ^= 1 << draw.IntN(8)
			case 2:
				b[at] = byte(draw.Uint32())
			case 3:
				b, what = slices.Delete(b, at, min(at+1+draw.IntN(40), len(b))), "cut out"
			case 4:
				b, what = slices.Insert(b, at, []byte(files[file])[at/2:at/2+draw.IntN(1+at/2)]...), "grown"
			}
			path := filepath.Join(dir, filepath.FromSlash(file))
			check(t, os.WriteFile(path, b, 0o600))
			v := second.agree(t, dir, vectorFile("good.keys"), nil)
			if v.Report.Result == audit.OK && file != "records.jsonl" && file != "checkpoint" && file != "export.json" && string(b) != files[file] {
				t.Errorf("%s of %s, %s at %d, was taken", file, name, what, at)
			}
			if t.Failed() {
				t.Fatalf("%s of %s, %s at %d: %q", file, name, what, at, v.Report.Reason)
			}
			check(t, os.WriteFile(path, []byte(files[file]), 0o600))
		}
	}
}
