package format_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

func TestAddCheckpointIsReadAsWritten(t *testing.T) {
	n, _, _ := signedNote(t)
	for _, proof := range [][]format.Digest{nil, {{1}}, make([]format.Digest, 63)} {
		a := format.AddCheckpoint{Old: 5, Proof: proof, Note: n}
		got, err := format.ParseAddCheckpoint(a.String())
		if err != nil || got.String() != a.String() || got.Old != 5 || len(got.Proof) != len(proof) {
			t.Fatalf("%v: %+v", err, got)
		}
	}
	good := format.AddCheckpoint{Old: 5, Proof: []format.Digest{{1}}, Note: n}.String()
	for name, bad := range map[string]string{
		"nothing":       "",
		"no old":        strings.TrimPrefix(good, "old 5\n"),
		"old +5":        strings.Replace(good, "old 5", "old +5", 1),
		"old 05":        strings.Replace(good, "old 5", "old 05", 1),
		"old beyond":    strings.Replace(good, "old 5", "old 9223372036854775808", 1),
		"short hash":    strings.Replace(good, "AQ", "A", 1),
		"no note":       "old 5\n\n",
		"unsigned":      "old 5\n\n" + n.Text,
		"long proof":    format.AddCheckpoint{Old: 5, Proof: make([]format.Digest, 64), Note: n}.String(),
		"carriage":      strings.ReplaceAll(good, "\n", "\r\n"),
		"something new": strings.Replace(good, "old 5\n", "old 5\nnew 6\n", 1),
	} {
		if _, err := format.ParseAddCheckpoint(bad); !errors.Is(err, format.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoteOfOneLineIsReadAsWritten(t *testing.T) {
	n, _, _ := signedNote(t)
	line := n.OneLine()
	if strings.Contains(line, "\n") || line == "" {
		t.Fatalf("%q", line)
	}
	if got, err := format.ParseOneLine(line); err != nil || got.String() != n.String() {
		t.Fatalf("%v: %q", err, got)
	}
	if _, err := format.ParseOneLine(n.String()); !errors.Is(err, format.ErrMalformed) {
		t.Fatalf("took several lines: %v", err)
	}
	n.Lines[0].Name = "a|b"
	if n.OneLine() != "" {
		t.Fatal("a bar that would be read as a line feed")
	}
}

func FuzzParseAddCheckpoint(f *testing.F) {
	n, _, _ := signedNote(f)
	f.Add(format.AddCheckpoint{Note: n}.String())
	f.Add(format.AddCheckpoint{Old: 5, Proof: []format.Digest{{1}, {2}}, Note: n}.String())
	f.Add("old 1\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := format.ParseAddCheckpoint(s)
		if err == nil && a.String() != s || err != nil && !errors.Is(err, format.ErrMalformed) {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
