package main

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

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
