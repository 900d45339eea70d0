package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// MaxLines is the longest a file may be; generated files are left out.
const MaxLines = 500

// FileLength finds files that have become more than one thing.
func FileLength(t Tree) []Finding {
	var found []Finding
	for _, s := range t.Sources {
		if n := strings.Count(s.Text, "\n"); n > MaxLines && !s.Generated {
			found = append(found, Finding{s.Path, 0, fmt.Sprintf("%d lines, at most %d", n, MaxLines)})
		}
	}
	return found
}

// PackageComments finds packages without a package comment or with several.
func PackageComments(t Tree) []Finding {
	var found []Finding
	for _, dir := range t.packages() {
		comments, written := 0, false
		for _, s := range t.Sources {
			if s.Dir() != dir || s.Test() || s.Generated {
				continue
			}
			written = true
			if s.ast.Doc != nil {
				comments++
			}
		}
		if written && comments != 1 {
			found = append(found, Finding{dir, 0, fmt.Sprintf("%d package comments, wanted one", comments)})
		}
	}
	return found
}

// unfinished are words for work that is announced instead of done. They are put together here, so that this file holds none.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`)

// NoUnfinishedWords finds them in code, documents, protos and scripts.
func NoUnfinishedWords(t Tree) []Finding {
	var found []Finding
	look := func(path, text string) {
		for i, line := range strings.Split(text, "\n") {
			if word := unfinished.FindString(line); word != "" {
				found = append(found, Finding{path, i + 1, word})
			}
		}
	}
	for _, s := range t.Sources {
		look(s.Path, s.Text)
	}
	for path, text := range t.Texts {
		look(path, text)
	}
	return found
}

// NoReplace finds replace directives: what is built must be what the module proxy serves to everyone.
func NoReplace(t Tree) []Finding {
	var found []Finding
	for _, path := range []string{"go.mod", "tools/go.mod"} {
		for i, line := range strings.Split(t.Texts[path], "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "replace") {
				found = append(found, Finding{path, i + 1, "replace directive"})
			}
		}
	}
	return found
}

// MapNamesPackages finds packages that docs/README.md does not lead to.
func MapNamesPackages(t Tree) []Finding {
	var found []Finding
	for _, dir := range t.packages() {
		if !strings.Contains(t.Texts["docs/README.md"], "`"+dir+"`") {
			found = append(found, Finding{"docs/README.md", 0, "does not mention `" + dir + "`"})
		}
	}
	return found
}

var (
	invariantHead = regexp.MustCompile(`(?m)^## (I\d+)\b`)
	roomsLine     = regexp.MustCompile(`(?m)^Rooms: (.*)$`)
	quoted        = regexp.MustCompile("`([^`]+)`")
)

// invariants lists the numbers that docs/invariants.md explains, each with the rooms that hold it.
func (t Tree) invariants() map[string][]string {
	doc := t.Texts["docs/invariants.md"]
	heads := invariantHead.FindAllStringSubmatchIndex(doc, -1)
	rooms := map[string][]string{}
	for i, h := range heads {
		end := len(doc)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		number := doc[h[2]:h[3]]
		rooms[number] = nil
		if line := roomsLine.FindStringSubmatch(doc[h[1]:end]); line != nil {
			for _, m := range quoted.FindAllStringSubmatch(line[1], -1) {
				rooms[number] = append(rooms[number], m[1])
			}
		}
	}
	return rooms
}

// InvariantsCited finds invariants that no test names although every room that holds them exists, and invariants that
// docs/invariants.md gives no rooms.
func InvariantsCited(t Tree) []Finding {
	var found []Finding
	exists := t.packages()
	invariants := t.invariants()
	for n := 1; n <= 10; n++ {
		number := fmt.Sprintf("I%d", n)
		rooms := invariants[number]
		if len(rooms) == 0 {
			found = append(found, Finding{"docs/invariants.md", 0, number + " is missing or has no line `Rooms: ...`"})
			continue
		}
		missing := slices.ContainsFunc(rooms, func(r string) bool { return !slices.Contains(exists, r) })
		if !missing && !t.citedByTest(number) {
			found = append(found, Finding{"docs/invariants.md", 0, "no test cites " + number})
		}
	}
	return found
}

func (t Tree) citedByTest(number string) bool {
	cite := regexp.MustCompile(`(\b|Test)` + number + `(\b|_)`)
	return slices.ContainsFunc(t.Sources, func(s Source) bool {
		return s.Test() && s.Dir() != "internal/rules" && cite.MatchString(s.Text)
	})
}
