package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// exportCases are histories and ranges with every form of bundle.
func exportCases(t *testing.T) map[string]*exportLog {
	tree, own := format.ExportTree, format.ExportInstitution
	return map[string]*exportLog{
		"tree":                           newExportLog(t, 700, 640, format.ExportEffect{Scope: tree}),
		"tree of one":                    newExportLog(t, 1, 0, format.ExportEffect{Scope: tree}),
		"tree of one bundle":             newExportLog(t, 256, 255, format.ExportEffect{Scope: tree}),
		"tree of two levels":             newExportLog(t, 512, 500, format.ExportEffect{Scope: tree}),
		"tree, since":                    newExportLog(t, 700, 640, format.ExportEffect{Scope: tree, Since: began + 75, First: 300}),
		"tree, between":                  newExportLog(t, 900, 800, format.ExportEffect{Scope: tree, Since: began + 75, Until: began + 100, First: 300, End: 400}),
		"tree, between, at the end":      newExportLog(t, 700, 690, format.ExportEffect{Scope: tree, Since: began + 75, Until: began + 165, First: 300, End: 660}),
		"tree, nothing":                  newExportLog(t, 300, 299, format.ExportEffect{Scope: tree, Since: began + 1, Until: began + 2}),
		"tree, erased, some carried":     newExportLog(t, 900, 800, format.ExportEffect{Scope: tree, Minimum: 300}, 3, 17, 255, 299),
		"tree, erased, between":          newExportLog(t, 900, 800, format.ExportEffect{Scope: tree, Until: began + 150, End: 600, Minimum: 300}, 3, 17),
		"tree, erased beyond":            newExportLog(t, 900, 800, format.ExportEffect{Scope: tree, Until: began + 50, End: 200, Minimum: 300}, 3, 17),
		"tree, erased, less than a tile": newExportLog(t, 250, 240, format.ExportEffect{Scope: tree, Minimum: 100}, 3),
		"institution":                    newExportLog(t, 1000, 990, format.ExportEffect{Scope: own}),
		"institution, whole bundles":     newExportLog(t, 900, 765, format.ExportEffect{Scope: own}),
		"institution, between":           newExportLog(t, 900, 890, format.ExportEffect{Scope: own, Since: began + 4, Until: began + 100, First: 5, End: 100}),
		"institution, erased":            newExportLog(t, 900, 890, format.ExportEffect{Scope: own, Minimum: 40}, 2, 39),
	}
}

// contents reads a directory whole: path to bytes.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if want := fs.FileMode(0o600); d.Type().IsRegular() && info.Mode().Perm() != want || d.IsDir() && path != dir && info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		name, rerr := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = string(b)
		return errors.Join(err, rerr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExport(t *testing.T) {
	for name, l := range exportCases(t) {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(scratch(t), "x")
			r, err := l.client(nil).Export(t.Context(), l.options(dir))
			if err != nil {
				t.Fatal(err)
			}
			files := contents(t, dir)
			got := l.read(t, files)
			want := map[uint64]bool{}
			lines := []uint64{}
			for _, m := range l.answer(&sagov1.ExportRequest{}) {
				if rec := m.GetRecord(); rec != nil {
					decoded, err := format.DecodeRecord(rec.GetEncoded())
					if err != nil {
						t.Fatal(err)
					}
					want[decoded.Sequence] = true
					if rec.GetReadable() != nil {
						lines = append(lines, decoded.Sequence)
					}
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("holds %d records, %d were sent", len(got), len(want))
			}
			if is := lineSequences(t, files["records.jsonl"]); !slices.Equal(is, lines) || r.Records != uint64(len(lines)) {
				t.Errorf("lines of %d records, %d counted, want %d", len(is), r.Records, len(lines))
			}
			if len(r.Checkpoint.Signers) != 2 || r.Resumed || r.ExportSequence != l.x || r.First != l.effect.First || r.End != l.effect.End {
				t.Errorf("result %+v", r)
			}
		})
	}
}

// read holds every file of an export against the log and answers the sequences
// of the records in it.
func (l *exportLog) read(t *testing.T, files map[string]string) map[uint64]bool {
	t.Helper()
	got := map[uint64]bool{}
	take := func(entries []string) {
		for _, e := range entries {
			rec, err := format.DecodeRecord([]byte(e))
			if err != nil || string(l.records[rec.Sequence]) != e || got[rec.Sequence] {
				t.Fatalf("a record that the log does not have, or twice: %d, %v", rec.Sequence, err)
			}
			got[rec.Sequence] = true
		}
	}
	tiles := 0
	for name, data := range files {
		switch top, _, _ := strings.Cut(name, "/"); {
		case strings.HasPrefix(name, "tile/entries/"), top == "records":
			take(split(t, data))
		case top == "tile":
			tiles++
			tile, err := tlog.ParseTilePath("tile/8/" + strings.TrimPrefix(name, "tile/"))
			if err != nil {
				t.Fatal(err)
			}
			if want, err := tlog.ReadTileData(tile, l); err != nil || string(want) != data {
				t.Errorf("%s differs: %v", name, err)
			}
		case top == "proofs":
			if len(split(t, data)) != len(split(t, files["records"+strings.TrimPrefix(name, "proofs")])) {
				t.Errorf("%s: not a proof for each record", name)
			}
		case !slices.Contains([]string{"export.json", "checkpoint", "records.jsonl"}, name):
			t.Errorf("left behind %s", name)
		}
	}
	all := len(slices.Collect(format.Tiles(uint64(len(l.records)))))
	if l.tree() && tiles != all || !l.tree() && tiles != 0 {
		t.Errorf("%d tiles of %d", tiles, all)
	}
	if !strings.Contains(files["export.json"], `"complete": true`) || files["checkpoint"] != l.note {
		t.Error("not complete, or another checkpoint")
	}
	return got
}

func split(t *testing.T, data string) (out []string) {
	t.Helper()
	for len(data) >= 2 {
		n := int(data[0])<<8 | int(data[1])
		out, data = append(out, data[2:2+n]), data[2+n:]
	}
	if data != "" {
		t.Fatal("a torn bundle")
	}
	return out
}

func lineSequences(t *testing.T, lines string) []uint64 {
	t.Helper()
	out := []uint64{}
	for line := range strings.Lines(lines) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil || len(row) != 12 || !strings.HasSuffix(line, "\n") {
			t.Fatalf("line %q: %v", line, err)
		}
		out = append(out, uint64(row["sequence"].(float64)))
	}
	return out
}

// TestExportGoesOn breaks the stream off at random points, spoils what a crash may
// spoil, and wants the same bytes in the end as without.
func TestExportGoesOn(t *testing.T) {
	for name, l := range exportCases(t) {
		t.Run(name, func(t *testing.T) {
			straight, broken := filepath.Join(scratch(t), "x"), filepath.Join(scratch(t), "y")
			if _, err := l.client(nil).Export(t.Context(), l.options(straight)); err != nil {
				t.Fatal(err)
			}
			random := rand.New(rand.NewPCG(uint64(len(name)), 7))
			cl := l.client(func(_ *sagov1.ExportRequest, out []*sagov1.ExportResponse) ([]*sagov1.ExportResponse, error) {
				if n := 1 + random.IntN(400); n < len(out) {
					return out[:n], errGone
				}
				return out, nil
			})
			var r *client.ExportResult
			for tries := 0; r == nil; tries++ {
				var err error
				if r, err = cl.Export(t.Context(), l.options(broken)); err == nil {
					break
				}
				if client.ReasonOf(err) != "UNAVAILABLE" || tries > 50 {
					t.Fatal(err)
				}
				spoil(t, broken, random)
			}
			want, got := contents(t, straight), contents(t, broken)
			if !maps.Equal(got, want) {
				t.Errorf("%d files, %d without a break", len(got), len(want))
				for name := range want {
					if got[name] != want[name] {
						t.Errorf("%s differs", name)
					}
				}
			}
		})
	}
}

// spoil leaves what a kill leaves: a file begun, and lines beyond what is whole.
func spoil(t *testing.T, dir string, random *rand.Rand) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, ".part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "records.jsonl"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Repeat([]byte("x"), 1+random.IntN(9000))
	_, werr := f.Write(append([]byte(`{"sequence":99999}`+"\n"), line...))
	if err := errors.Join(werr, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestExportDirectoryIsRefused(t *testing.T) {
	l := newExportLog(t, 300, 290, format.ExportEffect{Scope: format.ExportTree})
	cl := l.client(nil)
	dir := filepath.Join(scratch(t), "x")
	if _, err := cl.Export(t.Context(), l.options(dir)); err != nil {
		t.Fatal(err)
	}
	foreign := scratch(t)
	if err := os.WriteFile(filepath.Join(foreign, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	begun := func(change string, to string) string {
		d := scratch(t)
		raw := strings.Replace(contents(t, dir)["export.json"], `"complete": true`, `"complete": false`, 1)
		if err := os.WriteFile(filepath.Join(d, "export.json"), []byte(strings.Replace(raw, change, to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for name, d := range map[string]string{
		"complete": dir, "of something else": foreign, "nowhere": filepath.Join(foreign, "no", "such"),
		"another scope": begun(`"tree"`, `"institution"`), "another cluster": begun(`"cluster": "01`, `"cluster": "02`),
		"other times": begun(`"since": 0`, `"since": 5`), "another format": begun("sago-export-1", "sago-export-2"), "nonsense": begun("{", "["),
	} {
		before := map[string]string{}
		if name != "nowhere" {
			before = contents(t, d)
		}
		if _, err := cl.Export(t.Context(), l.options(d)); !errors.Is(err, client.ErrExportDirectory) {
			t.Errorf("%s: %v", name, err)
		}
		if name != "nowhere" && !maps.Equal(before, contents(t, d)) {
			t.Errorf("%s: changed", name)
		}
	}
}
