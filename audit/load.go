package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// LoadKeys reads a keys file. The error is a *Failure, KEYS_UNREADABLE.
func LoadKeys(path string) (Keys, error) {
	text, err := load(path, maxKeys)
	if err != nil {
		return Keys{}, failed(KeysUnreadable, "", "%v", err)
	}
	return ParseKeys(text)
}

// LoadKept reads kept checkpoints for Options: a file is a signed note, or has
// notes a line, with "|" in the place of line feeds. The error is a *Failure,
// KEPT_UNREADABLE.
func LoadKept(paths []string) (notes []string, err error) {
	for _, path := range paths {
		text, err := load(path, maxCheckpoint)
		if err != nil {
			return nil, failed(KeptUnreadable, "", "%v", err)
		}
		found := notesIn(string(text))
		if len(found) == 0 {
			return nil, failed(KeptUnreadable, "", "%s holds no checkpoint", path)
		}
		notes = append(notes, found...)
	}
	return notes, nil
}

// load reads a file of at most max bytes.
func load(path string, max int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(max)+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && len(b) > max {
		err = fmt.Errorf("%s is longer than %d bytes", path, max)
	}
	return b, err
}

// Failed is the report of a verification that could not begin, by these keys, for
// a *Failure.
func Failed(keys Keys, err error) Report {
	r := newReport(keys)
	r.end(err)
	return r
}

func newReport(keys Keys) Report {
	return Report{Signers: []string{}, Witnesses: []string{}, Kept: []KeptReport{}, Nodes: len(keys.Nodes), Needed: keys.Needed}
}

// end writes into the report how it ended, unless by another error than a Failure.
func (r *Report) end(err error) {
	var f *Failure
	switch {
	case err == nil:
		r.Reason = ReasonOK
	case errors.As(err, &f):
		r.Reason, r.Where, r.Detail = f.Reason, f.Where, f.Detail
	default:
		return
	}
	r.Result = r.Reason.Result()
}

// notesIn finds the signed notes of a file: one as it is, or one a line with "|"
// in the place of line feeds.
func notesIn(text string) (notes []string) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if strings.Contains(text, "\n\n") && !strings.Contains(text, "|") {
		return []string{text}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			notes = append(notes, strings.TrimSuffix(strings.ReplaceAll(line, "|", "\n"), "\n")+"\n")
		}
	}
	return notes
}
