package witnesses

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// FuzzKept decodes what has a right checksum: a file cannot make the node fall.
func FuzzKept(f *testing.F) {
	n := format.Note{Text: format.Checkpoint{Size: 7}.Text(), Lines: []format.NoteLine{{Name: "w", KeyID: 1, Signature: make([]byte, 72)}}}
	raw, err := kept{notes: []format.Note{n}, alarms: map[string]string{"w": "FORK: x"}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[:len(raw)-66])
	f.Add([]byte(`{"notes":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		k := kept{alarms: map[string]string{}}
		if err := k.decode(fmt.Appendf(nil, "%s\n%x\n", text, sha256.Sum256(text))); err != nil {
			if !errors.Is(err, errKept) {
				t.Fatal(err)
			}
			return
		}
		w := Witnesses{kept: k}
		w.newest(format.NoteKey{Name: "w", Type: format.NoteCosignature, Key: make([]byte, 32)})
		raw, err := k.encode()
		again := kept{alarms: map[string]string{}}
		if err != nil || again.decode(raw) != nil || len(again.notes) != len(k.notes) {
			t.Fatalf("%q is not read back: %v", raw, err)
		}
	})
}
