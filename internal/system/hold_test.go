package system_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testcluster"
)

// awaitShown waits until node i shows a bundle in this state.
func (s *site) awaitShown(ctx context.Context, i int, transaction, state string) {
	s.t.Helper()
	await(s.t, ctx, transaction+" is "+state+" at "+s.Name(i), func(ctx context.Context) (bool, string, error) {
		answer := s.sago(ctx, 0, i, "auditor", "bundle", "show", "--transaction", transaction)
		return answer["state"] == state, fmt.Sprint(answer["state"]), nil
	})
}

// TestP22_P26_AHeldBundleOutlivesItsDeadline: a hold on a bundle and one on a
// subject beat expiry at every node; each is read for its own purpose only, and
// goes after two persons signed its release, and not the other's.
func TestP22_P26_AHeldBundleOutlivesItsDeadline(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 80*time.Second)
	s := startSite(t, ctx, testcluster.Options{})
	file := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(file, contentOf("HELD"), 0o600))
	preview := s.sago(ctx, 0, 0, "app", append(putArgs("OWN", "P5Y", file), "--preview")...)
	if preview["stored"] != false || preview["undeletable_until"] == nil {
		t.Errorf("preview: %v", preview)
	}
	s.sago(ctx, 5, 0, "auditor", "bundle", "show", "--transaction", "OWN")
	s.sago(ctx, 0, 2, "manager", "hold", "place", "--subject-ci", "CI-WIDE", "--name", "수사", "--basis", "형사소송법 제106조")
	for _, name := range []string{"OWN", "WIDE", "FREE"} {
		s.sago(ctx, 0, 0, "app", putArgs(name, "PT6S", file)...)
	}
	s.sago(ctx, 0, 1, "manager", "hold", "place", "--transaction", "OWN", "--name", "소송", "--basis", "2026가합1", "--basis-kind", "court", "--review", "2020-01-01")
	s.sago(ctx, 3, 1, "manager", "hold", "place", "--transaction", "OWN", "--name", "소송", "--basis", "again")
	s.awaitShown(ctx, 0, "FREE", "erased")
	holds := map[string]string{"OWN": "소송", "WIDE": "수사"}
	for name, hold := range holds {
		for i := range s.Size() {
			s.awaitShown(ctx, i, name, "held")
		}
		get := []string{"bundle", "get", "--transaction", name, "--purpose", "시험", "-o", os.DevNull}
		s.sago(ctx, 3, 0, "officer", get...)
		s.sago(ctx, 5, 0, "officer", append(get, "--hold", "다른 이름")...)
		s.sago(ctx, 0, 0, "officer", append(get, "--hold", hold)...)
		s.sago(ctx, 5, 0, "manager", "bundle", "extend", "--transaction", name, "--retain", "P1Y", "--basis", "x")
	}
	rows := rowsOf(t, s.sago(ctx, 0, 2, "auditor", "hold", "list"), "holds")
	if len(rows) != 2 || rows[0]["name"] != "수사" || rows[0]["scope"] != "subject" || rows[1]["name"] != "소송" || rows[1]["review_due"] != true {
		t.Fatalf("holds: %v", rows)
	}

	s.sago(ctx, 5, 0, "manager", "hold", "release", "--transaction", "OWN", "--name", "수사", "--reason", "잘못된 이름")
	act := s.sago(ctx, 0, 0, "manager", "hold", "release", "--transaction", "OWN", "--name", "소송", "--reason", "종결")
	if act["state"] != "pending" || act["basis"] != "소송: 2026가합1" {
		t.Fatalf("release: %v", act)
	}
	s.awaitShown(ctx, 1, "OWN", "held")
	if done := s.sago(ctx, 0, 1, "approver1", "act", "sign", "--id", act["id"].(string)); done["state"] != "executed" {
		t.Fatalf("signed by two: %v", done)
	}
	s.awaitShown(ctx, 2, "OWN", "erased")
	s.awaitShown(ctx, 2, "WIDE", "held")
	act = s.sago(ctx, 0, 0, "manager", "hold", "release", "--subject-ci", "CI-WIDE", "--name", "수사", "--reason", "종결")
	s.sago(ctx, 0, 1, "approver2", "act", "sign", "--id", act["id"].(string))
	s.awaitShown(ctx, 0, "WIDE", "erased")
	if rows := rowsOf(t, s.sago(ctx, 0, 2, "manager", "hold", "list"), "holds"); len(rows) != 0 {
		t.Errorf("holds left: %v", rows)
	}
	s.intact(ctx)
}
