package history

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

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

// FuzzCarriedScan puts any bytes behind the good header of a carried file: the
// start ends, names what it refuses, and answers only records with their leaf hash.
func FuzzCarriedScan(f *testing.F) {
	const first = 6
	two := appendFrame(appendFrame(nil, recordOf(1, 9)), recordOf(4, 9))
	f.Add(two)
	f.Add(two[:len(two)-3])
	f.Add(appendFrame(appendFrame(nil, recordOf(4, 9)), recordOf(1, 9)))
	f.Add(appendFrame(nil, recordOf(7, 9)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, tail []byte) {
		dir := scratch(t)
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		var leaves tree
		for seq := range uint64(first) {
			leaves.add(tlog.Hash(format.LeafHash(recordOf(seq, 9))))
		}
		mustWriteFile(t, filepath.Join(dir, treeName), encodeHashes(leaves.pending))
		h := format.FileHeader{Kind: format.KindHistory, Cluster: cluster, Incarnation: incarnation, Number: 2, First: first, PrevGood: format.FileHeaderSize}
		mustWriteFile(t, historyPath(dir, 2), h.Encode())
		c := format.FileHeader{Kind: format.KindCarried, Cluster: cluster, Incarnation: incarnation, Number: 1, First: first, PrevGood: 9}
		mustWriteFile(t, filepath.Join(dir, carriedName(1)), append(c.Encode(), tail...))
		l, err := open(t, options(dir, false))
		if err != nil {
			wantDamage(t, err)
			return
		}
		for seq := range uint64(first) {
			if got, err := l.Read(seq); err == nil && !bytes.Equal(got, recordOf(seq, 9)) || err != nil && !errors.Is(err, ErrPruned) {
				t.Fatalf("record %d: %x, %v", seq, got, err)
			}
		}
	})
}
