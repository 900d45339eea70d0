package history

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// FuzzHistoryScan puts any bytes behind a good header: the scan ends, allocates no
// more than a record, and whatever it accepts can be read again.
func FuzzHistoryScan(f *testing.F) {
	three := appendFrame(appendFrame(appendFrame(nil, recordOf(0, 9)), recordOf(1, 9)), recordOf(2, 9))
	f.Add(three, true)
	f.Add(three[:len(three)-3], false)
	f.Add(appendFrame(nil, recordOf(7, 9)), false)
	f.Fuzz(func(t *testing.T, tail []byte, clean bool) {
		dir := scratch(t)
		if err := os.Mkdir(filepath.Join(dir, "history"), 0o700); err != nil {
			t.Fatal(err)
		}
		h := format.FileHeader{Kind: format.KindHistory, Cluster: cluster, Incarnation: incarnation, Number: 1}
		mustWriteFile(t, historyPath(dir, 1), append(h.Encode(), tail...))
		l, err := open(t, options(dir, clean))
		if err != nil {
			var d *format.DamageError
			if !errors.As(err, &d) {
				t.Fatalf("refused without damage: %v", err)
			}
			return
		}
		for seq := range l.Size() {
			got, err := l.Read(seq)
			if err != nil || !bytes.Contains(tail, got) {
				t.Fatalf("record %d: %v", seq, err)
			}
		}
		if _, err := l.Root(); err != nil {
			t.Fatal(err)
		}
	})
}
