package system_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// second is an institution that is registered while the cluster runs.
const second = "second"

// secondPersons are the persons it begins with.
func secondPersons() []person {
	return []person{
		{31, "app2", "application", "전산과", 2}, {32, "manager2", "manager", "정보보호과", 2},
		{33, "approver4", "approver", "심사과", 2}, {34, "auditor2", "auditor", "감사과", 2}, {35, "officer2", "officer", "민원과", 2},
	}
}

// register registers the second institution by the operator's manager and waits
// until its keys are there.
func (s *site) register(ctx context.Context) {
	s.t.Helper()
	var officers []any
	for _, p := range secondPersons() {
		s.enrol(ctx, p, []string{second})
		officers = append(officers, map[string]any{"certificate": p.name + ".pem", "role": p.role, "department": p.department, "position": "주무관",
			"name": "가나다", "telephone": "02-000-0000", "email": "x@other.example", "duties": "민원"})
	}
	s.writeTOML(s.path("contexts", "register.toml"), map[string]any{
		"code": second, "quota": 1 << 30, "name": "둘째 기관", "service_field": "복지", "storage": "임대", "telephone": "02-000-0000", "email": "x@other.example",
		"description": "시험", "common_name": "second.example", "officer": officers, "definition": []any{map[string]any{"bundle_id": testcluster.BundleID, "version": 1, "grade": 1}},
	})
	s.sago(ctx, 4, 0, "auditor", "institution", "register", "--file", s.path("contexts", "register.toml"))
	answer := s.sago(ctx, 0, 0, "manager", "institution", "register", "--file", s.path("contexts", "register.toml"))
	if answer["institution"] != second || answer["state"] != "active" || answer["number"] != 2.0 {
		s.t.Fatalf("registered: %v", answer)
	}
	s.sago(ctx, 3, 0, "manager", "institution", "register", "--file", s.path("contexts", "register.toml"))
	app2 := s.client(ctx, s.Size()-1, "app2")
	await(s.t, ctx, "the keys of the second institution", func(ctx context.Context) (bool, string, error) {
		_, err := put(ctx, app2, "S0", "P5Y", contentOf("S0"))
		return err == nil, fmt.Sprint(err), nil
	})
}

// stateOf is an institution as its manager sees it; it must be the only one.
func (s *site) stateOf(ctx context.Context, i int, role string) map[string]any {
	s.t.Helper()
	rows := rowsOf(s.t, s.sago(ctx, 0, i, role, "institution", "list"), "institutions")
	if len(rows) != 1 || rows[0]["institution"] != second {
		s.t.Fatalf("%s sees %v", role, rows)
	}
	return rows[0]
}

// TestR25_R26_R60_AnInstitutionsLife registers a second institution, suspends,
// resumes and closes it while the leader is killed. The first one is untouched.
func TestR25_R26_R60_AnInstitutionsLife(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 100*time.Second)
	s := startSite(t, ctx, testcluster.Options{Policy: testcluster.Policy{CheckpointEvery: time.Second}})
	_, err := put(ctx, s.client(ctx, 0, "app"), "KEEP", "P5Y", contentOf("KEEP"))
	must(t, err)
	s.register(ctx)
	app2 := s.client(ctx, 1, "app2")
	for i := 1; i < 30; i++ {
		_, err := put(ctx, app2, fmt.Sprintf("S%d", i), "P5Y", contentOf("S"))
		must(t, err)
	}
	chunks := s.chunksBehind(ctx, 31)
	_, err = put(ctx, app2, "SHORT", "PT4S", contentOf("SHORT"))
	must(t, err)
	who := []string{"--purpose", "시험", "--user-name", "가", "--user-department", "나", "--user-contact", "다"}
	s.sago(ctx, 0, 0, "app2", append([]string{"usage", "record", "--transaction", "S1"}, who...)...)

	s.suspended(ctx, who)
	s.notified(ctx)
	s.neverSpecial(ctx)
	backup := filepath.Join(t.TempDir(), "backup")
	s.sago(ctx, 4, 0, "app2", "cluster", "backup", "-o", backup)
	s.sago(ctx, 0, 0, "admin", "cluster", "backup", "-o", backup) // of the operating institution, though there are two
	s.sago(ctx, 0, 0, "keeper", "cluster", "backup", "-o", backup)
	old, _ := s.copied()
	s.closed(ctx, who, chunks)

	if _, data, err := read(ctx, s.client(ctx, 0, "officer"), "KEEP"); err != nil || string(data) != string(contentOf("KEEP")) {
		t.Fatalf("the first institution's bundle: %v", err)
	}
	s.ownRecordsOf(ctx)
	s.sago(ctx, 0, 1, "auditor", "history", "verify")
	s.intact(ctx)
	s.stopAll(ctx)
	s.onlyCiphertext(ctx, append(old, backup), "S1", "KEEP")
}

// neverSpecial ends special deletion for the second institution.
func (s *site) neverSpecial(ctx context.Context) {
	s.t.Helper()
	s.sago(ctx, 4, 0, "officer2", "special-delete", "disable", "--institution", second)
	s.sago(ctx, 5, 0, "manager", "special-delete", "disable", "--institution", second) // not even the operator
	answer := s.sago(ctx, 0, 0, "manager2", "special-delete", "disable", "--institution", second, "--reason", "시험")
	if answer["special_delete_disabled"] != true || s.stateOf(ctx, 1, "manager2")["special_delete_disabled"] != true {
		s.t.Errorf("disabled: %v", answer)
	}
	s.sago(ctx, 3, 0, "manager2", "special-delete", "disable", "--institution", second)
	s.sago(ctx, 3, 0, "officer2", order("S1")...)
}

// suspended suspends the second institution and resumes it.
func (s *site) suspended(ctx context.Context, who []string) {
	s.t.Helper()
	until := s.Now().AddDate(0, 1, 0).Format(time.DateOnly)
	s.sago(ctx, 5, 0, "manager2", "institution", "suspend", "--institution", testcluster.Institution, "--until", until)
	s.sago(ctx, 2, 0, "manager2", "institution", "suspend", "--until", s.Now().AddDate(0, 7, 0).Format(time.DateOnly))
	answer := s.sago(ctx, 0, 0, "manager2", "institution", "suspend", "--until", until, "--reason", "시험")
	if answer["state"] != "suspended" || answer["overdue"] != false {
		s.t.Fatalf("suspended: %v", answer)
	}
	file := filepath.Join(s.t.TempDir(), "f")
	must(s.t, os.WriteFile(file, contentOf("N"), 0o600))
	for _, args := range [][]string{
		putArgs("S99", "P5Y", file), append([]string{"bundle", "get", "--transaction", "S1", "-o", os.DevNull}, who...),
		append([]string{"usage", "record", "--transaction", "S1"}, who...),
	} {
		out, err := s.SagoAt(ctx, 2, "app2", append([]string{"--lang", "en"}, args...)...)
		must(s.t, err)
		if out.Exit != 3 || !strings.Contains(out.Stderr, "SUSPENDED") {
			s.t.Errorf("%v: exit %d %s", args[:2], out.Exit, out.Stderr)
		}
	}
	if uses := rowsOf(s.t, s.sago(ctx, 0, 1, "app2", "usage", "list", "--transaction", "S1"), "uses"); len(uses) != 1 || uses[0]["purpose"] != "시험" {
		s.t.Errorf("uses in a suspension: %v", uses)
	}
	auditor := s.client(ctx, 0, "auditor2")
	await(s.t, ctx, "a bundle expires in a suspension", func(ctx context.Context) (bool, string, error) {
		b, err := auditor.Show(ctx, &sagov1.ShowRequest{Transaction: "SHORT", Part: 1})
		return b.GetState() == "erased", fmt.Sprint(b.GetState(), err), nil
	})
	s.sago(ctx, 0, 0, "manager", "institution", "resume", "--institution", second) // the operator's
	s.sago(ctx, 0, 2, "app2", append([]string{"bundle", "get", "--transaction", "S1", "-o", os.DevNull}, who...)...)
}

// notified matches a list of CIs (R60).
func (s *site) notified(ctx context.Context) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "ci")
	must(s.t, os.WriteFile(file, []byte("CI-S1\nCI-NOBODY\n\nCI-S2\nCI-S1\n"), 0o600))
	answer := s.sago(ctx, 0, 0, "manager2", "institution", "subjects", "--ci-file", file, "--close", "2026-12-31")
	if answer["listed"] != 4.0 || answer["affected"] != 2.0 || answer["unlisted"] != 28.0 || answer["report_by"] != "2026-11-01" || answer["erase_latest"] != "2027-01-30" {
		s.t.Errorf("subjects: %v", answer)
	}
	if rows := rowsOf(s.t, answer, "subjects"); rows[1]["affected"] != false || rows[3]["bundles"] != 1.0 {
		s.t.Errorf("subjects: %v", rows)
	}
	answer = s.sago(ctx, 0, 0, "manager2", "institution", "subjects", "--ci-file", file, "--suspend", "2026-03-31")
	if answer["report_by"] != "2026-03-01" || answer["suspended_until"] == "" {
		s.t.Errorf("subjects of a suspension: %v", answer)
	}
}

// closed closes the second institution, killing the leader while its bundles go.
func (s *site) closed(ctx context.Context, who []string, chunks []testcluster.Chunk) {
	s.t.Helper()
	dir := s.t.TempDir()
	receipt := filepath.Join(dir, "receipt")
	must(s.t, os.WriteFile(receipt, []byte("received"), 0o600))
	date := s.Now().AddDate(0, 2, 0).Format(time.DateOnly)
	ask := []string{"institution", "close", "--institution", second, "--date", date, "--reason", "시험"}
	s.sago(ctx, 3, 0, "manager2", append(ask, "--receipt", receipt)...) // nothing was exported
	s.sago(ctx, 0, 0, "auditor2", "history", "export", "--institution", second, "-o", filepath.Join(dir, "export"))
	s.sago(ctx, 3, 0, "manager2", ask...) // no receipt
	act := s.sago(ctx, 0, 0, "manager2", append(ask, "--receipt", receipt)...)
	if act["state"] != "pending" || act["document"].(map[string]any)["date"] != date {
		s.t.Fatalf("act: %v", act)
	}
	s.sago(ctx, 5, 0, "approver1", "act", "sign", "--id", act["id"].(string)) // another institution's
	s.sago(ctx, 0, 0, "approver4", "act", "sign", "--id", act["id"].(string))
	leader, err := s.Leader(ctx)
	must(s.t, err)
	must(s.t, s.Kill(leader))
	must(s.t, s.Start(leader))
	must(s.t, s.Ready(ctx))
	await(s.t, ctx, "the institution is closed", func(ctx context.Context) (bool, string, error) {
		out, err := s.SagoAt(ctx, (leader+1)%3, "manager2", "institution", "list", "--output", "json")
		return strings.Contains(out.Stdout, `"closed"`), out.Stdout + out.Stderr, err
	})
	s.stateOf(ctx, 0, "manager2")
	for i := range s.Size() {
		await(s.t, ctx, "nothing is left at "+s.Name(i), func(context.Context) (bool, string, error) {
			found := s.traces(i, chunks)
			return found == "", found, nil
		})
	}
	for _, args := range [][]string{append([]string{"bundle", "get", "-o", os.DevNull}, who...), append([]string{"usage", "record"}, who...)} {
		out, err := s.SagoAt(ctx, leader, "app2", append(args, "--transaction", "S1")...)
		must(s.t, err)
		if out.Exit != 3 || !strings.Contains(out.Stderr, "CLOSED") {
			s.t.Errorf("%v: exit %d %s", args[:2], out.Exit, out.Stderr)
		}
	}
	uses := rowsOf(s.t, s.sago(ctx, 0, leader, "auditor2", "usage", "list", "--transaction", "S1"), "uses")
	for _, u := range uses {
		if u["purpose"] == "시험" {
			s.t.Errorf("a use record opens after the closing: %v", u)
		}
	}
	if len(uses) != 1 {
		s.t.Errorf("%d use records stand", len(uses))
	}
	s.sago(ctx, 0, 0, "auditor2", "bundle", "show", "--transaction", "S1")
}

// chunksBehind are the chunks at every node behind the first one, once there are so
// many.
func (s *site) chunksBehind(ctx context.Context, many int) (out []testcluster.Chunk) {
	s.t.Helper()
	for i := range s.Size() {
		await(s.t, ctx, "everything has arrived at "+s.Name(i), func(context.Context) (bool, string, error) {
			all, err := s.Chunks(i)
			return len(all) == many, fmt.Sprint(len(all)), err
		})
		out = append(out, s.chunks(i)[1:]...)
	}
	return out
}

// ownRecordsOf holds that the second institution's auditor sees nothing of the first.
func (s *site) ownRecordsOf(ctx context.Context) {
	s.t.Helper()
	for _, r := range s.recordsOf(ctx, "auditor2", false) {
		if r.GetInstitution() != second {
			s.t.Errorf("the second institution sees %v", r)
		}
	}
	for _, r := range s.recordsOf(ctx, "auditor", false) {
		if r.GetInstitution() == second {
			s.t.Errorf("the first institution sees %v", r)
		}
	}
	cl := s.client(ctx, 0, "auditor2")
	if _, err := cl.Show(ctx, &sagov1.ShowRequest{Transaction: "KEEP", Part: 1}); client.ReasonOf(err) != "NOT_FOUND" {
		s.t.Errorf("another institution's bundle: %v", err)
	}
}
