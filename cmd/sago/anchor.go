package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rsc.io/qr"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

func anchorText(p *page, r anchorJSON, clock int64) {
	p.pair("이력 건수", "records", r.Size)
	p.pair("루트", "root", r.Root)
	p.pair("로그 항목", "entry", r.Entry)
	p.pair("신뢰 시각", "clock", local(clockOf(clock)))
	p.pair("상태 해시", "state", r.State)
	p.pair("서명한 노드", "signed by", strings.Join(r.Signers, ", "))
	p.pair("필요한 서명 수", "signatures needed", r.Needed)
	witnessed := fmt.Sprintf("%d / %d", r.Witnesses, r.WitnessesNeeded)
	if r.Witnesses < r.WitnessesNeeded || r.WitnessesNeeded == 0 {
		witnessed += p.lang.pick(" (증인 없음)", " (not witnessed)")
	}
	p.pair("증인", "witnesses", witnessed)
	p.pair("공동 서명한 증인", "cosigned by", r.CosignedBy)
	p.pair("파일", "file", r.File)
}

// keepAnchor writes the note into the folder, whole or not at all. A note of the
// same size there is never replaced by one that says something else: then both
// prove that the history was forked. Of the same checkpoint, signatures of both
// are kept.
func keepAnchor(dir string, c format.Checkpoint, note format.Note) (string, error) {
	path := filepath.Join(dir, fmt.Sprintf("checkpoint-%d.note", c.Size))
	wrong := func(err error) (string, error) { return "", &inputError{"FILE", path + ": " + err.Error()} }
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return wrong(err)
		}
	case err != nil:
		return wrong(err)
	default:
		had, err := format.ParseNote(string(raw))
		if err != nil {
			return wrong(err)
		}
		kept, err := format.ParseCheckpoint(had.Text)
		if err != nil {
			return wrong(err)
		}
		if kept.Cluster != c.Cluster || kept.Size != c.Size {
			return wrong(errors.New("is of another log or size"))
		}
		if kept.Root != c.Root || kept.State != c.State {
			return "", keepFork(path, string(raw), note)
		}
		if had.Text != note.Text {
			return path, nil // of a later log entry, and of the same tree
		}
		note = merged(had, note)
	}
	if err := durable.WriteFile(path, []byte(note.String()), 0o600); err != nil {
		return wrong(err)
	}
	return path, nil
}

// keepFork writes the note beside the one that it contradicts.
func keepFork(path, had string, note format.Note) error {
	digest := sha256.Sum256([]byte(note.Text))
	beside := fmt.Sprintf("%s.fork-%x", strings.TrimSuffix(path, ".note"), digest[:4])
	fork := &client.ForkError{Had: had, Has: note.String(), Why: "another checkpoint of the same size was kept", Kept: path + " and " + beside}
	if err := durable.WriteFile(beside, []byte(note.String()), 0o600); err != nil {
		return errors.Join(fork, err)
	}
	return fork
}

// merged is the first note with those lines of the other that it lacks.
func merged(n, other format.Note) format.Note {
	for _, l := range other.Lines {
		if !slices.ContainsFunc(n.Lines, func(o format.NoteLine) bool { return o.Name == l.Name && o.KeyID == l.KeyID }) {
			n.Lines = append(n.Lines, l)
		}
	}
	return n
}

// quiet is the white margin that readers of QR codes need, in modules.
const quiet = 4

// qrOf makes a code as robust as fits.
func qrOf(text string) (*qr.Code, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		code, err = qr.Encode(text, qr.L)
	}
	if err != nil {
		return nil, &inputError{"TOO_LARGE", err.Error()}
	}
	return code, nil
}

// terminalQR draws the code by half blocks, two rows a line, black on white
// whatever the terminal's colours are.
func terminalQR(text string) (string, error) {
	code, err := qrOf(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;47m")
		for x := -quiet; x < code.Size+quiet; x++ {
			switch top, bottom := code.Black(x, y), code.Black(x, y+1); {
			case top && bottom:
				b.WriteRune('█')
			case top:
				b.WriteRune('▀')
			case bottom:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}

// writePNG writes the code's picture.
func writePNG(path, text string) error {
	code, err := qrOf(text)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(path, code.PNG(), 0o600); err != nil {
		return &inputError{"FILE", err.Error()}
	}
	return nil
}
