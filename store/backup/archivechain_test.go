package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

func exampleManifest() Manifest {
	return Manifest{Cluster: format.ID{1}, Records: 90, Root: format.Digest{2}, Payload: 88, Clock: 7, Missing: []uint64{4}, Archives: 3,
		Keys: []KeyArchive{{Sequence: 10, Period: format.ID{1}, Digest: format.Digest{1}}, {Sequence: 20, From: 10, Period: format.ID{1}, Digest: format.Digest{2}},
			{Sequence: 30, Period: format.ID{2}, Digest: format.Digest{3}}},
		Lacking: []uint64{5, 9}}
}

// TestAManifestNamesItsArchives: what is written is read again; what no run could
// have written is refused; a manifest of before names none.
func TestAManifestNamesItsArchives(t *testing.T) {
	m := exampleManifest()
	raw, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeManifest(raw)
	if err != nil || !slices.Equal(got.Keys, m.Keys) || !slices.Equal(got.Lacking, m.Lacking) || got.Archives != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, change := range map[string]func(*Manifest){
		"twice":            func(m *Manifest) { m.Keys[1].Sequence = 10 },
		"descending":       func(m *Manifest) { slices.Reverse(m.Keys) },
		"from behind":      func(m *Manifest) { m.Keys[0].From = 11 },
		"lacking twice":    func(m *Manifest) { m.Lacking[1] = 5 },
		"lacking descends": func(m *Manifest) { slices.Reverse(m.Lacking) },
	} {
		m := exampleManifest()
		change(&m)
		raw, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeManifest(raw); !errors.Is(err, format.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m.Keys, m.Lacking = nil, nil
	raw, err = m.encode()
	if err != nil || bytes.Contains(raw, []byte("keys")) {
		t.Fatalf("%s, %v", raw, err)
	}
	d := &Dir{path: t.TempDir(), run: &m, archives: []uint64{10, 20, 30}}
	if got := d.Archives(); len(got) != 3 {
		t.Errorf("a manifest that names none stands for %v", got)
	}
	if c, err := d.KeyChain(t.Context()); err != nil || c.Sequence != 0 || c.Doubt == nil {
		t.Errorf("nothing is named, and relied on: %+v, %v", c, err)
	}
}

// FuzzManifest: no panic, and what is taken is what a run would have written.
func FuzzManifest(f *testing.F) {
	raw, err := exampleManifest().encode()
	if err != nil {
		f.Fatal(err)
	}
	text, _, _ := bytes.Cut(raw, []byte("\n"))
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		b := fmt.Appendf(nil, "%s\n%x\n", text, sha256.Sum256(text))
		m, err := decodeManifest(b)
		if err != nil {
			return
		}
		if again, err := m.encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%s was taken for %s: %v", b, again, err)
		}
	})
}
