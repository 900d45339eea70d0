package rules

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the last column of "+PitfallsPage)

const root = "../.."

// rule is one check with violations planted for it: each must be found, and must name what is wrong.
type rule struct {
	name    string
	check   func(Tree) []Finding
	planted []plant
}

// plant is a file that breaks a rule, or with an empty want one that looks like it but does not.
type plant struct{ path, text, want string }

func goFile(imports, body string) string {
	return "// Package p is planted.\npackage p\n\n" + imports + "\n\n" + body + "\n"
}

var every = []rule{
	{"import direction", ImportDirection, []plant{
		{"retention/a.go", goFile(`import "`+Module+`/store"`, ""), "retention may not import store"},
		{"store/history/a.go", goFile(`import "`+Module+`/store/keyring"`, ""), "may not import store/keyring"},
		{"service/a.go", goFile(`import "`+Module+`/timesource"`, ""), "may not import timesource"},
		{"audit/a.go", goFile(`import "`+Module+`/store"`, ""), "may not import store"},
		{"cmd/sago/a.go", goFile(`import "`+Module+`/replication"`, ""), "may not import replication"},
		{"store/util/a.go", goFile("", ""), "not on the map"},
		{"store/history/a.go", goFile(`import "`+Module+`/store/format"`, ""), ""},
		{"store/history/a_test.go", goFile(`import "`+Module+`/store/keyring"`, ""), ""},
	}},
	{"raft stays in replication", RaftStaysInReplication, []plant{
		{"store/a.go", goFile(`import "github.com/hashicorp/raft"`, ""), "only replication"},
		{"service/a_test.go", goFile(`import b "github.com/hashicorp/raft-boltdb/v2"`, ""), "only replication"},
		{"replication/a.go", goFile(`import "github.com/hashicorp/raft"`, ""), ""},
	}},
	{"no wall clock", NoWallClock, []plant{
		{"store/history/a.go", goFile(`import "time"`, "var f = time.NewTimer"), "time.NewTimer in a pure room"},
		{"retention/a.go", goFile(`import t "time"`, "var f = t.Since"), "time.Since in a pure room"},
		{"audit/a.go", goFile(`import "time"`, "func f() { _ = time.Now() }"), "time.Now reads the host's clock"},
		{"replication/a.go", goFile(`import "time"`, "var f = time.NewTicker"), ""},
		{"retention/a_test.go", goFile(`import "time"`, "var f = time.Now"), ""},
		{"store/a.go", goFile(`import "time"`, "var f = time.Unix"), ""},
		{"timesource/dev.go", goFile(`import "time"`, "var f = time.Now"), ""},
	}},
	{"no randomness", NoRandomness, []plant{
		{"access/a.go", goFile(`import "math/rand/v2"`, ""), "math/rand/v2"},
		{"store/a.go", goFile(`import "crypto/rand"`, ""), "crypto/rand"},
		{"store/keyring/a.go", goFile(`import "math/rand"`, ""), "math/rand"},
		{"store/keyring/a.go", goFile(`import "crypto/rand"`, ""), ""},
		{"service/a.go", goFile(`import "crypto/rand"`, ""), ""},
	}},
	{"few removers", FewRemovers, []plant{
		{"store/index/a.go", goFile(`import "os"`, `var f = os.Remove`), "os.Remove"},
		{"service/a.go", goFile(`import "golang.org/x/sys/unix"`, `func f() { unix.Fallocate(0, 3, 0, 1) }`), "unix.Fallocate"},
		{"store/segment/a.go", goFile(`import "os"`, `func f(x *os.File) { x.Truncate(0) }`), "Truncate"},
		{"store/custodian/destroy.go", goFile(`import "os"`, `func f(x *os.File) { x.Truncate(0) }`), ""},
		{"store/custodian/gate/a.go", goFile(`import "os"`, `func f(x *os.File) { x.Truncate(0) }`), "Truncate"},
		{"store/custodian/server.go", goFile(`import "os"`, `var f = os.Remove`), "os.Remove"},
		{"service/a.go", goFile(`import "time"`, `func f(d time.Duration) { d.Truncate(time.Second) }`), ""},
		{"cmd/sagod/dev_remove.go", goFile(`import "os"`, `var f = os.RemoveAll`), ""},
		{"cmd/sagod/run.go", goFile(`import "os"`, `var f = os.RemoveAll`), "os.RemoveAll"},
	}},
	{"few overwriters", FewOverwriters, []plant{
		{"store/a.go", goFile(`import "os"`, `func f(x *os.File) { x.WriteAt(nil, 7) }`), "WriteAt"},
		{"store/a.go", goFile(`import "github.com/sago-worm/sago/store/keyring"`, `var f = keyring.ErasedSlot()`), "keyring.ErasedSlot"},
		{"store/segment/a.go", goFile(`import "os"`, `var f = os.O_RDWR`), "os.O_RDWR"},
		{"replication/a.go", goFile(`import "golang.org/x/sys/unix"`, `func f() { unix.Pwrite(0, nil, 1) }`), "unix.Pwrite"},
		{"cmd/sagod/a.go", goFile(`import "github.com/sago-worm/sago/store/custodian"`, `var f = custodian.ClearTree`), "custodian.ClearTree"},
		{"store/custodian/destroy.go", goFile(`import "os"`, `func f(x *os.File) { x.WriteAt(nil, 7) }`), ""},
		{"store/custodian/server.go", goFile(`import "os"`, `func f(x *os.File) { x.WriteAt(nil, 7) }`), "WriteAt"},
	}},
	{"no raw writes", NoRawWrites, []plant{
		{"store/index/a.go", goFile(`import "os"`, `var f = os.WriteFile`), "os.WriteFile"},
		{"replication/a.go", goFile(`import "os"`, `var f = os.O_RDWR | os.O_TRUNC`), "os.O_TRUNC"},
		{"cmd/sago/a.go", goFile(`import "os"`, `var f = os.WriteFile`), ""},
	}},
	{"package comments", PackageComments, []plant{
		{"access/a.go", "package access\n", "0 package comments"},
		{"access/a.go", "// Package access is.\npackage access\n", ""},
		{"access/a.pb.go", "// Code generated by x. DO NOT EDIT.\n\npackage access\n", ""},
	}},
	{"file length", FileLength, []plant{
		{"access/a.go", "package access\n" + strings.Repeat("\n", MaxLines), "501 lines"},
		{"access/a.go", "package access\n" + strings.Repeat("\n", MaxLines-1), ""},
		{"access/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage access\n" + strings.Repeat("\n", MaxLines), ""},
	}},
	{"no unfinished words", NoUnfinishedWords, []plant{
		{"access/a.go", "package access // TO" + "DO later\n", "TO" + "DO"},
		{"docs/x.md", "text\nFIX" + "ME: text\n", "x.md:2"},
		{"docs/x.md", "MASTO" + "DON\n", ""},
	}},
	{"no replace", NoReplace, []plant{
		{"go.mod", "module m\n\nreplace a => b\n", "go.mod:3"},
		{"go.mod", "module m\n", ""},
	}},
	{"the map names packages", MapNamesPackages, []plant{
		{"access/a.go", "package access\n", "`access`"},
	}},
	{"invariants cited", InvariantsCited, []plant{
		{"docs/invariants.md", "# I\n\n## I1 Nobody\n\nno rooms\n", "I1 is missing or has no line"},
	}},
	{"pitfalls listed", PitfallsListed, []plant{
		{"access/a_test.go", "package access\n\nfunc TestP99_X(t *testing.T) {}\n", "P99 is not listed"},
		{PitfallsPage, "# Pitfalls\n\n| P01 | text | `gone.TestP01_X` |\n", "the last column"},
		{PitfallsPage, "# Pitfalls\n\n| P01 | text | - |\n", ""},
		{PitfallsPage, "# Pitfalls\n\n| P01 | text | - |\n| P01 | text | - |\n", "P01 is listed twice"},
	}},
}

func TestTreeObeysEveryRule(t *testing.T) {
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Sources) == 0 || tree.Texts["go.mod"] == "" {
		t.Fatal("nothing was loaded")
	}
	for _, r := range every {
		t.Run(r.name, func(t *testing.T) {
			for _, f := range r.check(tree) {
				t.Error(f)
			}
		})
	}
}

func TestEveryRuleFindsItsPlantedViolations(t *testing.T) {
	for _, r := range every {
		for i, p := range r.planted {
			t.Run(fmt.Sprintf("%s/%d", r.name, i), func(t *testing.T) {
				found := r.check(treeOf(t, p))
				switch {
				case p.want == "" && len(found) > 0:
					t.Errorf("found in an innocent file: %v", found)
				case p.want != "" && !strings.Contains(fmt.Sprint(found), p.want):
					t.Errorf("found %v, wanted %q", found, p.want)
				}
			})
		}
	}
}

func TestInvariantsAreDemandedOnceTheirRoomsExist(t *testing.T) {
	var doc strings.Builder
	for n := 1; n <= 10; n++ {
		fmt.Fprintf(&doc, "## I%d Name\n\nRooms: `access`, `audit`\n\n", n)
	}
	page := plant{path: "docs/invariants.md", text: doc.String()}
	access := plant{path: "access/a.go", text: "package access\n"}
	audit := plant{path: "audit/a.go", text: "package audit\n"}
	test := plant{path: "audit/a_test.go", text: "package audit\n\n// I1 to the end: I2 I3 I4 I5 I6 I7 I8 I9\nfunc TestI10_X() {}\n"}
	if found := InvariantsCited(treeOf(t, page, access)); len(found) != 0 {
		t.Errorf("one room is missing, yet: %v", found)
	}
	if found := InvariantsCited(treeOf(t, page, access, audit)); len(found) != 10 {
		t.Errorf("no test cites anything, found: %v", found)
	}
	if found := InvariantsCited(treeOf(t, page, access, audit, test)); len(found) != 0 {
		t.Errorf("all are cited, found: %v", found)
	}
}

func TestTwoPackageCommentsAreOneTooMany(t *testing.T) {
	text := "// Package access is.\npackage access\n"
	tree := treeOf(t, plant{path: "access/a.go", text: text}, plant{path: "access/b.go", text: text})
	if found := PackageComments(tree); len(found) != 1 {
		t.Errorf("found %v", found)
	}
}

// With -update this is how `make generate` renews the table's last column.
func TestPitfallsTable(t *testing.T) {
	tree := treeOf(t,
		plant{path: "store/a_test.go", text: "package store\n\nfunc TestP33_P34_Gone() {}\n"},
		plant{path: PitfallsPage, text: "| P33 | a \\| b | - |\n| P34 | c | old |\n| P35 | d | - |\n"})
	want := "| P33 | a \\| b | `store.TestP33_P34_Gone` |\n| P34 | c | `store.TestP33_P34_Gone` |\n| P35 | d | - |\n"
	if got := PitfallsTable(tree); got != want {
		t.Errorf("got\n%s", got)
	}
	if !*update {
		return
	}
	real, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, PitfallsPage), []byte(PitfallsTable(real)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// treeOf builds a tree of planted files.
func treeOf(t *testing.T, files ...plant) Tree {
	t.Helper()
	tree := Tree{Texts: map[string]string{}}
	for _, f := range files {
		if !strings.HasSuffix(f.path, ".go") {
			tree.Texts[f.path] = f.text
			continue
		}
		src, err := Parse(f.path, f.text)
		if err != nil {
			t.Fatal(err)
		}
		tree.Sources = append(tree.Sources, src)
	}
	return tree
}
