package ledger

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sago-worm/sago/store"
	"github.com/sago-worm/sago/store/custodian"
	"github.com/sago-worm/sago/store/format"
)

var update = flag.Bool("update", false, "write the golden lines anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// past is a history in memory of which every second record is a step.
type past struct {
	mu    sync.Mutex
	steps []store.SpecialStep
	size  uint64
	bound uint64
}

func (p *past) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range n {
		r := format.Record{Sequence: p.size + 1, Action: format.ActCirculationStop, Institution: 1, InstitutionSequence: p.size, Transaction: "거래-1", Part: 1,
			Actor: 7, Entry: 100 + p.size, Operation: format.ID{byte(p.size)}, Clock: 1767225600000000, Detail: []byte("sealed")}
		p.steps = append(p.steps, store.SpecialStep{Record: r, Encoded: r.Encode(), Order: "유통정지-<1>", Act: format.ID{9, byte(p.size)}})
		p.size += 2
	}
}

func (p *past) Summary() store.Summary {
	p.mu.Lock()
	defer p.mu.Unlock()
	return store.Summary{Size: p.size}
}

func (p *past) DurableSize() uint64      { return p.Summary().Size }
func (p *past) Pruned() format.PrunedRow { return format.PrunedRow{Bound: p.bound} }

func (p *past) SpecialSteps(from, to uint64, limit int) (out []store.SpecialStep, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.steps {
		if s.Record.Sequence >= from && s.Record.Sequence < to && len(out) < limit {
			out = append(out, s)
		}
	}
	return out, nil
}

// desk is a ledger that nobody runs: its test writes and compares.
func desk(t *testing.T, p *past) *Ledger {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { must(t, custodian.ClearTree(dir)) })
	return &Ledger{opts: Options{History: p, File: filepath.Join(dir, "ledger", "l"), OSFile: filepath.Join(dir, "log", "l"),
		Sockets: []string{}, Node: "node1", Log: slog.New(slog.DiscardHandler)}}
}

func check(t *testing.T, l *Ledger) Report {
	t.Helper()
	r, err := l.Check()
	must(t, err)
	return r
}

// rewrite changes a file behind the ledger's back, as root could.
func rewrite(t *testing.T, path string, change func([]string) []string) {
	t.Helper()
	must(t, custodian.ClearTree(filepath.Dir(path)))
	text, err := os.ReadFile(path)
	must(t, err)
	lines := change(strings.SplitAfter(string(text), "\n"))
	must(t, os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600))
}

func TestR16EachStepOnceInOrder(t *testing.T) {
	p := &past{}
	p.add(5)
	l := desk(t, p)
	must(t, l.write())
	p.add(3)
	again := &Ledger{opts: l.opts} // another start
	must(t, again.write())
	must(t, again.write())
	r := check(t, again)
	if len(r.Disagreements) != 0 || r.History != 8 || r.Ledger != 8 || r.System != 8 || len(r.Entries) != 8 {
		t.Fatalf("%+v", r)
	}
	if e := r.Entries[7]; e.Order != "유통정지-<1>" || e.Actor != 7 || !bytes.Contains(e.Record, []byte("sealed")) || e.Previous != r.Entries[6].Line {
		t.Fatalf("%+v", e)
	}
	if st, err := os.Stat(l.opts.File); err != nil || st.Mode().Perm() != fileMode {
		t.Errorf("%v %v", st, err)
	}
}

// TestP59_TornAtEveryByte: whatever a crash left of the newest lines, each step ends
// up in the file once.
func TestP59_TornAtEveryByte(t *testing.T) {
	p := &past{}
	p.add(2)
	l := desk(t, p)
	must(t, l.write())
	whole, err := os.ReadFile(l.opts.File)
	must(t, err)
	for cut := range whole {
		must(t, custodian.ClearTree(filepath.Dir(l.opts.File)))
		must(t, os.WriteFile(l.opts.File, whole[:cut], 0o600))
		if r := check(t, l); len(r.Disagreements) != 0 {
			t.Fatalf("cut at %d: %v", cut, r.Disagreements)
		}
		if got, err := os.ReadFile(l.opts.File); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("cut at %d: %q %v", cut, got, err)
		}
	}
	must(t, custodian.ClearTree(filepath.Dir(l.opts.File)))
	first := bytes.IndexByte(whole, '\n') + 1
	must(t, os.WriteFile(l.opts.File, append(bytes.Clone(whole[:first]), 0, 0, 0), 0o600)) // a power cut
	if r := check(t, l); len(r.Disagreements) != 0 || r.Ledger != 2 {
		t.Fatalf("garbled end: %+v", r)
	}
}

func TestR17EveryDisagreementIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]string) []string
		says   string
	}{
		"a line less":     {func(l []string) []string { return slices.Delete(l, 1, 2) }, "record 3 (CIRCULATION_STOP) is missing"},
		"a line twice":    {func(l []string) []string { return slices.Insert(l, 1, l[0]) }, "record 1 stands twice"},
		"lines exchanged": {func(l []string) []string { l[0], l[1] = l[1], l[0]; return l }, "out of order"},
		"another order":   {func(l []string) []string { l[1] = strings.Replace(l[1], "유통정지", "유통재개", 1); return l }, "record 3 differs"},
		"another actor":   {func(l []string) []string { l[1] = strings.Replace(l[1], `"actor":7`, `"actor":8`, 1); return l }, "record 3 (CIRCULATION_STOP) is missing"},
		"another record":  {foreign, "the history has no step with record 2"},
		"a later record":  {later, "record 99 lies beyond"},
		"a byte flipped":  {func(l []string) []string { l[0] = strings.Replace(l[0], "AQ", "BQ", 1); return l }, "record 1 (CIRCULATION_STOP) is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, file := range []string{"ledger", "system"} {
				p := &past{}
				p.add(4)
				l := desk(t, p)
				must(t, l.write())
				path, named := l.opts.File, "ledger: "
				if file == "system" {
					path, named = l.opts.OSFile, "operating system record: "
				}
				rewrite(t, path, c.change)
				r := check(t, l)
				if !slices.ContainsFunc(r.Disagreements, func(d string) bool { return strings.HasPrefix(d, named) && strings.Contains(d, c.says) }) {
					t.Errorf("%s: %q, want %q", file, r.Disagreements, c.says)
				}
			}
		})
	}
}

// foreign adds a line that was never a step; its chain is whole.
func foreign(l []string) []string {
	return forge(l, 2)
}

func later(l []string) []string { return forge(l, 99) }

func forge(l []string, sequence uint64) []string {
	last, _ := decode([]byte(strings.TrimSuffix(l[len(l)-2], "\n")))
	r := format.Record{Sequence: sequence, Action: format.ActErase, Institution: 1, Transaction: "x", Part: 1}
	e := entryOf(store.SpecialStep{Record: r, Encoded: r.Encode()}, last.Line)
	text, _ := e.encode()
	return slices.Insert(l, len(l)-1, string(text)+"\n")
}

// TestErasedHistoryIsNoDisagreement: what history retention took away stays here.
func TestErasedHistoryIsNoDisagreement(t *testing.T) {
	p := &past{}
	p.add(4)
	l := desk(t, p)
	must(t, l.write())
	p.steps, p.bound = p.steps[2:], 4
	p.steps[0].Act, p.steps[0].Order = format.ID{}, "" // its request's record is gone
	if r := check(t, l); len(r.Disagreements) != 0 || r.History != 2 || r.Ledger != 4 {
		t.Fatalf("%+v", r)
	}
}

// TestWritesBehindTheHistory: a running ledger follows; a place that cannot be
// written is reported and tried again.
func TestWritesBehindTheHistory(t *testing.T) {
	p := &past{}
	opts := desk(t, p).opts
	must(t, os.MkdirAll(opts.File, 0o700)) // a folder where the file belongs
	l := Start(opts)
	defer l.Close()
	p.add(1)
	await(t, "the failure", func() bool { return l.Err() != nil })
	must(t, os.Remove(opts.File))
	await(t, "the line", func() bool { return l.Err() == nil && check(t, l).Ledger == 1 })
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-limit:
			t.Fatalf("%s: never", what)
		case <-tick.C:
		}
	}
}

// TestTheSystemsOwnLogGetsEachStep over journald's socket or syslog's.
func TestTheSystemsOwnLogGetsEachStep(t *testing.T) {
	for _, c := range []struct{ path, begins string }{{"journal/socket", "PRIORITY=5\n"}, {"log", "<85>sago: node1 special-delete {\"sequence\":1,"}} {
		p := &past{}
		p.add(1)
		l := desk(t, p)
		path := filepath.Join(t.TempDir(), c.path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		must(t, err)
		l.opts.Sockets = []string{path + ".none", path}
		must(t, l.write())
		must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		buf := make([]byte, 64<<10)
		n, err := conn.Read(buf)
		must(t, err)
		if !bytes.HasPrefix(buf[:n], []byte(c.begins)) || !bytes.Contains(buf[:n], []byte("유통정지-<1>")) {
			t.Errorf("%q", buf[:n])
		}
		must(t, conn.Close())
	}
}

func TestGoldenLines(t *testing.T) {
	p := &past{}
	p.add(2)
	p.steps[0].Record.Clock, p.steps[0].Act = 0, format.ID{}
	p.steps[0].Encoded = p.steps[0].Record.Encode()
	var got strings.Builder
	var previous format.Digest
	for _, s := range p.steps {
		e := entryOf(s, previous)
		text, err := e.encode()
		must(t, err)
		fmt.Fprintf(&got, "%s\n", text)
		previous = e.Line
	}
	const path = "testdata/ledger.golden"
	if *update {
		must(t, os.WriteFile(path, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if got.String() != string(want) {
		t.Errorf("lines changed:\n%s", got.String())
	}
}

// FuzzLine: what decodes is what would be written, byte for byte.
func FuzzLine(f *testing.F) {
	golden, err := os.ReadFile("testdata/ledger.golden")
	if err != nil {
		f.Fatal(err)
	}
	for l := range bytes.Lines(golden) {
		f.Add(bytes.TrimSuffix(l, []byte("\n")))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := decode(text)
		if err != nil {
			return
		}
		if again, err := e.encode(); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q reads as %q: %v", text, again, err)
		}
	})
}
