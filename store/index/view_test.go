package index

import (
	"fmt"
	"path/filepath"
	"testing"
)

func rowsOf(t *testing.T, v *View, tab Table) string {
	t.Helper()
	out := ""
	if err := v.Ascend(tab, nil, nil, func(k, val []byte) (bool, error) {
		out += fmt.Sprintf("%s=%s ", k, val)
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestViewStaysAsItWas through puts, a rotation, a commit and a clearing.
func TestViewStaysAsItWas(t *testing.T) {
	d, _ := open(t, filepath.Join(t.TempDir(), "index.db"))
	defer d.Close()
	d.Put(1, []byte("a"), []byte("1"))
	d.Put(1, []byte("b"), []byte("1"))
	flush(t, d, Meta{Applied: 1})
	d.Put(1, []byte("b"), []byte("2"))
	rotated := d.Rotate(Meta{Applied: 2})
	d.Put(1, []byte("c"), []byte("3"))
	d.Delete(1, []byte("a"))
	v, err := d.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	const want = "b=2 c=3 "
	steps := []func(){
		func() { d.Put(1, []byte("c"), []byte("4")); d.Delete(1, []byte("b")) },
		func() {
			if err := d.Commit(rotated); err != nil {
				t.Fatal(err)
			}
		},
		func() { flush(t, d, Meta{Applied: 3}) },
		func() {
			if err := d.Clear([]Table{1}, Meta{}); err != nil {
				t.Fatal(err)
			}
		},
	}
	for i, step := range steps {
		if step(); rowsOf(t, v, 1) != want {
			t.Fatalf("after step %d the view shows %s", i, rowsOf(t, v, 1))
		}
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatalf("closed again: %v", err)
	}
}

// TestClearEmptiesWhatItNames and nothing else, on disk and in memory.
func TestClearEmptiesWhatItNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	d, _ := open(t, path)
	for _, tab := range []Table{1, 2, 7} {
		d.Put(tab, []byte("file"), []byte("x"))
	}
	flush(t, d, Meta{Applied: 9})
	for _, tab := range []Table{1, 2, 7} {
		d.Put(tab, []byte("memory"), []byte("y"))
	}
	if err := d.Clear([]Table{1, 2}, Meta{Applied: 4}); err != nil {
		t.Fatal(err)
	}
	if err := d.VerifyAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, meta := open(t, path)
	defer d.Close()
	v, err := d.View()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if meta.Applied != 4 || rowsOf(t, v, 1)+rowsOf(t, v, 2) != "" || rowsOf(t, v, 7) != "file=x memory=y " {
		t.Fatalf("applied %d: %q %q %q", meta.Applied, rowsOf(t, v, 1), rowsOf(t, v, 2), rowsOf(t, v, 7))
	}
	d.Put(1, []byte("new"), []byte("z"))
	flush(t, d, Meta{Applied: 5})
	if err := d.VerifyAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}
