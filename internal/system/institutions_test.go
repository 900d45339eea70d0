package system_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
)

// neighbours is a ceremony of two institutions, the second with people of its own.
func neighbours() amend {
	return amend{institutions: []string{"other"}, persons: []person{
		{21, "app2", "application", "전산과", 2},
		{22, "officer2", "officer", "민원과", 2},
		{23, "auditor2", "auditor", "감사과", 2},
	}}
}

// TestOtherInstitutionsNumbersAnswerAlike asks for a number that nobody has and
// for one that another institution has: the answers are the same, and the tries
// are on record with who asked, only.
func TestOtherInstitutionsNumbersAnswerAlike(t *testing.T) {
	ctx := bounded(t, time.Minute)
	s := newSite(t, testcluster.Options{Nodes: 1})
	s.hold(ctx, neighbours())
	must(t, s.StartAll())
	must(t, s.Ready(ctx))
	file := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(file, contentOf("N"), 0o600))
	const theirs, nobodys = "NUMBER-A", "NUMBER-B"
	s.sago(ctx, 0, 0, "app", putArgs(theirs, "P5Y", file)...)
	before := s.actions(ctx, "auditor")

	who := []string{"--purpose", "시험", "--user-name", "가", "--user-department", "나", "--user-contact", "다"}
	asks := []struct {
		role string
		args []string
	}{
		{"officer2", append([]string{"bundle", "get"}, who...)},
		{"app2", append([]string{"bundle", "get"}, who...)},
		{"auditor2", []string{"bundle", "show"}},
		{"auditor2", []string{"bundle", "verify"}},
		{"officer2", append([]string{"usage", "record"}, who...)},
		{"officer2", []string{"usage", "list"}},
		{"auditor2", []string{"history", "list"}},
	}
	for _, lang := range []string{"ko", "en"} {
		for _, a := range asks {
			got := s.askFor(ctx, a.role, theirs, append(a.args, "--lang", lang)...)
			want := s.askFor(ctx, a.role, nobodys, append(a.args, "--lang", lang)...)
			if a.args[0] == "history" || a.args[1] == "list" {
				got.Stdout, want.Stdout = withoutOwn(got.Stdout), withoutOwn(want.Stdout)
			}
			if got != want {
				t.Errorf("%v: another institution's number answers %+v, an unknown one %+v", a.args[:2], got, want)
			}
			if a.args[1] != "list" && got.Exit != 5 {
				t.Errorf("%v: exit %d, want 5: %s", a.args[:2], got.Exit, got.Stderr)
			}
		}
	}
	after := s.actions(ctx, "auditor")
	if len(after) != len(before)+1 { // the query before is on record
		t.Errorf("the owner's history went from %v to %v", before, after)
	}
	s.sago(ctx, 0, 0, "app2", putArgs(theirs, "P5Y", file)...)
	s.sago(ctx, 5, 0, "auditor2", "bundle", "show", "--transaction", nobodys)
	s.ownRecords(ctx)
}

// askFor runs a command for a number, which its answer then does not name.
func (s *site) askFor(ctx context.Context, role, number string, args ...string) testcluster.Output {
	s.t.Helper()
	out, err := s.SagoAt(ctx, 0, role, append(args, "--output", "json", "--transaction", number)...)
	must(s.t, err)
	out.Stdout, out.Stderr = strings.ReplaceAll(out.Stdout, number, "NUMBER"), strings.ReplaceAll(out.Stderr, number, "NUMBER")
	return out
}

// withoutOwn leaves of a list its number of rows: rows about the asker's own tries
// bear their own sequence and time.
func withoutOwn(list string) string {
	return strings.Repeat("row ", strings.Count(list, `"action"`)+strings.Count(list, `"recorded_at"`))
}

// actions are the actions of the institution's own records.
func (s *site) actions(ctx context.Context, role string) (all []string) {
	s.t.Helper()
	for _, r := range s.recordsOf(ctx, role, false) {
		if r.GetInstitution() == testcluster.Institution {
			all = append(all, r.GetAction()+" "+r.GetTransaction())
		}
	}
	return all
}

// recordsOf is the history as a role sees it, ticks and checkpoints too if all.
func (s *site) recordsOf(ctx context.Context, role string, all bool) []*sagov1.HistoryRecord {
	s.t.Helper()
	records, next, err := s.client(ctx, 0, role).Records(ctx, &sagov1.HistoryServiceListRequest{All: all})
	must(s.t, err)
	if next != 0 {
		s.t.Fatalf("the history goes on at %d", next)
	}
	return records
}

// ownRecords holds that each auditor sees records of their own institution, and
// that the tries are among those of who tried.
func (s *site) ownRecords(ctx context.Context) {
	s.t.Helper()
	for _, r := range s.recordsOf(ctx, "auditor", false) {
		if r.GetInstitution() == "other" || strings.HasSuffix(r.GetActor(), "2") {
			s.t.Errorf("the first institution sees %v", r)
		}
	}
	tried := 0
	for _, r := range s.recordsOf(ctx, "auditor2", false) {
		if r.GetInstitution() == testcluster.Institution {
			s.t.Errorf("the second institution sees %v", r)
		}
		if r.GetInstitution() == "other" && r.GetResult() != "ok" && strings.HasPrefix(r.GetTransaction(), "NUMBER-") {
			tried++
		}
	}
	if tried == 0 {
		s.t.Error("the tries are not on record with who asked")
	}
}
