package access_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sago-worm/sago/access"
)

// verbs lists every number that has a name.
func verbs() []access.Verb {
	var vs []access.Verb
	for v := range access.Verb(1 << 10) {
		if !strings.HasPrefix(v.String(), "verb ") {
			vs = append(vs, v)
		}
	}
	return vs
}

// TestRoleTable holds every role and verb against testdata/roles.txt, which is
// read by people: a change there is a change of who may do what.
func TestRoleTable(t *testing.T) {
	var b strings.Builder
	for _, v := range verbs() {
		var who []string
		for _, r := range access.Roles() {
			if access.Decide(access.Principal{ID: 1, Role: r, Institution: 1}, v) == nil {
				who = append(who, r.String())
			}
		}
		if who == nil {
			who = []string{"nobody"}
		}
		fmt.Fprintf(&b, "%d %s: %s\n", v, v, strings.Join(who, " "))
	}
	want, err := os.ReadFile(filepath.Join("testdata", "roles.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("role table (-testdata/roles.txt +Decide):\n%s", d)
	}
}

func TestStoredNumbersNeverChange(t *testing.T) {
	want := "1 officer, 2 application, 3 manager, 4 approver, 5 head, 6 admin, 7 auditor, 8 contractor"
	var got []string
	for _, r := range access.Roles() {
		got = append(got, fmt.Sprintf("%d %s", uint8(r), r))
	}
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("roles %s, want %s", s, want)
	}
}

func TestDefaultIsDeny(t *testing.T) {
	named := map[access.Verb]bool{}
	for _, v := range verbs() {
		named[v] = true
	}
	rapid.Check(t, func(t *rapid.T) {
		p := access.Principal{
			ID:          rapid.Uint64().Draw(t, "id"),
			Role:        access.Role(rapid.Uint8().Draw(t, "role")),
			Institution: rapid.Uint32().Draw(t, "institution"),
		}
		v := access.Verb(rapid.Uint16().Draw(t, "verb"))
		err := access.Decide(p, v)
		known := p.Role >= access.RoleOfficer && p.Role < access.RoleContractor
		if err == nil && (p.ID == 0 || !known || !named[v]) {
			t.Fatalf("allowed %+v %v", p, v)
		}
		var d *access.Denied
		if err != nil && (!errors.As(err, &d) || d.Verb != v || d.Role != p.Role || d.Why == "") {
			t.Fatalf("not a whole *Denied: %#v", err)
		}
	})
}

func TestR23AdministratorsNeverReadBundles(t *testing.T) {
	admin := access.Principal{ID: 7, Role: access.RoleAdmin}
	for _, v := range verbs() {
		if v.ReadsContent() || v == access.VerbShow || v == access.VerbList || v == access.VerbSubjectView {
			if access.Decide(admin, v) == nil {
				t.Errorf("an administrator may %v", v)
			}
		}
	}
	if err := access.Decide(admin, access.VerbGet); err == nil || err.Error() != "admin may not get: system administrators never read bundles" {
		t.Errorf("the reason is not said: %v", err)
	}
}

func TestNobodyWithoutNumber(t *testing.T) {
	for _, r := range access.Roles() {
		for _, v := range verbs() {
			if access.Decide(access.Principal{Role: r}, v) == nil {
				t.Fatalf("%v without a number may %v", r, v)
			}
		}
	}
}
