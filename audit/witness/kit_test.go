package witness

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sago-worm/sago/internal/testlog"
	"github.com/sago-worm/sago/store/format"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newLog is a log of three nodes with n records.
func newLog(t testing.TB, n int) *testlog.Log {
	t.Helper()
	l, err := testlog.New(3)
	must(t, err)
	must(t, l.Grow(n, "record"))
	return l
}

func noteOf(t testing.TB, l *testlog.Log, signers int) format.Note {
	t.Helper()
	e, err := l.Checkpoint(signers)
	must(t, err)
	return e.Note(l.Members())
}

// ask is a request for the log as it is, with a proof from old.
func ask(t testing.TB, l *testlog.Log, old uint64) format.AddCheckpoint {
	t.Helper()
	a := format.AddCheckpoint{Old: old, Note: noteOf(t, l, 2)}
	if old > 0 && old < l.Size() {
		var err error
		a.Proof, err = l.ProveConsistency(old, l.Size())
		must(t, err)
	}
	return a
}

// site is a witness of a test.
type site struct {
	*Witness
	t    testing.TB
	dir  string
	logs []Log
	said strings.Builder
}

func newSite(t testing.TB, logs ...*testlog.Log) *site {
	t.Helper()
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "w")}
	for _, l := range logs {
		s.logs = append(s.logs, Log{format.Origin(l.Cluster), l.NodeKeys()})
	}
	s.open(nil)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (s *site) open(kept func()) {
	s.t.Helper()
	key, err := OpenKey(s.dir, "w.example/1")
	must(s.t, err)
	s.Witness, err = Open(Options{Dir: s.dir, Key: key, Logs: s.logs, Now: fixed,
		Log: slog.New(slog.NewTextHandler(&s.said, nil)), kept: kept})
	must(s.t, err)
}

func (s *site) reopen() {
	s.t.Helper()
	must(s.t, s.Close())
	s.open(nil)
}

// takes holds that the witness cosigns.
func (s *site) takes(a format.AddCheckpoint) {
	s.t.Helper()
	line, err := s.Add(a)
	must(s.t, err)
	if !s.opts.Key.Public().Verify(a.Note.Text, line) {
		s.t.Fatal("the cosignature does not verify")
	}
}

// conflicts holds that the witness answers with a size.
func (s *site) conflicts(a format.AddCheckpoint, size uint64) {
	s.t.Helper()
	_, err := s.Add(a)
	var c *Conflict
	if !errors.As(err, &c) || c.Size != size {
		s.t.Fatalf("got %v, want a conflict at %d", err, size)
	}
}

// refuses holds that the witness gives this reason.
func (s *site) refuses(a format.AddCheckpoint, want error) {
	s.t.Helper()
	if _, err := s.Add(a); !errors.Is(err, want) {
		s.t.Fatalf("got %v, want %v", err, want)
	}
}

// report is what the directory holds of the only log.
func (s *site) report() Report {
	s.t.Helper()
	_, all, err := Show(s.dir)
	must(s.t, err)
	if len(all) != 1 {
		s.t.Fatalf("%d logs", len(all))
	}
	return all[0]
}

// holds that a folder of proof has both signed notes, the kept one of this size.
func (s *site) holds(folder, what string, kept uint64, offered format.AddCheckpoint) {
	s.t.Helper()
	if !strings.HasPrefix(filepath.Base(folder), what+"-") {
		s.t.Fatalf("%s is not called a %s", folder, what)
	}
	read := func(name string) format.Note {
		raw, err := os.ReadFile(filepath.Join(folder, name))
		must(s.t, err)
		n, err := format.ParseNote(string(raw))
		must(s.t, err)
		if _, err := s.logs[0].signed(n); err != nil {
			s.t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	cp, err := format.ParseCheckpoint(read(keptFile).Text)
	must(s.t, err)
	if cp.Size != kept || read(offeredFile).Text != offered.Note.Text {
		s.t.Fatalf("kept size %d, offered %q", cp.Size, read(offeredFile).Text)
	}
	if !strings.Contains(s.said.String(), strings.ToUpper(what)+": not cosigned; both") {
		s.t.Fatalf("the log does not say so: %s", s.said.String())
	}
}
