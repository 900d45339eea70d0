package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// FuzzBase reads any bytes behind the good header of a base: it ends, takes no more
// than a row at once, and names what it refuses.
func FuzzBase(f *testing.F) {
	own := Manifest{Cluster: format.ID{1}, Incarnation: format.ID{2}}
	head := format.BaseHead{Mark: format.Checkpoint{Cluster: own.Cluster, Size: 7}, Count: 1}
	frames := func(payloads ...[]byte) []byte {
		path := filepath.Join(f.TempDir(), "frames")
		w, err := os.Create(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, p := range payloads {
			err = errors.Join(err, writeBaseFrame(w, p))
		}
		b, rerr := os.ReadFile(path)
		if err := errors.Join(err, w.Close(), rerr); err != nil {
			f.Fatal(err)
		}
		return b
	}
	good := frames(head.Encode(), format.BaseRow{Table: 2, Key: []byte("k"), Value: []byte("v")}.Encode())
	f.Add(good)
	f.Add(good[:len(good)-2])
	f.Add(frames(head.Encode()))
	f.Add(frames([]byte("no head")))
	f.Fuzz(func(t *testing.T, tail []byte) {
		s := &Store{dir: t.TempDir(), manifest: own}
		if err := os.Mkdir(filepath.Join(s.dir, "history"), 0o700); err != nil {
			t.Fatal(err)
		}
		h := format.FileHeader{Kind: format.KindBase, Cluster: own.Cluster, Incarnation: own.Incarnation, Number: 1, First: 7}
		if err := os.WriteFile(filepath.Join(s.dir, baseName(1)), append(h.Encode(), tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		var damage *format.DamageError
		b, err := s.openBase(1)
		if err != nil {
			if !errors.As(err, &damage) {
				t.Fatal(err)
			}
			return
		}
		for err == nil {
			_, err = b.next()
		}
		if !errors.Is(err, io.EOF) && !errors.As(err, &damage) {
			t.Fatal(err)
		}
		if err := b.f.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
