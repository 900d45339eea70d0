package forensic_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/audit/forensic"
)

// FuzzSearch: bytes of any kind, as a database and as any other file, end a search
// with a report and never with a panic.
func FuzzSearch(f *testing.F) {
	w := newWorld(f)
	small := w.files["history/00000001.his"]
	f.Add(small)
	f.Add(append(small[:400:400], small[300:]...))
	f.Add(w.files[blockFile])
	f.Add(w.database(map[string][]byte{"2": w.entry(goes)}, map[string][]byte{"1": w.entry(goes)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "f"), b, 0o600))
		r, err := forensic.Search(context.Background(), forensic.Input{Transaction: "GOES", Part: 1, Roots: w.roots, Paths: []string{dir}, Slide: 1 << 20})
		if err != nil || r.Files != 1 || r.Bytes != int64(len(b)) {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
