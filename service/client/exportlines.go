package client

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// lineFile is records.jsonl: one record a line, ascending.
type lineFile struct {
	f *os.File
	w *bufio.Writer
}

// exportLine is one line of it.
type exportLine struct {
	Sequence            uint64            `json:"sequence"`
	Time                *string           `json:"time"`
	Action              string            `json:"action"`
	Institution         string            `json:"institution"`
	InstitutionSequence uint64            `json:"institution_sequence"`
	Transaction         string            `json:"transaction"`
	Part                uint32            `json:"part"`
	Actor               string            `json:"actor"`
	Purpose             string            `json:"purpose"`
	Result              string            `json:"result"`
	Detail              map[string]string `json:"detail"`
	LeafHash            string            `json:"leaf_hash"`
}

// open opens the file behind the lines of records up to and with last, and cuts
// off what follows; without any it begins anew.
func (l *lineFile) open(dir exportDir, kept bool, last uint64) error {
	l.close()
	f, err := os.OpenFile(dir.path(linesFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	l.f, l.w = f, bufio.NewWriterSize(f, 256<<10)
	end := int64(0)
	if kept {
		if end, err = f.Seek(0, io.SeekEnd); err != nil {
			return err
		}
	}
	for end > 0 {
		start, line, err := lastLine(f, end)
		if err != nil {
			return err
		}
		var row struct{ Sequence *uint64 }
		if json.Unmarshal(line, &row) == nil && row.Sequence != nil && *row.Sequence <= last && bytes.HasSuffix(line, []byte{'\n'}) {
			break
		}
		end = start
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err = f.Seek(end, io.SeekStart)
	return err
}

// lastLine answers the last line of the first end bytes, and where it starts.
func lastLine(f io.ReaderAt, end int64) (start int64, line []byte, err error) {
	const step = 4 << 10
	for start = end; ; {
		piece := make([]byte, min(step, start))
		if _, err := f.ReadAt(piece, start-int64(len(piece))); err != nil {
			return 0, nil, err
		}
		start -= int64(len(piece))
		line = append(piece, line...)
		// The line's own end does not count.
		if at := bytes.LastIndexByte(line[:len(line)-1], '\n'); at >= 0 {
			return start + int64(at) + 1, line[at+1:], nil
		}
		if start == 0 {
			return 0, line, nil
		}
	}
}

// add appends a record's line.
func (l *lineFile) add(r *sagov1.HistoryRecord) error {
	row := exportLine{
		Sequence: r.GetSequence(), Action: r.GetAction(), Institution: r.GetInstitution(), InstitutionSequence: r.GetInstitutionSequence(),
		Transaction: r.GetTransaction(), Part: r.GetPart(), Actor: r.GetActor(), Purpose: r.GetPurpose(), Result: r.GetResult(),
		Detail: r.GetDetail(), LeafHash: hex.EncodeToString(r.GetLeafHash()),
	}
	if t := r.GetTime(); t != nil {
		s := t.AsTime().UTC().Format("2006-01-02T15:04:05.000000Z")
		row.Time = &s
	}
	if row.Detail == nil {
		row.Detail = map[string]string{}
	}
	e := json.NewEncoder(l.w)
	e.SetEscapeHTML(false)
	return e.Encode(row)
}

// sync puts every line on disk.
func (l *lineFile) sync() error {
	if err := l.w.Flush(); err != nil {
		return err
	}
	return l.f.Sync()
}

// close ends the file; what was not synced is cut off when it is opened again.
func (l *lineFile) close() {
	if l.f != nil {
		_ = l.f.Close()
		l.f = nil
	}
}
