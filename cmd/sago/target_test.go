package main

import (
	"os"
	"path/filepath"
	"testing"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// TestDocumentNamesLeadNowhereElse: names were chosen by whoever stored the
// bundle.
func TestDocumentNamesLeadNowhereElse(t *testing.T) {
	names := []string{
		"a.xml", "a.xml", "../../etc/passwd", "..", ".", "", "/", ".ssh", "dir/.bashrc", "document-4", "b\nc\x1b[31m", "a/../a.xml", "\x00",
	}
	var documents []*sagov1.Document
	for _, n := range names {
		documents = append(documents, &sagov1.Document{Name: n})
	}
	dir := t.TempDir()
	seen := map[string]bool{}
	for i, place := range (&target{path: dir}).places(documents) {
		base := filepath.Base(place)
		if filepath.Dir(place) != dir || base[0] == '.' || seen[base] || oneLine(base) != base {
			t.Errorf("%q goes to %q", names[i], place)
		}
		seen[base] = true
	}
}

func TestDiscardLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	place := &target{path: filepath.Join(dir, "got")}
	for range 2 { // a second attempt throws the first one away
		writers, err := place.begin([]*sagov1.Document{{Name: "a"}, {Name: "b"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writers[0].Write([]byte("half")); err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 2 {
			t.Fatalf("%d files during an attempt", len(left))
		}
	}
	place.discard()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestEveryMessageIsInBothLanguages(t *testing.T) {
	for _, catalogue := range []map[string]message{messages, helps} {
		for name, m := range catalogue {
			if m.ko == "" || m.en == "" || oneLine(m.ko) != m.ko || oneLine(m.en) != m.en {
				t.Errorf("%s: %q %q", name, m.ko, m.en)
			}
		}
	}
}
