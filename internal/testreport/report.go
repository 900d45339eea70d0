package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of `go test -json` (see `go doc test2json`), as far as the report needs it.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// place names a test, or with an empty test a package.
type place struct{ pkg, test string }

func (p place) String() string { return strings.TrimSuffix(p.pkg+" "+p.test, " ") }

// parent is the test that p is a subtest of; ok is false for a top-level test.
func (p place) parent() (place, bool) {
	i := strings.LastIndexByte(p.test, '/')
	if i < 0 {
		return place{}, false
	}
	return place{p.pkg, p.test[:i]}, true
}

// counts are tests that ran no subtests of their own; a parent counts only if it failed by itself.
type counts struct{ passed, failed, skipped int }

// report gathers events, prints each package when it is done and keeps the totals.
type report struct {
	w        io.Writer
	total    counts
	packages map[string]*counts
	output   map[place][]string // of what has not ended
	children map[place]bool     // tests with subtests: did one fail?
	failures []place            // failed tests of the package under way, in order
	broken   map[place][]string // their output, by test
	skips    []string           // "package test: reason"
	builds   map[string][]string
}

func newReport(w io.Writer) *report {
	return &report{
		w: w, packages: map[string]*counts{}, output: map[place][]string{}, children: map[place]bool{},
		broken: map[place][]string{}, builds: map[string][]string{},
	}
}

// add takes one event.
func (r *report) add(e event) {
	p := place{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
	case "run":
		r.output[p] = nil
	case "output":
		r.output[p] = append(r.output[p], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(p, e.Action)
		}
	}
}

// endTest counts one finished test and keeps the output of a failed one.
func (r *report) endTest(p place, action string) {
	c := r.packages[p.pkg]
	if c == nil {
		c = &counts{}
		r.packages[p.pkg] = c
	}
	childFailed, isParent := r.children[p]
	if up, ok := p.parent(); ok {
		r.children[up] = r.children[up] || action == "fail"
	}
	switch {
	case action == "fail":
		r.failures = append(r.failures, p)
		r.broken[p] = r.output[p]
		if !childFailed {
			c.failed++
		}
	case action == "skip":
		c.skipped++
		r.skips = append(r.skips, fmt.Sprintf("%s: %s", p, reason(r.output[p])))
	case !isParent:
		c.passed++
	}
	delete(r.output, p)
}

// endPackage prints the package's line and, after it, what failed in it.
func (r *report) endPackage(e event) {
	c := r.packages[e.Package]
	if c == nil {
		c = &counts{}
	}
	p := place{e.Package, ""}
	if e.Action == "fail" && c.failed == 0 { // a build, a panic outside tests, TestMain, a data race at exit
		c.failed = 1
	}
	r.total = counts{r.total.passed + c.passed, r.total.failed + c.failed, r.total.skipped + c.skipped}
	word := map[string]string{"pass": "ok  ", "fail": "FAIL"}[e.Action]
	if word != "" && *c != (counts{}) {
		fmt.Fprintf(r.w, "%s %s: %d passed, %d failed, %d skipped, %.1f s\n",
			word, e.Package, c.passed, c.failed, c.skipped, e.Elapsed)
	}
	if e.Action == "fail" {
		r.print(p, append(r.builds[e.FailedBuild], r.output[p]...))
		r.failures = slices.DeleteFunc(r.failures, func(f place) bool {
			if f.pkg == e.Package {
				r.print(f, r.broken[f])
			}
			return f.pkg == e.Package
		})
	}
	delete(r.output, p)
	delete(r.packages, e.Package)
}

// unfinished prints what was running when the run was cut off, with its output so far.
func (r *report) unfinished() {
	for p, lines := range r.output {
		if p.test != "" {
			r.total.failed++
			r.print(p, append([]string{"still running\n"}, lines...))
		}
	}
	for _, c := range r.packages {
		r.total = counts{r.total.passed + c.passed, r.total.failed + c.failed, r.total.skipped + c.skipped}
	}
}

// print writes output lines, indented, under the name of their place.
func (r *report) print(p place, lines []string) {
	fmt.Fprintf(r.w, "  %s\n", p)
	for _, line := range strings.SplitAfter(strings.Join(lines, ""), "\n") {
		if line != "" {
			fmt.Fprintf(r.w, "    %s\n", strings.TrimRight(line, "\n"))
		}
	}
}

// summary prints the skipped tests and, last, the totals.
func (r *report) summary(name string) {
	for _, s := range r.skips {
		fmt.Fprintln(r.w, "skipped", s)
	}
	if name != "" {
		name += ": "
	}
	fmt.Fprintf(r.w, "%s%d passed, %d failed, %d skipped\n", name, r.total.passed, r.total.failed, r.total.skipped)
}

// verdict says why the run counts as failed, or nil.
func (r *report) verdict(noSkips bool) error {
	switch {
	case r.total.failed > 0:
		return fmt.Errorf("%d tests failed", r.total.failed)
	case noSkips && r.total.skipped > 0:
		return fmt.Errorf("%d tests skipped where none may", r.total.skipped)
	case r.total == counts{}:
		return errors.New("no test ran")
	}
	return nil
}

// reason is what a skipped test printed, without the frame of go test.
func reason(lines []string) string {
	var said []string
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "=== ") && !strings.HasPrefix(l, "--- ") {
			said = append(said, l)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, "; ")
}
