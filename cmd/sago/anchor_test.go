package main

import (
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/sago-worm/sago/internal/testlog"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// anchored is a checkpoint of n records by five nodes.
func anchored(t *testing.T, l *testlog.Log) (format.Checkpoint, format.Note) {
	t.Helper()
	e, err := l.Checkpoint(5)
	if err != nil {
		t.Fatal(err)
	}
	return e.Checkpoint, e.Note(l.Members())
}

func testLog(t *testing.T, records int) *testlog.Log {
	t.Helper()
	l, err := testlog.New(5)
	if err == nil {
		err = l.Grow(records, "record")
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestQRDecodesBack reads the picture with an unrelated reader, for notes of one
// node's signature to five nodes' and sixteen witnesses'.
func TestQRDecodesBack(t *testing.T) {
	_, note := anchored(t, testLog(t, 7))
	witness := format.NoteLine{Name: "witness.example/seoul", KeyID: 7, Signature: make([]byte, 72)}
	for _, lines := range []int{1, 3, 5, 9, 15} {
		n := format.Note{Text: note.Text, Lines: note.Lines[:min(lines, 5)]}
		for len(n.Lines) < lines {
			n.Lines = append(n.Lines, witness)
		}
		path := filepath.Join(t.TempDir(), "qr.png")
		if err := writePNG(path, n.OneLine()); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(f)
		if cerr := f.Close(); err != nil || cerr != nil {
			t.Fatal(err, cerr)
		}
		bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
		if err != nil {
			t.Fatal(err)
		}
		read, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
		if err != nil {
			t.Fatalf("%d lines: %v", lines, err)
		}
		if back, err := format.ParseOneLine(read.GetText()); err != nil || back.String() != n.String() {
			t.Fatalf("%d lines: %v: %q", lines, err, read.GetText())
		}
		drawn, err := terminalQR(n.OneLine())
		if err != nil || strings.Count(drawn, "\n") < 30 {
			t.Fatalf("%v: %s", err, drawn)
		}
	}
	if _, err := qrOf(strings.Repeat("x", 3000)); err == nil {
		t.Fatal("more than a QR code holds")
	}
}

// TestP48_AnchorIsNeverReplacedByAnother: a kept file is proof, so it stays.
func TestP48_AnchorIsNeverReplacedByAnother(t *testing.T) {
	dir, l := filepath.Join(t.TempDir(), "anchors"), testLog(t, 7)
	fork := l.Fork()
	cp, note := anchored(t, l)
	few := format.Note{Text: note.Text, Lines: note.Lines[:3]}
	path, err := keepAnchor(dir, cp, few)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keepAnchor(dir, cp, note); err != nil {
		t.Fatal(err)
	}
	holds := func(want format.Note) {
		t.Helper()
		if raw, err := os.ReadFile(path); err != nil || string(raw) != want.String() {
			t.Fatalf("%v: %s", err, raw)
		}
	}
	holds(note) // the signatures of both
	if _, err := keepAnchor(dir, cp, few); err != nil {
		t.Fatal(err)
	}
	holds(note)
	later, laterNote := anchored(t, l) // of a later entry, and of the same tree
	if _, err := keepAnchor(dir, later, laterNote); err != nil {
		t.Fatal(err)
	}
	holds(note)
	cp.Root[0] ^= 1
	e, err := fork.Sign(cp, 5)
	if err != nil {
		t.Fatal(err)
	}
	var forked *client.ForkError
	if _, err := keepAnchor(dir, cp, e.Note(fork.Members())); !errors.As(err, &forked) || exitCode(err) != exitIntegrity {
		t.Fatalf("got %v", err)
	}
	if forked.Had != note.String() || forked.Has != e.Note(fork.Members()).String() {
		t.Fatal("both notes are not in the error")
	}
	holds(note)
	if beside, err := filepath.Glob(filepath.Join(dir, "checkpoint-7.fork-*")); err != nil || len(beside) != 1 {
		t.Fatalf("%v: the other is kept in %v", err, beside)
	}
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keepAnchor(dir, later, laterNote); err == nil {
		t.Fatal("replaced a file that is no checkpoint")
	}
}
