package system_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// routes are the commands that the help knows.
func (d *dev) routes(ctx context.Context) (all []string) {
	d.t.Helper()
	_, list, _ := strings.Cut(d.sago(ctx, "app", "--help").Stdout, "Commands:")
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z-]+(?: [a-z-]+)*)`).FindAllStringSubmatch(list, -1) {
		all = append(all, m[1])
	}
	if len(all) < 20 {
		d.t.Fatalf("the help names %v", all)
	}
	return all
}

// everyRouteHasARow fails on a command that somebody added without saying who may.
func (d *dev) everyRouteHasARow(ctx context.Context, commands []asked) {
	d.t.Helper()
	for _, route := range d.routes(ctx) {
		found := false
		for _, c := range commands {
			name, _, _ := strings.Cut(c.name, ",")
			found = found || name == route
		}
		if !found {
			d.t.Errorf("%s has no row in the table", route)
		}
	}
}

// requests has a special deletion asked for, one for each role that may decide on
// it, and one for all others. It answers their ids by role.
func (d *dev) requests(ctx context.Context, prefix, file string) func(role string) string {
	d.t.Helper()
	ids, own := map[string]string{}, []string{"", "officer", "manager", "approver1"}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, role := range own {
		asking.Go(func() {
			number := prefix + "-" + role
			d.sago(ctx, "app", putArgs(number, "P5Y", file)...)
			answer := d.sago(ctx, "officer", append(order(number), "--output", "json")...)
			_, id, _ := strings.Cut(answer.Stdout, `"request_id": "`)
			id, _, _ = strings.Cut(id, `"`)
			mu.Lock()
			defer mu.Unlock()
			ids[role] = id
		})
	}
	asking.Wait()
	for _, role := range own {
		if ids[role] == "" {
			d.t.Fatalf("no request of %s-%s", prefix, role)
		}
	}
	return func(role string) string {
		if id, ok := ids[role]; ok {
			return id
		}
		return ids[""]
	}
}

// deciding are the commands about a request: those that end it with requests of
// their own.
func (d *dev) deciding(ctx context.Context, file string) []asked {
	shown := d.requests(ctx, "SHOW", file)
	about := func(prefix string, args ...string) func(string) []string {
		id := shown
		if prefix != "" {
			id = d.requests(ctx, prefix, file)
		}
		return func(role string) []string { return append(args[:len(args):len(args)], id(role)) }
	}
	return []asked{
		{"special-delete approve", about("APPROVE", "special-delete", "approve", "--request")},
		{"special-delete veto", about("VETO", "special-delete", "veto", "--reason", "시험", "--request")},
		{"special-delete show", about("", "special-delete", "show", "--request")},
		{"special-delete certificate", about("", "special-delete", "certificate", "--request")},
		{"act show", about("", "act", "show", "--id")},
		{"act sign", about("SIGN", "act", "sign", "--id")},
		{"act veto", about("ACTVETO", "act", "veto", "--reason", "시험", "--id")},
	}
}

// changing are the commands that change something, each on a number of its own for
// each role that may, or asked so that nothing is changed that another row sees.
func (d *dev) changing(ctx context.Context, file string) []asked {
	own := func(prefix string, args ...string) func(string) []string {
		for _, role := range []string{"app", "officer", "manager"} {
			d.must(ctx, 0, "app", putArgs(prefix+"-"+role, "P5Y", file)...)
		}
		return func(role string) []string {
			return append(args[:len(args):len(args)], "--transaction", prefix+"-"+role)
		}
	}
	terms := []string{"--order", "유통정지-1", "--requester", "정보주체", "--basis", "고시 별표6", "--reason", "시험"}
	with := func(args ...string) []string { return append(args, terms...) }
	subjects := filepath.Join(d.t.TempDir(), "subjects")
	must(d.t, os.WriteFile(subjects, []byte("CI-BASE\n"), 0o600))
	tooLong := time.Now().AddDate(2, 0, 0).Format(time.DateOnly)
	return []asked{
		{"bundle extend", own("EXTEND", "bundle", "extend", "--retain", "P6Y", "--basis", "시험")},
		{"bundle extend, shorter", fixed("bundle", "extend", "--retain", "P1Y", "--basis", "시험", "--transaction", "BASE")},
		{"bundle event", own("EVENT", "bundle", "event", "--at", "2026-01-01")},
		{"bundle certificate", fixed("bundle", "certificate", "--transaction", "BASE")},
		{"hold place", own("PLACE", "hold", "place", "--name", "수사", "--basis", "시험")},
		{"hold release", fixed("hold", "release", "--transaction", "BASE", "--name", "수사", "--reason", "시험")},
		{"hold list", fixed("hold", "list")},
		{"circulation stop", own("STOP", with("circulation", "stop")...)},
		{"circulation lift", own("LIFT", with("circulation", "lift")...)},
		{"circulation list", fixed("circulation", "list")},
		{"special-delete request", own("REQUEST", with("special-delete", "request")...)},
		{"special-delete list", fixed("special-delete", "list")},
		{"special-delete disable, of nobody's", fixed("special-delete", "disable", "--institution", "nobody")},
		{"special-delete ledger", fixed("special-delete", "ledger")},
		{"act list", fixed("act", "list")},
		{"policy show", fixed("policy", "show")},
		{"policy history", fixed("policy", "history")},
		{"policy propose", fixed("policy", "propose", "--set", "sweep_within=10s", "--reason", "시험")},
		{"institution list", fixed("institution", "list")},
		{"institution suspend, for too long", fixed("institution", "suspend", "--until", tooLong)},
		{"institution resume", fixed("institution", "resume")},
		{"institution close, no such export", fixed("institution", "close", "--receipt", file, "--date", tooLong, "--export", "999999")},
		{"institution subjects", fixed("institution", "subjects", "--ci-file", subjects, "--close", tooLong)},
		{"clock resync", fixed("clock", "resync", "--reason", "시험")},
		{"cluster confirm-restore", fixed("cluster", "confirm-restore", "--reason", "시험")},
		{"cluster remove", fixed("cluster", "remove", "--node", "node9", "--reason", "시험")},
		{"cluster medium", fixed("cluster", "medium", "--node", "node9", "--incarnation", strings.Repeat("0", 32), "--basis", "시험", "--reason", "시험")},
		{"key-archive list", fixed("key-archive", "list")},
		{"key-archive open, of no key", fixed("key-archive", "open", "--needed", "2", subjects)},
		{"key-archive destroyed, of no period", fixed("key-archive", "destroyed", strings.Repeat("0", 32), "--reason", "시험")},
	}
}

// reading are the rest, in part without any node.
func (d *dev) reading(t *testing.T, receipt map[string]any, file string) []asked {
	to := func(args ...string) func(string) []string {
		return func(role string) []string {
			return append(args[:len(args):len(args)], filepath.Join(t.TempDir(), "to-"+role))
		}
	}
	number := fmt.Sprint(receipt["history_sequence"])
	request := filepath.Join(t.TempDir(), "request")
	must(t, os.WriteFile(request, []byte("{}"), 0o600))
	return []asked{
		{"history prove", fixed("history", "prove", "1")},
		{"history receipt", fixed("history", "receipt", "--sequence", number, "--leaf-hash", fmt.Sprint(receipt["leaf_hash"]))},
		{"history keys", fixed("history", "keys")},
		{"history checkpoint", to("history", "checkpoint", "-o")},
		{"cluster backup run", to("cluster", "backup", "run", "-o")},
		{"cluster backup verify, of nothing", fixed("cluster", "backup", "verify", t.TempDir())},
		{"cluster add, of no request", fixed("cluster", "add", "--request", request, "--reason", "시험")},
		{"institution register, of no registration", fixed("institution", "register", "--file", file)},
		{"key-archive key", to("key-archive", "key", "--out")},
		{"certificate verify, of none", fixed("certificate", "verify", request)},
		{"witness, of nothing", fixed("witness", "--dir", t.TempDir(), "--show")},
	}
}
