package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// events as go test prints them: one leaf passes, one parent with a failing and a skipping child, a package that does not build.
const events = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood","Elapsed":0.1}
{"Action":"run","Package":"m/a","Test":"TestParent"}
{"Action":"run","Package":"m/a","Test":"TestParent/bad"}
{"Action":"output","Package":"m/a","Test":"TestParent/bad","Output":"    a_test.go:7: wanted 1, got 2\n"}
{"Action":"fail","Package":"m/a","Test":"TestParent/bad","Elapsed":0}
{"Action":"run","Package":"m/a","Test":"TestParent/later"}
{"Action":"output","Package":"m/a","Test":"TestParent/later","Output":"=== RUN   TestParent/later\n"}
{"Action":"output","Package":"m/a","Test":"TestParent/later","Output":"    a_test.go:9: needs root\n"}
{"Action":"output","Package":"m/a","Test":"TestParent/later","Output":"    --- SKIP: TestParent/later (0.00s)\n"}
{"Action":"skip","Package":"m/a","Test":"TestParent/later","Elapsed":0}
{"Action":"fail","Package":"m/a","Test":"TestParent","Elapsed":0}
{"Action":"fail","Package":"m/a","Elapsed":0.2}
{"ImportPath":"m/b","Action":"build-output","Output":"b.go:3: undefined: x\n"}
{"Action":"fail","Package":"m/b","Elapsed":0,"FailedBuild":"m/b"}
{"Action":"skip","Package":"m/none","Elapsed":0}
go: a line that is no event
`

func TestReportCountsLeavesAndPrintsFailuresInFull(t *testing.T) {
	var out bytes.Buffer
	rep := newReport(&out)
	if err := read(strings.NewReader(events), rep); err != nil {
		t.Fatal(err)
	}
	rep.summary("")
	text := out.String()
	for _, want := range []string{
		"FAIL m/a: 1 passed, 1 failed, 1 skipped, 0.2 s", "a_test.go:7: wanted 1, got 2",
		"b.go:3: undefined: x", "skipped m/a TestParent/later: a_test.go:9: needs root", "a line that is no event",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "chatter") {
		t.Error("output of a passed test is printed")
	}
	if !strings.HasSuffix(text, "\n1 passed, 2 failed, 1 skipped\n") {
		t.Errorf("last line of\n%s", text)
	}
	if rep.verdict(false) == nil {
		t.Error("failures are no failure")
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name    string
		total   counts
		noSkips bool
		failed  bool
	}{
		{"all passed", counts{passed: 3}, true, false},
		{"a skip, allowed", counts{passed: 3, skipped: 1}, false, false},
		{"a skip, not allowed", counts{passed: 3, skipped: 1}, true, true},
		{"a failure", counts{passed: 3, failed: 1}, false, true},
		{"nothing ran", counts{}, false, true},
	} {
		rep := newReport(&bytes.Buffer{})
		rep.total = c.total
		if got := rep.verdict(c.noSkips) != nil; got != c.failed {
			t.Errorf("%s: failed is %v", c.name, got)
		}
	}
}

// module writes a throw-away module with one test and makes it the working directory.
func module(t *testing.T, body string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module m\n\ngo 1.26\n",
		"m_test.go": "package m\n\nimport (\n\t\"os\"\n\t\"strconv\"\n\t\"testing\"\n)\n\nvar _, _ = os.Getpid, strconv.Itoa\n\nfunc TestM(t *testing.T) { " + body + " }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

func TestRunOnRealModules(t *testing.T) {
	for _, c := range []struct {
		name, body, want string
		noSkips, failed  bool
	}{
		{"pass", ``, "1 passed, 0 failed, 0 skipped", true, false},
		{"skip", `t.Skip("no disk")`, "no disk", true, true},
		{"panic", `panic("boom")`, "boom", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			module(t, c.body)
			var out bytes.Buffer
			opts := options{bound: time.Minute, noSkips: c.noSkips}
			err := run(context.Background(), opts, []string{"./..."}, &out)
			if (err != nil) != c.failed || !strings.Contains(out.String(), c.want) {
				t.Errorf("error %v, output\n%s", err, out.String())
			}
		})
	}
}

func TestCutOffNamesWhatRanAndLeavesNoProcess(t *testing.T) {
	module(t, `os.WriteFile("pid", []byte(strconv.Itoa(os.Getpid())), 0o644); os.Rename("pid", "running"); select {}`)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var out bytes.Buffer
	ended := make(chan error)
	go func() { ended <- run(ctx, options{bound: time.Minute}, []string{"./..."}, &out) }()
	var pid []byte
	within(t, "the test process runs", func() bool {
		pid, _ = os.ReadFile("running")
		return len(pid) > 0
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), "m TestM\n    still running") {
		t.Errorf("output\n%s", out.String())
	}
	within(t, "the test process is gone", func() bool {
		stat, err := os.ReadFile("/proc/" + string(pid) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// within polls until ok, and ends the test when that takes a minute.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute:", what)
		}
	}
}
