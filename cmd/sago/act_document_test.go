package main

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// TestWhoSignsAPolicySeesWhatItChanges: beside each value that changes stands the one
// now, and only if it is of the very policy that the document replaces.
func TestWhoSignsAPolicySeesWhatItChanges(t *testing.T) {
	now := format.Policy{CoolingOff: (5 * time.Second).Microseconds(), Approvals: 2, HistoryYears: 3}
	next := now
	next.CoolingOff = time.Second.Microseconds()
	replaced := format.EncodePolicy(now)
	doc := format.Act{Kind: format.ActKindPolicy, Params: format.PolicyParams{Replaces: sha256.Sum256(replaced), Policy: next}.Encode()}
	out, err := saidBy(doc, replaced)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out {
		want := s.name == "cooling_off"
		if strings.Contains(s.value, "(now ") != want || want && s.value != "1s (now 5s)" {
			t.Errorf("%s: %s", s.name, s.value)
		}
	}
	if _, err := saidBy(doc, format.EncodePolicy(next)); err == nil {
		t.Error("another policy was shown as the one now")
	}
	if out, err := saidBy(doc, nil); err != nil || len(out) == 0 {
		t.Error(out, err)
	}
}

// TestWhoSignsAClosingSeesWhichInstitution: the number that the document names, and
// the code that the appliance gives for it.
func TestWhoSignsAClosingSeesWhichInstitution(t *testing.T) {
	doc := format.Act{Kind: format.ActKindClose, Object: format.ActObject{Institution: 7}.Encode(), Params: format.CloseParams{Date: 1, Size: 2}.Encode()}
	executable := false
	a := &sagov1.Act{Kind: "close", Document: doc.Encode(), Institution: "B550928", Executable: &executable, NotExecutable: "STATE: it is closed"}
	row, err := toAct(a)
	if err != nil || row.Document["institution"] != "7" || row.Institution != "B550928" || row.Executable == nil || *row.Executable || row.NotExecutable == "" {
		t.Fatalf("%+v, %v", row, err)
	}
	p := &page{lang: english}
	actPage(p, a)
	for _, want := range []string{"B550928", "STATE: it is closed"} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("%q is not on the page:\n%s", want, p.String())
		}
	}
}
