package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// target is where a read bundle goes. Each document is written to a file of its
// own beside its place and takes its name only at the end: nobody ever finds
// unverified bytes under it.
//
// One document goes to path; several go to path.1, path.2 and so on; when path
// is a folder, they go into it under their own names.
type target struct {
	path  string
	files []*os.File
	names []string
}

// begin starts anew for these documents.
func (t *target) begin(documents []*sagov1.Document) ([]io.Writer, error) {
	t.discard()
	t.names = t.places(documents)
	var writers []io.Writer
	for _, name := range t.names {
		f, err := os.CreateTemp(filepath.Dir(name), ".sago-*")
		if err != nil {
			return nil, &inputError{"FILE", err.Error()}
		}
		t.files = append(t.files, f)
		writers = append(writers, f)
	}
	return writers, nil
}

// places says where each document goes.
func (t *target) places(documents []*sagov1.Document) []string {
	info, err := os.Stat(t.path)
	folder := err == nil && info.IsDir()
	var names []string
	taken := map[string]bool{}
	for i, d := range documents {
		switch {
		case folder:
			names = append(names, filepath.Join(t.path, ownName(d.GetName(), i, taken)))
		case len(documents) == 1:
			names = append(names, t.path)
		default:
			names = append(names, fmt.Sprintf("%s.%d", t.path, i+1))
		}
	}
	return names
}

// ownName is a document's name as a name within a folder. Whoever stored the
// bundle chose it: it must lead nowhere else, hide nothing, and be nobody else's.
func ownName(name string, i int, taken map[string]bool) string {
	base := filepath.Base(oneLine(name))
	if name == "" || base[0] == '.' || base == string(filepath.Separator) {
		base = fmt.Sprintf("document-%d", i+1)
	}
	free := base
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%d-%s", n, base)
	}
	taken[free] = true
	return free
}

// finish gives the files their names.
func (t *target) finish() ([]string, error) {
	for i, f := range t.files {
		if err := f.Sync(); err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		if err := os.Rename(f.Name(), t.names[i]); err != nil {
			return nil, err
		}
	}
	t.files = nil
	return t.names, nil
}

// discard takes away what did not get its name.
func (t *target) discard() {
	for _, f := range t.files {
		f.Close()           // whatever it says, the file goes
		os.Remove(f.Name()) // already renamed or gone is as good
	}
	t.files = nil
}
