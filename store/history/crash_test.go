package history

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// frameLen is the length of each record that fill writes, in its file.
var frameLen = frameSize + len(recordOf(0, 40))

// threeRecords is a closed history of three records, whose tree file knows of the
// last one only when it says so.
func threeRecords(t *testing.T, treeKnows bool) string {
	t.Helper()
	dir := scratch(t)
	l := mustOpen(t, options(dir, false))
	fill(t, l, 3)
	mustClose(t, l)
	if !treeKnows {
		if err := os.Truncate(dir+"/"+treeName, 3*32); err != nil { // two leaves and their parent
			t.Fatal(err)
		}
	}
	return dir
}

func TestP64_TornAtEveryByteOfTheLastRecord(t *testing.T) {
	dir := threeRecords(t, false)
	whole := mustReadFile(t, historyPath(dir, 1))
	last := len(whole) - frameLen
	for cut := last; cut < len(whole); cut++ {
		for _, torn := range [][]byte{
			whole[:cut],
			append(bytes.Clone(whole[:cut]), make([]byte, len(whole)-cut)...), // length there, data not
		} {
			if bytes.Equal(torn, whole) {
				continue
			}
			spoilt := copyDir(t, dir)
			mustWriteFile(t, historyPath(spoilt, 1), torn)
			if len(torn) > last {
				_, err := open(t, options(spoilt, true))
				if d := wantDamage(t, err); d.What != "record 2" || d.Offset != int64(last) {
					t.Fatalf("named %v", d)
				}
				if got := mustReadFile(t, historyPath(spoilt, 1)); !bytes.Equal(got, torn) {
					t.Fatal("a refused open changed the file")
				}
			}
			checkSealedTail(t, spoilt, torn, last)
		}
	}
}

// checkSealedTail opens after an unclean stop and checks what the new file states
// about the torn one.
func checkSealedTail(t *testing.T, dir string, torn []byte, good int) {
	t.Helper()
	o := options(dir, false)
	o.OnDamage = func(d *format.DamageError) { t.Errorf("a torn tail was reported: %v", d) }
	l := mustOpen(t, o)
	if l.Size() != 2 || l.Durable() != 2 {
		t.Fatalf("size %d", l.Size())
	}
	h, err := format.DecodeFileHeader(format.KindHistory, mustReadFile(t, historyPath(dir, 2)))
	if err != nil || h.First != 2 || h.PrevGood != uint64(good) || h.PrevTorn != sha256.Sum256(torn[good:]) {
		t.Fatalf("statement %+v, %v", h, err)
	}
	fill(t, l, 5)
	mustClose(t, l)
	if got := mustReadFile(t, historyPath(dir, 1)); !bytes.Equal(got, torn) {
		t.Fatal("the torn file was changed")
	}
	l = mustOpen(t, options(dir, true))
	for seq := range uint64(5) {
		checkRead(t, l, seq)
	}
	if got, err := l.Root(); err != nil || got != referenceRoots(t, 5)[5] {
		t.Fatalf("root %x, %v", got, err)
	}
	mustClose(t, l)
}

func TestP48_LostDurableRecordIsNoTornTail(t *testing.T) {
	for _, clean := range []bool{true, false} {
		dir := threeRecords(t, true)
		whole := mustReadFile(t, historyPath(dir, 1))
		for _, left := range []int{len(whole) - 1, len(whole) - frameLen, len(whole) - 2*frameLen} {
			mustWriteFile(t, historyPath(dir, 1), whole[:left])
			_, err := open(t, options(dir, clean))
			wantDamage(t, err)
			if got := mustReadFile(t, historyPath(dir, 1)); len(got) != left {
				t.Fatal("a refused open changed the file")
			}
			if _, err := os.Stat(historyPath(dir, 2)); err == nil {
				t.Fatal("a refused open began a file")
			}
		}
	}
}

func TestP52_EveryFlippedByteIsFound(t *testing.T) {
	dir := threeRecords(t, true)
	l := mustOpen(t, options(dir, false)) // unclean: a second file begins
	fill(t, l, 5)
	mustClose(t, l)
	for n := 1; n <= 2; n++ {
		whole := mustReadFile(t, historyPath(dir, n))
		for i := range whole {
			for _, clean := range []bool{true, false} {
				spoilt := copyDir(t, dir)
				b := bytes.Clone(whole)
				b[i] ^= 0x41
				mustWriteFile(t, historyPath(spoilt, n), b)
				_, err := open(t, options(spoilt, clean))
				if d := wantDamage(t, err); d.File != fmt.Sprintf("history/%08d.his", n) {
					t.Fatalf("byte %d of file %d, clean %v: named %v", i, n, clean, d)
				}
			}
		}
	}
}

func TestP52_FlippedWhileOpen(t *testing.T) {
	dir := threeRecords(t, true)
	l := mustOpen(t, options(dir, true))
	path := historyPath(dir, 1)
	whole := mustReadFile(t, path)
	for i := format.FileHeaderSize; i < len(whole); i++ {
		b := bytes.Clone(whole)
		b[i] ^= 0x41
		overwrite(t, path, b)
		checkFoundOrRight(t, l)
		err := l.Verify(context.Background(), 0, 3)
		d := wantDamage(t, err)
		if want := fmt.Sprintf("record %d", (i-format.FileHeaderSize)/frameLen); d.What != want {
			t.Fatalf("byte %d: verify named %v, want %s", i, d, want)
		}
	}
}

func checkFoundOrRight(t *testing.T, l *Log) {
	t.Helper()
	found := 0
	for seq := range uint64(3) {
		got, err := l.Read(seq)
		switch {
		case err != nil:
			wantDamage(t, err)
			found++
		case !bytes.Equal(got, recordOf(seq, 40)):
			t.Fatal("wrong bytes")
		}
	}
	if found == 0 {
		t.Fatal("not found by any read")
	}
}

// overwrite changes a file in place, so that open descriptors see it.
func overwrite(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A forger with the file's key to its checksum is met by the leaf hash.
func TestRewrittenRecordWithAGoodChecksumIsFound(t *testing.T) {
	dir := threeRecords(t, true)
	l := mustOpen(t, options(dir, true))
	b := mustReadFile(t, historyPath(dir, 1))
	forged := recordOf(1, 40)
	forged[len(forged)-1] ^= 1
	copy(b[format.FileHeaderSize+frameLen:], appendFrame(nil, forged))
	overwrite(t, historyPath(dir, 1), b)
	if _, err := l.Read(1); err == nil {
		t.Fatal("answered a forged record")
	}
	checkRead(t, l, 2)
	mustClose(t, l)
	// At the next start it is the records that count, and the tree that differs:
	// reported, and the root is another one, which the other nodes do not have.
	o := options(dir, true)
	var reports []*format.DamageError
	o.OnDamage = func(d *format.DamageError) { reports = append(reports, d) }
	l = mustOpen(t, o)
	if root, err := l.Root(); err != nil || root == referenceRoots(t, 3)[3] || len(reports) != 1 {
		t.Fatalf("root %x, %v, reports %v", root, err, reports)
	}
}

func TestP45_DamagedTreeIsReportedAndRewritten(t *testing.T) {
	dir := threeRecords(t, true)
	l := mustOpen(t, options(dir, true))
	fill(t, l, 50)
	mustClose(t, l)
	tree := mustReadFile(t, dir+"/"+treeName)
	root := referenceRoots(t, 50)[50]
	for i := 0; i < len(tree); i += 11 {
		spoilt := copyDir(t, dir)
		b := bytes.Clone(tree)
		b[i] ^= 0x41
		mustWriteFile(t, spoilt+"/"+treeName, b)
		o := options(spoilt, true)
		var reports []*format.DamageError
		o.OnDamage = func(d *format.DamageError) { reports = append(reports, d) }
		l := mustOpen(t, o)
		if got, err := l.Root(); err != nil || got != root {
			t.Fatalf("byte %d: root %x, %v", i, got, err)
		}
		if len(reports) != 1 || reports[0].File != treeName || reports[0].Offset != int64(i/32*32) {
			t.Fatalf("byte %d: reports %v", i, reports)
		}
		if got := mustReadFile(t, spoilt+"/"+treeName); !bytes.Equal(got, tree) {
			t.Fatal("not rewritten")
		}
		mustClose(t, l)
	}
}

func TestP65_RepeatedUncleanStopsLoseNothing(t *testing.T) {
	dir := scratch(t)
	for i := range uint64(20) {
		l := mustOpen(t, options(dir, false))
		if l.Size() != 2*i {
			t.Fatalf("start %d: %d records", i, l.Size())
		}
		fill(t, l, 2*i+2)
		if _, _, err := l.Append(recordOf(2*i+2, 40)); err != nil { // never synced
			t.Fatal(err)
		}
		kill(t, l)
	}
}

func TestMissingFileAndFileOfAnotherPlace(t *testing.T) {
	dir := scratch(t)
	o := options(dir, false)
	o.MaxFile = 500
	l := mustOpen(t, o)
	for size := uint64(1); size < 30; size++ {
		fill(t, l, size)
	}
	mustClose(t, l)
	for n := 1; n <= 3; n++ {
		spoilt := copyDir(t, dir)
		if err := os.Remove(historyPath(spoilt, n)); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, options(spoilt, true))
		if d := wantDamage(t, err); d.File != fmt.Sprintf("history/%08d.his", n) {
			t.Fatalf("named %v", d)
		}
	}
	mustWriteFile(t, historyPath(dir, 2), mustReadFile(t, historyPath(dir, 3)))
	_, err := open(t, options(dir, true))
	wantDamage(t, err)
}

func TestP51_P57_FailedWritesAreLatched(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(path string, flag int) (*os.File, error)
	}{
		{"full", func(string, int) (*os.File, error) { return os.OpenFile("/dev/full", os.O_WRONLY, 0) }},
		{"read-only descriptor", func(path string, _ int) (*os.File, error) { return os.Open(path) }},
		{"closed descriptor", func(path string, flag int) (*os.File, error) {
			f, err := os.OpenFile(path, flag, 0)
			if err == nil {
				err = f.Close()
			}
			return f, err
		}},
		{"sync fails", func(string, int) (*os.File, error) { return os.OpenFile("/dev/null", os.O_WRONLY, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(threeRecords(t, true), true)
			files := o.Files.(*realFiles)
			files.open = func(name string, flag int) (*os.File, error) { return c.open(files.path(name), flag) }
			l := mustOpen(t, o)
			if _, _, err := l.Append(recordOf(3, 40)); err != nil {
				t.Fatal(err)
			}
			first := l.Sync()
			if !errors.Is(first, ErrLatched) || l.Durable() != 3 {
				t.Fatalf("sync: %v, durable %d", first, l.Durable())
			}
			files.open = nil
			if err := l.Sync(); err == nil || err.Error() != first.Error() {
				t.Fatalf("second sync: %v", err)
			}
			if _, _, err := l.Append(recordOf(4, 40)); !errors.Is(err, ErrLatched) {
				t.Fatalf("append: %v", err)
			}
			checkRead(t, l, 2) // reading goes on
			if err := l.Close(); !errors.Is(err, ErrLatched) {
				t.Fatalf("a latched log closed cleanly: %v", err)
			}
		})
	}
}
