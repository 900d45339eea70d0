package witnesses

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// keepNotes is of how many checkpoints cosignatures are kept, the largest.
const keepNotes = 64

// kept is what outlives the process.
type kept struct {
	notes  []format.Note     // cosigned checkpoints without the nodes' lines, ascending by size
	alarms map[string]string // by witness
}

// keptFile is its file (docs/formats/node-files.md).
type keptFile struct {
	Notes  []string          `json:"notes"` // of one line each
	Alarms map[string]string `json:"alarms"`
}

// errKept says that the file cannot be believed.
var errKept = errors.New("the file of cosignatures is damaged")

// readKept is empty where there is no file, or beside an error.
func readKept(path string) (kept, error) {
	k := kept{alarms: map[string]string{}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	if err := k.decode(raw); err != nil {
		return kept{alarms: map[string]string{}}, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// decode adds what encode wrote; beside an error it may have added a part.
func (k *kept) decode(raw []byte) error {
	var f keptFile
	if err := format.DecodeSummed(raw, &f); err != nil {
		return fmt.Errorf("%w: %w", errKept, err)
	}
	for _, line := range f.Notes {
		n, err := format.ParseOneLine(line)
		if err != nil {
			return fmt.Errorf("%w: %w", errKept, err)
		}
		k.notes = append(k.notes, n)
	}
	maps.Copy(k.alarms, f.Alarms)
	return nil
}

func (k kept) encode() ([]byte, error) {
	f := keptFile{Notes: []string{}, Alarms: k.alarms}
	for _, n := range k.notes {
		f.Notes = append(f.Notes, n.OneLine())
	}
	return format.EncodeSummed(f)
}

// keep adds a witness's line, which verified. What cannot be written is still
// shown; it is asked for again after a restart.
func (w *Witnesses) keep(key format.NoteKey, c format.Checkpoint, line format.NoteLine) {
	w.change(func() { w.add(key, c, line) })
	w.out.Info("checkpoint witnessed", "witness", key.Name, "size", c.Size)
}

func (w *Witnesses) add(key format.NoteKey, c format.Checkpoint, line format.NoteLine) {
	delete(w.detail, key.Name)
	if w.kept.alarms[key.Name] != "" {
		w.out.Warn("the witness cosigns again", "witness", key.Name, "was", w.kept.alarms[key.Name])
		delete(w.kept.alarms, key.Name)
	}
	text := c.Text()
	at := slices.IndexFunc(w.kept.notes, func(n format.Note) bool { return n.Text == text })
	if at < 0 {
		at = len(w.kept.notes)
		w.kept.notes = append(w.kept.notes, format.Note{Text: text})
	}
	n := &w.kept.notes[at]
	n.Lines = append(slices.DeleteFunc(slices.Clone(n.Lines), key.Signed), line)
	slices.SortStableFunc(w.kept.notes, func(a, b format.Note) int { return cmp.Compare(sizeOf(a), sizeOf(b)) })
	w.kept.notes = slices.Delete(w.kept.notes, 0, max(0, len(w.kept.notes)-keepNotes))
}

// sizeOf is the size of a note's checkpoint; 0 for what is none.
func sizeOf(n format.Note) uint64 {
	c, err := format.ParseCheckpoint(n.Text)
	if err != nil {
		return 0
	}
	return c.Size
}

// change changes what is kept and puts it on disk. Nobody who asks waits for the
// disk.
func (w *Witnesses) change(do func()) {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	do()
	raw, err := w.kept.encode()
	w.mu.Unlock()
	if err == nil {
		err = durable.WriteFile(w.opts.Path, raw, 0o600)
	}
	if err != nil {
		w.out.Error("the witnesses' signatures could not be kept", "error", err)
	}
}
