package rules

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// PitfallsPage is the table of what broke in comparable products, with the tests that guard against each.
const PitfallsPage = "docs/pitfalls.md"

var (
	pitfallTest  = regexp.MustCompile(`^(?:Test|Fuzz)((?:P\d\d(?:_|$))+)`)
	pitfallStory = regexp.MustCompile(`^p(\d\d)\b`)
	pitfallRow   = regexp.MustCompile(`^\| (P\d\d) \|(.*)\|([^|]*)\|$`)
	noTest       = "-"
)

// pitfallTests lists, by number, the tests and stories named after a pitfall: TestP05_Name, TestP33_P34_Name, p70.txtar.
func (t Tree) pitfallTests() map[string][]string {
	tests := map[string][]string{}
	add := func(number, name string) {
		if !slices.Contains(tests[number], name) {
			tests[number] = append(tests[number], name)
		}
	}
	for _, s := range t.Sources {
		if !s.Test() || s.Dir() == "internal/rules" {
			continue
		}
		for _, d := range s.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil {
				continue
			}
			if m := pitfallTest.FindStringSubmatch(fn.Name.Name); m != nil {
				for _, number := range strings.Split(strings.Trim(m[1], "_"), "_") {
					add(number, fmt.Sprintf("`%s.%s`", s.Dir(), fn.Name.Name))
				}
			}
		}
	}
	for _, story := range t.Stories {
		if m := pitfallStory.FindStringSubmatch(path.Base(story)); m != nil {
			add("P"+m[1], "`"+story+"`")
		}
	}
	for _, names := range tests {
		slices.Sort(names)
	}
	return tests
}

// PitfallsTable returns the pitfalls page with its last column written anew from the tests of the tree.
func PitfallsTable(t Tree) string {
	tests := t.pitfallTests()
	lines := strings.Split(t.Texts[PitfallsPage], "\n")
	for i, line := range lines {
		if m := pitfallRow.FindStringSubmatch(line); m != nil {
			cell := noTest
			if names := tests[m[1]]; len(names) > 0 {
				cell = strings.Join(names, ", ")
			}
			lines[i] = fmt.Sprintf("| %s |%s| %s |", m[1], m[2], cell)
		}
	}
	return strings.Join(lines, "\n")
}

// PitfallsListed finds tests named after a pitfall that the page does not list, pitfalls listed twice, and a last column
// that is not what the tests say.
func PitfallsListed(t Tree) []Finding {
	var found []Finding
	page := t.Texts[PitfallsPage]
	for number, names := range t.pitfallTests() {
		if !strings.Contains(page, "\n| "+number+" |") {
			found = append(found, Finding{PitfallsPage, 0, number + " is not listed, but tested by " + strings.Join(names, ", ")})
		}
	}
	listed := map[string]bool{}
	for line := range strings.Lines(page) {
		if m := pitfallRow.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			if listed[m[1]] {
				found = append(found, Finding{PitfallsPage, 0, m[1] + " is listed twice"})
			}
			listed[m[1]] = true
		}
	}
	if PitfallsTable(t) != page {
		found = append(found, Finding{PitfallsPage, 0, "the last column is not what the tests say: run `make generate`"})
	}
	return found
}
